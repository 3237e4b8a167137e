"""Rows of `views` -> figures of page 04. Each draws the view of its name."""

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, legend_above

BETA = r"$\beta_k/\mathrm{thr}(M)$"
FEATURES = {False: "features free", True: r"features $H \geq 0$"}


def _points(axis, x, y, index, **more):
    style = {"marker": MARKERS[index], "color": PALETTE[index], "markersize": 6, "alpha": 0.8, "linestyle": "none"}
    axis.plot(x, y, **(style | {"markeredgecolor": "white", "markeredgewidth": 0.5} | more))


def _theory(axis, x, y, threshold=1.0, **more):
    """A dashed line with a vertical drop at the threshold."""
    line = pd.Series(np.asarray(y), index=np.asarray(x)).groupby(level=0).first()
    for part in (line[line.index < threshold], line[line.index >= threshold]):
        axis.plot(part.index, part, **THEORY | {"zorder": 4} | more)
        more = {}
    axis.axvline(threshold, color="0.5", linewidth=1, zorder=0)


def overlap(found):
    """q_k against beta_k over the threshold, one panel a depth; then the number of classes alive against lambda."""
    made, axes = figure(2, 2, height=6.4)
    sizes = sorted(set(found["size"]), reverse=True)
    for axis, (M, part) in zip(axes.flat, found.groupby("depth"), strict=False):
        _theory(axis, part["beta"], part["theory"], label="closed form")
        for index, size in enumerate(sizes):
            chosen = part[part["size"] == size]
            _points(axis, chosen["beta"], chosen["q"], index, label=f"$n_k = {size}$")
        axis.set(xscale="log", title=f"$M = {M}$", xlabel=BETA, ylabel=r"$q_k = [P\bar H]_{kk}$", ylim=(-0.04, 1.02))
        if M == 1:
            axis.legend(handletextpad=0.3)
    axis = axes[1, 1]
    for index, (M, part) in enumerate(found.groupby("depth")):
        alive = part.assign(found=part["q"] > 1e-3, predicted=part["theory"] > 0)
        count = alive.groupby(["seed", "lam"])[["found", "predicted"]].sum().groupby("lam").mean()
        axis.step(count.index, count["predicted"], where="mid", **THEORY)
        _points(axis, count.index, count["found"], index, label=f"$M = {M}$")
    axis.set(
        xscale="log", title="Order of collapse", xlabel=r"$\lambda$", ylabel="classes alive", yticks=[0, 1, 2, 3, 4]
    )
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.legend(handletextpad=0.3)
    return made


def landscape(rows):
    """The scalar loss of a class against q, one panel a depth; then the classes kept against the size of the start."""
    made, axes = figure(2, 2, height=6.4)
    curves, kept = (rows[rows["panel"] == panel] for panel in ("loss", "kept"))
    dashes = ["-", "--", "-.", ":"]
    for axis, (M, part) in zip(axes.flat, curves.groupby("depth"), strict=False):
        for index, (ratio, line) in enumerate(part.groupby("ratio")):
            label = f"{ratio:g} thr" if ratio != 1 else "thr"
            axis.plot(line["x"], line["value"], dashes[index], color=PALETTE[index], label=label)
            best = line.loc[line["value"].idxmin()]
            _points(axis, best["x"], best["value"], index, alpha=1, markersize=8)
        axis.set(title=f"$M = {M}$", xlabel="$q$", ylabel=r"loss of class $k$, over $n_k/N$", ylim=(0, 1.3))
        if M == 2:
            axis.legend(title=r"$\beta_k$", loc="upper center", ncols=2)
    axis = axes[1, 1]
    for index, (M, part) in enumerate(kept.groupby("depth")):
        share = part.groupby("x")["value"].agg(["mean", "min", "max"])
        axis.plot(share.index, share["mean"], color=PALETTE[index], marker=MARKERS[index], label=f"$M = {M}$")
        axis.fill_between(share.index, share["min"], share["max"], color=PALETTE[index], alpha=0.2, linewidth=0)
    axis.set(xscale="log", title="Random starts", xlabel="singular values at the start", ylabel="share of classes kept")
    axis.legend(loc="upper left", bbox_to_anchor=(0, 0.93))
    return made


def hysteresis(found):
    """q on the branches followed upward and downward in lambda, for M = 2 and 3."""
    made, axes = figure(1, 2, height=3.4, sharey=True)
    for axis, (M, part) in zip(axes.flat, found.groupby("depth"), strict=True):
        _theory(axis, part["ratio"], part["q"], label="global minimum")
        local = part[part["local"] > 0].drop_duplicates("ratio")
        axis.plot(local["ratio"], local["local"], ":", color="black", zorder=4, label="stationary point")
        _points(axis, part["ratio"], part["up"], 0, label=r"$\lambda$ growing", markersize=5)
        _points(axis, part["ratio"], part["down"], 1, label=r"$\lambda$ falling", markersize=5)
        axis.axvline(part["spinodal"].iloc[0], color="0.5", linewidth=1, linestyle="-.", zorder=0)
        axis.set(
            title=f"$M = {M}$", xlabel=r"$\beta/\mathrm{thr}(M)$", ylabel="$q$, mean over classes" if M == 2 else ""
        )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, handletextpad=0.3, columnspacing=1)
    return made


