"""Page 03: Dang et al. 2023, imbalanced classes."""
