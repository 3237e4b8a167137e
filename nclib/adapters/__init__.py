"""Measuring collapse from within other libraries: torchmetrics and transformers, each imported by its module alone."""
