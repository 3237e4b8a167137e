"""Rows of `views` -> figures of page 03."""

from nclib.pages._linear_heads.figures import SYMBOL, THOUSANDS
from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, places


def lengths(rows):
    """Of `views.lengths`: against n_k, a color for each depth, a row of panels for each scale."""
    groups = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(groups), 2, height=3.2 * len(groups))
    symbols = {"length_w": "length of $w_k$ (row of $P$)", "length_h": r"length of the class mean $\bar h_k$"}
    for row, (panel, part) in zip(axes, groups, strict=True):
        for axis, (metric, symbol) in zip(row, symbols.items(), strict=True):
            by_size(axis, part[part["metric"] == metric], places(rows["depth"]), rows["n"])
            axis.set(ylabel=symbol, title=panel)
    legend_above(made)
    return made


def by_size(axis, rows, place, sizes):
    """One quantity against n_k, measured and predicted, in one color. place: of each depth, as of `places`."""
    for depth, part in rows.groupby("depth"):
        s = place[depth]
        style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": "none", "alpha": 0.7, "markersize": 6}
        axis.plot(part["n"], part["value"], label=f"$M = {depth}$", **style)
        mean = part.groupby("n")["theory"].mean()
        for law in (mean[mean > 0], mean[mean == 0]):  # between classes that survive and those that do not it may jump
            axis.plot(law.index, law, **THEORY | {"color": PALETTE[s]})
    axis.set_xscale("log")
    ticks = sorted(set(rows["n"]))[:: 3 if rows["n"].nunique() > 5 else 1]
    axis.set_xticks(ticks, labels=ticks)
    axis.minorticks_off()
    axis.set_xlabel("samples of the class, $n_k$")


def energies(rows):
    """Of `views.energies`: against n_k, a panel for each depth."""
    depths = sorted(rows["depth"].unique())
    made, axes = figure(1, len(depths), sharey=True, height=3.2)
    for axis, depth in zip(axes.flat, depths, strict=True):
        by_size(axis, rows[rows["depth"] == depth], places(rows["depth"]), rows["n"])
        axis.set_title(f"$M = {depth}$")
    axes[0, 0].set_ylabel(r"$N\lambda\,\|\bar h_k\|^2$")
    return made


def widths(rows):
    """Of `views.widths`: against the width of the layers, a panel for each depth."""
    depths = sorted(rows["depth"].unique())
    made, axes = figure(1, len(depths), sharey=True, height=3.4)
    for axis, depth in zip(axes.flat, depths, strict=True):
        for (k, n), part in rows[rows["depth"] == depth].groupby(["i", "n"]):
            label = f"$n_{k + 1} = {n}$"
            axis.plot(part["width"], part["value"], MARKERS[k], color=PALETTE[k], label=label, clip_on=False)
            law = part.groupby("width")["theory"].first()
            axis.hlines(law, law.index - 0.3, law.index + 0.3, colors="black", linestyles="--")
        axis.set(xlabel="width $d$ of every layer", title=f"$M = {depth}$", xticks=sorted(rows["width"].unique()))
    axes[0, 0].set_ylabel("length of $w_k$ (row of $P$)")
    legend_above(made)
    return made


def layers(rows):
    """Of `views.layers`: a panel for each depth, a color for each singular value."""
    groups = list(rows.groupby("depth"))
    made, axes = figure(1, len(groups), sharey=True, height=3.4)
    for axis, (depth, entries) in zip(axes.flat, groups, strict=True):
        for k, part in entries.groupby("i"):
            axis.plot(part["m"], part["value"], MARKERS[k % 8], color=PALETTE[k % 10], label=f"$k = {k + 1}$")
            mean = part.groupby("m")["theory"].mean()
            axis.plot(mean.index, mean, **THEORY)
        axis.set(xlabel="layer $m$", title=f"$M = {depth}$", xticks=range(1, depth + 1))
    axes[0, 0].set_ylabel("singular value $k$ of $W_m$")
    legend_above(made, ncols=5)
    return made


def floor(rows):
    """Of `views.floor`: against what was minimized and against the authors' target, whose floor is dashed."""
    made, axes = figure(2, 2)
    for axis, metric in zip(axes.flat, ("nc2_W", "nc2_H", "nc3_WH", "nc3"), strict=True):
        theirs = rows[rows["metric"] == f"authors_{metric}"]
        targets = {"what was minimized": rows[rows["metric"] == metric], "authors' target": theirs}
        for s, (what, part) in enumerate(targets.items()):
            mean = part.groupby("step")["value"].mean()
            axis.plot(mean.index, mean, color=PALETTE[s], linestyle=("-", "-.")[s], label=what)
        found = theirs["theory"].mean()
        if found > 1e-9:
            axis.axhline(found, label="distance of the targets", **THEORY)
        axis.xaxis.set_major_formatter(THOUSANDS)
        axis.set(yscale="log", xlabel="optimization steps / 1000", ylabel=SYMBOL[metric])
    legend_above(made)
    return made
