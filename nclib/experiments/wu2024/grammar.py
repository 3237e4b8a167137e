"""Models of growing width against the exact distribution of a story grammar: what of their noise is under-training?

Derived here; Wu & Papyan (2024) had no text whose next-token distribution is known.
"""

import numpy as np
import pandas as pd
from scipy.special import entr

from nclib import results
from nclib.claims import Claim, judge
from nclib.data.grammar import Grammar
from nclib.experiments.wu2024.grammar_model import FRESH, Config

COST = {"paper": "18 models, 20 M words each, up to 4 layers of width 256: about 10 minutes of one H200 (estimated)"}
SIZES = {
    "smoke": {"tokens": 40_000, "context": 128, "depth": 1, "batch": 512, "fresh": 8_000},
    "laptop": {"tokens": 320_000, "context": 128, "depth": 2, "batch": 512, "fresh": 60_000},
    "paper": {"tokens": 20_000_000, "context": 256, "depth": 4, "batch": 8192, "fresh": 200_000},
}
# a / width^b. For `laptop` chosen by the validation loss of a few runs, before anything else was looked at.
RATE = 0.8, 4 / 3
WIDTHS = {"smoke": (8, 16), "laptop": (8, 16, 32, 64), "paper": (8, 16, 32, 64, 128, 256)}
HEADS = 2
FLOOR = 10
SEEDS = 3


def runs(profile, *, seed=0, widths=None, tokens=None, fresh=None):
    """Three consecutive seeds of every width, the widest last; every layer sees the whole window."""
    given = {name: int(value) for name, value in {"tokens": tokens, "fresh": fresh}.items() if value is not None}
    size = results.choose(profile, SIZES) | given
    a, b = RATE
    return [
        Config(
            corpus="grammar",
            vocab=len(Grammar().vocabulary),
            local=size["context"],
            width=int(width),
            heads=HEADS,
            epochs=1,
            measured=(1,),
            weight_decay=5e-4,
            rate=a / width**b,
            seed=seed + i,
            floor=FLOOR,
            **size,
        )
        for width in sorted(widths or WIDTHS[profile])
        for i in range(SEEDS)
    ]
