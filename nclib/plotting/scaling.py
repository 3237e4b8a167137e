"""Our own grid of language models: loss against collapse, collapse against width, its null, and the losses themselves.

Every function takes {label: models}, a frame for each grid, and gives each grid panels of its own under its label.
Colors are widths (in `trends`: depths), markers are depths, open markers models whose validation loss rose.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nclib.plotting import MARKERS, PALETTE, STYLE, THEORY

LOSS = "validation loss (nats a token)"
LABELS = {
    "validation": LOSS,
    "nc1": "NC1: log mean CDNV",
    "nc1_scaled": "log NC1, dimensionless",
    "interference_std": "NC2: SD of cosines",
    "interference_excess": "SD of cosines / null",
    "gnc2": "GNC2: |CV| of log-distances",
    "gnc2_std": "GNC2: SD of log-distances",
    "gnc2_excess": "SD of log-distances / null",
    "self_duality": "NC3: mean cosine",
    "unc3": "UNC3: CV of cosines",
    "ncc_agreement": "NC4: agreement",
    "nc4": "NC4: 1 − agreement",
}
FOUR = ["nc1", "gnc2", "unc3", "nc4"]
AGAINST_WIDTH = ["validation", "nc1", "interference_std", "gnc2_std"]
AGAINST_WIDTH += ["self_duality", "unc3", "ncc_agreement", "nc1_scaled"]
NULL = {"interference_std": "null_interference_std", "gnc2_std": "null_gnc2_std", "self_duality": "null_self_duality"}
EXCESS = ["interference_excess", "gnc2_excess"]
LINES = ["--", "-"]


def loss(frames, relations):
    """Validation loss against NC1, GNC2, UNC3 and NC4, with the least-squares line and signed R^2. Fig. 1."""
    made, groups = _grids(frames, 2, height=2.7, sharey=True)
    for axes, (label, frame) in zip(groups, frames.items(), strict=True):
        for axis, metric in zip(axes.flat, FOUR, strict=True):
            _against_loss(axis, frames, frame, metric, relations[label])
        for row in axes:
            row[0].set_ylabel(LOSS)
    _legend(made, [*_widths(frames), *_depths(frames), *_rose(frames)])
    return made


def trends(frames):
    """Loss and collapse against width, a curve for each depth, at the shortest and the longest training."""
    made, groups = _grids(frames, 4, height=2.4, sharex=True)
    for axes, frame in zip(groups, frames.values(), strict=True):
        for axis, metric in zip(axes.flat, AGAINST_WIDTH, strict=True):
            _against_width(axis, frames, frame, metric, colored=True)
            if metric in NULL:
                null = frame.groupby("width")[NULL[metric]].mean()
                axis.plot(null.index, null, **THEORY)
        for axis in axes[-1]:
            axis.set_xlabel("width $d$")
    _legend(made, [*_depths(frames, colored=True), *_settings(), *_null("independent directions"), *_rose(frames)])
    return made


def null(frames, relations):
    """Spreads of angles over those of independent directions, against width (top) and with the loss (bottom)."""
    made, groups = _grids(frames, 2, height=2.8)
    for axes, (label, frame) in zip(groups, frames.items(), strict=True):
        for top, bottom, metric in zip(*axes, EXCESS, strict=True):
            _against_width(top, frames, frame, metric)
            top.axhline(1, **THEORY)
            top.set_xlabel("width $d$")
            _against_loss(bottom, frames, frame, metric, relations[label])
            bottom.axvline(1, **THEORY)
        axes[1, 0].set_ylabel(LOSS)
    handles = [*_widths(frames), *_depths(frames), *_settings(), *_null("independent directions")]
    _legend(made, [*handles, *_rose(frames)])
    return made


def losses(frames):
    """Left: validation loss after every epoch of the longest runs. Right: measured models' training and validation
    loss, with the best validation loss so far as a bar."""
    made, groups = _grids(frames, 1, height=3.3)
    for ((left, right),), frame in zip(groups, frames.values(), strict=True):
        longest = frame[frame["epochs"] == frame["epochs"].max()]
        longest = longest[longest["weight_decay"] == longest["weight_decay"].min()]
        for row in longest[longest["step"] == longest["step"].max()].itertuples():
            epochs = np.arange(1, len(row.history) + 1)
            left.plot(epochs, row.history, **_style(frames, row.width, row.depth), linewidth=1.2, markersize=4)
        left.set_xticks(epochs if len(epochs) < 6 else epochs[1::2])
        left.set(xlabel="epochs", ylabel=LOSS)
        for row in frame.itertuples():
            style = _style(frames, row.width, row.depth, row.rose)
            right.plot([row.loss] * 2, [row.best, row.validation], color=style["color"], linewidth=1)
            right.plot(row.loss, row.validation, linestyle="none", markersize=5, **style)
            right.plot(row.loss, row.best, "_", color=style["color"], markersize=8)
        right.axline([frame["loss"].mean()] * 2, slope=1, **THEORY)
        right.set(xlabel="training loss (nats a token)")
        right.margins(0.08)
    handles = [Line2D([], [], color="gray", marker="_", linestyle="none", markersize=8, label="best epoch so far")]
    handles += _null("no gap")
    _legend(made, [*_widths(frames), *_depths(frames), *handles, *_rose(frames)])
    return made


def _grids(frames, lines, *, height, **share):
    """A figure with `lines` rows of two panels for each grid; (figure, [axes of a grid])."""
    with plt.rc_context(STYLE):
        made = plt.figure(figsize=(7.0, len(frames) * (height * lines + 0.3) + 0.7))
        parts = made.subfigures(len(frames), 1, squeeze=False)[:, 0]
        groups = [part.subplots(lines, 2, squeeze=False, **share) for part in parts]
    for part, label in zip(parts, frames, strict=True):
        part.suptitle(label, fontsize=11, fontweight="bold")
    return made, groups


def _against_loss(axis, frames, frame, metric, relation):
    """The models of one grid, the least-squares line of those whose loss did not rise, and signed R^2 as the title."""
    for (width, depth, rose), part in frame.groupby(["width", "depth", "rose"]):
        style = _style(frames, width, depth, rose)
        axis.plot(part[metric], part["validation"], linestyle="none", markersize=5, alpha=0.85, **style)
    kept = frame.loc[~frame["rose"], [metric, "validation"]]
    if kept[metric].nunique() > 2:
        slope, intercept = np.polyfit(kept[metric], kept["validation"], 1)
        ends = np.array([kept[metric].min(), kept[metric].max()])
        axis.plot(ends, intercept + slope * ends, color="gray", linewidth=1.2, zorder=1)
    axis.set_title(f"$R^2$: {_r2(relation, 'pooled', metric)}, within widths {_r2(relation, 'within widths', metric)}")
    axis.title.set_fontsize(10.5)
    axis.set_xlabel(LABELS[metric])
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _r2(relation, kind, metric):
    value = relation.loc[metric, kind]
    return "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−")


def _against_width(axis, frames, frame, metric, *, colored=False):
    """A curve for each depth at the smallest weight decay: after the shortest training dashed, after the longest
    solid. colored: by depth, else the points by width."""
    light = frame[frame["weight_decay"] == frame["weight_decay"].min()]
    order = _values(frames, "depth")
    steps = sorted({light["step"].min(), light["step"].max()})
    for step, line in zip(steps, LINES if len(steps) == 2 else LINES[1:], strict=True):
        for depth, part in light[light["step"] == step].sort_values("width").groupby("depth"):
            color = PALETTE[order.index(depth)] if colored else None
            axis.plot(part["width"], part[metric], line, color=color or "gray", linewidth=1.5)
            for (width, rose), some in part.groupby(["width", "rose"]):
                style = _style(frames, width, depth, rose) | ({"color": color} if colored else {})
                axis.plot(some["width"], some[metric], linestyle="none", markersize=4.5, **style)
    widths = sorted(frame["width"].unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(widths, [str(d) for d in widths])
    axis.minorticks_off()
    axis.tick_params(axis="x", labelrotation=45 if len(widths) > 4 else 0)
    axis.set_ylabel(LABELS[metric].replace("validation loss (nats a token)", "validation loss (nats)"))


def _values(frames, field):
    """The widths or depths of all grids, so that a color or marker means the same in every panel."""
    return sorted({int(value) for frame in frames.values() for value in frame[field]})


def _style(frames, width, depth, rose=False):
    color = PALETTE[_values(frames, "width").index(width) % len(PALETTE)]
    style = {"color": color, "marker": MARKERS[_values(frames, "depth").index(depth)]}
    return style | ({"markerfacecolor": "white"} if rose else {})


def _widths(frames):
    return [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], marker="s", linestyle="none", label=f"$d$ = {d}")
        for i, d in enumerate(_values(frames, "width"))
    ]


def _depths(frames, *, colored=False):
    return [
        Line2D(
            *([], []),
            color=PALETTE[i] if colored else "gray",
            marker=MARKERS[i],
            linestyle="-" if colored else "none",
            label=f"{depth} layer{'s' if depth > 1 else ''}",
        )
        for i, depth in enumerate(_values(frames, "depth"))
    ]


def _settings():
    words = ["shortest training", "longest training"]
    return [Line2D([], [], color="gray", linestyle=line, label=word) for line, word in zip(LINES, words, strict=True)]


def _null(word):
    return [Line2D([], [], label=word, **THEORY)]


def _rose(frames):
    """A key for open markers, where there are any."""
    style = {"color": "gray", "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
    return [Line2D([], [], label="loss rose", **style)] if any(frame["rose"].any() for frame in frames.values()) else []


def _legend(made, handles):
    made.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.0, handletextpad=0.4)
