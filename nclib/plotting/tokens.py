"""Classes of a language model: frequencies by type of token, CDNV against frequency, first names, correlations."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure

NAMES_SHOWN = 24
EXCEPTIONS = ["␣Anna", "␣Tim"]


def frequency(frame):
    """Count of each token that occurs against its id, colored by type (the first seed: all have the same text)."""
    rows = _first(frame)
    made, ((axis,),) = figure(height=4.2)
    for k, (kind, part) in enumerate(rows.groupby("kind", observed=False)):
        style = {"color": PALETTE[k], "marker": MARKERS[k], "linestyle": "none", "markersize": 3.5, "alpha": 0.6}
        axis.plot(part["id"], part["count"], label=kind, **style)
    axis.set(yscale="log", xlabel="token id", ylabel="count in the training text")
    made.legend(*axis.get_legend_handles_labels(), loc="outside upper center", ncols=2, markerscale=1.8)
    return made


def shares(frame):
    """Share of each type among the tokens that occur (left) and in the text (right), percent."""
    by = _first(frame).groupby("kind", observed=False)["count"]
    made, (axes,) = figure(1, 2, height=2.4, sharey=True)
    for axis, size, title in zip(axes, (by.size(), by.sum()), ("of the vocabulary", "of the text"), strict=True):
        percent = 100 * size / size.sum()
        axis.barh(percent.index, percent, color=PALETTE[: len(percent)])
        for y, value in enumerate(percent):
            axis.annotate(f"{value:.1f}", (value, y), (3, 0), textcoords="offset points", va="center")
        axis.set(title=title, xlabel="share, %", xlim=(0, 1.18 * percent.max()))
        axis.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    return made


def collapse(frame, paper=None):
    """CDNV of each class against its count: all samples of a class (left), as many samples of each class (right).

    Points: classes of the first seed; lines: running medians of all seeds. Left also under shuffled labels, and
    dashed what `shuffled` predicts for that.
    """
    tables = [rows for rows in (frame, paper) if rows is not None and len(rows)]
    made, axes = figure(len(tables), 2, height=3.2 * len(tables) + 0.6, sharex="row", sharey="row")
    for row, rows, title in zip(axes, tables, ("", "archived, profile paper"), strict=False):
        floor, first = rows["floor"].iloc[0], _first(rows)
        for axis, metric in zip(row, ("cdnv", "equal_cdnv"), strict=True):
            axis.plot(first["count"], first[metric], ".", color=PALETTE[0], alpha=0.25, markersize=4, rasterized=True)
            for _, part in rows.groupby("seed"):
                axis.plot(*running_median(part["count"], part[metric]), color=PALETTE[1], linewidth=1.6)
            axis.set(xscale="log", yscale="log", xlabel="count of the token")
        for _, part in rows.groupby("seed"):
            row[0].plot(
                *running_median(part["count"], part["permuted_cdnv"]), color=PALETTE[2], marker="^", markersize=4
            )
        x = np.geomspace(first["count"].min() + 1, first["count"].max(), 60)
        row[0].plot(x, shuffled(x, first["count"].to_numpy()), **THEORY)
        row[0].axvline(floor, color="grey", linewidth=1, linestyle=":")
        row[0].set(ylabel="CDNV, mean over other classes", title="all samples")
        row[1].set(title=f"{floor} samples of each class")
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


def shuffled(n, counts):
    """CDNV of a class of n samples that has nothing but noise: mean over others k of 1 / (1/n + 1/n_k) - 1/2.

    A class of n samples of noise with variance v has an expected variance v (1 - 1/n), two of them a squared distance
    of v (1/n + 1/n_k); this is the ratio of the expectations, exact for many dimensions (derived).
    """
    return np.mean(1 / (1 / np.asarray(n)[:, None] + 1 / counts) - 0.5, axis=1)


def running_median(x, y, bins=14, least=3):
    """Medians of y in `bins` equal steps of log x, where at least `least` classes fall: (median of x, of y)."""
    found = [[], []]
    keep = y.notna() & (x > 0)
    x, y = x[keep].to_numpy(), y[keep].to_numpy()
    edge = np.geomspace(x.min(), x.max() * (1 + 1e-9), bins + 1)
    where = np.searchsorted(edge, x, side="right")
    for k in range(1, bins + 1):
        if (where == k).sum() >= least:
            found[0].append(np.median(x[where == k]))
            found[1].append(np.median(y[where == k]))
    return found


def caution(frame, halves):
    """Left: variance of classes of n samples under shuffled labels, and (n-1)/n. Right: frequent and rare halves."""
    made, axes = figure(1, 2, height=3.4)
    left, right = axes[0]
    rows = frame[frame["count"] > 0]
    n, v = rows["count"], rows["permuted_variance"]
    total = (n * v).sum() / (n - 1).sum()
    few = rows[n <= 60]
    median = (few["permuted_variance"] / total).groupby(few["count"]).median()
    left.plot(few["count"], few["permuted_variance"] / total, ".", color=PALETTE[2], alpha=0.25, markersize=4)
    left.plot(median.index, median, "^", color=PALETTE[2], markersize=4.5, markeredgecolor="black", markeredgewidth=0.5)
    grid = np.geomspace(1, 60, 100)
    left.plot(grid, (grid - 1) / grid, **THEORY)
    left.axvline(frame["floor"].iloc[0], color="grey", linewidth=1, linestyle=":")
    left.set(xscale="log", xlabel="samples $n$ of the class", ylabel="variance / that of all features", ylim=(0, 1.5))
    left.set_title("labels shuffled; dashed $(n-1)/n$")
    where = {("tokens", "frequent"): 0, ("tokens", "rare"): 1, ("classes", "frequent"): 2.4, ("classes", "rare"): 3.4}
    for column, index, label in (("median", 0, "all samples"), ("equal", 1, "equal samples")):
        x = [where[by, half] + 0.12 * (2 * index - 1) for by, half in zip(halves["by"], halves["half"], strict=True)]
        right.plot(x, halves[column], MARKERS[index], color=PALETTE[index], markersize=6, label=label)
    right.set_xticks(list(where.values()), ["frequent", "rare"] * 2)
    right.set(yscale="log", ylabel="median CDNV", xlabel="half of tokens     half of classes", xlim=(-0.6, 4))
    right.yaxis.set_minor_formatter(FormatStrFormatter("%g"))
    right.legend()
    return made


def names(found, paper=None):
    """CDNV and interference of first names, relative to the average token and to tokens as frequent.

    Markers: mean over seeds (geometric for ratios); lines: their range. The class at the right is the one with which
    the CDNV of the first seed is largest.
    """
    tables = [rows for rows in (found, paper) if rows is not None and len(rows)]
    if not tables:
        made, ((axis,),) = figure(height=1.5)
        axis.text(0.5, 0.5, "no first names among the classes of this text", ha="center", va="center")
        axis.set_axis_off()
        return made
    orders = [_most_frequent(rows) for rows in tables]
    made, axes = figure(len(tables), 2, height=1.6 + sum(0.4 + 0.23 * len(order) for order in orders), sharey="row")
    for row, rows, order in zip(axes, tables, orders, strict=True):
        for s, (column, label) in enumerate(RATIOS.items()):
            _dots(row[0], rows, order, column, s, label, log=True)
        for s, column in enumerate(["interference_z", "matched_z"]):
            _dots(row[1], rows, order, column, s, "", log=False)
        row[0].axvline(1, color="black", linewidth=0.8)
        row[1].axvline(0, color="black", linewidth=0.8)
        row[0].set(xscale="log", xlabel="CDNV (power 2), ratio")
        row[1].set(xlabel="interference, difference / std")
        row[0].set_yticks(range(len(order)), [token.removeprefix("␣") for token in order])
        row[0].set_ylim(len(order) - 0.4, -0.6)
        first = rows[rows["seed"] == rows["seed"].min()].set_index("token")["partner"]
        right = row[1].secondary_yaxis("right")
        right.set_yticks(range(len(order)), [first.get(token, "") for token in order])
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


def _most_frequent(rows):
    order = rows.groupby("token")["count"].first().sort_values(ascending=False, kind="stable").index
    return [token for i, token in enumerate(order) if i < NAMES_SHOWN or token in EXCEPTIONS]


def correlations(found, labels):
    """Spearman's rho between the measures of a class, mean over seeds; found: {seed: matrix as DataFrame}."""
    values = np.stack([matrix.to_numpy() for matrix in found.values()])
    mean, span = values.mean(0), np.ptp(values, axis=0).max()
    made, ((axis,),) = figure(width=6.2, height=5.2)
    shown = np.where(np.tri(len(mean), k=-1, dtype=bool), mean, np.nan)[1:, :-1]
    image = axis.imshow(shown, vmin=-1, vmax=1, cmap="PuOr")
    names = list(labels.values())
    for (j, k), value in np.ndenumerate(shown):
        if not np.isnan(value):
            axis.text(k, j, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.65 else "black")
    axis.set_xticks(range(len(names) - 1), names[:-1], rotation=35, ha="right")
    axis.set_yticks(range(len(names) - 1), names[1:])
    axis.grid(visible=False)
    axis.set_title(f"largest range over seeds: {span:.2f}", fontsize=10.5)
    made.colorbar(image, ax=axis, label="Spearman's $\\rho$", shrink=0.8)
    return made


def _first(frame):
    """The tokens of the first seed that occur."""
    return frame[(frame["seed"] == frame["seed"].min()) & (frame["count"] > 0)]
