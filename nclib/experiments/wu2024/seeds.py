"""Do models that differ by chance alone show it? One architecture, 21 seeds, a permutation test. Wu & Papyan, Table 1.

Their seeds shuffle the data of a model of two layers and width 768; ours also draw the initial weights.
"""

import numpy as np

from nclib.claims import Claim, judge
from nclib.experiments.wu2024 import grid
from nclib.experiments.wu2024.language_model import Config
from nclib.permutation import permutation_p
from nclib.results import choose

COST = {"paper": "21 models of 2 x 256 on 20 M tokens: about 20 minutes of one H200 (estimated)"}
SHAPES = {
    "smoke": {"width": 8, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "laptop": {"width": 32, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "paper": {"width": 256, "depth": 2, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
}
HALF = {"tokens": 160_000, "batch": 256}  # half the grid's text and batch: 21 models in a minute and a half
COUNT = {"smoke": 4, "laptop": 21, "paper": 21}
DRAWS = 10_000


def runs(profile, *, seed=0, corpus=None, count=None):
    """The same model from `count` consecutive seeds."""
    shape = choose(profile, SHAPES)
    corpus = corpus or ("books" if profile == "paper" else grid.corpus_at_hand())
    size = grid.size(profile, corpus) | (HALF if (profile, corpus) == ("laptop", "tinystories") else {})
    common = {"corpus": corpus, "rate": grid.rate(profile, shape["width"]), **size, **shape}
    return [Config(seed=seed + i, **common) for i in range(int(count or COUNT[profile]))]


# property: (convention, metric, R^2 in the authors' files, p printed in the paper)
PROPERTIES = {
    "NC1": ("wu-papyan-2024-05", "cdnv_mean", 0.192011, 0.0485),
    "NC2 equinormness": ("wu-papyan-2024-05", "norm_log_cv", 0.026174, 0.4870),
    "NC2 equiangularity": ("wu-papyan-2024-05", "interference_cv", 0.218574, 0.0317),
    "GNC2": ("wu-papyan-2024-05", "gnc2_cv", 0.487935, 0.0002),
    "NC3": ("wu-papyan-2024-05", "self_duality", 0.322210, 0.0063),
    "UNC3": ("wu-papyan-2024-05", "uniform_duality", 0.000036, 0.9784),
    "NC4": ("wu-papyan-2024-05", "ncc_agreement", 0.490278, 0.0001),
}
LEVEL = 0.05
CLAIMS = {
    name: Claim(
        id=f"wu2024.seeds.{name.lower().replace(' ', '-')}",
        paper=grid.PAPER,
        statement=f"{name} is {'' if p < LEVEL else 'not '}related to the validation loss of models that differ by "
        "their seed alone: p of the two-sided permutation test",
        source="Table 1; printed p recalled; 0.05 is the usual level, without a correction for seven tests",
        relation="<=" if p < LEVEL else ">=",
        reference=LEVEL,
        tolerance=0.0,
        paper_value=p,
        precondition="21 seeds with at least 600 updates each",
    )
    for name, (_, _, _, p) in PROPERTIES.items()
}


def properties(table, seed=0):
    """One row for each property: r and R^2 with the validation loss over seeds, p, Bonferroni's p, and the paper's."""
    frames = {convention: grid.models(table, convention) for convention in {row[0] for row in PROPERTIES.values()}}
    found = []
    for name, (convention, metric, r2, printed) in PROPERTIES.items():
        x, loss = (frames[convention][column].to_numpy() for column in (metric, "validation"))
        varies = np.ptp(x) > 0  # an agreement may be 0 for all models of a few updates
        r, p = (np.corrcoef(x, loss)[0, 1], permutation_p(x, loss, DRAWS, seed)) if varies else (np.nan, np.nan)
        found.append({"property": name, "metric": metric, "r": r, "R2": r**2, "p": p})
        found[-1] |= {"p times 7": min(1.0, 7 * p), "R2 of the paper": r2, "p of the paper": printed}
    return found


def claims(table):
    """The verdicts on a table of `runs`."""
    frame = grid.models(table)
    met = len(frame) >= 21 and bool(frame["updates"].min() >= 600)
    return [judge(CLAIMS[row["property"]], row["p"], met=met) for row in properties(table)]
