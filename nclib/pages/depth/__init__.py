"""Page 08: Tirer et al. 2023, depth."""
