"""Rows of `views` -> the figures of page 01."""

import numpy as np
from matplotlib.ticker import PercentFormatter
from mpl_toolkits.mplot3d import proj3d

from nclib.plotting import MARKERS, PALETTE, STYLE, THEORY, figure, plt, seed_band

VIEW = {"OF": (24, 38), "ETF": (50, 20), "GOF": (24, 38)}


def frames(rows):
    """Of `views.frames`: the frames at K = d = 3, classifiers and class means divided by their Frobenius norms.

    Black dashed rods: the closed form. Colored: the optimized model of the first seed after one rotation, classifiers
    as rings and class means as small filled markers. The general orthogonal frame has a panel for each of the two.
    """
    with plt.rc_context(STYLE):
        made = plt.figure(figsize=(7.0, 7.0))
    panels = [
        ("OF", "wh", "OF: balanced, no bias"),
        ("ETF", "wh", "ETF: balanced, bias"),
        ("GOF", "w", "GOF, classifiers $w_k$"),
        ("GOF", "h", r"GOF, class means $\bar h_k$"),
    ]
    for place, (frame, kinds, title) in enumerate(panels):
        axis = made.add_subplot(2, 2, place + 1, projection="3d", computed_zorder=False)
        _box(axis, *VIEW[frame], title, zoom=1.4 if frame == "ETF" else 1.45)
        chosen = rows[rows["frame"] == frame]
        for kind in kinds:
            _rods(axis, chosen[chosen["kind"] == kind], kind, sizes=frame == "GOF")
    handles = [
        plt.Line2D([], [], **THEORY, marker="+", ms=8, label="closed form"),
        plt.Line2D([], [], marker="o", ls="", mfc="none", mec="0.3", ms=12, mew=2, label="optimized $w_k$"),
        plt.Line2D([], [], marker="o", ls="", color="0.3", ms=6, label=r"optimized $\bar h_k$"),
    ]
    made.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=10.5)
    return made


def _rods(axis, rows, kind, sizes):
    """Rods from the origin to the tips of one kind of vector, theory over measured."""
    tips = [rows.pivot(index="class", columns="coordinate", values=of).to_numpy() for of in ("theory", "value")]
    counts = rows.groupby("class")["n"].first()
    for k, (theory, measured) in enumerate(zip(*tips, strict=True)):
        color = PALETTE[k]
        axis.plot(*np.stack([np.zeros(3), measured]).T, color=color, lw=4, alpha=0.45, solid_capstyle="round", zorder=2)
        axis.plot(*np.stack([np.zeros(3), theory]).T, **THEORY, zorder=4)
        ring = {"mfc": "none", "mew": 2.2, "ms": 14} if kind == "w" else {"mfc": color, "ms": 7}
        axis.plot(*measured[:, None], marker="o", ls="", mec=color, zorder=5, **ring)
        axis.plot(*theory[:, None], marker="+", ls="", color="black", ms=8, zorder=6)
        text = f"class {k + 1}" if not sizes else f"$n_{k + 1}={counts[k]}$\n{np.linalg.norm(theory):.2f}"
        if kind == "w" or sizes:
            _label(axis, theory, text)


def _label(axis, tip, text):
    """Text beyond the tip of a rod, 30 points further on the page."""
    (x, y, _), (x0, y0, _) = (proj3d.proj_transform(*v, axis.get_proj()) for v in (tip, np.zeros(3)))
    away = 30 * np.array([x - x0, y - y0]) / np.hypot(x - x0, y - y0)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}
    style = {"ha": "center", "va": "center", "fontsize": 10.5, "bbox": white, "zorder": 1.5}
    axis.annotate(text, (x, y), away, textcoords="offset points", **style)


def _box(axis, elevation, turn, title, zoom):
    """Equal aspect, the three axes as thin grey lines, no panes."""
    for direction in np.eye(3):
        axis.plot(*np.stack([-0.25 * direction, 0.8 * direction]).T, color="0.75", lw=0.8, zorder=1)
    low = -0.55 if zoom < 1.45 else -0.3
    axis.set(xlim=(low, 0.8), ylim=(low, 0.8), zlim=(low, 0.8))
    axis.set_box_aspect((1, 1, 1), zoom=zoom)
    axis.view_init(elevation, turn)
    axis.set_axis_off()
    axis.text2D(0.5, 1.22, title, transform=axis.transAxes, ha="center", fontsize=11)


def curve(rows, metric):
    """The rows of one way of computing."""
    return rows[rows["metric"] == metric]


