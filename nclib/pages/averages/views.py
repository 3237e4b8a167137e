"""Tables of `study.STUDY` -> the rows that figures draw and claims judge. `line`: the way of averaging."""

import pandas as pd

WAYS = ("as they are", "matched")
NUMBER = {"trained": "as they are", "matched": "matched"}


def path(table):
    """Cross-entropy on the test images by share of the second network."""
    rows = table[(table["part"] == "merging") & (table["metric"] == "loss") & table["share"].notna()]
    return rows.assign(line=rows["way"])[["line", "seed", "share", "value"]]


def variances(table):
    """Variance of averages of n networks over that of one, with 1/n as `theory`: untrained, trained and matched."""
    rows = table[(table["part"] == "merging") & (table["metric"] == "variance")]
    names = {"starts": "untrained"} | NUMBER
    return rows.assign(line=rows["way"].map(names), n=rows["n"])[["line", "seed", "n", "value", "theory"]]


def losses(table):
    """Cross-entropy of averages of n networks on the test images, plain and corrected."""
    rows = table[(table["part"] == "merging") & (table["metric"] == "loss") & table["n"].notna()]
    names = rows["way"].map(NUMBER) + rows["corrected"].map({True: ", corrected", False: ""}).astype(str)
    return rows.assign(line=names)[["line", "seed", "n", "value"]]


def clients(table):
    """Accuracy, NC1 and variance of the average of clients by round, and the clients' mean accuracy and NC1."""
    rows = table[(table["part"] == "clients") & table["metric"].isin(["accuracy", "nc1", "variance"])]
    return rows.assign(line=rows["way"])[["line", "metric", "seed", "round", "value"]]


def one(table, **at):
    """The one value of each seed at a place; NaN where it is missing or not one."""
    rows = table
    for name, value in at.items():
        rows = rows[(rows[name] == value).fillna(False).astype(bool)]
    by = rows.groupby("seed")["value"]
    found = by.first().where(by.size() == 1).where(by.count() == 1)
    return found.reindex(sorted(table["seed"].unique())).astype(float)


def barrier(table, way):
    """The largest excess of the loss over the line between its ends, by seed; NaN where a loss is missing."""
    rows = path(table)
    wide = rows[rows["line"] == way].pivot(index="share", columns="seed", values="value")
    wide = wide.reindex(columns=sorted(table["seed"].unique()))
    if wide.empty or wide.index.min() > 0 or wide.index.max() < 1:
        return wide.sum() * float("nan")
    share = pd.Series(wide.index, index=wide.index)
    line = pd.DataFrame({seed: wide[seed].iloc[0] * (1 - share) + wide[seed].iloc[-1] * share for seed in wide})
    return (wide - line).max(skipna=False)
