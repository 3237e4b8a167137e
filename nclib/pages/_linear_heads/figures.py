"""Rows of `views` -> figures of pages 02 and 03: how deep linear heads converge, and to which Gram matrices."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from nclib.plotting import THEORY, figure, legend_above, places, seed_band

THOUSANDS = FuncFormatter(lambda value, position: f"{value / 1000:g}")
SYMBOL = {
    "nc1": r"NC1 $=\mathrm{tr}(\Sigma_W\Sigma_B^+)/K$",
    "nc2_W": "NC2 of $W$ (Frobenius)",
    "nc2_H": "NC2 of $H$ (Frobenius)",
    "nc3": r"NC3: $P$ against $\bar H$",
    "nc3_WH": r"NC3: $P\bar H$ (Frobenius)",
    "bias_error": r"$|b-\frac{1}{K}\mathbf{1}|$",
}
LAW = {
    "nc1": r"$e^{-6\lambda t}$",
    "nc2_W": r"$e^{-2\lambda t}$",
    "nc3": r"$e^{-2\lambda t}$",
    "nc3_WH": r"$e^{-4\lambda t}$",
    "bias_error": r"$e^{-\lambda t/(1+s^2/N)}$",
}


def direct_curves(rows):
    """Of `views.direct_curves`: against iterations, a color for each depth, with the predicted rates above them."""
    made, panels = grid(rows, "iterations / 1000")
    for axis, metric, part in panels:
        curves(axis, part, places(rows["depth"]))
        rate_line(axis, part, metric)
    legend_above(made)
    return made


def network_curves(rows):
    """Of `views.network_curves`: against optimization steps, a color for each depth of the linear head."""
    made, panels = grid(rows, "optimization steps / 1000")
    for axis, _, part in panels:
        curves(axis, part, places(rows["depth"]))
    legend_above(made)
    return made


def grid(rows, label):
    """(figure, [(axis, metric, rows)]): two panels a row, in the order of the rows."""
    groups = list(rows.groupby(["panel", "metric"], sort=False))
    made, axes = figure(-(-len(groups) // 2), 2)
    found = [(axis, *names, part) for axis, (names, part) in zip(axes.flat, groups, strict=False)]
    for axis, panel, metric, _ in found:
        axis.set(xlabel=label, ylabel=SYMBOL[metric], title=panel)
    return made, [(axis, metric, part) for axis, _, metric, part in found]


def curves(axis, rows, place):
    """One curve for each depth: mean over seeds, and their range. place: of each depth, as of `places`."""
    for depth, part in rows.groupby("depth"):
        seed_band(axis, part, "step", label=f"$M = {depth}$", index=place[depth])
    axis.xaxis.set_major_formatter(THOUSANDS)


def rate_line(axis, rows, metric):
    """The predicted rate as a dashed line above the curves, before they end or meet rounding."""
    rate, until = rows[["rate", "until"]].dropna().iloc[0]
    anchor = rows.loc[(rows["step"] - 0.75 * until).abs().idxmin(), "step"]
    top = 3 * rows[rows["step"] == anchor]["value"].max()
    steps = np.linspace(0.25 * until, until, 50)
    axis.plot(steps, top * np.exp(-rate * (steps - anchor)), **THEORY)
    axis.annotate(LAW[metric], (anchor, top), textcoords="offset points", xytext=(4, 6))


def gram_matrices(rows):
    """Of `views.gram_matrices`: measured beside predicted, each pair on one color scale."""
    names = {"gram_W": "$PP^T$", "gram_H": r"$\bar H^T\bar H$", "gram_WH": r"$P\bar H$"}
    made, axes = figure(3, 2, height=8.4)
    for row, (metric, symbol) in zip(axes, names.items(), strict=True):
        entries = rows[rows["metric"] == metric]
        size = entries[["value", "theory"]].abs().max(axis=None)
        ticks = {"xticks": sorted(entries["i"].unique()), "yticks": sorted(entries["i"].unique())}
        for axis, (column, name) in zip(row, {"value": "measured", "theory": "theory"}.items(), strict=True):
            matrix = entries.pivot(index="i", columns="j", values=column)
            image = axis.imshow(matrix, cmap="RdBu_r", vmin=-size, vmax=size)
            axis.set(title=f"{symbol}, {name}", xlabel="class", ylabel="class", **ticks)
            axis.grid(False)
        made.colorbar(image, ax=row, shrink=0.9)
    return made
