"""The runs of page A2: models of growing width on texts of the story grammar."""

from dataclasses import replace

from nclib.data.grammar import Grammar
from nclib.pages.grammar.model import GrammarModel
from nclib.pages.grammar.tables import LONGER
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SIZES = {
    "smoke": {"tokens": 10_000, "context": 128, "depth": 1, "batch": 512, "fresh": 4_000},
    "laptop": {"tokens": 320_000, "context": 128, "depth": 2, "batch": 512, "fresh": 60_000},
    "paper": {"tokens": 20_000_000, "context": 256, "depth": 4, "batch": 8192, "fresh": 200_000},
}
# a / width^b. For `laptop` chosen by the validation loss of a few runs, before anything else was looked at.
RATE = 0.8, 4 / 3
WIDTHS = {"smoke": (8, 16), "laptop": (8, 16, 32, 64), "paper": (8, 16, 32, 64, 128, 256)}
HEADS = 2
FLOOR = 10
SEEDS = 3


def parts(profile, *, seed=0, widths=None, tokens=None, fresh=None):
    """Three consecutive seeds of every width, and the widest of the first seed with `LONGER` times the words.

    Every layer sees the whole window.
    """
    given = {name: int(value) for name, value in {"tokens": tokens, "fresh": fresh}.items() if value is not None}
    size = choose(profile, SIZES) | given
    a, b = RATE
    common = {"corpus": "grammar", "vocab": len(Grammar().vocabulary), "local": size["context"], "heads": HEADS}
    common |= {"epochs": 1, "measured": (1,), "weight_decay": 5e-4, "floor": FLOOR, **size}
    found = [
        GrammarModel(width=int(width), rate=a / width**b, seed=seed + i, **common)
        for width in sorted(widths or WIDTHS[profile])
        for i in range(SEEDS)
    ]
    return {"widths": found, "longer": [replace(found[-SEEDS], tokens=LONGER * size["tokens"])]}


STUDY = Study(
    "grammar",
    parts,
    beside={"paper scale": ("paper", {})},
    cost={"paper": "19 models of 20 M words (one of 60 M), 4 layers, up to width 256: 15 minutes of an H200 (a guess)"},
)
