"""Page 18: Yang et al. 2025."""
