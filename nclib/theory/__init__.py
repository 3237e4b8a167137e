"""Closed forms of neural collapse: one module a subject, float64, importing neither models nor training."""

from nclib.theory import deep_linear, distillation, imbalance, mixup, norm_law, perturbation, sparse_frame

__all__ = ["deep_linear", "distillation", "imbalance", "mixup", "norm_law", "perturbation", "sparse_frame"]
