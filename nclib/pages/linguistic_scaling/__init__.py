"""Page 11: Wu & Papyan 2024, a grid of our own."""
