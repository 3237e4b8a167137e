"""What the figures of near collapse draw: table -> rows."""

import numpy as np
import pandas as pd

from nclib.results import indexed

METRICS = ("nc1", "nc1_trace_ratio", "nc2")


def rows_of(table, name):
    """The rows of one experiment."""
    return table[table["experiment"] == f"tirer2023.near_collapse_{name}"]


def responses(table, *, swept):
    """Rows of the linear response over beta (swept), or over lam_H at fixed beta."""
    rows = rows_of(table, "response")
    return rows[(rows["sizes"].map(len) > 0) == swept]


def rate(rows):
    """s, the largest rate of the response, in units of which beta is given."""
    return float(np.sqrt(rows["lam_H"].iloc[0] / rows["lam_W"].iloc[0]))


def minimizer(table):
    """|hbar_k|^2, "norm", and the loss of the lowest of random starts against c, measured and of the theorem."""
    rows = rows_of(table, "minimizer")
    rows = rows[rows["beta"] == 0]
    found = pd.concat([indexed(rows, metric) for metric in ("norm", "loss")])
    problems = zip(found["lam_W"], found["lam_Hs"], found["i"], strict=True)
    found["c"] = [(lam_W * lam_Hs[i]) ** 0.5 for lam_W, lam_Hs, i in problems]
    return found[["metric", "source", "seed", "c", "value"]]


def spectrum(table, *, lam_H):
    """The singular values of F_kk, first order, in descending order for some lam_H."""
    rows = responses(table, swept=False)
    rows = indexed(rows[rows["layer"] == "first-order"], "sigma")
    rows = rows[np.isclose(rows["lam_H"].to_numpy()[:, None], lam_H).any(axis=1)]
    return rows[["lam_H", "source", "i", "value"]]


def families(table):
    """By family: "within", beta (1 - sigma) of each sigma of F_kk; "between", beta sigma of F_kk'; "rate", the four
    that predict them; "peak", the lam_H at which the third of these is largest."""
    rows = responses(table, swept=False)
    first = rows[rows["layer"] == "first-order"]
    own, cross = (part[part["source"] == "measured"] for part in (indexed(first, "sigma"), indexed(first, "cross")))
    cross, rates = cross[cross["i"] == 0], indexed(rows, "rate").sort_values("lam_H")
    found = [
        own.assign(family="within", value=own["beta"] * (1 - own["value"])),
        cross.assign(family="between", value=cross["beta"] * cross["value"]),
        rates.assign(family="rate"),
        pd.DataFrame({"family": ["peak"], "i": 0, "lam_H": 4 / 9 / rows["lam_W"].iloc[0], "value": np.nan}),
    ]
    return pd.concat(found)[["family", "i", "lam_H", "value"]]


def validity(table):
    """The largest and least singular value of F_kk, exact and first order, and the largest difference of these, against
    `ratio`, beta over s."""
    rows = indexed(responses(table, swept=True), "sigma")
    rows = rows.assign(ratio=rows["beta"] / rate(rows))
    by = rows.groupby(["layer", "source", "ratio"])["value"]
    ends = [part.rename("value").reset_index().assign(end=end) for end, part in (("max", by.max()), ("min", by.min()))]
    ours = rows[rows["source"] == "measured"].pivot(index=["ratio", "i"], columns="layer", values="value")
    error = (ours["exact"] - ours["first-order"]).abs().groupby("ratio").max().rename("value").reset_index()
    return pd.concat([*ends, error.assign(end="difference", layer="", source="measured")])


def residuals(table):
    """|minimizer - collapsed - F dH0| against |dH0|, means over seeds, for some `ratio`, beta over s."""
    rows = responses(table, swept=True)
    betas = sorted(set(rows["beta"]))[:: 2 if rows["beta"].nunique() > 4 else 1]
    rows = rows[rows["beta"].isin(betas)]
    rows = rows.assign(ratio=rows["beta"] / rate(rows))
    by = ["layer", "ratio", "i"]
    found = {name: indexed(rows, name).groupby(by)["value"].mean() for name in ("size", "residual")}
    return pd.DataFrame(found).reset_index()


def attenuation(table):
    """By panel: "near", what the minimizer leaves of the three metrics, and the laws, against c, `x`; "far", the error
    of the laws, mean over seeds, against the noise, `x`."""
    rows = rows_of(table, "attenuation")
    many = rows["sizes"].map(len) > 1
    near, far = rows[~many], rows[many]
    far = far[far["beta"] == far["beta"].min()]
    found = [part for metric in METRICS for part in (near_rows(near, metric), far_rows(far, metric))]
    return pd.concat(found)[["panel", "metric", "source", "lam_W", "skew", "x", "value"]]


def near_rows(rows, metric):
    """What is left of one metric, every seed, and the mean of the law over seeds."""
    law = rows[(rows["metric"] == metric) & (rows["source"] == "theory")]
    law = law.groupby(["lam_W", "skew", "lam_H"])["value"].mean().reset_index()
    found = pd.concat([indexed(rows, metric), law.assign(metric=metric, source="theory")])
    return found.assign(panel="near", x=np.sqrt(found["lam_H"] * found["lam_W"]))


def far_rows(rows, metric):
    """The error of the law of one metric for each size of the noise."""
    law = rows[(rows["metric"] == metric) & (rows["source"] == "theory")].set_index("seed")["value"]
    ours = indexed(rows, metric)
    mean = (ours["value"] - ours["seed"].map(law)).abs().groupby(ours["i"]).mean()
    fields = {name: rows[name].iloc[0] for name in ("lam_W", "skew")}
    noise = np.array(rows["sizes"].iloc[0])[mean.index]
    return pd.DataFrame({"panel": "far", "metric": metric, "source": "measured", "x": noise, "value": mean, **fields})
