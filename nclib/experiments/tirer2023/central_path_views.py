"""What the figures of the central path draw: table -> rows; also series and steps, from which the claims are made."""

import numpy as np
import pandas as pd

from nclib.results import indexed

# A metric and the power of exp(lam_H t) by which it is multiplied.
RESCALED = {"nc1_trace_ratio": 0.0, "within": 2.0, "between": 2.0, "nc1": 0.0}


def flows(table, start, **fields):
    """Rows of the flows of one kind of start."""
    chosen = table[(table["experiment"] == "tirer2023.central_path_flow") & (table["start"] == start)]
    for name, value in fields.items():
        chosen = chosen[chosen[name] == value]
    return chosen


def series(rows, metric):
    """A row for each (seed, flow), a column for each time."""
    found = indexed(rows, metric).pivot(index=["seed", "i"], columns="j", values="value")
    return found.set_axis(list(rows["times"].iloc[0]), axis=1)


def steps(table, metric):
    """A row for each (seed, problem), a column for each beta."""
    rows = table[table["experiment"] == "tirer2023.central_path_step"]
    found = indexed(rows, metric).pivot(index=["seed", "i"], columns="j", values="value")
    return found.set_axis(list(rows["betas"].iloc[0]), axis=1)


def per_step(table, metric):
    """A metric of each (seed, problem)."""
    rows = table[table["experiment"] == "tirer2023.central_path_step"]
    return indexed(rows, metric).set_index(["seed", "i"])["value"]


def beyond(table):
    """Where beta exceeds the constant of Corollary 3.2, shaped like `steps`."""
    values, constant = steps(table, "fall"), per_step(table, "constant")
    return np.array(values.columns)[None, :] > constant.loc[values.index].to_numpy()[:, None]


def long(curves, x="t", **columns):
    """What `series` or `steps` gives, as rows of seed, flow, x and value."""
    found = curves.rename_axis(index=["seed", "flow"], columns=x).stack().rename("value").reset_index()
    return found.assign(**columns)


def monotone(table):
    """Over random starts: trace ratio, NC1, and the two traces times exp(2 lam_H t), each over its value at t = 0."""
    rows = flows(table, "random")
    rows = rows[rows["lam_W"].isna()]
    lam_H, found = indexed(rows, "lam_H").set_index(["seed", "i"])["value"], []
    for metric, power in RESCALED.items():
        curves = series(rows, metric)
        curves = curves * np.exp(power * np.outer(lam_H.loc[curves.index], curves.columns))
        found.append(long(curves.div(curves.iloc[:, 0], axis=0), metric=metric))
    return pd.concat(found)


def derivative(table):
    """By panel: "flow", minus the measured derivative of log trace ratio against minus the closed one, `x`; "step", the
    decay of a step over the flow's, against beta, `x`."""
    rows = flows(table, "random")
    rows = rows[rows["lam_W"].isna()]
    ours, closed = (-indexed(rows, name).set_index(["seed", "i"])["value"] for name in ("difference", "slope"))
    points = pd.DataFrame({"x": closed, "value": ours}).rename_axis(["seed", "flow"]).reset_index()
    fall = steps(table, "fall")
    rate = per_step(table, "rate").loc[fall.index]
    decay = np.log(fall).mul(np.array(fall.columns), axis=1).div(rate, axis=0)
    return pd.concat([points.assign(panel="flow"), long(decay, "x", panel="step")])


def step(table):
    """What one step leaves: `loss`, 1 minus the quotient of trace ratios, and the traces' quotients over their bound;
    `beyond` tells whether beta exceeds the constant of the corollary."""
    past = pd.DataFrame(beyond(table)).stack().to_numpy()
    values = {"loss": 1 - steps(table, "fall")} | {name: steps(table, name) for name in ("within", "between")}
    return pd.concat([long(part, "beta", metric=metric, beyond=past) for metric, part in values.items()])


def rising(table):
    """NC1 and trace ratio from the chosen start, NC1 of the skewed starts, over their start; `rises`: at some time."""
    chosen = {metric: series(flows(table, "rising"), metric).iloc[:1] for metric in ("nc1", "nc1_trace_ratio")}
    skewed = {"nc1": series(flows(table, "skewed"), "nc1")}
    found = []
    for start, group in {"rising": chosen, "skewed": skewed}.items():
        for metric, curves in group.items():
            curves = curves.div(curves.iloc[:, 0], axis=0)
            rises = (np.log(curves).diff(axis=1).max(axis=1) > 1e-8).to_numpy().repeat(curves.shape[1])
            found.append(long(curves, start=start, metric=metric, rises=rises))
    return pd.concat(found)


def late(table):
    """Geometric means over seeds near collapse and without feature regularization, `start`, and the laws of both."""
    near = flows(table, "near")
    near = near[near["dim"] > near["num_classes"]]
    lam_W, lam_H = near["lam_W"].iloc[0], near["lam_H"].iloc[0]
    s, c = np.sqrt(lam_H / lam_W), np.sqrt(lam_H * lam_W)
    found = []
    for metric, rate in {"nc1": 2 * s, "nc1_trace_ratio": 2 * lam_H, "nc2": 4 * lam_H * (1 - c)}.items():
        t, mean = average(near, metric)
        law = mean[-1] * np.exp(rate * (t[-1] - t))
        found.append(pd.DataFrame({"start": "near", "metric": metric, "t": t, "value": mean, "theory": law}))
    free = flows(table, "random")
    free = free[free["lam_W"].notna()]
    for metric in ("mean_square", "nc1_trace_ratio"):
        t, mean = (values[1:] for values in average(free, metric))
        law = 2 * np.sqrt(free["lam_W"].iloc[0] * t) if metric == "mean_square" else mean[-1] * np.sqrt(t[-1] / t)
        law = np.where(t > 1, law, np.nan)
        found.append(pd.DataFrame({"start": "random", "metric": metric, "t": t, "value": mean, "theory": law}))
    return pd.concat(found)


def average(rows, metric):
    """(times, geometric means over seeds)."""
    mean = np.exp(np.log(series(rows, metric)).mean())
    return np.array(mean.index), mean.to_numpy()
