"""Dang et al. 2023, "Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data" (arXiv 2301.00437)."""
