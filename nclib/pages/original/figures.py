"""Rows of `views` -> figures of page 00."""

from nclib.plotting import figure, seed_band

# What an axis says, and from which value on it is logarithmic (None: everywhere), values below being drawn linearly.
AXES = {
    "error": ("error", 1e-3),
    "loss": ("cross-entropy", None),
    "nc1": ("NC1", None),
    "equinorm_cv": ("spread of lengths", None),
    "cosine_std": ("spread of cosines", None),
    "equiangularity": (r"$|\cos + 1/(K-1)|$", None),
    "nc3": (r"$\|\hat W - \hat M\|$", None),
    "ncc_disagreement": ("NCC disagreement", 1e-3),
}


def curves(rows):
    """Of `views.curves`: a row of panels for each metric, a column for each set of networks; mean and range over seeds,
    and gray from the first epoch on at which every network of the panel is without training error."""
    panels, metrics = rows["panel"].unique(), rows["metric"].unique()
    made, axes = figure(len(metrics), len(panels), height=0.7 + 2.2 * len(metrics), sharex="col", sharey="row")
    for i, metric in enumerate(metrics):
        label, linear = AXES[metric]
        for axis, panel in zip(axes[i], panels, strict=True):
            part = rows[(rows["metric"] == metric) & (rows["panel"] == panel)]
            for s, (name, line) in enumerate(part.groupby("line", sort=False)):
                seed_band(axis, line, "epoch", label=name, index=s, log=linear is None)
            if linear:
                axis.set_yscale("symlog", linthresh=linear)
                axis.set_ylim(0, 1)
            if part["begin"].notna().all():
                axis.axvspan(part["begin"].max(), part["epoch"].max(), color="gray", alpha=0.12, linewidth=0)
            axis.set_xscale("symlog", linthresh=1)
        axes[i, 0].set_ylabel(label)
    if part["line"].nunique() > 1:
        made.legend(*axes[-1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    for axis, panel in zip(axes[0], panels, strict=True):
        axis.set_title(panel.replace(", ", "\n"))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    return made
