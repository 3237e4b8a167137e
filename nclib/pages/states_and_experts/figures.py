"""Rows of `views` -> figures of page 22."""

import numpy as np

from nclib.pages.states_and_experts.views import ARMS
from nclib.plotting import PALETTE, THEORY, figure, legend_above, nothing, seed_band


def half_lives(rows):
    """Of `views.half_lives`: the half-life over the training length, a line a size; dashed where they are equal."""
    made, ((axis,),) = figure(1, 1, height=3.2)
    for s, (dim, part) in enumerate(rows.groupby("dim")):
        seed_band(axis, part, "load", label=f"$d$ = {dim}", index=s)
    axis.axhline(1, **THEORY)
    axis.set_xscale("log", base=2)
    axis.set(xlabel="training length over $d$", ylabel="half-life over training length")
    axis.legend()
    return made


def thresholds(rows):
    """Of `views.thresholds`: the threshold over the dimension, dashed in proportion."""
    made, ((axis,),) = figure(1, 1, height=3.2)
    if not nothing(axis, rows["value"]):
        axis.scatter(rows["dim"], rows["value"], color=PALETTE[0], s=22, label="a seed", zorder=3)
        law = rows.groupby("dim")["theory"].mean()
        axis.plot([0, *law.index], [0, *law], label="in proportion", **THEORY)
        axis.legend()
    axis.set(xlabel="dimension of the keys, $d$", ylabel="training length from which on\nit learns to forget")
    return made


TESTED = {"error": "share of errors", "trace_ratio": "trace ratio of the read-out"}


def tested(rows):
    """Of `views.tested`: errors and trace ratios by tokens over the dimension; dashed: derived."""
    made, axes = figure(1, 2, height=3.2)
    for axis, (metric, label) in zip(axes[0], TESTED.items(), strict=True):
        for s, line in enumerate(("short contexts", "long contexts")):
            part = rows[(rows["metric"] == metric) & (rows["line"] == line)]
            seed_band(axis, part, "load", label=f"trained on {line}", index=s, log=metric != "error")
            law = part.groupby("load")["theory"].mean()
            axis.plot(law.index, law, label="derived", **THEORY)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="tokens over $d$", ylabel=label)
    axes[0, 0].set_ylim(bottom=0)
    legend_above(made)
    return made


def merging(rows):
    """Of `views.merging`: test accuracy by number of experts, a line a way, a panel for each training of the router."""
    made, axes = figure(2, 2, height=5.4, sharex=True, sharey=True)
    ways = list(rows["way"].unique())
    for axis, arm in zip(axes.flat, ARMS.values(), strict=True):
        for s, way in enumerate(ways):
            part = rows[(rows["arm"] == arm) & (rows["way"] == way)]
            seed_band(axis, part, "merged", label=way, index=s, log=False)
        axis.set_xscale("log", base=2)
        axis.set_title(arm)
    numbers = sorted(rows["merged"].unique())
    axes[0, 0].set_xticks(numbers, [str(n) for n in numbers])
    for axis in axes[1]:
        axis.set_xlabel("experts that are left")
    for axis in axes[:, 0]:
        axis.set_ylabel("test accuracy")
    legend_above(made, ncols=2)
    return made


LOOKS = {"in-use": "experts in use", "nc1-inputs": "NC1 of inputs by expert", "nc1-outputs": "NC1 of outputs by expert"}


def collapse(rows):
    """Of `views.collapse`: by epoch, a line for each training of the router; a line ends where one expert is left."""
    made, axes = figure(1, 3, height=3.3)
    for axis, (metric, label) in zip(axes[0], LOOKS.items(), strict=True):
        for s, arm in enumerate(ARMS.values()):
            part = rows[(rows["metric"] == metric) & (rows["arm"] == arm)]
            part = part[np.isfinite(part["value"])]
            if len(part):
                seed_band(axis, part, "epoch", label=arm, index=s, log=metric != "in-use")
        axis.set(xlabel="epoch", ylabel=label)
    axes[0, 0].set_ylim(bottom=0)
    legend_above(made, ncols=2)
    return made
