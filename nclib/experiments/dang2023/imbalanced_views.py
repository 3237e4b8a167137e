"""What the figures of imbalanced classes draw: table -> rows."""

import pandas as pd

from nclib.experiments.dang2023.balanced_views import scales
from nclib.results import indexed

FLOOR = ("nc2_W", "nc2_H", "nc3_WH", "nc3")


def lengths(table, paper=None, *, experiment="direct"):
    """|w_k| and |class mean k| with the samples `n` of the class, measured (all seeds) and predicted."""
    rows = scales(table, paper, experiment, False)
    if experiment == "network":
        rows = rows[(rows["panel"] != "") | (rows["scale"] == "paper")]
    found = pd.concat([indexed(rows, metric) for metric in ("length_w", "length_h")])
    found["n"] = [counts[i] for counts, i in zip(found["counts"], found["i"], strict=True)]
    return found[["panel", "metric", "source", "depth", "seed", "n", "value"]]


def layers(table, *, depths=(3, 6)):
    """The K largest singular values of each layer `m` by direct optimization, measured (all seeds) and predicted."""
    depths = [M for M in depths if M in set(table["depth"])] or [max(table["depth"])]
    rows = scales(table, None, "direct", False)
    found = indexed(rows[rows["depth"].isin(depths)], "singular_value")
    found = found.assign(m=found["layer"].str.removeprefix("W").astype(int))
    return found[["depth", "m", "i", "source", "seed", "value"]]


def widths(table, *, counts):
    """|w_k| of each class of `n` samples against the width of the layers, measured (all seeds) and predicted."""
    found = indexed(table[table["counts"] == counts], "length_w")
    found = found.assign(n=[counts[i] for i in found["i"]])
    return found[["depth", "width", "i", "n", "source", "seed", "value"]]


def floor(table):
    """The network of the authors' objective against its minimizer and against their target, whose floor is theory."""
    rows = table[(table["experiment"] == "dang2023.network") & (table["scale"] == "authors-imbalanced")]
    rows = rows[rows["depth"] == rows["depth"].min()]
    measured = (rows["source"] == "measured") & (rows["step"] > 0)
    parts = [rows[measured & rows["metric"].isin([metric, f"authors_{metric}"])] for metric in FLOOR]
    theirs = [f"authors_{metric}" for metric in FLOOR]
    parts.append(rows[(rows["source"] == "theory") & rows["metric"].isin(theirs)])
    return pd.concat(parts)[["metric", "source", "seed", "step", "value"]]
