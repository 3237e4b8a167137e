"""Page 06: Tirer et al. 2023, features near collapse."""
