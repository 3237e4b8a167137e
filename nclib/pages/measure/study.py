"""The runs of page A1: networks on digits, one language model of page 11, as it is stored, and the traps."""

from nclib.pages._language_models import grid
from nclib.pages.measure.network import Network
from nclib.pages.measure.trap import Traps
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SIZES = {  # (epochs, seeds, (profile and width of the language model))
    "smoke": (10, 1, ("smoke", 8)),
    "laptop": (120, 3, ("laptop", 32)),
    "paper": (600, 3, ("laptop", 32)),
}


def parts(profile, *, seed=0, epochs=None):
    """Networks and traps from consecutive seeds (smoke: one), and a language model."""
    length, count, (scale, width) = choose(profile, SIZES)
    seeds = range(seed, seed + count)
    return {
        "network": [Network(int(epochs or length), 5e-3, 1000, s) for s in seeds],
        "language model": grid.runs(scale, seed=seed, widths=(width,), depths=(1,))[:1],
        "traps": [Traps(s) for s in seeds],
    }


STUDY = Study(
    "measure",
    parts,
    beside={"600 epochs": ("paper", {})},
    whole=True,
    cost={"paper": "a minute on one CPU core, as measured: a longer training on digits"},
)
