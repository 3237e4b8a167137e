"""Tables of `study.STUDY` -> the rows that a figure draws or a claim judges."""

import numpy as np
import pandas as pd

# A metric and the power of exp(lam_H t) by which it is multiplied.
RESCALED = {"nc1_trace_ratio": 0.0, "within": 2.0, "between": 2.0, "nc1": 0.0}


def of_part(table, part, metric):
    """The rows of one metric in one part."""
    return table[(table["part"] == part) & (table["metric"] == metric)]


def series(table, part, metric):
    """A row for each (seed, flow), a column for each time."""
    return of_part(table, part, metric).pivot(index=["seed", "flow"], columns="t", values="value")


def steps(table, metric):
    """A row for each (seed, problem), a column for each beta."""
    return of_part(table, "steps", metric).pivot(index=["seed", "problem"], columns="beta", values="value")


def per_step(table, metric):
    """A metric of each (seed, problem)."""
    return of_part(table, "steps", metric).set_index(["seed", "problem"])["value"]


def beyond(table):
    """Where beta exceeds the constant of Corollary 3.2, shaped like `steps`."""
    values, constant = steps(table, "fall"), per_step(table, "constant")
    return np.array(values.columns)[None, :] > constant.loc[values.index].to_numpy()[:, None]


def rescaled(table, metric, power=2.0):
    """A metric of the random starts times exp(power lam_H t), like `series`."""
    curves = series(table, "random starts", metric)
    lam_H = of_part(table, "random starts", "lam_H").set_index(["seed", "flow"])["value"]
    return curves * np.exp(power * np.outer(lam_H.loc[curves.index], curves.columns))


def long(curves, x="t", **columns):
    """What `series` or `steps` gives, as rows of seed, flow, x and value."""
    found = curves.rename_axis(index=["seed", "flow"], columns=x).stack().rename("value").reset_index()
    return found.assign(**columns)


def monotone(table):
    """Over random starts: trace ratio, NC1, and the two traces times exp(2 lam_H t), each over its value at t = 0."""
    curves = {metric: rescaled(table, metric, power) for metric, power in RESCALED.items()}
    return pd.concat([long(part.div(part.iloc[:, 0], axis=0), metric=metric) for metric, part in curves.items()])


def derivative(table):
    """By panel: "flow", minus the measured derivative of log trace ratio against minus the closed one, `x`; "step", the
    decay of a step over the flow's, against beta, `x`."""
    speed = of_part(table, "random starts", "speed")
    points = speed.assign(x=-speed["theory"], value=-speed["value"], flow=speed["i"], panel="flow")
    fall = steps(table, "fall")
    rate = per_step(table, "speed").loc[fall.index]
    decay = np.log(fall).mul(np.array(fall.columns), axis=1).div(rate, axis=0)
    return pd.concat([points, long(decay, "x", panel="step")])[["panel", "seed", "flow", "x", "value"]]


def step(table):
    """What one step leaves: `loss`, 1 minus the quotient of trace ratios, and the traces' quotients over their bound;
    `beyond` tells whether beta exceeds the constant of the corollary."""
    past = pd.DataFrame(beyond(table)).stack().to_numpy()
    values = {"loss": 1 - steps(table, "fall")} | {name: steps(table, name) for name in ("within", "between")}
    return pd.concat([long(part, "beta", metric=metric, beyond=past) for metric, part in values.items()])


def rising(table):
    """NC1 and trace ratio from the chosen start, NC1 of the skewed starts, over their start; `rises`: at some time."""
    chosen = {metric: series(table, "rising start", metric).iloc[:1] for metric in ("nc1", "nc1_trace_ratio")}
    skewed = {"nc1": series(table, "skewed starts", "nc1")}
    found = []
    for start, group in {"rising": chosen, "skewed": skewed}.items():
        for metric, curves in group.items():
            curves = curves.div(curves.iloc[:, 0], axis=0)
            rises = (np.log(curves).diff(axis=1).max(axis=1) > 1e-8).to_numpy().repeat(curves.shape[1])
            found.append(long(curves, start=start, metric=metric, rises=rises))
    return pd.concat(found)


def late(table):
    """Geometric means over seeds near collapse and without feature regularization, `start`, and the laws of both."""
    rates = of_part(table, "late, d > K", "rate").groupby("of")["theory"].first()
    found = []
    for metric in ("nc1", "nc1_trace_ratio", "nc2"):
        t, mean = average(table, "late, d > K", metric)
        law = mean[-1] * np.exp(rates[metric] * (t[-1] - t))
        found.append(pd.DataFrame({"start": "near", "metric": metric, "t": t, "value": mean, "theory": law}))
    lam_W = of_part(table, "no feature decay", "lam_W")["value"].iloc[0]
    for metric in ("mean_square", "nc1_trace_ratio"):
        t, mean = (values[1:] for values in average(table, "no feature decay", metric))
        law = 2 * np.sqrt(lam_W * t) if metric == "mean_square" else mean[-1] * np.sqrt(t[-1] / t)
        law = np.where(t > 1, law, np.nan)
        found.append(pd.DataFrame({"start": "random", "metric": metric, "t": t, "value": mean, "theory": law}))
    return pd.concat(found)


def average(table, part, metric):
    """(times, geometric means over seeds)."""
    mean = np.exp(np.log(series(table, part, metric)).mean())
    return np.array(mean.index), mean.to_numpy()
