"""What the figures of regularization draw: tables -> rows."""

import numpy as np
import pandas as pd

GROUP = ["model", "lam", "loss"]


def curves(*tables):
    """NC1 and NC2 at every epoch of the networks with batch norm, every setting and seed."""
    rows = pd.concat([table for table in tables if len(table)])
    rows = rows[(rows["model"] != "mlp") & rows["metric"].isin(["nc1", "nc2"]) & (rows["step"] > 0)]
    return rows[[*GROUP, "metric", "setting", "seed", "step", "value"]]


def effects(*tables, metric="nc1"):
    """The final value of a metric over the baseline's of the same seed, of the groups that have every setting."""
    rows, found = pd.concat([table for table in tables if len(table)]), []
    settings = rows["setting"].nunique()
    for names, part in rows[rows["metric"] == metric].groupby(GROUP, sort=False):
        if part["setting"].nunique() < settings:
            continue
        last = part[part["step"] == part["step"].max()]
        wide = np.log(last.pivot(index="seed", columns="setting", values="value"))
        ratio = np.exp(wide.sub(wide["baseline"], axis=0).drop(columns="baseline"))
        found.append(ratio.melt(ignore_index=False).reset_index().assign(**dict(zip(GROUP, names, strict=True))))
    return pd.concat(found)[[*GROUP, "setting", "seed", "value"]]
