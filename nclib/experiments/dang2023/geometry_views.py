"""What the figures of notebook 01 draw: table -> rows."""

import numpy as np
import pandas as pd

from nclib.results import indexed

PINV = ("float32", "numpy32", "numpy64", "max_cdnv", "mean_cdnv")


def frames(table):
    """The vectors of the first seed, `kind` w or h, measured and theory, as matrices of Frobenius norm 1; `n`: the
    samples of the class."""
    first, found = table[table["seed"] == table["seed"].min()], []
    for (frame, source), rows in first.groupby(["frame", "source"], sort=False):
        for kind in "wh":
            A = indexed(rows, kind).pivot(index="i", columns="j", values="value")
            part = (A / np.linalg.norm(A)).stack().rename("value").reset_index()
            n = np.array(rows["counts"].iloc[0])[part["i"]]
            found.append(part.assign(frame=frame, source=source, kind=kind, n=n))
    return pd.concat(found)


def first_network(table):
    """NC1, NC2, NC3 and 1 minus the agreement of NC4, "nc4", at every epoch, training and test images."""
    rows = table[table["metric"].isin(["nc1", "nc2", "nc3", "nc4"])]
    value = rows["value"].where(rows["metric"] != "nc4", 1 - rows["value"])
    return rows.assign(value=value)[["metric", "split", "seed", "step", "value"]]


def trap(table, name, measured, theory=()):
    """Curves of one trap: metric and source, x, value."""
    chosen = table[table["trap"] == name]
    x = indexed(chosen, "x").set_index(["seed", "i"])["value"].rename("x")
    found = []
    for source, metrics in {"measured": measured, "theory": theory}.items():
        rows = chosen[chosen["source"] == source]
        for metric in metrics:
            curve = indexed(rows, metric).set_index(["seed", "i"])[["value"]].join(x).reset_index()
            found.append(curve.assign(metric=metric, source=source))
    return pd.concat(found)[["metric", "source", "seed", "x", "value"]]


def pinv(table):
    """NC1 with three cutoffs and with the exact rank, CDNV of the merging pair and its mean."""
    return trap(table, "pinv", PINV, ["nc1"])


def one_pass(table):
    """Relative errors of the trace of Sigma_W."""
    return trap(table, "one_pass", ["one_pass", "two_pass", "nclib"])


def centering(table):
    """NC3 of perfect frames with the wrong centering and with the right one."""
    return trap(table, "centering", ["etf", "of", "of_right"], ["etf", "of"])


def dead(table):
    """NC1 and the trace of Sigma_B of a living and of a dying network."""
    metrics = [f"{metric}_{fate}" for metric in ("nc1", "trace_between") for fate in ("alive", "dead")]
    return trap(table, "dead", metrics)
