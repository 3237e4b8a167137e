"""Page 04: Dang et al. 2023 and others, minority collapse."""
