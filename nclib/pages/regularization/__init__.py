"""Page 09: Tirer et al. 2023, which weight decay matters."""
