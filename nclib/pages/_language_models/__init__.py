"""What the pages on language models share: Wu & Papyan 2024."""
