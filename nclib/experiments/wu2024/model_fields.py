"""The fields of a language model for the experiments that have not moved to their pages."""

from dataclasses import dataclass

from nclib import results
from nclib.pages._language_models.language_model import LanguageModel


@dataclass(frozen=True)
class Fields:
    """Those of `LanguageModel`."""

    corpus: str
    tokens: int
    vocab: int
    context: int
    local: int
    width: int
    depth: int
    heads: int
    epochs: int
    measured: tuple
    weight_decay: float
    batch: int
    rate: float
    seed: int

    def key(self):
        """Of the run."""
        return results.key(self)


def data(config):
    """{file: sha256} of the text."""
    return LanguageModel.reads(config)


def needs_gpu(config):
    """As `LanguageModel` says."""
    return LanguageModel.needs_gpu(config)
