"""Deep linear heads: how they converge, at which rates, and to which Gram matrices."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, places, seed_band

THOUSANDS = FuncFormatter(lambda value, position: f"{value / 1000:g}")
SYMBOL = {
    "nc1": r"NC1 $=\mathrm{tr}(\Sigma_W\Sigma_B^+)/K$",
    "nc2_W": "NC2 of $W$ (Frobenius)",
    "nc2_H": "NC2 of $H$ (Frobenius)",
    "nc3": r"NC3: $P$ against $\bar H$",
    "nc3_WH": r"NC3: $P\bar H$ (Frobenius)",
    "loss_gap": "loss minus its minimum",
    "bias_error": r"$|b-\frac{1}{K}\mathbf{1}|$",
}
LAW = {
    "nc1": r"$e^{-6\lambda t}$",
    "nc2_W": r"$e^{-2\lambda t}$",
    "nc2_H": r"$e^{-2\lambda t}$",
    "nc3": r"$e^{-2\lambda t}$",
    "nc3_WH": r"$e^{-4\lambda t}$",
    "loss_gap": r"$e^{-2\lambda t}$",
    "bias_error": r"$e^{-\lambda t/(1+s^2/N)}$",
}


def direct_curves(rows):
    """Errors against iterations by direct optimization, a color for each depth, with the predicted rates above them."""
    made, panels = grid(rows, "iterations / 1000")
    for axis, (_, metric), part in panels:
        curves(axis, part[part["source"] == "measured"], places(rows["depth"]))
        rate_line(axis, part, metric)
    legend_above(made)
    return made


def network_curves(rows):
    """Errors against optimization steps in networks, a color for each depth of the linear head."""
    made, panels = grid(rows, "optimization steps / 1000")
    for axis, _, part in panels:
        curves(axis, part, places(rows["depth"]))
    legend_above(made)
    return made


def grid(rows, label):
    """(figure, [(axis, (panel, metric), rows)]): two panels a row, in the order of the rows."""
    rows = rows.assign(metric=rows["metric"].str.removeprefix("rate_"))
    groups = list(rows.groupby(["panel", "metric"], sort=False))
    made, axes = figure(-(-len(groups) // 2), 2)
    for axis, ((panel, metric), _) in zip(axes.flat, groups, strict=False):
        axis.set(xlabel=label, ylabel=SYMBOL[metric], title=panel)
    return made, [(axis, names, part) for axis, (names, part) in zip(axes.flat, groups, strict=False)]


def rates(rows):
    """Fitted rates over lambda against depth, without and with a bias, and the predictions."""
    made, axes = figure(1, 2, sharey=True)
    for axis, (bias, part) in zip(axes.flat, rows.groupby("bias"), strict=True):
        for s, (metric, name) in enumerate(
            {"nc1": "NC1", "nc3_WH": r"NC3, $P\bar H$", "nc2_W": "NC2", "bias_error": "bias"}.items()
        ):
            found = part[part["metric"] == metric]
            fitted, law = found[found["source"] == "measured"], found[found["source"] == "theory"]
            if law.empty:
                continue
            axis.plot(fitted["depth"], fitted["value"], MARKERS[s], color=PALETTE[s], label=name)
            mean = law.groupby("depth")["value"].mean()
            axis.plot(mean.index, mean, **THEORY)
        axis.set(
            xlabel="number of linear layers $M$", title="with a bias (ETF)" if bias else "no bias (OF)", ylim=(0, 9)
        )
    axes[0, 0].set_ylabel(r"fitted rate / $\lambda$")
    for axis in axes.flat:
        axis.legend(loc="upper center", ncols=3, frameon=False, columnspacing=1, handletextpad=0.2)
    return made


def gram_matrices(rows):
    """P P^T, Hbar^T Hbar and P Hbar of one run, measured beside predicted, each pair on one color scale."""
    names = {"gram_W": "$PP^T$", "gram_H": r"$\bar H^T\bar H$", "gram_WH": r"$P\bar H$"}
    made, axes = figure(3, 2, height=8.4)
    for row, (metric, symbol) in zip(axes, names.items(), strict=True):
        entries = rows[rows["metric"] == metric]
        matrices = {s: part.pivot(index="i", columns="j", values="value") for s, part in entries.groupby("source")}
        size = max(np.abs(matrix.to_numpy()).max() for matrix in matrices.values())
        ticks = {"xticks": range(len(matrices["theory"])), "yticks": range(len(matrices["theory"]))}
        for axis, source in zip(row, ("measured", "theory"), strict=True):
            image = axis.imshow(matrices[source], cmap="RdBu_r", vmin=-size, vmax=size)
            axis.set(title=f"{symbol}, {source}", xlabel="class", ylabel="class", **ticks)
            axis.grid(False)
        made.colorbar(image, ax=row, shrink=0.9)
    return made


def curves(axis, rows, place):
    """One curve for each depth: mean over seeds, and their range. place: of each depth, as of `places`."""
    for depth, part in rows.groupby("depth"):
        seed_band(axis, part, "step", label=f"$M = {depth}$", index=place[depth])
    axis.xaxis.set_major_formatter(THOUSANDS)


def rate_line(axis, rows, metric):
    """The predicted rate as a dashed line above the curves, before they end or meet rounding."""
    law, chosen = rows[rows["source"] == "theory"], rows[rows["source"] == "measured"]
    if law.empty:
        return
    end, rate = law[["step", "value"]].iloc[0]
    anchor = chosen.loc[(chosen["step"] - 0.75 * end).abs().idxmin(), "step"]
    top = 3 * chosen[chosen["step"] == anchor]["value"].max()
    steps = np.linspace(0.25 * end, end, 50)
    axis.plot(steps, top * np.exp(-rate * (steps - anchor)), **THEORY)
    axis.annotate(LAW[metric], (anchor, top), textcoords="offset points", xytext=(4, 6))
