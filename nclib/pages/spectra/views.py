"""Tables of `study.STUDY` -> the rows that figures draw and claims judge. `line`: which Hessian."""

import numpy as np
import pandas as pd

WHICH = ("all parameters", "last layer", "last layer, centered")


def spectrum(table):
    """The largest eigenvalues by index over the largest, for the largest number of classes; `K` with them."""
    rows = table[(table["metric"] == "eigenvalue") & (table["value"] > 0)]
    rows = rows[rows["classes"] == rows["classes"].max()]
    largest = rows.groupby(["seed", "which"])["value"].transform("max")
    found = rows.assign(line=rows["which"], K=rows["classes"], i=rows["i"] + 1, value=rows["value"] / largest)
    return found[found["value"] > 1e-4][["line", "K", "seed", "i", "value"]]


def panels(table):
    """`spectrum` and `counts` as two panels, `x` the index and the number of classes."""
    first, second = spectrum(table), counts(table)
    first, second = first.assign(panel="spectrum", x=first["i"]), second.assign(panel="outliers", x=second["K"])
    return pd.concat([first, second], ignore_index=True)[["panel", "line", "seed", "K", "x", "value"]]


def counts(table):
    """Outliers by number of classes, that number as `theory`."""
    rows = table[table["metric"] == "outliers"]
    return rows.assign(line=rows["which"], K=rows["classes"])[["line", "K", "seed", "value", "theory"]]


def zoo(table):
    """Trace ratio, training error and gain of the midpoint, by width, a `line` for each size of batch."""
    rows = table[(table["part"] == "zoo") & table["metric"].isin(["trace_ratio", "error", "gain"])]
    return rows.assign(line="batches of " + rows["batch"].astype(str))[["line", "metric", "seed", "width", "value"]]


def grid(table, metric, seed):
    """A metric of one seed by width (rows) and batch (columns)."""
    rows = table[(table["part"] == "zoo") & (table["metric"] == metric) & (table["seed"] == seed)]
    return rows.pivot(index="width", columns="batch", values="value")


def seeds(table):
    """The seeds of a table, sorted."""
    return sorted(table["seed"].unique())


def boundary(table, seed):
    """(steps of width up to the first network without training error, up to the largest jump of log trace ratio), a
    value for each size of batch; NaN for all where one is missing."""
    error, ratio = grid(table, "error", seed), grid(table, "trace_ratio", seed)
    whole = table[table["part"] == "zoo"].groupby("seed")[["width", "batch"]].nunique().prod(axis=1).max()
    if error.size < whole or ratio.size < whole or error.isna().any(axis=None) or ratio.isna().any(axis=None):
        return np.array([np.nan]), np.array([np.nan])
    fitted = (error <= 0).to_numpy()
    first = np.where(fitted.any(axis=0), fitted.argmax(axis=0), len(fitted))
    return first, np.abs(np.diff(np.log(ratio.to_numpy()), axis=0)).argmax(axis=0) + 1
