"""Page 13: Wu & Papyan 2024, which tokens collapse."""
