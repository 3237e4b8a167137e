"""Rows of `views` -> figures of page 18."""

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above, seed_band

LINES = {"classifier": 0, "features": 1, "backbone": 1}
ARMS = {"one head": 0, "two heads": 1, "DHKD": 2, "CE": 3, "KD": 4, "BinaryKL alone": 5}
FLAT = {"CE": ":", "KD": (0, (5, 2)), "BinaryKL alone": "-."}  # arms without an alpha, and their lines
NAMES = {"nc1": "NC1 (traces)", "nc2": "NC2", "nc3": "NC3", "angles_w": "angles of W"}


def shifted(rows):
    """Of `views.shifted`: a panel for each function, a line for each logit."""
    made, (axes,) = figure(1, 2, sharey=True)
    for axis, metric in zip(axes, ("softmax", "sigmoid"), strict=True):
        for k, line in rows[rows["metric"] == metric].groupby("class"):
            axis.plot(line["shift"], line["value"], color=PALETTE[k], marker=MARKERS[k], label=f"logit {k} + shift")
        axis.set(title=metric, xlabel="shift of all three logits", ylim=(-0.03, 1.03))
    axes[0].set_ylabel("probability")
    legend_above(made, 3)
    return made


def conflict(rows):
    """Of `views.conflict`: a panel for each departure from collapse; black dashed: the closed forms."""
    panels = rows["panel"].unique()
    made, (axes,) = figure(1, len(panels), sharey=True, height=3.2)
    for axis, panel in zip(axes, panels, strict=True):
        part = rows[rows["panel"] == panel]
        for line, of in part.groupby("line"):
            seed_band(axis, of, "margin", label=line, index=LINES[line], log=False)
            theory = of.dropna(subset="theory").groupby("margin")["theory"].mean()
            axis.plot(theory.index, theory, **THEORY, label="closed form" if len(theory) else None)
        axis.set(title=panel, xlabel="student's margin", ylim=(-1.1, 1.1))
    axes[0].set_ylabel("cosine of the two gradients")
    legend_above(made, 3)
    return made


def accuracies(rows):
    """Of `views.accuracies`: a panel for each data set; arms without an alpha are lines without markers. Where there is
    one alpha each arm is a row of points."""
    panels = rows["panel"].unique()
    made, (axes,) = figure(1, len(panels), height=3.4)
    for axis, panel in zip(axes, panels, strict=True):
        part = rows[rows["panel"] == panel]
        if part["alpha"].nunique() == 1:
            _dots(axis, part.assign(arm=part["line"]))
            axis.set(title=panel, xlabel=r"test accuracy at $\alpha = 1$", ylabel="arm")
            continue
        for line, of in part.groupby("line"):
            seed_band(axis, of, "alpha", label=line, index=ARMS[line], log=False)
            if line in FLAT:
                axis.lines[-1].set(marker="", linestyle=FLAT[line])
                axis.collections[-1].remove()  # bands over the whole width would hide the others
        axis.set(title=panel, xlabel=r"$\alpha$", xscale="log")
    axes[0].set_ylabel("test accuracy")
    legend_above(made, 3)
    return made


def cosines(rows):
    """Of `views.cosines`: a panel for each arm."""
    panels = [name for name in ("CE", "one head", "two heads") if name in set(rows["panel"])]
    made, (axes,) = figure(1, len(panels), sharey=True, height=3.2)
    for axis, panel in zip(axes, panels, strict=True):
        for line, of in rows[rows["panel"] == panel].groupby("line"):
            seed_band(axis, of, "epoch", label=line, index=LINES[line], log=False)
        axis.axhline(0, color="gray", linewidth=0.8)
        axis.set(title=panel, xlabel="epoch", ylim=(-1.05, 1.05))
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("cosine of the two gradients")
    legend_above(made, 2)
    return made


def collapse(rows):
    """Of `views.collapse`: a row of panels for each data set, a panel for each measure, a row for each arm."""
    metrics, sets = [name for name in NAMES if name in set(rows["metric"])], list(rows.groupby("panel", sort=False))
    made, axes = figure(len(sets), len(metrics), sharey="row", height=3.4 * len(sets))
    for line, (panel, found) in zip(axes, sets, strict=True):
        for axis, metric in zip(line, metrics, strict=True):
            _dots(axis, found[found["metric"] == metric])
            axis.set_title(NAMES[metric])
        line[0].set_ylabel(panel)
    for axis in axes[-1]:
        axis.set_xlabel("0 at collapse")
    return made


def nearness(rows):
    """Of `views.nearness`: a point for each student, colored by its width."""
    panels = rows["panel"].unique()
    made, (axes,) = figure(1, len(panels), sharey=True, height=3.4)
    for axis, panel in zip(axes, panels, strict=True):
        for s, (width, of) in enumerate(rows[rows["panel"] == panel].groupby("width")):
            axis.plot(
                of["x"], of["value"], MARKERS[s], color=PALETTE[s], markersize=4, alpha=0.7, label=f"width {width}"
            )
        axis.axhline(0, color="gray", linewidth=0.8)
        axis.set(title=panel, xlabel="NC1 (traces)", xscale="log")
    axes[0].set_ylabel("cosine: backbone less classifier")
    legend_above(made, 3)
    return made


def places(rows):
    """Of `views.places`: a panel for each data set, a row for each arm, a point for each seed."""
    sets = list(rows.groupby("panel", sort=False))
    made, axes = figure(len(sets), 1, height=3.2 * len(sets))
    for (axis,), (panel, found) in zip(axes, sets, strict=True):
        _dots(axis, found)
        axis.set(title=panel, xlabel="test accuracy")
    return made


def _dots(axis, rows):
    """A point for each seed and a bar for their mean, a row for each arm, the first on top."""
    for place, of in rows.groupby("place"):
        axis.plot(of["value"], [-place] * len(of), "o", color=PALETTE[0], markersize=4, alpha=0.7)
        axis.plot([of["value"].mean()], [-place], "|", color=PALETTE[3], markersize=14, markeredgewidth=2)
    names = rows.drop_duplicates("place").sort_values("place")
    axis.set_yticks([-place for place in names["place"]], names["arm"])
