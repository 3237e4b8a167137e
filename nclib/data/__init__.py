"""Verified files -> tensors: images, and imbalanced subsets of them."""

from nclib.data.files import DataError, data_folder
from nclib.data.images import NAMES, Images, load
from nclib.data.longtail import long_tail_counts, step_counts, subset

__all__ = ["NAMES", "DataError", "Images", "data_folder", "load", "long_tail_counts", "step_counts", "subset"]
