"""Rows of `views` -> figures of page 12: validation loss against each property, and the permutation test."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import gammaln

from nclib.plotting import MARKERS, PALETTE, STYLE, THEORY, figure

LABELS = {
    "NC1": "NC1: mean CDNV",
    "NC2 equinormness": r"NC2: CV of $\log r_c$",
    "NC2 equiangularity": "NC2: CV of cosines",
    "GNC2": "GNC2: CV, not centered",
    "GNC2, as defined": "GNC2: CV, centered",
    "NC3": "NC3: mean cosine",
    "UNC3": "UNC3: CV of cosines",
    "NC4": "NC4: agreement",
}


def scatter(rows):
    """Validation loss against eight statistics, a point for each seed, with the least-squares line, R^2 and p; panels
    for each group of models."""
    frames = list(rows.groupby("group", sort=False))
    with plt.rc_context(STYLE):
        made = plt.figure(figsize=(7.0, 9.8 * len(frames)))
        parts = made.subfigures(len(frames), 1, squeeze=False)[:, 0]
        groups = [part.subplots(4, 2, sharey=True) for part in parts]
    for g, (part, axes, (label, found)) in enumerate(zip(parts, groups, frames, strict=True)):
        part.suptitle(label, fontsize=11, fontweight="bold")
        for axis, (name, words) in zip(axes.flat, LABELS.items(), strict=True):
            points = found[found["name"] == name]
            x, loss = points["value"], points["validation"]
            axis.plot(x, loss, MARKERS[g], color=PALETTE[g], markersize=5)
            if np.ptp(x) > 0:
                slope, intercept = np.polyfit(x, loss, 1)
                ends = np.array([x.min(), x.max()])
                axis.plot(ends, intercept + slope * ends, color="gray", linewidth=1.2)
            r2, p = points[["r2", "p"]].iloc[0]
            axis.set_title("$R^2$ = –, $p$ = –" if np.isnan(r2) else f"$R^2$ = {r2:.3f}, $p$ = {p:.4f}", fontsize=11)
            axis.set_xlabel(words)
            axis.locator_params(axis="x", nbins=4)
        for row in axes:
            row[0].set_ylabel("validation loss (nats)")
    return made


def permutations(rows):
    """Correlations of permuted losses with each property, counted in bins.

    Bars of the second color are as far from 0 as the true r (solid lines) or farther. Dashed: what Student's t test
    expects of n models, density (1 - r^2)^(n/2 - 2) / B(1/2, n/2 - 1), exact for normal data.
    """
    groups = list(rows.groupby("name", sort=False))
    made, (axes,) = figure(1, max(len(groups), 1), height=3.4, sharey=True)
    for axis, (name, found) in zip(axes, groups, strict=False):
        n, r = found[["models", "r"]].iloc[0]
        width, draws = found["high"].iloc[0] - found["low"].iloc[0], found["nearer"].sum() + found["farther"].sum()
        middle = (found["low"] + found["high"]) / 2
        axis.hist(
            [middle, middle],
            bins=np.append(found["low"], found["high"].iloc[-1]),
            weights=[found[side] / (draws * width) for side in ("nearer", "farther")],
            stacked=True,
            color=[PALETTE[0], PALETTE[1]],
            label=["nearer to 0", "as far or farther"],
        )
        for side in (-1, 1):
            style = {"label": "$r$ and $-r$"} if side == 1 else {}
            axis.axvline(side * abs(r), color="black", linewidth=1.3, **style)
        if n > 4:
            inner = np.linspace(-0.999, 0.999, 400)
            log_beta = gammaln(0.5) + gammaln(n / 2 - 1) - gammaln(n / 2 - 0.5)
            axis.plot(inner, np.exp((n / 2 - 2) * np.log1p(-(inner**2)) - log_beta), **THEORY, label="normal data")
        p = (1 + found["farther"].sum()) / (1 + draws)
        axis.set_title(f"{name}: $r$ = {r:.3f}, $p$ = {p:.4f}".replace("-", "−"), fontsize=11)
        axis.set(xlabel="$r$ of permuted losses", xlim=(-1, 1))
        axis.locator_params(axis="x", nbins=5)
    axes[0].set_ylabel("density")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        made.legend(handles, labels, loc="outside upper center", ncols=4, columnspacing=1, handletextpad=0.4)
    return made
