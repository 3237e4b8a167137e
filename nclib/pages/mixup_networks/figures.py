"""Rows of `views` -> figures of page 15."""

import numpy as np
import seaborn as sns

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, nothing, seed_band

COLORS = sns.color_palette("viridis", as_cmap=True)
SHORT = {
    "cross-entropy": "no mixup",
    "mixup": "mixup",
    "mixup, squared error": "squared error",
    "mixup, fixed ETF": "fixed ETF",
    "mixup, a quarter of the epochs": "short training",
    "mixup, alpha 0.2": r"$\alpha=0.2$",
    "label smoothing": "smoothing",
}
LABELS = {
    "alignment": "cosine, one class",
    "span": "share in the span",
    "amplification": "amplification",
    "bend": "distance from means",
    "slope": "slope on log odds",
    "fit_error": "error of closed form",
}


def style(part):
    """The color and marker of a way of training, the same in all figures."""
    place = list(SHORT).index(part)
    return {"color": PALETTE[place], "marker": MARKERS[place]}


def plane(rows):
    """Of `views.plane`: a panel for each way of training."""
    parts = [part for part in SHORT if part in set(rows["part"])]
    made, axes = figure(1, len(parts), height=3.4, sharex=True, sharey=True)
    for axis, name in zip(axes[0], parts, strict=True):
        part = rows[rows["part"] == name]
        different, same = part[part["kind"] == "different"], part[part["kind"] == "same"]
        place = axis.scatter(
            *(different["x"], different["y"]),
            c=(different["mix"] - 0.5).abs(),
            cmap=COLORS,
            vmin=0,
            vmax=0.5,
            s=12,
            alpha=0.8,
        )
        axis.scatter(same["x"], same["y"], marker="s", s=8, color=PALETTE[3], alpha=0.35, zorder=0, label="same class")
        for _, line in part[part["kind"] == "theory"].groupby("point"):
            axis.plot(line["x"], line["y"], **THEORY, zorder=3)
        for _, end in part[part["kind"] == "classifier"].iterrows():
            axis.annotate(
                "", (end["x"], end["y"]), (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 1.4}
            )
        axis.set(title=SHORT[name], aspect="equal", xlabel="along $w_2-w_1$")
    axes[0, 0].set_ylabel("along $2w_3-w_1-w_2$")
    bar = made.colorbar(place, ax=axes[0].tolist(), shrink=0.75, aspect=25)
    bar.set_label(r"two classes: $|\lambda-1/2|$")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center")
    return made


def geometry(rows):
    """Of `views.geometry`: a panel for each metric, a line for each way of training, a mark for each seed."""
    parts = [part for part in SHORT if part in set(rows["part"])][::-1]
    made, axes = figure(2, 3, height=5.0, sharey=True)
    for axis, (metric, label) in zip(axes.flat, LABELS.items(), strict=True):
        for place, name in enumerate(parts):
            part = rows[(rows["part"] == name) & (rows["metric"] == metric)]
            axis.plot(part["value"], [place] * len(part), ls="", ms=6, alpha=0.8, **style(name))
            if metric in ("amplification", "slope") and name != "mixup, squared error":
                axis.plot(part["theory"], [place] * len(part), ls="", marker="|", ms=15, color="black")
        axis.set(xlabel=label, ylim=(-0.5, len(parts) - 0.5))
        axis.locator_params(axis="x", nbins=4)
        nothing(axis, rows.loc[rows["metric"] == metric, "value"])
        axis.set_yticks(range(len(parts)), [SHORT[name] for name in parts])
    return made


def odds(rows):
    """Of `views.odds`: gap and margin against lambda, the closed form dashed."""
    made, axes = figure(1, 2, height=3.7)
    titles = {"gap": "$z_i-z_j$, the two mixed", "margin": "$z_i-z_k$, other classes"}
    for axis, (metric, title) in zip(axes[0], titles.items(), strict=True):
        for name in (part for part in SHORT if part in set(rows["part"])):
            part = rows[(rows["part"] == name) & (rows["metric"] == metric)]
            axis.plot(part["mix"], part["value"], ls="", ms=5, alpha=0.8, label=SHORT[name], **style(name))
            axis.plot(part.groupby("mix")["theory"].mean(), **THEORY | {"color": style(name)["color"]}, zorder=1)
        axis.set(xlabel=r"weight $\lambda$ of class $i$", ylabel=title)
    at = np.linspace(0.08, 0.92, 85)
    axes[0, 0].plot(at, np.log(at / (1 - at)), color="gray", lw=3, alpha=0.35, label=r"$\log\frac{\lambda}{1-\lambda}$")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return made


def price(rows):
    """Of `views.price`: a column for each scale; above the calibration error, below NC1 against accuracy."""
    panels = list(rows["panel"].unique())
    made, axes = figure(2, len(panels), height=5.9)
    for column, panel in enumerate(panels):
        part = rows[rows["panel"] == panel]
        above, below = axes[0, column], axes[1, column]
        shown = [name for name in SHORT if name in set(part.loc[part["metric"] == "ece", "part"])][::-1]
        for place, name in enumerate(shown):
            one = part[part["part"] == name]
            ece = one.loc[one["metric"] == "ece", "value"]
            above.plot(ece, [place] * len(ece), ls="", ms=6, alpha=0.8, **style(name))
        scaled = part.loc[part["metric"] == "ece_scaled", "value"]
        above.plot(scaled, [len(shown)] * len(scaled), ls="", marker="x", color="gray", ms=6)
        above.set_yticks(range(len(shown) + 1), [*(SHORT[name] for name in shown), "temperature"])
        above.set(title=panel, xlabel="calibration error", xlim=(0, None), ylim=(-0.5, len(shown) + 0.5))
        above.locator_params(axis="x", nbins=2)
        below.locator_params(axis="x", nbins=1)
        for name in SHORT:
            one = part[part["part"] == name].pivot(index="seed", columns="metric", values="value")
            if len(one) and {"nc1", "accuracy"} <= set(one):
                below.plot(one["accuracy"], one["nc1"], ls="", ms=6, alpha=0.8, label=SHORT[name], **style(name))
        nothing(below, part.loc[part["metric"] == "nc1", "value"])
        below.set(title=panel, xlabel="test accuracy", ylabel="NC1, clean images", ylim=(0, None))
    handles = {name: handle for axis in axes[1] for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    made.legend(handles.values(), handles, loc="outside lower center", ncols=4)
    return made


def layers(rows):
    """Of `views.layers`: mean and range over seeds, by layer."""
    made, axes = figure(height=3.4)
    for name in (part for part in SHORT if part in set(rows["part"])):
        index = list(SHORT).index(name)
        seed_band(axes[0, 0], rows[rows["part"] == name], "layer", label=SHORT[name], index=index, log=False)
    axes[0, 0].set(xlabel="layer", ylabel="distance from the middle", xticks=range(1, int(rows["layer"].max()) + 1))
    axes[0, 0].legend()
    return made
