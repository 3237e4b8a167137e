"""Rows of `views` -> figures of page 19."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, seed_band

AXES = {
    "accuracy": ("test accuracy", None),
    "pqi": ("PQ Index", None),
    "nc1": ("NC1", 1e3),
    "between": (r"$\mathrm{tr}\,\Sigma_B$", None),
    "rank": (r"rank of $\Sigma_B$", None),
    "emptiest": ("weights of\nemptiest layer", None),
}
MOMENTS = {"pruned": "when the units have gone", "accuracy": "after training on"}


def rounds(rows):
    """Of `views.rounds`: a panel for each metric, against the round; the round's sparsity is the same for all lines."""
    made, axes = figure(3, 2, height=7.4, sharex=True)
    for axis, (metric, (label, top)) in zip(axes.flat, AXES.items(), strict=True):
        for s, (line, part) in enumerate(rows[rows["metric"] == metric].groupby("line", sort=False)):
            part = part.assign(value=part["value"].clip(upper=top) if top else part["value"])
            seed_band(axis, part, "round", label=line, index=s, log=metric == "nc1")
        axis.set_ylabel(label)
        if metric in ("between", "emptiest"):
            axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(bottom=None if metric == "nc1" else 0)
    for axis in axes[-1]:
        axis.set_xlabel("round")
    legend_above(made, ncols=3)
    return made


def units(rows):
    """Of `views.units`: accuracy after training on against the least rank of the class means when units had gone."""
    made, ((axis,),) = figure(1, 1, height=3.4)
    for s, (line, part) in enumerate(rows.groupby("line", sort=False)):
        place = part["rank"] + (s - 0.5) * 0.16
        style = {"color": PALETTE[s], "marker": MARKERS[s], "linestyle": "none", "markersize": 5, "alpha": 0.8}
        axis.plot(place, part["value"], label=line, **style)
    axis.axhline(rows["theory"].mean() - 0.01, label="dense network less one point", **THEORY)
    axis.set(xlabel=r"least rank of $\Sigma_B$ over the layers, after pruning", ylabel="test accuracy, trained on")
    axis.legend(loc="lower right")
    return made


def mended(rows):
    """Of `views.mended`: accuracy against the units that are left, fewer to the right, before and after training on."""
    made, axes = figure(1, 2, height=3.2, sharey=True)
    for axis, (metric, title) in zip(axes.flat, MOMENTS.items(), strict=True):
        for s, (line, part) in enumerate(rows[rows["metric"] == metric].groupby("line", sort=False)):
            seed_band(axis, part, "kept", label=line, index=s, log=False)
            axis.lines[-1].set_markevery(None)
        axis.axhline(rows["theory"].mean(), label="dense network", **THEORY)
        axis.set(title=title, xlabel="units left", ylim=(0, 1))
        axis.invert_xaxis()
    axes[0, 0].set_ylabel("test accuracy")
    legend_above(made, ncols=3)
    return made
