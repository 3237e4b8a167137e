"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import pandas as pd

from nclib.glued import number


def masks(table):
    """A row for each mask: K, d, beta, seed, and 1 or 0 for solved, full rank, counts, disjoint; `theory` of solved."""
    part = table[table["part"] == "masks"]
    keys = ["K", "d", "beta", "seed", "mask"]
    wide = part.pivot(index=keys, columns="metric", values="value")
    theory = part[part["metric"] == "solved"].set_index(keys)["theory"]
    return wide.join(theory).reset_index()


def shares(table):
    """Of each shape, share of zeros `beta` and seed: `value`, the share of masks that were solved, and `theory`."""
    by = masks(table).groupby(["K", "d", "beta", "seed"])[["solved", "theory"]]
    found = by.agg(lambda column: column.mean(skipna=False)).reset_index()
    return found.rename(columns={"solved": "value"})


def angles(table):
    """|angle - ideal| of pairs, sorted, by `way`, of the first seed: of each shape that Adam was run on."""
    part = table[(table["part"] == "frames") & (table["metric"] == "off")]
    part = part[part["seed"] == part["seed"].min()]
    return part[["K", "d", "way", "index", "value"]]


def ways(table):
    """Means over seeds of what was measured of each frame, for a reader."""
    part = table[table["part"].isin(["frames", "large frame"]) & (table["metric"] != "off")]
    part = part[part["way"] != "masked"].drop_duplicates(["run", "way", "metric"])
    wide = part.pivot_table(index=["K", "d", "way"], columns="metric", values="value")
    return wide.map(lambda value: number(value, ".2g" if abs(value) < 1 else ".4g")).rename_axis(columns=None)


def norms(table, times=(10, 100, 1000)):
    """Norms after three times of descent: `value`, and `theory` of the law, by `n`."""
    part = table[(table["part"] == "flow") & (table["metric"] == "norm") & table["t"].isin(times)]
    return part[["K", "t", "n", "value", "theory"]]


def exponents(table):
    """Three kinds of rows by `line` and `x`: the law's exponent against the time, those of descent, those of the logs
    against the round (`source` is the log); `low` to `high` is what both decays give."""
    flow = table[(table["part"] == "flow") & table["metric"].isin(["law", "exponent"])]
    flow = flow.assign(line=flow["metric"].map({"law": "law", "exponent": "descent"}), x=flow["t"], source="")
    logs = table[(table["part"] == "logs") & (table["metric"] == "exponent")]
    logs = logs.assign(line=logs["arm"], x=logs["round"].astype(float), source=logs["log"], K=logs["classes"])
    free = settings(table)
    band = free[free["setting"] != "limit"].groupby("K")["value"].agg(low="min", high="max")
    found = pd.concat([flow, logs], ignore_index=True)[["K", "line", "source", "x", "value"]]
    return found.join(band, on="K")


def logs(table, metric, arm="sparse ETF"):
    """A row for each log, a column for each wanted round."""
    part = table[(table["part"] == "logs") & (table["metric"] == metric) & (table["arm"] == arm)]
    return part.pivot(index=["classes", "log"], columns="wanted", values="value")


def settings(table):
    """Exponents at the minimum with both decays, by `setting`, K, ratio and `q`."""
    part = table[(table["part"] == "decays") & (table["metric"] == "exponent")]
    return part[["K", "ratio", "setting", "q", "value"]]
