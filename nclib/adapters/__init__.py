"""Measuring collapse from within torchmetrics, transformers and Lightning, each imported by its module alone."""
