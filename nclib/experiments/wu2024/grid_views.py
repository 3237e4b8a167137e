"""What the figures of our own grids draw, of `grid_table.frames` ({label: models}) and `grid_table.relations`.

`grid` is the label; `value` that of `metric`; `rose` tells models whose validation loss rose.
"""

import pandas as pd

FOUR = ("nc1", "gnc2", "unc3", "nc4")
AGAINST_WIDTH = ("validation", "nc1", "interference_std", "gnc2_std")
AGAINST_WIDTH += ("self_duality", "unc3", "ncc_agreement", "nc1_scaled")
NULL = {"interference_std": "null_interference_std", "gnc2_std": "null_gnc2_std", "self_duality": "null_self_duality"}
EXCESS = ("interference_excess", "gnc2_excess")
MODEL = ["grid", "width", "depth", "rose"]


def against_loss(frames, relations, metrics):
    """Each model with its loss, and the signed R^2 of its grid: `pooled`, and `within` widths."""
    found = []
    for label, frame in frames.items():
        for metric in metrics:
            pooled, within = (relations.loc[metric, (label, kind)] for kind in ("pooled", "within widths"))
            rows = frame.assign(grid=label, metric=metric, value=frame[metric], pooled=pooled, within=within)
            found.append(rows[[*MODEL, "metric", "value", "validation", "pooled", "within"]])
    return pd.concat(found)


def against_width(frames, metrics):
    """The models of the smallest weight decay after the shortest and the longest training, with the null, `theory`."""
    found = []
    for label, frame in frames.items():
        light = frame[frame["weight_decay"] == frame["weight_decay"].min()]
        ends = {"shortest": light["step"].min(), "longest": light["step"].max()}
        rows = [light[light["step"] == step].assign(training=name) for name, step in ends.items()]
        rows = pd.concat(rows if ends["shortest"] < ends["longest"] else rows[1:])
        for metric in metrics:
            null = frame.groupby("width")[NULL[metric]].mean() if metric in NULL else {}
            part = rows.assign(grid=label, metric=metric, value=rows[metric], theory=rows["width"].map(null))
            found.append(part[[*MODEL, "metric", "training", "value", "theory"]])
    return pd.concat(found).astype({"theory": float})


def loss(frames, relations):
    """NC1, GNC2, UNC3 and NC4 of every model with its loss."""
    return against_loss(frames, relations, FOUR)


def trends(frames):
    """Loss and collapse against width."""
    return against_width(frames, AGAINST_WIDTH)


def null(frames, relations):
    """Spreads of angles over those of independent directions, by panel "width" and "loss"."""
    loss = against_loss(frames, relations, EXCESS).assign(panel="loss", training="")
    return pd.concat([against_width(frames, EXCESS).drop(columns="theory").assign(panel="width"), loss])


def losses(frames):
    """By panel: "history", the loss after each epoch of the longest runs; "models", training loss, validation loss and
    the best one so far of every measured model."""
    found = []
    for label, frame in frames.items():
        frame = frame.assign(grid=label)
        longest = frame[frame["epochs"] == frame["epochs"].max()]
        longest = longest[longest["weight_decay"] == longest["weight_decay"].min()]
        longest = longest[longest["step"] == longest["step"].max()]
        history = longest.explode("history").assign(panel="history")
        history = history.assign(epoch=history.groupby("config").cumcount() + 1, validation=history["history"])
        found += [history[[*MODEL, "panel", "epoch", "validation"]], frame.assign(panel="models")]
    columns = [*MODEL, "panel", "epoch", "loss", "best", "validation"]
    return pd.concat(found)[columns].astype({"epoch": "Int64", "validation": float})
