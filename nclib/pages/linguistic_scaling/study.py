"""The runs of page 11: does collapse come with scale, and with a lower validation loss? Wu & Papyan (2024)."""

from nclib.pages._language_models import grid
from nclib.runs.study import Study


def parts(profile, *, seed=0, corpus=None, widths=None, depths=None, tokens=None, batch=None):
    """One model of each shape in each setting. corpus: as in nclib.data.text.tokens, by default that of the profile."""
    given = {"corpus": corpus, "widths": widths, "depths": depths, "tokens": tokens, "batch": batch}
    return {"grid": grid.runs(profile, seed=seed, **given)}


STUDY = Study(
    "linguistic_scaling",
    parts,
    beside={"paper scale": ("paper", {}), "books, on a processor": ("laptop", {"corpus": "books"})},
    cost={"paper": "150 runs, 210 measured models, about 5e17 FLOP: hours of one H200 (estimated)"},
)
