"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import pandas as pd

LONGEST = 3.0  # of the lengths m: its a are nearly powers of ten for ten classes


def plane(table):
    """A row for each mix: `x`, `y` of the feature, and by the closed form `theory_x`, `theory_y`."""
    keys = ["loss", "i", "j", "mix"]
    rows = table[table["part"] == "plane"]
    found = rows.pivot(index=keys, columns="metric", values=["value", "theory"])
    found.columns = [metric if of == "value" else f"theory_{metric}" for of, metric in found.columns]
    return found.reset_index()


def attained(table, metric, num_classes=10):
    """Rows of one metric and number of classes, for the longest classifiers, by weight decay."""
    rows = table[(table["part"] == "attained") & (table["metric"] == metric)]
    rows = rows[(rows["num_classes"] == num_classes) & (rows["length"] == LONGEST)]
    return rows.sort_values(["a", "mix", "seed"])


def channel(table):
    """For ten classes: the gap z_i - z_j at each lambda and a, and at lambda = 0.9 also the margin over the others."""
    columns = ["metric", "a", "mix", "seed", "value", "theory"]
    margin = attained(table, "margin")
    return pd.concat([attained(table, "gap")[columns], margin.loc[margin["mix"] == 0.9, columns]], ignore_index=True)


def amplification(table):
    """For each number of classes the curve over a, part "laws", and what minimizers found, part "attained"."""
    rows = table[table["metric"] == "amplification"]
    rows = rows[rows["num_classes"].isin(rows.loc[rows["part"] == "laws", "num_classes"])]
    return rows[["part", "num_classes", "a", "seed", "value", "theory"]].sort_values(["part", "num_classes", "a"])
