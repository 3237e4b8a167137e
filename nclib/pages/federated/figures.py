"""Rows of `views` -> figures of page 17."""

import seaborn as sns
from matplotlib.ticker import NullFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, nothing, seed_band

GROUPS = ("all", "many", "medium", "few")
HEADS = {"main": "first head", "realigned": "second, realigned"}
PLACE = {"sparse ETF": 0, "dense ETF": 1, "FedAvg": 2, "FedProx": 3}  # in the palette, as on page 16


def accuracies(rows):
    """Of `views.accuracies`: a row for each data set, a panel for each head, groups of classes, a color for each arm,
    the range over seeds."""
    sets = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(sets), 2, height=3.5 * len(sets), sharey=True)
    for row, (panel, found) in zip(axes, sets, strict=True):
        for axis, (head, title) in zip(row, HEADS.items(), strict=True):
            for arm, part in found[found["head"] == head].groupby("arm"):
                by = part.groupby("group")["value"]
                mean, low, high = (by.agg(how).reindex(GROUPS) for how in ("mean", "min", "max"))
                x = [i + 0.16 * (PLACE[arm] - 1.5) for i in range(len(GROUPS))]
                color = PALETTE[PLACE[arm]]
                axis.vlines(x, low, high, color=color)
                axis.plot(x, mean, MARKERS[PLACE[arm]], color=color, ms=6, label=arm)
            axis.set_xticks(range(len(GROUPS)), GROUPS)
            axis.set(title=f"{panel}, {title}", ylim=(0, 1))
        row[0].set_ylabel("accuracy on a balanced test set")
    for axis in axes[-1]:
        axis.set_xlabel("classes")
    legend_above(made)
    return made


def curve(rows):
    """Of `views.curve`: mean and range over seeds."""
    made, axes = figure(height=3.2)
    if not nothing(axes[0, 0], rows["value"]):
        seed_band(axes[0, 0], rows, "beta", label="fixed frame", log=False)
    axes[0, 0].set(xlabel=r"share of zeros $\beta$", ylabel="accuracy on a balanced test set")
    return made


def features(rows):
    """Of `views.features`: magnitudes and deviations, a color for each arm."""
    made, axes = figure(1, 2, height=3.4)
    titles = {"magnitude": "mean of a feature in its class", "deviation": "deviation within the class"}
    for axis, (metric, title) in zip(axes[0], titles.items(), strict=True):
        for arm, part in rows[rows["metric"] == metric].groupby("arm"):
            style = {"color": PALETTE[PLACE[arm]], "marker": MARKERS[PLACE[arm]], "markevery": 8, "ms": 5}
            axis.plot(part["coordinate"] + 1, part["value"], label=arm, **style)
        axis.set(title=title, xlabel="feature, largest mean first")
    axes[0, 0].set_ylabel("over the largest mean")
    legend_above(made)
    return made


def norms(rows):
    """Of `views.norms`: a panel for each data set, all seeds, and the slope of the early law for the eye."""
    sets = list(rows.groupby("part"))
    made, axes = figure(1, len(sets), height=3.4)
    for axis, (name, part) in zip(axes[0], sets, strict=True):
        for arm, line in part.groupby("arm"):
            style = {"color": PALETTE[PLACE[arm]], "marker": MARKERS[PLACE[arm]], "ls": "", "ms": 4, "alpha": 0.6}
            axis.plot(line["n"], line["value"], label=arm, **style)
        mean = part.groupby("n")["value"].mean()
        n = mean.index.to_numpy(dtype=float)
        axis.plot(n, mean.iloc[-1] * (n / n[-1]) ** 0.25, **THEORY, label="exponent 1/4")
        axis.set(xscale="log", yscale="log", title=name, xlabel="class size $n_k$")
        axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("norm of the row of the global head")
    legend_above(made)
    return made


def maps(rows):
    """Of `views.maps`: a heat map for each arm."""
    arms = list(rows.groupby("arm"))
    made, axes = figure(1, len(arms), height=3.0)
    for axis, (arm, part) in zip(axes[0], arms, strict=True):
        grid = part.pivot(index="class", columns="other", values="value").to_numpy(dtype=float)
        shown = axis.imshow(grid, cmap=sns.color_palette("vlag", as_cmap=True), vmin=-0.3, vmax=0.3)
        axis.set(title=arm, xlabel="class")
        axis.locator_params(integer=True, nbins=4)
        axis.grid(False)
    axes[0, 0].set_ylabel("class")
    made.colorbar(shown, ax=axes[0].tolist(), shrink=0.8, label="cosine", extend="both")
    return made
