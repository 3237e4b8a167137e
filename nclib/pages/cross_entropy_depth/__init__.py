"""Page 05: Dang et al. 2023, cross-entropy and depth."""
