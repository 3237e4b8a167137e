"""Verified files -> tensors: images, imbalanced subsets, splits over clients, text; and a story grammar."""

from nclib.data.clients import dirichlet_split, holdings
from nclib.data.corpora import stories, write_corpus
from nclib.data.files import DataError, data_folder
from nclib.data.images import NAMES, Images, load
from nclib.data.longtail import long_tail_counts, step_counts, subset
from nclib.data.text import Tokens, available, tokens, windows

__all__ = [
    "NAMES",
    "DataError",
    "Images",
    "Tokens",
    "available",
    "data_folder",
    "dirichlet_split",
    "holdings",
    "load",
    "long_tail_counts",
    "step_counts",
    "stories",
    "subset",
    "tokens",
    "windows",
    "write_corpus",
]
