"""Rows of `views` -> figures of page 05."""

import numpy as np
import seaborn as sns

from nclib.plotting import MARKERS, PALETTE, THEORY, figure, nothing

SIDE = {0.01: -0.2, 0.001: 0.2}


def candidates(rows):
    """Of `views.candidates`: against the weight decay, M = 2 and M = 3, a line for each K."""
    made, axes = figure(1, 2, height=3.9, sharey=True)
    for axis, M in zip(axes[0], (2, 3), strict=True):
        low = 0
        for index, (K, part) in reversed(list(enumerate(rows[rows["M"] == M].groupby("K")))):
            style = {"color": PALETTE[index], "marker": MARKERS[index], "ms": 4}
            axis.plot(part["lam"], part["ratio"], **style)
            low = max(low + 0.022, part["ratio"].iloc[-1])
            white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
            axis.text(2.2e-2, low, f"$K={K}$", color=PALETTE[index], va="center", bbox=white, zorder=3)
            axis.plot([2e-16, 6e-16], [part["limit"].iloc[0]] * 2, color="black", lw=1.6)
        axis.axhline(1, **THEORY)
        axis.set(xscale="log", xlim=(1e-16, 1), title=f"$M={M}$ linear layers", xlabel=r"weight decay $\lambda$")
    axes[0, 0].set_ylabel("loss of the cross-polytope / of the ETF")
    axes[0, 0].text(1e-13, 1.004, "simplex ETF", va="bottom")
    return made


def region(rows):
    """Of `views.region`: the theorem's (M, K), and the order of the two candidates over the weight decay."""
    made, axes = figure(1, 2, height=3.9)
    colors = {"lower": PALETTE[0], "higher": PALETTE[1], "nothing": "0.4"}
    every, decays = (rows[rows["panel"] == panel] for panel in ("every", "decays"))
    for order, part in every.groupby("order"):
        full = {"color": colors[order]} if order == "lower" else {"facecolor": "none", "edgecolor": "0.6"}
        axes[0, 0].scatter(part["M"], part["K"], s=90, marker="s", zorder=3, **full)
    axes[0, 0].set(xlabel="linear layers $M$", ylabel="classes $K$", title="no ETF is best, at any decay")
    axes[0, 0].set(xticks=range(1, 7), yticks=range(3, 13), xlim=(0.5, 6.5), ylim=(2.4, 12.6))
    cases = sorted({(M, K) for M, K in zip(decays["M"], decays["K"], strict=True)}, reverse=True)
    for (M, K, order), part in decays.groupby(["M", "K", "order"]):
        style = {"color": colors[order], "marker": "|" if order == "nothing" else "s", "ls": "", "ms": 5}
        axes[0, 1].plot(part["x"], [cases.index((M, K))] * len(part), **style)
    axes[0, 1].set_yticks(range(len(cases)), [f"$M={M}$, $K={K}$" for M, K in cases])
    axes[0, 1].set(
        xscale="log", xlabel=r"weight decay $\lambda$", title="which of the two is lower", ylabel="layers and classes"
    )
    names = {"lower": "cross-polytope lower", "higher": "simplex ETF lower", "nothing": "both at zero"}
    for order, name in names.items():
        axes[0, 1].plot([], [], color=colors[order], marker="|" if order == "nothing" else "s", ls="", label=name)
    made.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return made


def logits(rows):
    """Of `views.logits`: divided by their largest entry, opposite classes adjacent."""
    made, axes = figure(1, 2, height=3.6)
    for axis, M in zip(axes[0], (1, 2), strict=True):
        axis.set(title=f"$M={M}$", xlabel="class of the feature")
        Z = rows[rows["depth"] == M].pivot(index="i", columns="j", values="value").to_numpy()
        if nothing(axis, Z if np.isfinite(Z).all() else ()):
            continue
        order = _paired(Z)
        Z = Z[np.ix_(order, order)] / Z.max()
        axis.imshow(Z, cmap=sns.color_palette("vlag", as_cmap=True), vmin=-1, vmax=1)
        for (j, k), value in np.ndenumerate(Z.round(1) + 0.0):
            color = "white" if abs(value) > 0.7 else "black"
            axis.text(k, j, f"{value:.1f}", ha="center", va="center", color=color)
        axis.set_xticks(range(6), order + 1)
        axis.set_yticks(range(6), order + 1)
        axis.set_title(f"$M={M}$: rank {np.linalg.matrix_rank(Z, tol=1e-3)}")
        axis.grid(False)
    axes[0, 0].set_ylabel("logit of class")
    return made


def _paired(Z):
    """An order of the classes in which each is followed by the one whose logit it lowers most."""
    order, left = [], list(range(len(Z)))
    while left:
        k = left.pop(0)
        order.append(k)
        if left:
            partner = min(left, key=lambda j: Z[j, k])
            left.remove(partner)
            order.append(partner)
    return np.array(order)


def census(ends):
    """Of `views.census`: a column for each (M, K) and lambda, marked by rank."""
    made, axes = figure(height=4.4)
    axis = axes[0, 0]
    random = np.random.default_rng(0)
    columns = sorted({(M, K) for M, K in zip(ends["depth"], ends["num_classes"], strict=True)})
    ranks = sorted(ends["rank"].unique())
    for index, r in enumerate(ranks):
        part = ends[ends["rank"] == r]
        x = [columns.index(pair) for pair in zip(part["depth"], part["num_classes"], strict=True)]
        side = part["lam"].map(SIDE)
        style = {"ls": "", "marker": MARKERS[index], "color": PALETTE[index], "ms": 6, "alpha": 0.55, "mew": 0}
        axis.plot(np.array(x) + side + random.uniform(-0.13, 0.13, len(part)), part["value"], label=f"{r:.0f}", **style)
    for (M, K, lam), part in ends[ends["theory"].notna()].groupby(["depth", "num_classes", "lam"]):
        place = columns.index((M, K)) + SIDE[lam]
        axis.plot([place - 0.17, place + 0.17], [part["theory"].iloc[0]] * 2, **THEORY)
    axis.axhline(1, color="black", lw=1)
    axis.text(len(columns) - 0.45, 1.001, "ETF", va="bottom", ha="right")
    axis.set_xticks(range(len(columns)), [f"$M={M}$\n$K={K}$" for M, K in columns])
    axis.set(ylabel="final loss / loss of the simplex ETF", xlim=(-0.5, len(columns) - 0.5))
    axis.legend(title="rank of the logits", ncols=len(ranks), loc="lower left", bbox_to_anchor=(0, 1))
    return made


def rank_and_loss(rows):
    """Of `views.rank_and_loss`: a color for each depth."""
    made, axes = figure(height=3.6)
    axis = axes[0, 0]
    for index, (M, counts) in enumerate(rows.groupby("depth")):
        style = {"color": PALETTE[index], "marker": MARKERS[index], "alpha": 0.6, "linewidth": 0}
        axis.scatter(
            counts["rank"] + 0.12 * (index - 1), counts["ratio"], s=40 + 260 * counts["n"] / counts["n"].sum(), **style
        )
        axis.plot([], [], ls="", marker=MARKERS[index], color=PALETTE[index], ms=8, label=f"$M={M}$")
    axis.axhline(1, color="black", lw=1)
    axis.set(
        xlabel="rank of the logits of the final point",
        ylabel="final loss / loss of the ETF",
        xticks=range(2, 6),
        xlim=(1.5, 5.5),
    )
    axis.legend()
    return made
