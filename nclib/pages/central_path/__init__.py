"""Page 07: Tirer et al. 2023, the central path."""
