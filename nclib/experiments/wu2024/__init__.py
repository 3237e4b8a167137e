"""Wu, Papyan 2024, "Linguistic Collapse: Neural Collapse in (Large) Language Models" (arXiv 2405.17767)."""
