"""Rows of `views` -> figures of page 13: frequencies by type of token, CDNV, first names, correlations."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from nclib.pages.linguistic_tokens.views import KINDS
from nclib.plotting import MARKERS, PALETTE, THEORY, figure, literal


def frequency(rows):
    """Count of each token that occurs against its id, colored by type."""
    made, ((axis,),) = figure(height=4.2)
    for k, kind in enumerate(KINDS):
        part = rows[rows["kind"] == kind]
        style = {"color": PALETTE[k], "marker": MARKERS[k], "linestyle": "none", "markersize": 3.5, "alpha": 0.6}
        axis.plot(part["id"], part["count"], label=kind, **style)
    axis.set(yscale="log", xlabel="token id", ylabel="count in the training text")
    made.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2, markerscale=1.8)
    return made


def shares(rows):
    """Share of each type among the tokens that occur (left) and in the text (right), percent."""
    made, (axes,) = figure(1, 2, height=2.4, sharey=True)
    for axis, (of, part) in zip(axes, rows.groupby("of", sort=False), strict=True):
        percent = part["percent"]
        axis.barh(part["kind"], percent, color=PALETTE[: len(percent)])
        for y, value in enumerate(percent):
            axis.annotate(f"{value:.1f}", (value, y), (3, 0), textcoords="offset points", va="center")
        axis.set(title=f"of the {of}", xlabel="share, %", xlim=(0, 1.18 * percent.max()))
        axis.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    return made


def collapse(rows):
    """CDNV of each class against its count: all samples of a class (left), as many samples of each class (right).

    Points: classes of the first seed; lines: running medians of all seeds. Left also under shuffled labels, and
    dashed what is predicted for that.
    """
    groups = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(groups), 2, height=3.2 * len(groups) + 0.6, sharex="row", sharey="row")
    for row, (title, found) in zip(axes, groups, strict=True):
        floor = found["floor"].iloc[0]
        parts = dict(list(found.groupby(["part", "metric"])))
        for axis, metric in zip(row, ("cdnv", "equal_cdnv"), strict=True):
            dots = parts["class", metric]
            axis.plot(dots["x"], dots["value"], ".", color=PALETTE[0], alpha=0.25, markersize=4, rasterized=True)
            for _, part in parts["median", metric].groupby("seed"):
                axis.plot(part["x"], part["value"], color=PALETTE[1], linewidth=1.6)
            axis.set(xscale="log", yscale="log", xlabel="count of the token")
        for _, part in parts["median", "permuted_cdnv"].groupby("seed"):
            row[0].plot(part["x"], part["value"], color=PALETTE[2], marker="^", markersize=4)
        law = parts["theory", "permuted_cdnv"]
        row[0].plot(law["x"], law["value"], **THEORY)
        row[0].axvline(floor, color="grey", linewidth=1, linestyle=":")
        row[0].set(ylabel="CDNV, mean over other classes", title="all samples")
        row[1].set(title=f"{floor:g} samples of each class")
        if title:
            row[0].set_ylabel(f"CDNV ({title})")
    made.legend(
        [
            Line2D([], [], marker=".", color=PALETTE[0], linestyle="none"),
            Line2D([], [], color=PALETTE[1]),
            Line2D([], [], color=PALETTE[2], marker="^", markersize=4),
            Line2D([], [], **THEORY),
        ],
        ["one class", "median", "median, labels shuffled", "predicted for shuffled labels"],
        loc="outside upper center",
        ncols=2,
    )
    return made


def caution(rows):
    """Left: variance of classes of n samples under shuffled labels, and (n-1)/n. Right: frequent and rare halves."""
    made, axes = figure(1, 2, height=3.4)
    left, right = axes[0]
    noise = rows[rows["panel"] == "shuffled"]
    few, median, law = (noise[noise["part"] == part] for part in ("class", "median", "theory"))
    left.plot(few["x"], few["value"], ".", color=PALETTE[2], alpha=0.25, markersize=4)
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.5}
    left.plot(median["x"], median["value"], "^", color=PALETTE[2], markersize=4.5, **edge)
    left.plot(law["x"], law["value"], **THEORY)
    left.axvline(rows["floor"].iloc[0], color="grey", linewidth=1, linestyle=":")
    left.set(xscale="log", xlabel="samples $n$ of the class", ylabel="variance / that of all features", ylim=(0, 1.5))
    left.set_title("labels shuffled; dashed $(n-1)/n$")
    where = {("tokens", "frequent"): 0, ("tokens", "rare"): 1, ("classes", "frequent"): 2.4, ("classes", "rare"): 3.4}
    for part, index, label in (("median", 0, "all samples"), ("equal", 1, "equal samples")):
        halves = rows[(rows["panel"] == "halves") & (rows["part"] == part)]
        x = [where[by, half] + 0.12 * (2 * index - 1) for by, half in zip(halves["by"], halves["half"], strict=True)]
        right.plot(x, halves["value"], MARKERS[index], color=PALETTE[index], markersize=6, label=label)
    right.set_xticks(list(where.values()), ["frequent", "rare"] * 2)
    right.set_xticks([0.5, 2.9], ["half of tokens", "half of classes"], minor=True)
    right.tick_params(axis="x", which="minor", length=0, pad=20)
    right.set(yscale="log", ylabel="median CDNV", xlim=(-0.6, 4))
    right.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    right.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    right.yaxis.set_minor_locator(NullLocator())
    right.margins(y=0.3)
    right.legend(loc="upper center", ncols=2)
    return made


def names(rows):
    """CDNV and interference of first names, relative to the average token and to tokens as frequent.

    Markers: mean over seeds (geometric for ratios); lines: their range. The class at the right is the one with which
    the CDNV of the first seed is largest.
    """
    if rows.empty:
        made, ((axis,),) = figure(height=1.5)
        axis.text(0.5, 0.5, "no first names among the classes of this text", ha="center", va="center")
        axis.set_axis_off()
        return made
    order = list(rows.groupby("place")["token"].first())
    made, axes = figure(1, 2, height=2 + 0.23 * len(order), sharey="row")
    ratio, difference = axes[0]
    for s, (column, label) in enumerate(RATIOS.items()):
        _dots(ratio, rows, order, column, s, label, log=True)
    for s, column in enumerate(["interference_z", "matched_z"]):
        _dots(difference, rows, order, column, s, "", log=False)
    ratio.axvline(1, color="black", linewidth=0.8)
    difference.axvline(0, color="black", linewidth=0.8)
    ratio.set(xscale="log", xlabel="CDNV (power 2), ratio")
    difference.set(xlabel="interference, difference / std")
    ratio.set_yticks(range(len(order)), [literal(token.removeprefix("␣")) for token in order])
    ratio.set_ylim(len(order) - 0.4, -0.6)
    first = rows[rows["seed"] == rows["seed"].min()].set_index("token")["partner"]
    right = difference.secondary_yaxis("right")
    right.set_yticks(range(len(order)), [literal(first.get(token, "")) for token in order])
    right.set_ylabel("class with the largest CDNV")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return made


RATIOS = {
    "cdnv_ratio": "to the average token",
    "matched_ratio": "to tokens as frequent",
    "median_ratio": "to the average, median over partners",
    "null_ratio": "to the average, labels shuffled",
}


def _dots(axis, rows, order, column, s, label, *, log):
    to, back = (np.log, np.exp) if log else (lambda v: v, lambda v: v)
    by = rows.groupby("token")[column]
    mean, low, high = back(by.apply(lambda v: to(v).mean())).reindex(order), by.min()[order], by.max()[order]
    y = np.arange(len(order)) + 0.18 * (s - 1.5)
    axis.hlines(y, low, high, color=PALETTE[s], linewidth=0.9, alpha=0.6)
    fill = {"markerfacecolor": PALETTE[s] if s == 0 else "white", "color": PALETTE[s]}
    axis.plot(mean, y, MARKERS[s], markersize=4.5, label=label, **fill)


def correlations(rows):
    """Spearman's rho between the measures of a class, mean over seeds."""
    by = rows.groupby(["first", "second"], sort=False)["value"]
    mean, span = by.mean(), (by.max() - by.min()).max()
    below, beside = (list(dict.fromkeys(rows[column])) for column in ("second", "first"))
    made, ((axis,),) = figure(width=6.2, height=5.2)
    shown = np.array([[mean.get((first, second), np.nan) for first in beside] for second in below])
    image = axis.imshow(shown, vmin=-1, vmax=1, cmap="PuOr")
    for (j, k), value in np.ndenumerate(shown):
        if not np.isnan(value):
            axis.text(k, j, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.65 else "black")
    axis.set_xticks(range(len(beside)), beside, rotation=35, ha="right")
    axis.set_yticks(range(len(below)), below)
    axis.grid(visible=False)
    axis.set_title(f"largest range over seeds: {span:.2f}", fontsize=10.5)
    made.colorbar(image, ax=axis, label="Spearman's $\\rho$", shrink=0.8)
    return made
