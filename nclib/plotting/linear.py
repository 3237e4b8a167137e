"""Deep linear heads: how they converge, at which rates, and to which Gram matrices."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, seed_band
from nclib.results import indexed

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


def direct_curves(table, paper=None, *, bias=False, metrics=("nc1", "nc2_W", "nc3", "nc3_WH")):
    """Errors against iterations by direct optimization, a color for each depth, with the predicted rates above them."""
    groups = scales(table, paper, "direct", bias)
    made, axes = figure(len(groups) * -(-len(metrics) // 2), 2)
    panels = [(label, rows, metric) for label, rows in groups.items() for metric in metrics]
    for axis, (label, rows, metric) in zip(axes.flat, panels, strict=False):
        curves(axis, rows, metric)
        rate_line(axis, rows, metric)
        axis.set(xlabel="iterations / 1000", ylabel=SYMBOL[metric], title=label)
    axes.flat[0].legend(loc="lower left", frameon=False)
    return made


def network_curves(table, paper=None, *, bias=False, metrics=("nc1", "nc2_W", "nc2_H", "nc3_WH")):
    """Errors against optimization steps in networks, a color for each depth of the linear head."""
    groups = scales(table, paper, "network", bias)
    made, axes = figure(len(groups) * -(-len(metrics) // 2), 2)
    panels = [(label, rows, metric) for label, rows in groups.items() for metric in metrics]
    for axis, (label, rows, metric) in zip(axes.flat, panels, strict=False):
        curves(axis, rows, metric)
        axis.set(xlabel="optimization steps / 1000", ylabel=SYMBOL[metric], title=label)
    axes.flat[0].legend(frameon=False)
    return made


def rates(table, paper=None):
    """Fitted rates over lambda against depth, without and with a bias, and the predictions."""
    made, axes = figure(1, 2, sharey=True)
    for axis, bias in zip(axes.flat, (False, True), strict=True):
        rows = scales(table, paper, "direct", bias)
        rows = list(rows.values())[-1]
        rows = rows[rows["metric"].str.startswith("rate_")].assign(ratio=lambda r: r["value"] / r["lam"])
        for s, (metric, name) in enumerate(
            {"nc1": "NC1", "nc3_WH": r"NC3, $P\bar H$", "nc2_W": "NC2", "bias_error": "bias"}.items()
        ):
            found = rows[rows["metric"] == f"rate_{metric}"]
            fitted, law = found[found["source"] == "measured"], found[found["source"] == "theory"]
            if law.empty:
                continue
            axis.plot(fitted["depth"], fitted["ratio"], MARKERS[s], color=PALETTE[s], label=name)
            mean = law.groupby("depth")["ratio"].mean()
            axis.plot(mean.index, mean, **THEORY)
        axis.set(
            xlabel="number of linear layers $M$", title="with a bias (ETF)" if bias else "no bias (OF)", ylim=(0, 9)
        )
    axes[0, 0].set_ylabel(r"fitted rate / $\lambda$")
    for axis in axes.flat:
        axis.legend(loc="upper center", ncols=3, frameon=False, columnspacing=1, handletextpad=0.2)
    return made


def gram_matrices(table, *, experiment="network", bias=False):
    """P P^T, Hbar^T Hbar and P Hbar of one run of depth 3 (or the first there is), measured beside predicted, each pair
    on one color scale."""
    chosen = scales(table, None, experiment, bias)[""]
    chosen = chosen[chosen["depth"] == (3 if 3 in set(chosen["depth"]) else chosen["depth"].iloc[0])]
    chosen = chosen[(chosen["seed"] == chosen["seed"].min()) & (chosen["config"] == chosen["config"].iloc[0])]
    names = {"gram_W": "$PP^T$", "gram_H": r"$\bar H^T\bar H$", "gram_WH": r"$P\bar H$"}
    made, axes = figure(3, 2, height=8.4)
    for row, (metric, symbol) in zip(axes, names.items(), strict=True):
        entries = indexed(chosen, metric)
        matrices = {s: part.pivot(index="i", columns="j", values="value") for s, part in entries.groupby("source")}
        size = max(np.abs(matrix.to_numpy()).max() for matrix in matrices.values())
        ticks = {"xticks": range(len(matrices["theory"])), "yticks": range(len(matrices["theory"]))}
        for axis, source in zip(row, ("measured", "theory"), strict=True):
            image = axis.imshow(matrices[source], cmap="RdBu_r", vmin=-size, vmax=size)
            axis.set(title=f"{symbol}, {source}", xlabel="class", ylabel="class", **ticks)
            axis.grid(False)
        made.colorbar(image, ax=row, shrink=0.9)
    return made


def scales(table, paper, experiment, bias):
    """{label: rows of an experiment} of the table and of what the archive has at paper scale, where there is any."""
    found = {}
    for label, rows in {"": table, "paper scale": paper}.items():
        rows = table[:0] if rows is None else rows[rows["experiment"] == f"dang2023.{experiment}"]
        if rows.empty:
            continue
        rows = rows[rows["bias"] == bias]
        if experiment == "network":
            found[f"ResNet-18, {label}"] = rows[rows["model"] == "resnet18"]
            rows = rows[rows["model"] == "mlp"]
        found[label] = rows
    return {label: rows for label, rows in found.items() if len(rows)}


def curves(axis, rows, metric):
    """One curve for each depth: mean over seeds, and their range."""
    chosen = rows[(rows["metric"] == metric) & (rows["source"] == "measured") & (rows["layer"] == "")]
    # NC1 of exactly collapsed features is rounding, of either sign
    for s, (depth, part) in enumerate(chosen[(chosen["step"] > 0) & (chosen["value"] > 0)].groupby("depth")):
        seed_band(axis, part, "step", label=f"$M = {depth}$", index=s)
    axis.xaxis.set_major_formatter(THOUSANDS)


def rate_line(axis, rows, metric):
    """The predicted rate as a dashed line above the curves, before they end or meet rounding (2 lam t < 10)."""
    law = rows[(rows["metric"] == f"rate_{metric}") & (rows["source"] == "theory")]
    if law.empty:
        return
    chosen = rows[(rows["metric"] == metric) & (rows["source"] == "measured") & (rows["layer"] == "")]
    rate, speed = law["value"].mean(), (chosen["lr"] / (1 - chosen["momentum"])).iloc[0]
    end = min(chosen["step"].max(), 5 / (chosen["lam"].iloc[0] * speed))
    anchor = chosen.loc[(chosen["step"] - 0.75 * end).abs().idxmin(), "step"]
    top = 3 * chosen[chosen["step"] == anchor]["value"].max()
    steps = np.linspace(0.25 * end, end, 50)
    axis.plot(steps, top * np.exp(-rate * speed * (steps - anchor)), **THEORY)
    axis.annotate(LAW[metric], (anchor, top), textcoords="offset points", xytext=(4, 6))
