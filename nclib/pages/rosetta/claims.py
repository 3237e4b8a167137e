"""What page A3 holds: every conversion is exact, and one name spans orders of magnitude."""

from functools import partial

import pandas as pd

from nclib.evidence.claims import Claim, Headline, at_least, at_most
from nclib.evidence.seeds import by_seed
from nclib.pages.rosetta.views import ABSOLUTE, called, errors, spans

NAMES = {"cdnv": ("CDNV",), "nc2": ("NC2", "GNC2"), "norms": ("norms",), "nc3": ("NC3",), "nc4": ("NC4",)}
CENTERED = ("nc1.sample_center", "nc1.sample_center_no_K", "nc1.absent_zero_sample")


def worst(*families, only=None, without=(), table):
    """The largest error of the rules of families, by seed: of those formulas only, or without some."""
    found = errors(table, *families)
    found = found[~found["metric"].isin(without) & (found["metric"].isin(only or ()) | (only is None))]
    return by_seed(found["error"], table["seed"].unique())


def exact(name, statement, bound, *families, settled="before", **which):
    """A claim on the largest error of a rule."""
    ours = partial(worst, *families, **which)
    return Claim(f"wu2024.measure.rosetta.{name}", statement, at_most(bound), lambda table: ours(table=table), settled)


def widest(table):
    """Orders of magnitude between what goes by the name NC1, near collapse, by seed."""
    return spans(table)["near collapse"].reindex(table["seed"].unique()).tolist()


def over(first, second, table, grow=False):
    """The largest of one formula over another on a data set, by seed; with `grow` that times (K - 1) / K."""
    wide = called(table).pivot(index=["seed", "data"], columns="metric", values="value")
    K = pd.Series({"balanced": 4, "imbalanced": 4, "near collapse": 10}).reindex(wide.index.get_level_values("data"))
    ratio = wide[first] / wide[second] * ((K - 1) / K if grow else 1 + 0 * K).to_numpy()
    return by_seed(ratio.droplevel("data"), table["seed"].unique())


HEADLINES = [
    Headline(
        "wu2024.measure.rosetta",
        "Where a rule converts one codebase's number into another's, it is exact",
        [
            exact("nc1", "NC1, rules without the center: largest relative error", 1e-9, "NC1", without=CENTERED),
            exact("center", "NC1, rules for the center: largest relative error", 1e-8, "NC1", only=CENTERED),
            *(
                exact(
                    key,
                    f"{' and '.join(families)}: largest relative error of a rule",
                    1e-9,
                    *families,
                    without=ABSOLUTE,
                )
                for key, families in NAMES.items()
            ),
            exact(
                "signed",
                "Signed mean of cosine + 1/(K - 1): absolute error of its rule",
                1e-14,
                "NC2",
                only=ABSOLUTE,
                settled="after: a first trial divided by the number itself, whose own digits cancel near collapse; the "
                "bound is that of an older test of the formula",
            ),
        ],
        kind="check",
        of="formulas of public code",
        seen="read",
        every=True,
        note="formulas as read in the repositories, computed by this library in double precision",
    ),
    Headline(
        "wu2024.measure.rosetta.names",
        "One name on the same features spans an order of magnitude or more",
        [
            Claim(
                "wu2024.measure.rosetta.span",
                "Orders of magnitude between the numbers that go by the name NC1, near collapse",
                at_least(1.0, 1e-9),
                widest,
                settled="after: a first trial gave 1.000000, by the factor K = 10 alone: a tolerance for its rounding",
            ),
            Claim(
                "wu2024.measure.rosetta.smaller",
                "NC1 with the center of samples over that with the center of classes, the largest",
                at_most(1.0, 1e-12),
                partial(over, "nc1.sample_center", "nc1.paper"),
            ),
            Claim(
                "wu2024.measure.rosetta.vci",
                "The variability collapse index over its bound, NC1 K / (K - 1) with the center of samples",
                at_most(1.0, 1e-12),
                partial(over, "nc1.vci", "nc1.sample_center", grow=True),
            ),
        ],
        kind="check",
        of="formulas of public code",
        seen="derived",
        every=True,
        note="values of other draws of such data were known when the rule of the first claim was set",
    ),
]
