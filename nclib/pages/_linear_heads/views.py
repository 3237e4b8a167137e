"""Tables of direct optimization and of networks -> the rows that figures of pages 02 and 03 draw. `panel`: the scale,
"" for the page's own."""

import pandas as pd

DIRECT, NETWORK = "dang2023.direct", "dang2023.network"
CURVES = "nc1", "nc2_W", "nc3", "nc3_WH"
NETWORK_CURVES = "nc1", "nc2_W", "nc2_H", "nc3_WH"


def panels(table, experiment, bias):
    """Rows of an experiment without or with a bias, each with its `panel`."""
    rows = table[(table["experiment"] == experiment) & (table["bias"] == bias).fillna(False)]
    resnet = rows["model"] == "resnet18"
    return rows.assign(panel=rows["beside"].where(~resnet, "ResNet-18, " + rows["beside"]))


def curve(rows, metric):
    """The course of one metric. NC1 of exactly collapsed features is rounding, of either sign: left out."""
    rows = rows[(rows["metric"] == metric) & (rows["layer"] == "")]
    return rows[(rows["step"] > 0) & (rows["value"] > 0)]


def with_law(rows, metric):
    """`curve`, its first row with the predicted `rate` a step, the mean over depths, and the step `until` which that
    is drawn: the end, or where it meets rounding."""
    # the squared error falls by exp(-2 lam t), which is rounding from 2 lam t = 10 on
    rates = rows[rows["metric"] == f"rate_{metric}"]
    first = rates.iloc[0]
    speed = first["lr"] / (1 - first["momentum"])
    found = curve(rows, metric)
    law = pd.DataFrame({"rate": rates["theory"].mean() * speed, "until": 5 / (first["lam"] * speed)}, found.index[:1])
    return found.join(law.assign(until=law["until"].clip(upper=float(found["step"].max()))))


def direct_curves(table, *, bias=False, metrics=CURVES):
    """Errors by direct optimization at each step, and their predicted rates."""
    groups = panels(table, DIRECT, bias).groupby("panel", sort=False)
    found = [with_law(rows, metric) for _, rows in groups for metric in metrics]
    return pd.concat(found)[["panel", "metric", "depth", "seed", "step", "value", "rate", "until"]]


def network_curves(table, *, bias=False):
    """Errors of networks at each step."""
    groups = panels(table, NETWORK, bias).groupby("panel", sort=False)
    found = [curve(rows, metric) for _, rows in groups for metric in NETWORK_CURVES]
    return pd.concat(found)[["panel", "metric", "depth", "seed", "step", "value"]]


def gram_matrices(table, *, experiment=NETWORK, bias=False):
    """P P^T, Hbar^T Hbar and P Hbar of one run of depth 3 (or the first there is), measured and predicted."""
    rows = panels(table, experiment, bias).query("panel == ''")
    rows = rows[rows["depth"] == (3 if 3 in set(rows["depth"]) else rows["depth"].iloc[0])]
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["run"] == rows["run"].iloc[0])]
    entries = rows[rows["metric"].isin(["gram_W", "gram_H", "gram_WH"])]
    return entries[["depth", "seed", "metric", "i", "j", "value", "theory"]]
