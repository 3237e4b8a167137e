"""Page 10: Wu and Papyan 2024, their own measurements of 230 language models."""
