"""What the figures of notebook A1 draw: tables -> rows."""

import numpy as np
import pandas as pd

LAYERS = ("nc1", "cdnv_mean", "etf_error", "interference_std")


def layers(table):
    """Four numbers at each layer: measured from every seed; of the first one intervals, "low" and "high", the value
    under shuffled labels, and that of random directions, "theory"."""
    rows = table[(table["experiment"] == "measure.network") & table["metric"].isin(LAYERS)]
    rows = rows[(rows["source"] == "measured") | (rows["seed"] == rows["seed"].min())]
    return rows[["layer", "metric", "source", "seed", "value"]]


def report(values):
    """Of {source: {metric: value}} of one layer: measured, interval ("low", "high"), random directions ("theory")."""
    sources = ("measured", "low", "high", "theory")
    rows = [(source, metric, value) for source in sources for metric, value in values.get(source, {}).items()]
    return pd.DataFrame(rows, columns=["source", "metric", "value"]).astype({"value": float})


def presets(frame):
    """What each preset calls by one name; a number that is undefined in a preset is left out."""
    found = frame.drop(columns="random directions").astype(float)
    found = found[np.isfinite(found).all(axis=1)]
    return found.rename_axis(columns="preset").stack().rename("value").reset_index()


def traps(errors, names):
    """Relative errors of the naive way and of nclib, every draw; names: {trap: its number}."""
    return errors.assign(number=errors["trap"].map(names))[["number", "seed", "naive_error", "ours_error"]]


def growth(points, slopes):
    """Seconds against N, K and d, with the fitted exponent of each line."""
    return points.merge(slopes[["name", "sweep", "slope"]], on=["name", "sweep"], how="left")
