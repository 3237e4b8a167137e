"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import numpy as np
import pandas as pd

METRICS = ("nc1", "nc1_trace_ratio", "nc2")
GRID = ("Fig. 1", "over lam_H")


def minimizer(table):
    """|hbar_k|^2, "norm", and the loss of the lowest of random starts against c, measured and of the theorem."""
    rows = table[(table["part"] == "free") & table["metric"].isin(["norm", "loss"])]
    return rows[["metric", "seed", "c", "value", "theory"]]


def spectrum(table):
    """The singular values of F_kk, first order, in descending order for the lam_H of Fig. 1."""
    rows = table[(table["part"] == "Fig. 1") & (table["metric"] == "sigma") & (table["layer"] == "first-order")]
    return rows[["lam_H", "i", "value", "theory"]]


def families(table):
    """By family: "within", beta (1 - sigma) of each sigma of F_kk; "between", beta sigma of F_kk'; "rate", the four
    that predict them; "peak", the lam_H at which the third of these is largest."""
    rows = table[table["part"].isin(GRID)]
    first = rows[rows["layer"] == "first-order"]
    own, cross = first[first["metric"] == "sigma"], first[(first["metric"] == "cross") & (first["i"] == 0)]
    rates = rows[rows["metric"] == "rate"].sort_values("lam_H", kind="stable")
    found = [
        own.assign(family="within", value=own["beta"] * (1 - own["value"])),
        cross.assign(family="between", value=cross["beta"] * cross["value"]),
        rates.assign(family="rate", value=rates["theory"]),
        pd.DataFrame({"family": ["peak"], "i": 0, "lam_H": 4 / 9 / rows["lam_W"].iloc[0], "value": np.nan}),
    ]
    return pd.concat(found)[["family", "i", "lam_H", "value"]]


def validity(table):
    """The largest and least singular value of F_kk, exact and first order, and the largest difference of these, against
    `ratio`, beta over s."""
    rows = in_units(table[(table["part"] == "over beta") & (table["metric"] == "sigma")])
    by = rows.groupby(["layer", "ratio"])[["value", "theory"]]
    ends = [part.reset_index().assign(end=end) for end, part in (("max", by.max()), ("min", by.min()))]
    ours = rows.pivot(index=["ratio", "i"], columns="layer", values="value")
    error = (ours["exact"] - ours["first-order"]).abs().groupby("ratio").max().rename("value").reset_index()
    return pd.concat([*ends, error.assign(end="difference", layer="", theory=np.nan)])


def residuals(table):
    """|minimizer - collapsed - F dH0| against |dH0|, means over seeds, for some `ratio`, beta over s."""
    rows = table[(table["part"] == "over beta") & table["metric"].isin(["size", "residual"])]
    betas = sorted(set(rows["beta"]))[:: 2 if rows["beta"].nunique() > 4 else 1]
    rows = in_units(rows[rows["beta"].isin(betas)])
    found = rows.groupby(["layer", "ratio", "i", "metric"])["value"].mean().unstack("metric")
    return found.reset_index()[["layer", "ratio", "i", "size", "residual"]]


def in_units(rows):
    """With `ratio`, beta over s, the largest rate of the response."""
    return rows.assign(ratio=rows["beta"] / np.sqrt(rows["lam_H"].iloc[0] / rows["lam_W"].iloc[0]))


def attenuation(table):
    """By panel: "near", what the minimizer leaves of the three metrics, and the laws, against c, `x`; "far", the error
    of the laws, mean over seeds, against the noise, `x`. The law of the trace ratio is a mean over seeds."""
    near, far = (table[(table["part"] == part) & table["metric"].isin(METRICS)] for part in ("over c", "over noise"))
    law = near.groupby(["metric", "lam_W", "skew", "lam_H"])["theory"].transform("mean")
    near = near.assign(panel="near", x=np.sqrt(near["lam_H"] * near["lam_W"]), theory=law)
    far = far[far["beta"] == far["beta"].min()]
    by = (far["value"] - far["theory"]).abs().groupby([far["metric"], far["lam_W"], far["skew"], far["size"]])
    error = by.mean().rename("value").reset_index().rename(columns={"size": "x"}).assign(panel="far", theory=np.nan)
    return pd.concat([near, error])[["panel", "metric", "lam_W", "skew", "x", "value", "theory"]]


def decays(table):
    """Elasticities of the metrics in each decay, their moduli: by panel "follows" against c, `x`, with the laws, and
    "fixed", of NC1 for random features, against beta."""
    rows = table[table["part"].isin(["H0 follows", "H0 fixed, random"])]
    panel = rows["start"].map({"follows": "follows", "random": "fixed"})
    x = rows["c"].where(panel == "follows", rows["beta"])
    rows = rows.assign(panel=panel, x=x, value=rows["value"].abs(), theory=rows["theory"].abs())
    follows = (panel == "follows") & (rows["beta"] == rows["beta"].min()) & (rows["dim"] > rows["num_classes"])
    rows = rows[follows | ((panel == "fixed") & (rows["metric"] == "nc1"))]
    law = rows.groupby(["panel", "metric", "of", "x"])["theory"].transform("mean")
    return rows.assign(theory=law)[["panel", "metric", "of", "seed", "x", "value", "theory"]]


def elasticities(rows):
    """A row for each problem and seed, a column for each decay: |elasticity|."""
    index = ["run", "seed", "metric", "c", "beta", "dim", "num_classes"]
    return rows.pivot(index=index, columns="of", values="value").abs().reset_index()


def entries(rows, metric, layer, values="value"):
    """A row for each run, in the order of lam_H and beta; a column for each index of a metric."""
    rows = rows[(rows["metric"] == metric) & (rows["layer"] == layer)]
    return rows.pivot(index=["lam_W", "lam_H", "beta"], columns="i", values=values)