def pinv(rows):
    """Of `views.trap` "pinv": the pseudo-inverse's cutoff and CDNV when two classes merge."""
    made, axes = figure(2, 1, height=6.4, sharex=True)
    top, low = axes[:, 0]
    exact = curve(rows, "float32").groupby("x")["theory"].mean()
    for index, (metric, label) in enumerate(
        {
            "float32": "torch, float32, default cutoff",
            "numpy32": "numpy, float32, default cutoff",
            "numpy64": "numpy, float64, default cutoff",
        }.items()
    ):
        points = curve(rows, metric)
        style = {"ls": "", "marker": MARKERS[index], "color": PALETTE[index], "mfc": "none", "mew": 1.6}
        top.plot(points["x"], points["value"], label=label, ms=10 - 2.5 * index, **style)
    top.plot(exact.index, exact, **THEORY, label="exact rank $K-1$")
    top.set(yscale="log", ylabel=r"$|\mathrm{NC1}|$, with $1/K$")
    made.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    for index, (metric, label) in enumerate({"max_cdnv": "largest pair", "mean_cdnv": "mean over pairs"}.items()):
        seed_band(low, curve(rows, metric), "x", label=label, index=index + 3)
    low.set(xscale="log", yscale="log", xlabel="distance of the two merging classes\nover distance of the others")
    low.set_ylabel(r"CDNV $(v_j+v_k)/2D^2$")
    low.invert_xaxis()
    low.legend()
    return made


def one_pass(rows):
    """Of `views.trap` "one_pass": relative error of the trace of Sigma_W against the collapse ratio."""
    made, axes = figure(height=3.6)
    axis = axes[0, 0]
    labels = {
        "one_pass": r"one pass, float32: $E[h^2]-E[h]^2$",
        "two_pass": r"two passes, float32",
        "nclib": "nclib: merged batches, float64",
    }
    for index, (metric, label) in enumerate(labels.items()):
        seed_band(axis, curve(rows, metric), "x", label=label, index=index)
    axis.axhline(1, color="0.4", lw=1, ls=":")
    axis.text(1, 1.3, "100 % wrong", ha="left", va="bottom", color="0.3")
    axis.set(xscale="log", xlabel=r"collapse ratio $\mathrm{tr}\,\Sigma_W / |\mu|^2$")
    axis.set_ylabel(r"relative error of $\mathrm{tr}\,\Sigma_W$")
    axis.invert_xaxis()
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1)
    return made


def centering(rows):
    """Of `views.trap` "centering": NC3 of perfect frames with the wrong centering against the number of classes."""
    made, axes = figure(height=3.6)
    axis = axes[0, 0]
    for index, (metric, label) in enumerate(
        {"etf": "ETF with an offset, not centered", "of": "orthogonal frame, centered"}.items()
    ):
        means = curve(rows, metric).groupby("x")[["value", "theory"]].mean()
        axis.plot(means.index, means["value"], MARKERS[index], color=PALETTE[index], ms=6, label=label)
        axis.plot(means.index, means["theory"], **THEORY)
    right = curve(rows, "of_right").groupby("x")["value"].mean()
    axis.plot(right.index, right, "D", color=PALETTE[2], ms=5, label="either one, rightly centered")
    ten = curve(rows, "of").query("x == 10")["value"].iloc[0]
    axis.annotate(f"$K=10$: {ten:.2f}", (10, ten), (12, 0.5), arrowprops={"arrowstyle": "-", "color": "0.4"})
    axis.set(xscale="log", xlabel="number of classes $K$", ylabel=r"NC3 $=\|\hat W-\hat M\|_F$", ylim=(-0.04, 0.95))
    made.legend(loc="outside upper center", ncols=2)
    return made


def dead(rows):
    """Of `views.trap` "dead": NC1 and the trace of Sigma_B of a living and of a dying network."""
    made, axes = figure(1, 2, height=3.4)
    for axis, metric, label in zip(
        axes[0], ("nc1", "trace_between"), ("NC1, with $1/K$", r"$\mathrm{tr}\,\Sigma_B$"), strict=True
    ):
        for index, fate in enumerate(("alive", "dead")):
            lam = {"alive": 0.02, "dead": 0.1}[fate]
            seed_band(axis, curve(rows, f"{metric}_{fate}"), "x", label=rf"$\lambda={lam}$: {fate}", index=index)
        axis.set(xlabel="iteration of gradient descent", ylabel=label)
    axes[0, 1].legend(loc="lower left")
    return made


def network(rows):
    """Of `views.network`: NC1, NC2, NC3 and the disagreement of NC4 against the epoch, training and test images."""
    made, axes = figure(2, 2, height=5.8, sharex=True)
    labels = {
        "nc1": "NC1, with $1/K$",
        "nc2": "NC2, distance to the ETF",
        "nc3": "NC3, centered means",
        "nc4": "1 $-$ NC4 agreement",
    }
    for axis, (metric, label) in zip(axes.flat, labels.items(), strict=True):
        chosen = rows[rows["metric"] == metric]
        for index, split in enumerate(("train", "test")):
            part = chosen[chosen["split"] == split]
            seed_band(axis, part, "step", label=split, index=index, log=metric != "nc4")
        axis.set_xscale("symlog", linthresh=1)
        axis.set(ylabel=label)
    axes[1, 1].yaxis.set_major_formatter(PercentFormatter(1))
    for axis in axes[1]:
        axis.set_xlabel("epoch")
    axes[0, 0].legend()
    return made
