"""Rows of `views` -> figures of page 21."""

from nclib.plotting import THEORY, figure, legend_above, seed_band


def spectra(rows):
    """Of `views.panels`: eigenvalues over the largest against their index, and outliers against K."""
    made, ((left, right),) = figure(1, 2, height=3.4)
    for axis, (_, own) in zip((left, right), rows.groupby("panel", sort=False), strict=True):
        for s, (line, part) in enumerate(own.groupby("line", sort=False)):
            seed_band(axis, part, "x", label=line, index=s, log=axis is left)
    K = sorted(rows.loc[rows["panel"] == "outliers", "K"].unique())
    left.axvline(K[-1] + 0.5, color="gray", linewidth=0.8)
    right.plot(K, K, label="$K$", **THEORY)
    left.set(xlabel="index", ylabel="eigenvalue over the largest")
    right.set(xlabel="number of classes $K$", ylabel="outliers")
    right.set_ylim(bottom=0)
    legend_above(made)
    return made


AXES = {
    "error": "training error",
    "trace_ratio": r"$\mathrm{tr}\,\Sigma_W/\mathrm{tr}\,\Sigma_B$",
    "gain": "gain of accuracy",
}


def zoo(rows):
    """Of `views.zoo`: error, trace ratio and gain of the midpoint against the width."""
    made, axes = figure(1, 3, height=3.2)
    for axis, (metric, label) in zip(axes[0], AXES.items(), strict=True):
        for s, (line, part) in enumerate(rows[rows["metric"] == metric].groupby("line", sort=False)):
            seed_band(axis, part, "width", label=line, index=s, log=metric == "trace_ratio")
        axis.set_xscale("log", base=2)
        axis.set(xlabel="width", ylabel=label)
    legend_above(made)
    return made
