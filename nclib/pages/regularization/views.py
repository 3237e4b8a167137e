"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import numpy as np
import pandas as pd

GROUP = ["model", "lam", "loss"]


def curves(table):
    """NC1 and NC2 at every epoch of the networks with batch norm, every setting and seed."""
    rows = table[(table["model"] != "mlp") & table["metric"].isin(["nc1", "nc2"]) & (table["step"] > 0)]
    return rows[[*GROUP, "metric", "setting", "seed", "step", "value"]]


def effects(table, metric="nc1"):
    """The final value of a metric over the baseline's of the same seed, of the groups that have every setting."""
    found = []
    for names, part in table.groupby(GROUP, sort=False):
        if part["setting"].nunique() == table["setting"].nunique():
            ratio = np.exp(changes(part, metric)).melt(ignore_index=False).reset_index()
            found.append(ratio.assign(**dict(zip(GROUP, names, strict=True))))
    return pd.concat(found)[[*GROUP, "setting", "seed", "value"]]


def final(rows, metric):
    """Last values of one group, a row for each seed, a column for each setting."""
    last = rows[(rows["metric"] == metric) & (rows["step"] == rows["step"].max())]
    return last.pivot(index="seed", columns="setting", values="value")


def changes(rows, metric):
    """log of the final value over that of the baseline of the same seed, a column for each setting."""
    logs = np.log(final(rows, metric))
    return logs.sub(logs["baseline"], axis=0).drop(columns="baseline")
