"""Models of growing width against the exact distribution of a story grammar: what of their noise is under-training?

Derived here; Wu & Papyan (2024) had no text whose next-token distribution is known.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from nclib import results
from nclib.data.grammar import Grammar
from nclib.experiments.wu2024.grammar_claims import claims
from nclib.experiments.wu2024.grammar_model import FRESH, Config
from nclib.experiments.wu2024.grammar_table import LONGER, chain, merging, parts, pick, summary

__all__ = ["chain", "claims", "merging", "parts", "pick", "runs", "story", "summary"]

COST = {"paper": "19 models of 20 M words (one of 60 M), 4 layers of width up to 256: 15 minutes of an H200 (a guess)"}
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
EXAMPLES = 7, 23, 28, 62  # positions of the first fresh story whose distributions are shown


def runs(profile, *, seed=0, widths=None, tokens=None, fresh=None):
    """Three consecutive seeds of every width, and last the widest of the first seed with `LONGER` times the words.

    Every layer sees the whole window.
    """
    given = {name: int(value) for name, value in {"tokens": tokens, "fresh": fresh}.items() if value is not None}
    size = results.choose(profile, SIZES) | given
    a, b = RATE
    common = {"corpus": "grammar", "vocab": len(Grammar().vocabulary), "local": size["context"], "heads": HEADS}
    common |= {"epochs": 1, "measured": (1,), "weight_decay": 5e-4, "floor": FLOOR, **size}
    found = [
        Config(width=int(width), rate=a / width**b, seed=seed + i, **common)
        for width in sorted(widths or WIDTHS[profile])
        for i in range(SEEDS)
    ]
    return [*found, replace(found[-SEEDS], tokens=LONGER * size["tokens"])]


def story(shown=6):
    """What may come at `EXAMPLES`: rows position, context (the five words before), entropy, came, word, p.

    The `shown` likeliest words of each position, in descending order, and `came`, the word of the text.
    """
    grammar, rows = Grammar(), []
    ids = grammar.sample(max(EXAMPLES) + 1, FRESH)
    words = np.array(grammar.vocabulary)
    P = grammar.next_distribution(ids)  # row t is that of word t + 1
    for t in EXAMPLES:
        p = P[t - 1]
        fields = {"position": t, "context": " ".join(words[ids[max(0, t - 5) : t]]), "came": words[ids[t]]}
        fields["entropy"] = abs(float((p[p > 0] * np.log(p[p > 0])).sum()))
        rows += [fields | {"word": words[k], "p": p[k]} for k in np.argsort(-p, kind="stable")[:shown] if p[k] > 0]
    return pd.DataFrame(rows)
