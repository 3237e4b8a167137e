"""Page 02: Dang et al. 2023, balanced classes."""
