"""Rows of `views` -> figures of page 14."""

import numpy as np
import seaborn as sns

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, nothing

TITLES = {"cross-entropy": "mixup, cross-entropy", "squared error": "mixup, squared error"}
COLORS = sns.color_palette("viridis", as_cmap=True)


def plane(rows):
    """Of `views.plane`: a panel for each loss, features of one class and of two, the closed form through them."""
    made, axes = figure(1, 2, height=3.9, sharex=True, sharey=True)
    for axis, (loss, part) in zip(axes[0], rows.groupby("loss"), strict=True):
        axis.set(title=TITLES[loss], xlabel="along $w_2-w_1$", aspect="equal")
        axis.set(xlim=(-1.25, 1.25), ylim=(-1.12, 1.42))
        same = part[part["i"] == part["j"]]
        for k, end in same.groupby("i")[["theory_x", "theory_y"]].mean().iterrows():
            axis.annotate("", 0.93 * end, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 1.4})
            axis.text(*(1.24 * end), f"$w_{k + 1}$", ha="center", va="center")
        for _, pair in part[part["i"] < part["j"]].groupby(["i", "j"]):
            ends = same[same["i"].isin([pair["i"].iloc[0], pair["j"].iloc[0]])]
            axis.plot(pair["theory_x"], pair["theory_y"], **THEORY, zorder=1)
            place = axis.scatter(
                *(pair["x"], pair["y"]), c=(pair["mix"] - 0.5).abs(), cmap=COLORS, vmin=0, vmax=0.5, s=26, zorder=2
            )
            axis.plot(ends["theory_x"], ends["theory_y"], color="gray", lw=0.6, zorder=0)
        axis.scatter(same["x"], same["y"], marker="s", s=30, color=PALETTE[3], zorder=3, label="same class")
    axes[0, 0].set_ylabel("along $2w_3-w_1-w_2$")
    bar = made.colorbar(place, ax=axes[0].tolist(), shrink=0.85, aspect=25)
    bar.set_label(r"two classes: $|\lambda-1/2|$")
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center")
    return made


def channel(rows):
    """Of `views.channel`: the gap against lambda, a color for each a; at lambda = 0.9 gap and margin against a."""
    made, axes = figure(1, 2, height=3.9)
    left, right = axes[0]
    gap = rows[rows["metric"] == "gap"]
    for s, (a, part) in enumerate(gap.groupby(gap["a"].round(3))):
        mean = part.groupby("mix")[["value", "theory"]].mean()
        left.plot(mean.index, mean["theory"], **THEORY, zorder=1)
        style = {"ls": "", "marker": MARKERS[s], "color": PALETTE[s], "ms": 6}
        left.plot(mean.index, mean["value"], **style, label=f"$a={a:,.0f}$".replace(",", "{,}"))
    at = np.linspace(0.04, 0.96, 93)
    left.plot(at, np.log(at / (1 - at)), color="gray", lw=3, alpha=0.35, label=r"$\log\frac{\lambda}{1-\lambda}$")
    left.set(xlabel=r"weight $\lambda$ of class $i$", ylabel="$z_i-z_j$")
    left.legend(loc="upper left", handletextpad=0.3)
    for s, (metric, label) in enumerate((("margin", "$z_i-z_k$, other classes"), ("gap", "$z_i-z_j$, the two mixed"))):
        part = rows[(rows["metric"] == metric) & (rows["mix"] == 0.9)].groupby("a")[["value", "theory"]].mean()
        right.plot(part.index, part["theory"], **THEORY, zorder=1)
        right.plot(part.index, part["value"], ls="", marker=MARKERS[4 + s], color=PALETTE[4 + s], ms=7, label=label)
    right.axhline(np.log(9), color="gray", lw=3, alpha=0.35)
    right.set(xscale="log", xlabel="$a$", ylabel=r"difference of logits at $\lambda=0.9$", ylim=(0, 12.5))
    right.legend(loc="upper left", handletextpad=0.3)
    return made


def amplification(rows):
    """Of `views.amplification`: against a, a color for each number of classes, and its limits."""
    made, axes = figure(height=3.9)
    axis = axes[0, 0]
    for s, (K, part) in enumerate(rows.groupby("num_classes")):
        curve, points = part[part["part"] == "laws"], part[part["part"] == "attained"]
        axis.plot(curve["a"], curve["theory"], **THEORY, zorder=1)
        style = {"ls": "", "marker": MARKERS[s], "color": PALETTE[s], "ms": 6, "alpha": 0.8}
        axis.plot(points["a"], points["value"], **style, label=f"$K={K}$")
        limit = np.sqrt(2 * (K - 2) / (K - 1))
        axis.axhline(limit, color=PALETTE[s], lw=1, alpha=0.7)
        axis.text(1e5, limit, f"limit, $K={K}$", color=PALETTE[s], va="bottom")
    nothing(axis, rows["value"])
    axis.set(xscale="log", xlabel="$a$", ylabel="length, even mix / one class", ylim=(0.45, 1.55))
    axis.legend(loc="lower right")
    return made
