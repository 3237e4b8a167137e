"""Figures of notebook A1: a network layer by layer, one report, presets side by side, traps, and the growth of time."""

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, plt
from nclib.plotting import report as single

LAYERS = {
    "nc1": "NC1, with $1/K$",
    "cdnv_mean": "mean CDNV",
    "etf_error": "distance to the simplex ETF",
    "interference_std": "spread of the cosines",
}
SHUFFLED = {"color": "0.45", "linestyle": ":", "linewidth": 1.6, "marker": "x", "markersize": 5}


def layers(rows):
    """Four numbers of a network at each layer: value, range over seeds, interval of the first seed, and both nulls."""
    names = list(dict.fromkeys(rows["layer"]))
    first = rows[rows["seed"] == rows["seed"].min()]
    made, axes = figure(2, 2, height=6.4, sharex=True)
    x = np.arange(len(names))
    for index, (axis, (metric, label)) in enumerate(zip(axes.flat, LAYERS.items(), strict=True)):
        color, chosen = PALETTE[0], rows[(rows["metric"] == metric) & (rows["source"] == "measured")]
        values = chosen.pivot(index="layer", columns="seed", values="value").loc[names]
        axis.fill_between(x, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2, linewidth=0)
        own = first[first["metric"] == metric].pivot(index="layer", columns="source", values="value").loc[names]
        axis.plot(x, own["measured"], color=color, marker="o", markersize=5, label="measured, range of seeds")
        if "low" in own:
            axis.vlines(x, own["low"], own["high"], color=color, linewidth=4, alpha=0.5, label="95 % over classes")
        if "theory" in own:
            axis.plot(x, own["theory"], **THEORY, label="random directions, centered")
        axis.plot(x, own["shuffled"], **SHUFFLED, label="shuffled labels")
        axis.set(ylabel=label, xlim=(-0.3, len(names) - 0.7))
        axis.set_xticks(x, names, rotation=20 if index > 1 else 0)
        if metric in ("nc1", "cdnv_mean"):
            axis.set_yscale("log")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return made


def report(rows):
    """The figure that `nclib measure --figure` draws, of one layer."""
    values = {source: part.set_index("metric")["value"].to_dict() for source, part in rows.groupby("source")}
    intervals = {key: (low, values["high"][key]) for key, low in values["low"].items()}
    return single.report(values["measured"], values["theory"], intervals)


def presets(rows):
    """What each preset calls by one name, as a multiple of the first preset's."""
    names, keys = (list(dict.fromkeys(rows[column])) for column in ("preset", "metric"))
    frame = rows.pivot(index="metric", columns="preset", values="value").loc[keys]
    made, axes = figure(height=0.36 * len(keys) + 1.6)
    axis = axes[0, 0]
    for index, name in enumerate(names):
        ratio = frame[name] / frame[names[0]]
        for sign, fill in ((1, PALETTE[index]), (-1, "none")):
            part = [i for i, value in enumerate(ratio) if np.sign(value) == sign]
            style = {"color": PALETTE[index], "markerfacecolor": fill, "markersize": 10 - 2.5 * index}
            label = {"label": name} if sign == 1 else {}
            axis.plot(abs(ratio.iloc[part]), part, MARKERS[index], markeredgewidth=1.6, ls="", **style, **label)
    axis.set_yticks(range(len(keys)), keys)
    axis.set_ylim(len(keys) - 0.5, -0.5)
    axis.set(xscale="log", xlabel=f"|value| over that of {names[0]} (hollow: of the other sign)")
    made.legend(loc="outside upper center", ncols=3, frameon=False)
    return made


def traps(rows):
    """Relative errors of the naive ways and of nclib, a line for each number."""
    titles = list(dict.fromkeys(rows["number"]))
    made, axes = figure(height=0.4 * len(titles) + 1.7)
    axis, floor, ceiling = axes[0, 0], 1e-16, 1e4
    for index, (way, label) in enumerate({"naive": "naive way", "ours": "nclib"}.items()):
        color = PALETTE[3 if way == "naive" else 0]
        for i, title in enumerate(titles):
            found = rows.loc[rows["number"] == title, f"{way}_error"]
            style = {"color": color, "ls": "", "markersize": 7, "alpha": 0.8, "label": label if i == 0 else None}
            axis.plot(found.clip(floor, ceiling), [i] * len(found), MARKERS[index], **style)
            if np.isinf(found).any():
                axis.annotate("infinite", (ceiling, i), (-8, 0), textcoords="offset points", ha="right", va="center")
    for bound in (1e-10, 0.1):
        axis.axvline(bound, color="0.4", linewidth=1, linestyle=":")
    axis.set_yticks(range(len(titles)), titles)
    axis.set_ylim(len(titles) - 0.5, -0.5)
    axis.set(xscale="log", xlim=(floor / 3, ceiling * 3), xlabel="relative error against a loop in float64")
    axis.xaxis.set_major_locator(LogLocator(numticks=5))
    axis.xaxis.set_minor_locator(NullLocator())
    made.legend(loc="outside upper center", ncols=2, frameon=False)
    return made


def growth(points):
    """Seconds against N, K and d, a panel each, with the fitted exponents; says so where nothing was timed."""
    made, axes = figure(2, 2, height=6.6)
    labels = {"N": "samples $N$", "K": "classes $K$", "d": "dimension $d$"}
    names = list(dict.fromkeys(points["name"]))
    for axis, (sweep, label) in zip(axes.flat, labels.items(), strict=False):
        axis.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds, one thread")
        rows = points[points["sweep"] == sweep]
        ends = []
        for name, own in rows.groupby("name", sort=False):
            x, y = np.log(own["size"].to_numpy()), np.log(own["seconds"].to_numpy())
            slope = own["slope"].iloc[0]
            style = {"color": PALETTE[names.index(name)]}
            axis.plot(np.exp(x), np.exp(y), MARKERS[names.index(name)], markersize=6, **style)
            axis.plot(np.exp(x), np.exp(y.mean() + slope * (x - x.mean())), linewidth=1.3, **style)
            ends.append((y[-1], x[-1], f"{slope:.2f}", style))
        axis.margins(x=0.25)
        _apart(axis, ends, np.log(rows["seconds"].max() / rows["seconds"].min()) / 13 if ends else 0)
        if points.empty:
            axis.text(0.5, 0.5, "not timed yet", transform=axis.transAxes, ha="center")
    axes[1, 1].set_axis_off()
    handles = [plt.Line2D([], [], marker=MARKERS[i], color=PALETTE[i], label=name) for i, name in enumerate(names)]
    axes[1, 1].legend(handles=handles, loc="center", title="number: fitted exponent", frameon=False)
    return made


def _apart(axis, ends, gap):
    """Write texts at (log y, log x) to the right of their points, at least `gap` of log y apart."""
    above = np.inf
    for y, x, text, style in sorted(ends, key=lambda end: -end[0]):
        above = min(y, above - gap)
        axis.annotate(text, np.exp((x, above)), (7, 0), textcoords="offset points", va="center", **style)