def phase(found):
    """q of the smaller of two classes over its size and lambda: M = 1 and M = 2; crosses where it is 0."""
    made, axes = figure(1, 2, height=3.6)
    for axis, (M, part) in zip(axes.flat, found.groupby("depth"), strict=True):
        alive, dead = part[part["q"] > 1e-3], part[part["q"] <= 1e-3]
        image = axis.scatter(
            alive["size"], alive["lam"], c=alive["q"], cmap="viridis", vmin=0, vmax=1, s=34, marker="s"
        )
        axis.plot(dead["size"], dead["lam"], "x", color="0.55", markersize=4)
        lines = part.groupby("size")[["critical", "spinodal"]].first()
        axis.plot(lines.index, lines["critical"], **THEORY, label="threshold")
        if M > 1:
            axis.plot(lines.index, lines["spinodal"], ":", color="black", label="spinodal")
        axis.set(yscale="log", title=f"$M = {M}$", xlabel="samples of the smaller class", ylabel=r"$\lambda$")
    legend_above(made)
    made.colorbar(image, ax=list(axes.flat), label="$q$ of the smaller class", shrink=0.9)
    return made


def cross_entropy(found):
    """Contrast inside the minority against its class size, free and nonnegative features."""
    made, axes = figure(1, 2, height=3.4, sharey=True)
    for index, (relu, part) in enumerate(found.groupby("nonnegative")):
        axis = axes[0, index]
        theory = part.drop_duplicates("size").sort_values("size")
        axis.plot(theory["size"], theory["theory"], **THEORY, label="theory")
        _points(axis, part["size"], part["value"], index, label="optimized")
        axis.axvline(part["threshold"].iloc[0], color="0.5", linewidth=1, zorder=0)
        axis.set(title=FEATURES[relu], xlabel="$n_B$, samples a minority class")
        axis.legend()
    axes[0, 0].set_ylabel("contrast of minority logits")
    return made


def limits(rows):
    """1 - cos to the limit as lambda -> 0; and the minority's contrast in the layer-peeled model through R0."""
    made, axes = figure(1, 2, height=3.7)
    seli, peeled = (rows[rows["panel"] == panel] for panel in ("seli", "peeled"))
    axis = axes[0, 0]
    names = {"logits": r"logits $Z$", "gram_W": "$WW^T$", "gram_H": "Gram of features"}
    for index, (name, label) in enumerate(names.items()):
        part = seli[seli["metric"] == name].groupby("x")["value"].mean()
        axis.plot(1 / part.index, part, color=PALETTE[index], marker=MARKERS[index], markersize=5, label=label)
    line = seli[seli["metric"] == "logits"].groupby("x")["value"].mean()
    x = np.log(1 / line.index.to_numpy())
    axis.plot(1 / line.index, line.iloc[0] * (x[0] / x) ** 2, **THEORY, label=r"$\propto 1/\log^2(1/\lambda)$")
    axis.set(xscale="log", yscale="log", xlabel=r"$1/\lambda$", ylabel="1 - cos to the limit", title="SELI")
    axis.legend(loc="upper right")
    axis = axes[0, 1]
    for index, (major, part) in enumerate(peeled.groupby("K_major")):
        mean, length = (part[part["metric"] == name].groupby("x")["value"].mean() for name in ("contrast", "length"))
        label = f"$K_A = {major}$, $R_0 = {part['R0'].iloc[0]:.4g}$"
        axis.plot(mean.index, mean, color=PALETTE[index], marker=MARKERS[index], markersize=5, label=label)
        axis.plot(length.index, length, ":", color=PALETTE[index], linewidth=1.3)
    axis.axvline(1, color="0.5", linewidth=1, zorder=0)
    axis.set(
        xlabel="$R/R_0$",
        ylabel=r"mean $|w_j - w_k|/\sqrt{E_W}$, minority",
        title="Layer-peeled model",
        ylim=(-0.05, 1.9),
    )
    axis.legend(loc="upper right")
    return made


def network(found):
    """q_k of every class of the digits network against beta_k, one marker a lambda."""
    made, axes = figure(1, 1, height=3.6)
    axis = axes[0, 0]
    found = found.sort_values("beta")
    _theory(axis, found["beta"], found["theory"], label=r"closed form, $1 - \sqrt{\beta_k}$")
    for index, (lam, part) in enumerate(found.groupby("lam")):
        _points(axis, part["beta"], part["value"], index, label=rf"$\lambda = {lam:.4f}$", markersize=7)
    axis.set(xscale="log", xlabel=r"$\beta_k = N^2\lambda^2/n_k$", ylabel=r"$q_k = w_k^T \bar h_k$")
    axis.legend()
    return made
