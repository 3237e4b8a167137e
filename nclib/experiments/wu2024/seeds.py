"""Do models that differ by chance alone show it? One architecture, 21 seeds, a permutation test. Wu & Papyan, Table 1.

Their seeds shuffle the data of a model of two layers and width 768; ours also draw the initial weights.
"""

import math
from functools import partial

import numpy as np

from nclib.claims import Claim, judge
from nclib.pages._language_models import grid
from nclib.pages._language_models.language_model import LanguageModel
from nclib.pages._language_models.models import interval, models
from nclib.permutation import correlation, permutation_p
from nclib.results import choose

COST = {"paper": "21 models of 2 x 256 on 20 M tokens: about 20 minutes of one H200 (estimated)"}
SHAPES = {
    "smoke": {"width": 8, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "laptop": {"width": 32, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "paper": {"width": 256, "depth": 2, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
}
COUNT = {"smoke": 4, "laptop": 21, "paper": 21}
DRAWS = 10_000


def runs(profile, *, seed=0, corpus=None, count=None):
    """The same model from `count` consecutive seeds."""
    shape = choose(profile, SHAPES)
    corpus = corpus or choose(profile, grid.CORPORA)
    rate, size = grid.rate(profile, shape["width"]), grid.size(profile, corpus)
    common = {"corpus": corpus, "rate": rate, **size, **shape}
    return [LanguageModel(seed=seed + i, **common) for i in range(int(count or COUNT[profile]))]


CONVENTION = "wu-papyan-2024-05"
# property: (metric, R^2 in the authors' files, p printed in the paper)
PROPERTIES = {
    "NC1": ("cdnv_mean", 0.192011, 0.0485),
    "NC2 equinormness": ("norm_log_cv", 0.026174, 0.4870),
    "NC2 equiangularity": ("interference_cv", 0.218574, 0.0317),
    "GNC2": ("gnc2_cv", 0.487935, 0.0002),
    "NC3": ("self_duality", 0.322210, 0.0063),
    "UNC3": ("uniform_duality", 0.000036, 0.9784),
    "NC4": ("ncc_agreement", 0.490278, 0.0001),
}
NEGATIVE = ("NC2 equiangularity", "GNC2", "NC3", "NC4")  # the sign of r in the authors' files
LEVEL = 0.05  # of the paper's test: which of the properties it calls related
UNRELATED = 0.5  # |r| up to which a property counts as not related: a quarter of the variance
SEEDS = "21 seeds with at least 600 updates each"
WHY = "after: the first rule, p <= 0.05 or not, ignored the sign and took a large p for the absence of a relation"


def authors_r(name):
    """Pearson's r of a property with the validation loss in the authors' files."""
    return math.sqrt(PROPERTIES[name][1]) * (-1 if name in NEGATIVE else 1)


def _claim(name):
    related = PROPERTIES[name][2] < LEVEL
    sign = "negative" if name in NEGATIVE else "positive"
    statement = f"related to the validation loss of models that differ by their seed alone: r is {sign}"
    unrelated = f"not related to the validation loss of models that differ by their seed alone: |r| <= {UNRELATED}"
    return Claim(
        id=f"wu2024.seeds.{name.lower().replace(' ', '-')}",
        paper="Wu & Papyan 2024",
        statement=f"{name} is {statement if related else unrelated}",
        source="Table 1; r recomputed from the authors' file; which are related by the printed p, recalled, at 0.05",
        relation=("<=" if name in NEGATIVE else ">=") if related else "==",
        reference=0.0,
        tolerance=0.0 if related else UNRELATED,
        paper_value=authors_r(name),
        precondition=SEEDS,
        kind="paper",
        seen="authors' data",
        settled=WHY,
    )


CLAIMS = {name: _claim(name) for name in PROPERTIES}


def relation(x, loss):
    """Pearson's r of a metric with the validation loss over models, and its two-sided p; NaN where it does not vary."""
    if np.ptp(x) == 0:  # an agreement may be 0 for all models of a few updates
        return np.nan, np.nan
    return correlation(x, loss), permutation_p(x, loss, DRAWS)


def claims(table):
    """The verdicts on a table of `runs`, by the interval of r over models."""
    frame = models(table.rename(columns={"config": "run"}), CONVENTION)
    met = len(frame) >= 21 and bool(frame["updates"].min() >= 600)
    return [
        judge(CLAIMS[name], interval(frame, partial(with_loss, metric)) if met else math.nan, met=met)
        for name, (metric, _, _) in PROPERTIES.items()
    ]


def with_loss(metric, frame):
    """Pearson's r of a column with the validation loss; NaN where it does not vary."""
    x, loss = frame[metric].to_numpy(), frame["validation"].to_numpy()
    return np.nan if np.ptp(x) == 0 or np.ptp(loss) == 0 else correlation(x, loss)
