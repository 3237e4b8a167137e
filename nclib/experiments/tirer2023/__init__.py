"""Tirer, Huang, Niles-Weed 2023, "Perturbation Analysis of Neural Collapse" (arXiv 2210.16658)."""
