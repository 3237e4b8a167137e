"""Imbalanced classes: lengths against class sizes, singular values layer by layer, and the floor of a wrong target."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, places
from nclib.plotting.linear import SYMBOL, THOUSANDS


def lengths(rows):
    """|w_k| and |class mean k| against n_k, measured (all seeds) and predicted, a color for each depth."""
    groups = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(groups), 2, height=3.2 * len(groups))
    symbols = {"length_w": "length of $w_k$ (row of $P$)", "length_h": r"length of the class mean $\bar h_k$"}
    for row, (panel, part) in zip(axes, groups, strict=True):
        for axis, (metric, symbol) in zip(row, symbols.items(), strict=True):
            length_panel(axis, part[part["metric"] == metric], places(rows["depth"]))
            axis.set(xlabel="samples of the class, $n_k$", ylabel=symbol, title=panel)
    legend_above(made)
    return made


def length_panel(axis, rows, place):
    """One kind of length against n_k. place: of each depth, as of `places`."""
    for depth, part in rows.groupby("depth"):
        s = place[depth]
        ours, law = part[part["source"] == "measured"], part[part["source"] == "theory"]
        style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": "none", "alpha": 0.7, "markersize": 6}
        axis.plot(ours["n"], ours["value"], label=f"$M = {depth}$", **style)
        mean = law.groupby("n")["value"].mean()
        axis.plot(mean.index, mean, **THEORY)
    axis.set_xscale("log")
    ticks = sorted(set(rows["n"]))[:: 3 if rows["n"].nunique() > 5 else 1]
    axis.set_xticks(ticks, labels=ticks)
    axis.minorticks_off()


def widths(rows):
    """|w_k| of each class against the width of the layers, measured (all seeds) and predicted, a panel a depth."""
    depths = sorted(rows["depth"].unique())
    made, axes = figure(1, len(depths), sharey=True, height=3.4)
    for axis, depth in zip(axes.flat, depths, strict=True):
        for (k, n), part in rows[rows["depth"] == depth].groupby(["i", "n"]):
            ours, law = part[part["source"] == "measured"], part[part["source"] == "theory"]
            label = f"$n_{k + 1} = {n}$"
            axis.plot(ours["width"], ours["value"], MARKERS[k], color=PALETTE[k], label=label, clip_on=False)
            axis.hlines(law["value"], law["width"] - 0.3, law["width"] + 0.3, colors="black", linestyles="--")
        axis.set(xlabel="width $d$ of every layer", title=f"$M = {depth}$", xticks=sorted(rows["width"].unique()))
    axes[0, 0].set_ylabel("length of $w_k$ (row of $P$)")
    legend_above(made)
    return made


def layers(rows):
    """The K largest singular values of each layer, measured (all seeds) and predicted, a panel a depth."""
    groups = list(rows.groupby("depth"))
    made, axes = figure(1, len(groups), sharey=True, height=3.4)
    for axis, (depth, entries) in zip(axes.flat, groups, strict=True):
        for k, part in entries.groupby("i"):
            ours, law = part[part["source"] == "measured"], part[part["source"] == "theory"]
            axis.plot(ours["m"], ours["value"], MARKERS[k % 8], color=PALETTE[k % 10], label=f"$k = {k + 1}$")
            mean = law.groupby("m")["value"].mean()
            axis.plot(mean.index, mean, **THEORY)
        axis.set(xlabel="layer $m$", title=f"$M = {depth}$", xticks=range(1, depth + 1))
    axes[0, 0].set_ylabel("singular value $k$ of $W_m$")
    legend_above(made, ncols=5)
    return made


def floor(rows):
    """One network against the minimizer of what it minimized and against the authors' target, whose floor is dashed."""
    made, axes = figure(2, 2)
    for axis, metric in zip(axes.flat, ("nc2_W", "nc2_H", "nc3_WH", "nc3"), strict=True):
        for s, (name, what) in enumerate(
            {metric: "what was minimized", f"authors_{metric}": "authors' target"}.items()
        ):
            measured = rows[(rows["metric"] == name) & (rows["source"] == "measured")]
            mean = measured.groupby("step")["value"].mean()
            axis.plot(mean.index, mean, color=PALETTE[s], linestyle=("-", "-.")[s], label=what)
        found = rows[(rows["metric"] == f"authors_{metric}") & (rows["source"] == "theory")]["value"]
        if found.mean() > 1e-9:
            axis.axhline(found.mean(), **THEORY)
            axis.annotate("floor", (0, found.mean()), textcoords="offset points", xytext=(4, 4))
        axis.xaxis.set_major_formatter(THOUSANDS)
        axis.set(yscale="log", xlabel="optimization steps / 1000", ylabel=SYMBOL[metric])
    legend_above(made)
    return made
