"""Models, as `models` makes them of the table of `study.STUDY` -> their relation to the loss, rows that a figure draws.

A grid is the models of one scale: `grid` is its name; `value` that of `metric`; `rose` tells models whose validation
loss rose, which are drawn and left out of all that is computed.
"""

import math

import numpy as np
import pandas as pd

PAPER = "paper scale"  # the archived grid
TRAINING = ["epochs", "step", "weight_decay"]
FOUR = ("nc1", "gnc2", "unc3", "nc4")
AGAINST_WIDTH = ("validation", "nc1", "interference_std", "gnc2_std")
AGAINST_WIDTH += ("self_duality", "unc3", "ncc_agreement", "nc1_scaled")
NULL = {"interference_std": "null_interference_std", "gnc2_std": "null_gnc2_std", "self_duality": "null_self_duality"}
EXCESS = ("interference_excess", "gnc2_excess")
MODEL = ["grid", "width", "depth", "rose"]
RELATED = ("nc1", "nc1_scaled", "norm_cv", "norm_log_cv", "interference_std", "interference_excess", "gnc2")
RELATED += ("gnc2_std", "gnc2_excess", "nc3", "unc3", "duality_std", "nc4", "null")


def frames(models, besides=(PAPER, "")):
    """{grid: models} of the archived grid and of the page's own, without those that are not there.

    Further columns: nc1_scaled (log of the mean textbook CDNV), interference_excess and gnc2_excess (SDs over those of
    independent directions), nc3 (1 - mean cosine), null (1 / sqrt d).
    """
    scales = [models[models["beside"] == beside] for beside in besides]
    return {_label(frame): _widened(frame) for frame in scales if len(frame)}


def _label(frame):
    first = frame.iloc[0]
    corpus = first["corpus"] if first["corpus"].isidentifier() else "a folder"
    return f"{corpus}, {len(frame)} models, {first['beside'] or 'profile ' + first['profile']}"


def _widened(frame):
    return frame.assign(
        nc1_scaled=np.log(frame["cdnv_mean"]),
        interference_excess=frame["interference_std"] / frame["null_interference_std"],
        gnc2_excess=frame["gnc2_std"] / frame["null_gnc2_std"],
        nc3=1 - frame["self_duality"],
        null=frame["width"] ** -0.5,
    )


def pearson(x, y):
    """Pearson's r; NaN where x or y does not vary, and for fewer than two."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / math.sqrt((x @ x) * (y @ y)))


def signed_r2(x, y):
    """r |r|: R^2 with the sign of Pearson's r."""
    r = pearson(x, y)
    return r * abs(r)


def within_width(frame, metric, by="width"):
    """The median over widths of `signed_r2` with the validation loss among models of one width (of one `by`)."""
    x, loss = np.asarray(frame[metric]), np.asarray(frame["validation"])
    keys = np.stack([frame[name] for name in ([by] if isinstance(by, str) else by)])
    found = [
        signed_r2(x[own], loss[own]) for key in np.unique(keys, axis=1).T if sum(own := (keys.T == key).all(1)) > 2
    ]
    return float(np.median(found)) if found else math.nan


def relations(frame):
    """R^2 of `RELATED` with the validation loss, with the sign of r: columns "pooled", "within widths" and "within
    trainings", medians over the models of one width and over those of the same epochs and weight decay."""
    kept = frame[~frame["rose"]]
    found = {
        "pooled": {name: signed_r2(kept[name], kept["validation"]) for name in RELATED},
        "within widths": {name: within_width(kept, name) for name in RELATED} | {"null": math.nan},
        "within trainings": {name: within_width(kept, name, TRAINING) for name in RELATED},
    }
    return pd.DataFrame(found)


def shares(frame):
    """{"widths", "depths", "trainings": the share of the validation loss's variance that lies between the groups of
    models of one width, one depth, one training}: what any function of that alone can explain. NaN for one model."""
    kept = frame[~frame["rose"]]
    loss, by = kept["validation"], {"widths": "width", "depths": "depth", "trainings": TRAINING}
    between = {name: kept.groupby(columns)["validation"].transform("mean") for name, columns in by.items()}
    return {name: means.var() / loss.var() if len(kept) > 1 else math.nan for name, means in between.items()}


def against_loss(models, metrics):
    """Each model with its loss, and the signed R^2 of its grid: `pooled`, and `within` widths."""
    found = []
    for label, frame in frames(models).items():
        related = relations(frame)
        for metric in metrics:
            pooled, within = related.loc[metric, ["pooled", "within widths"]]
            rows = frame.assign(grid=label, metric=metric, value=frame[metric], pooled=pooled, within=within)
            found.append(rows[[*MODEL, "metric", "value", "validation", "pooled", "within"]])
    return pd.concat(found)


def against_width(models, metrics):
    """The models of the smallest weight decay after the shortest and the longest training, with the null, `theory`."""
    found = []
    for label, frame in frames(models).items():
        light = frame[frame["weight_decay"] == frame["weight_decay"].min()]
        ends = {"shortest": light["step"].min(), "longest": light["step"].max()}
        rows = [light[light["step"] == step].assign(training=name) for name, step in ends.items()]
        rows = pd.concat(rows if ends["shortest"] < ends["longest"] else rows[1:])
        for metric in metrics:
            null = frame.groupby("width")[NULL[metric]].mean() if metric in NULL else {}
            part = rows.assign(grid=label, metric=metric, value=rows[metric], theory=rows["width"].map(null))
            found.append(part[[*MODEL, "metric", "training", "value", "theory"]])
    return pd.concat(found).astype({"theory": float})


def loss(models):
    """NC1, GNC2, UNC3 and NC4 of every model with its loss."""
    return against_loss(models, FOUR)


def trends(models):
    """Loss and collapse against width."""
    return against_width(models, AGAINST_WIDTH)


def null(models):
    """Spreads of angles over those of independent directions, by panel "width" and "loss"."""
    loss = against_loss(models, EXCESS).assign(panel="loss", training="")
    return pd.concat([against_width(models, EXCESS).drop(columns="theory").assign(panel="width"), loss])


def losses(models):
    """By panel: "history", the loss after each epoch of the longest runs; "models", training loss, validation loss and
    the best one so far of every measured model."""
    found = []
    for label, frame in frames(models).items():
        frame = frame.assign(grid=label)
        longest = frame[frame["epochs"] == frame["epochs"].max()]
        longest = longest[longest["weight_decay"] == longest["weight_decay"].min()]
        longest = longest[longest["step"] == longest["step"].max()]
        history = longest.explode("history").assign(panel="history")
        history = history.assign(epoch=history.groupby("run").cumcount() + 1, validation=history["history"])
        found += [history[[*MODEL, "panel", "epoch", "validation"]], frame.assign(panel="models")]
    columns = [*MODEL, "panel", "epoch", "loss", "best", "validation"]
    return pd.concat(found)[columns].astype({"epoch": "Int64", "validation": float})
