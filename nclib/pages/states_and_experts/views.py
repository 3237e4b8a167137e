"""Tables of `study.STUDY` -> the rows that figures draw and claims judge."""

import numpy as np
import pandas as pd

ARMS = {
    (1, 0.1): "balanced",
    (1, 0.01): "slightly balanced",
    (1, 0.0): "not balanced",
    (2, 0.01): "two experts each",
}
OURS, PLAIN = "frequency, aligned", "uniform"


def half_lives(table):
    """Half-life of the learnt gate over the training length, by `load`, that length over the keys' dimension."""
    rows = table[(table["part"] == "states") & (table["metric"] == "half-life")]
    return rows.assign(load=(rows["length"] / rows["dim"]).astype(float))[["dim", "seed", "length", "load", "value"]]


def thresholds(table):
    """The training length from which on the half-life is shorter than it, between two of them by a line in logarithms,
    by dimension and seed; NaN where there is none or more than one. theory: in proportion, through the origin."""
    by = half_lives(table).groupby(["dim", "seed"])
    found = by.apply(lambda part: _crossing(part["length"], part["value"]), include_groups=False)
    rows = found.rename("value").reset_index().astype({"dim": int, "value": float})
    squares = (rows["dim"] ** 2).sum()
    return rows.assign(theory=rows["dim"] * (rows["value"] * rows["dim"]).sum(skipna=False) / squares)


def _crossing(length, value):
    x, y = np.log(length.to_numpy(float)), np.log(value.to_numpy(float))
    (falls,) = np.nonzero((y[:-1] > 0) & (y[1:] <= 0))
    if len(falls) != 1 or not np.isfinite(y).all() or (y[falls[0] + 1 :] > 0).any():
        return np.nan
    i = falls[0]
    return float(np.exp(x[i] + y[i] * (x[i + 1] - x[i]) / (y[i] - y[i + 1])))


def tests(table):
    """Errors and trace ratios of the read-out by `load`, tokens over the dimension; `line`: the training."""
    rows = table[(table["part"] == "states") & table["load"].notna()]
    names = np.where(rows["length"] == rows["dim"], "short contexts", "long contexts")
    return rows.assign(line=names)[["dim", "line", "seed", "metric", "load", "value", "theory"]]


def tested(table):
    """`tests` of the largest state."""
    rows = tests(table)
    return rows[rows["dim"] == rows["dim"].max()]


def experts(table):
    """The rows of routed experts; `arm`: how the router was trained."""
    rows = table[table["part"] == "experts"]
    return rows.assign(arm=pd.Series(list(zip(rows["top"], rows["balance"], strict=True)), rows.index).map(ARMS))


def merging(table):
    """Test accuracy by number of experts `merged` to and way of merging; that of all experts among them."""
    rows = experts(table)
    rows = rows[(rows["metric"] == "accuracy") & rows["merged"].notna()]
    whole = rows.groupby(["arm", "way", "seed"], sort=False).first().reset_index()
    whole = whole.assign(merged=whole["experts"], value=whole["theory"])
    return pd.concat([whole, rows])[["arm", "way", "seed", "merged", "value"]]


def collapse(table):
    """Experts in use and NC1 by expert of their inputs and outputs, by epoch."""
    rows = experts(table)
    rows = rows[rows["epoch"].notna() & rows["metric"].isin(["in-use", "nc1-inputs", "nc1-outputs"])]
    return rows[["arm", "metric", "seed", "epoch", "value"]]
