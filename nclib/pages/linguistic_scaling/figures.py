"""Rows of `views` -> figures of page 11: loss against collapse, collapse against width, its null, and the losses.

Every function gives each grid of its rows panels of its own under its label.
Colors are widths (in `trends`: depths), markers are depths, open markers models whose validation loss rose.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nclib.glued import number
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
LINES = {"shortest": "--", "longest": "-"}


def loss(rows):
    """Validation loss against NC1, GNC2, UNC3 and NC4, with the least-squares line and signed R^2. Fig. 1."""
    made, groups = _grids(rows, 2, height=2.7, sharey=True)
    for axes, part in groups:
        for axis, (metric, models) in zip(axes.flat, part.groupby("metric", sort=False), strict=True):
            _against_loss(axis, rows, models, metric)
        for row in axes:
            row[0].set_ylabel(LOSS)
    _legend(made, [*_widths(rows), *_depths(rows), *_rose(rows)])
    return made


def trends(rows):
    """Loss and collapse against width, a curve for each depth, at the shortest and the longest training."""
    made, groups = _grids(rows, 4, height=2.4, sharex=True)
    for axes, part in groups:
        for axis, (metric, models) in zip(axes.flat, part.groupby("metric", sort=False), strict=True):
            _against_width(axis, rows, models, metric, colored=True)
            null = models.groupby("width")["theory"].first()
            if null.notna().all():
                axis.plot(null.index, null, **THEORY)
        for axis in axes[-1]:
            axis.set_xlabel("width $d$")
    _legend(made, [*_depths(rows, colored=True), *_settings(), *_null("independent directions"), *_rose(rows)])
    return made


def null(rows):
    """Spreads of angles over those of independent directions, against width (top) and with the loss (bottom)."""
    made, groups = _grids(rows, 2, height=2.8)
    for axes, part in groups:
        for top, bottom, (metric, models) in zip(*axes, part.groupby("metric", sort=False), strict=True):
            _against_width(top, rows, models[models["panel"] == "width"], metric)
            top.axhline(1, **THEORY)
            top.set_xlabel("width $d$")
            _against_loss(bottom, rows, models[models["panel"] == "loss"], metric)
            bottom.axvline(1, **THEORY)
        axes[1, 0].set_ylabel(LOSS)
    handles = [*_widths(rows), *_depths(rows), *_settings(), *_null("independent directions")]
    _legend(made, [*handles, *_rose(rows)])
    return made


def losses(rows):
    """Left: validation loss after every epoch of the longest runs. Right: measured models' training and validation
    loss, with the best validation loss so far as a bar."""
    made, groups = _grids(rows, 1, height=3.3)
    for ((left, right),), part in groups:
        for (width, depth), run in part[part["panel"] == "history"].groupby(["width", "depth"], sort=False):
            epochs = run["epoch"].to_numpy(dtype=int)
            left.plot(epochs, run["validation"], **_style(rows, width, depth), linewidth=1.2, markersize=4)
        left.set_xticks(epochs if len(epochs) < 6 else epochs[1::2])
        left.set(xlabel="epochs", ylabel=LOSS)
        models = part[part["panel"] == "models"]
        for row in models.itertuples():
            style = _style(rows, row.width, row.depth, row.rose)
            right.plot([row.loss] * 2, [row.best, row.validation], color=style["color"], linewidth=1)
            right.plot(row.loss, row.validation, linestyle="none", markersize=5, **style)
            right.plot(row.loss, row.best, "_", color=style["color"], markersize=8)
        right.axline([models["loss"].mean()] * 2, slope=1, **THEORY)
        right.set(xlabel="training loss (nats a token)")
        right.margins(0.08)
    handles = [Line2D([], [], color="gray", marker="_", linestyle="none", markersize=8, label="best epoch so far")]
    handles += _null("no gap")
    _legend(made, [*_widths(rows), *_depths(rows), *handles, *_rose(rows)])
    return made


def _grids(rows, lines, *, height, **share):
    """A figure with `lines` rows of two panels for each grid; (figure, [(axes of a grid, its rows)])."""
    grids = dict(list(rows.groupby("grid", sort=False)))
    with plt.rc_context(STYLE):
        made = plt.figure(figsize=(7.0, len(grids) * (height * lines + 0.3) + 0.7))
        parts = made.subfigures(len(grids), 1, squeeze=False)[:, 0]
        axes = [part.subplots(lines, 2, squeeze=False, **share) for part in parts]
    for part, label in zip(parts, grids, strict=True):
        part.suptitle(label, fontsize=11, fontweight="bold")
    return made, list(zip(axes, grids.values(), strict=True))


def _against_loss(axis, rows, models, metric):
    """The models of one grid, the least-squares line of those whose loss did not rise, and signed R^2 as the title."""
    for (width, depth, rose), part in models.groupby(["width", "depth", "rose"]):
        style = _style(rows, width, depth, rose)
        axis.plot(part["value"], part["validation"], linestyle="none", markersize=5, alpha=0.85, **style)
    kept = models.loc[~models["rose"], ["value", "validation"]]
    if kept["value"].nunique() > 2:
        slope, intercept = np.polyfit(kept["value"], kept["validation"], 1)
        ends = np.array([kept["value"].min(), kept["value"].max()])
        axis.plot(ends, intercept + slope * ends, color="gray", linewidth=1.2, zorder=1)
    axis.set_title(f"$R^2$: {_r2(models, 'pooled')}, within widths {_r2(models, 'within')}")
    axis.title.set_fontsize(10.5)
    axis.set_xlabel(LABELS[metric])
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def _r2(models, column):
    return number(models[column].iloc[0], "+.2f")


def _against_width(axis, rows, models, metric, *, colored=False):
    """A curve for each depth: after the shortest training dashed, after the longest solid. colored: by depth, else the
    points by width."""
    order = _values(rows, "depth")
    for training, line in LINES.items():
        chosen = models[models["training"] == training].sort_values("width")
        for depth, part in chosen.groupby("depth"):
            color = PALETTE[order.index(depth)] if colored else None
            axis.plot(part["width"], part["value"], line, color=color or "gray", linewidth=1.5)
            for (width, rose), some in part.groupby(["width", "rose"]):
                style = _style(rows, width, depth, rose) | ({"color": color} if colored else {})
                axis.plot(some["width"], some["value"], linestyle="none", markersize=4.5, **style)
    widths = sorted(models["width"].unique())
    axis.set_xscale("log", base=2)
    axis.set_xticks(widths, [str(d) for d in widths])
    axis.minorticks_off()
    axis.tick_params(axis="x", labelrotation=45 if len(widths) > 4 else 0)
    axis.set_ylabel(LABELS[metric].replace("validation loss (nats a token)", "validation loss (nats)"))


def _values(rows, field):
    """The widths or depths of all grids, so that a color or marker means the same in every panel."""
    return sorted({int(value) for value in rows[field]})


def _style(rows, width, depth, rose=False):
    color = PALETTE[_values(rows, "width").index(width) % len(PALETTE)]
    style = {"color": color, "marker": MARKERS[_values(rows, "depth").index(depth)]}
    return style | ({"markerfacecolor": "white"} if rose else {})


def _widths(rows):
    return [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], marker="s", linestyle="none", label=f"$d$ = {d}")
        for i, d in enumerate(_values(rows, "width"))
    ]


def _depths(rows, *, colored=False):
    return [
        Line2D(
            *([], []),
            color=PALETTE[i] if colored else "gray",
            marker=MARKERS[i],
            linestyle="-" if colored else "none",
            label=f"{depth} layer{'s' if depth > 1 else ''}",
        )
        for i, depth in enumerate(_values(rows, "depth"))
    ]


def _settings():
    return [Line2D([], [], color="gray", linestyle=line, label=f"{word} training") for word, line in LINES.items()]


def _null(word):
    return [Line2D([], [], label=word, **THEORY)]


def _rose(rows):
    """A key for open markers, where there are any."""
    style = {"color": "gray", "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
    return [Line2D([], [], label="loss rose", **style)] if rows["rose"].any() else []


def _legend(made, handles):
    made.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.0, handletextpad=0.4)
