"""Rows of `views` -> figures of page 20."""

from nclib.plotting import THEORY, figure, legend_above, seed_band


def merging(rows):
    """Of `views.path`: cross-entropy on the way from one network to another."""
    made, ((axis,),) = figure(1, 1, height=3.2)
    for s, (line, part) in enumerate(rows.groupby("line", sort=False)):
        seed_band(axis, part, "share", label=line, index=s, log=False)
    axis.set(xlabel="share of the second network", ylabel="cross-entropy, test images")
    axis.set_ylim(bottom=0)
    axis.legend()
    return made


def variances(rows):
    """Of `views.variances`: what is left of the variance, with 1/n dashed."""
    made, ((axis,),) = figure(1, 1, height=3.2)
    for s, (line, part) in enumerate(rows.groupby("line", sort=False)):
        seed_band(axis, part, "n", label=line, index=s, log=False)
    law = rows.groupby("n")["theory"].mean()
    axis.plot(law.index, law, label="$1/n$", **THEORY)
    axis.set(xlabel="networks averaged", ylabel="variance of the average\nover that of one network")
    axis.set_xticks(list(law.index))
    axis.set_ylim(bottom=0)
    axis.legend()
    return made


AXES = {"accuracy": "test accuracy", "nc1": "NC1, all images", "variance": "variance of the average\nover the clients'"}


def clients(rows):
    """Of `views.clients`: clients before they are averaged, and their average."""
    made, axes = figure(1, 3, height=3.2)
    for axis, (metric, label) in zip(axes[0], AXES.items(), strict=True):
        for s, line in enumerate(("clients", "average")):
            part = rows[(rows["metric"] == metric) & (rows["line"] == line)]
            if len(part):
                seed_band(axis, part, "round", label=line, index=s, log=False)
        axis.set(xlabel="round", ylabel=label)
    axes[0, 2].set_ylim(0, 1.05)
    legend_above(made)
    return made
