"""What page 12 holds against Table 1 of Wu & Papyan 2024: is a model that came out nearer to collapse by chance better?

Claims are functions of points, as `views.points` makes them of the page's table, and each value has its interval by a
bootstrap over models. r of the paper is computed anew from the authors' file; which of the seven it calls related is
recalled, by the printed p at 0.05.
"""

import math
from functools import partial

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.permutation import correlation
from nclib.pages._language_models.models import columns, interval
from nclib.pages.linguistic_seeds.views import PROPERTIES

NEGATIVE = ("NC2 equiangularity", "GNC2", "NC3", "NC4")  # the sign of r in the authors' files
FIRST = ("GNC2", "NC4")  # the strongest relations in the authors' files
LEVEL = 0.05  # of the paper's test: which of the properties it calls related
UNRELATED = 0.5  # |r| up to which a property counts as not related: a quarter of the variance
WHY = "after: the first rule, p <= 0.05 or not, ignored the sign and took a large p for the absence of a relation"


def authors_r(name):
    """Pearson's r of a property with the validation loss in the authors' files."""
    return math.sqrt(PROPERTIES[name][1]) * (-1 if name in NEGATIVE else 1)


def over(statistic):
    """points -> a statistic of them with its interval."""
    return lambda points: interval(columns(points), statistic)


def with_loss(name, frame):
    """Pearson's r of a column with the validation loss; NaN where it does not vary."""
    x, loss = frame[name], frame["validation"]
    return np.nan if np.ptp(x) == 0 or np.ptp(loss) == 0 else correlation(x, loss)


def lead(name, frame):
    """R^2 of a column minus the largest of the properties that are not among FIRST."""
    return with_loss(name, frame) ** 2 - max(with_loss(other, frame) ** 2 for other in PROPERTIES if other not in FIRST)


def key(name):
    """The id of a property."""
    return name.lower().replace(",", "").replace(" ", "-")


def related(name):
    """The claim that r has the sign of the authors'."""
    sign, rule = ("negative", at_most(0.0)) if name in NEGATIVE else ("positive", at_least(0.0))
    return Claim(
        f"wu2024.seeds.{key(name)}",
        f"{name} is related to the validation loss of models that differ by their seed alone: r is {sign}",
        rule,
        over(partial(with_loss, name)),
        settled=WHY,
        paper_value=authors_r(name),
    )


def unrelated(name):
    """The claim that |r| is small."""
    return Claim(
        f"wu2024.seeds.{key(name)}",
        f"{name} is not related to the validation loss of models that differ by their seed alone: |r| <= {UNRELATED}",
        near(0.0, UNRELATED),
        over(partial(with_loss, name)),
        settled=WHY,
        paper_value=authors_r(name),
    )


def first(name):
    """The claim that a relation is stronger than those that are not among FIRST."""
    others = [r2 for other, (_, r2, _) in PROPERTIES.items() if other not in FIRST]
    return Claim(
        f"wu2024.seeds.order.{key(name)}",
        f"R^2 of {name} with the validation loss minus the largest of those of NC1, NC2 (both), NC3 and UNC3",
        at_least(0.0),
        over(partial(lead, name)),
        paper_value=PROPERTIES[name][1] - max(others),
    )


RELATED = [name for name, (_, _, p) in PROPERTIES.items() if p < LEVEL]
TABLE = {"kind": "paper", "of": "Wu & Papyan 2024, Table 1", "seen": "authors' data"}
TABLE["needs"] = Need(
    "21 seeds with at least 600 updates each", lambda points: len(points) >= 21 and points["updates"].min() >= 600
)

HEADLINES = [
    Headline(
        "wu2024.seeds.related",
        "Of models that differ by chance alone, those nearer to collapse have the lower loss",
        [related(name) for name in RELATED],
        note="the sign of r, in the statistics of the authors' file of May 2024",
        **TABLE,
    ),
    Headline(
        "wu2024.seeds.unrelated",
        "Equal norms and uniform duality have nothing to do with the loss of such models",
        [unrelated(name) for name in PROPERTIES if name not in RELATED],
        note="that a quarter of the variance is nothing is our rule",
        **TABLE,
    ),
    Headline(
        "wu2024.seeds.order",
        "GNC2 and NC4 are the properties most closely related to the loss of such models",
        [first(name) for name in FIRST],
        **TABLE,
    ),
]
