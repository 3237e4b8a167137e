"""Page 12: Wu & Papyan 2024, models that differ by chance alone."""
