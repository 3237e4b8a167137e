"""What the figures of deep linear heads draw: table -> rows, for balanced and for imbalanced classes."""

import pandas as pd

from nclib.results import indexed

DIRECT = ("nc1", "nc2_W", "nc3", "nc3_WH")
NETWORK = ("nc1", "nc2_W", "nc2_H", "nc3_WH")
COLUMNS = ["panel", "metric", "source", "depth", "seed", "step", "value"]
RATES = ("nc1", "nc3_WH", "nc2_W", "bias_error")


def scales(table, paper, experiment, bias):
    """Rows of an experiment, of the table and of what the archive has at paper scale, each with its `panel`."""
    found = []
    for label, rows in {"": table, "paper scale": paper}.items():
        rows = table[:0] if rows is None else rows[rows["experiment"] == f"dang2023.{experiment}"]
        if rows.empty:
            continue
        rows = rows[rows["bias"] == bias]
        if experiment == "network":
            found.append(rows[rows["model"] == "resnet18"].assign(panel=f"ResNet-18, {label}"))
            rows = rows[rows["model"] == "mlp"]
        found.append(rows.assign(panel=label))
    return pd.concat([rows for rows in found if len(rows)] or [table[:0].assign(panel="")], ignore_index=True)


def curve(rows, metric):
    """The measured course of one metric. NC1 of exactly collapsed features is rounding, of either sign: left out."""
    rows = rows[(rows["metric"] == metric) & (rows["source"] == "measured") & (rows["layer"] == "")]
    return rows[(rows["step"] > 0) & (rows["value"] > 0)]


def law(rows, metric):
    """The predicted rate of one metric, a step, for each depth; `step`: the end, or where it meets rounding."""
    # the squared error falls by exp(-2 lam t), which is rounding from 2 lam t = 10 on
    rates = rows[(rows["metric"] == f"rate_{metric}") & (rows["source"] == "theory")]
    first = rates.drop_duplicates("depth")
    speed = first["lr"] / (1 - first["momentum"])
    end = (5 / (first["lam"] * speed)).clip(upper=curve(rows, metric)["step"].max())
    return first.assign(step=end, value=rates["value"].mean() * speed)


def direct_curves(table, paper=None, *, bias=False, metrics=DIRECT):
    """Errors by direct optimization at each step, and their predicted rates."""
    panels = scales(table, paper, "direct", bias).groupby("panel", sort=False)
    found = [part(rows, metric) for _, rows in panels for metric in metrics for part in (curve, law)]
    return pd.concat(found)[COLUMNS].astype({"step": float})


def network_curves(table, paper=None, *, bias=False):
    """Errors of networks at each step."""
    panels = scales(table, paper, "network", bias).groupby("panel", sort=False)
    return pd.concat([curve(rows, metric) for _, rows in panels for metric in NETWORK])[COLUMNS]


def rates(table):
    """Rates over lambda, fitted and predicted, without and with a bias."""
    rows = pd.concat([scales(table, None, "direct", bias) for bias in (False, True)])
    rows = rows[rows["metric"].isin([f"rate_{metric}" for metric in RATES])]
    rows = rows.assign(value=rows["value"] / rows["lam"], metric=rows["metric"].str.removeprefix("rate_"))
    return rows[["bias", "metric", "source", "depth", "seed", "value"]]


def gram_matrices(table, *, experiment="network", bias=False):
    """P P^T, Hbar^T Hbar and P Hbar of one run of depth 3 (or the first there is), measured and predicted."""
    rows = scales(table, None, experiment, bias)
    rows = rows[rows["depth"] == (3 if 3 in set(rows["depth"]) else rows["depth"].iloc[0])]
    rows = rows[(rows["seed"] == rows["seed"].min()) & (rows["config"] == rows["config"].iloc[0])]
    entries = pd.concat([indexed(rows, metric) for metric in ("gram_W", "gram_H", "gram_WH")])
    return entries[["depth", "seed", "metric", "source", "i", "j", "value"]]
