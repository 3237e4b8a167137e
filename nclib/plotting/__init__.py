"""DataFrame -> Figure: the house style, and one module of figures for each notebook. Nothing here imports torch.

Measured values are colored, one color and one marker a series, with the range over seeds as a band; theory is a black
dashed line. Figures are at most 7 inches wide with type of 10 points and more, so that they can be read on a phone.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

PALETTE = sns.color_palette("colorblind")
MARKERS = "osD^vPX*"
THEORY = {"color": "black", "linestyle": "--", "linewidth": 1.3}
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "font.size": 10.5,
    "grid.alpha": 0.3,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "nclib",
}


def figure(rows=1, columns=1, *, width=7.0, height=None, **more):
    """A figure in the house style with a grid of axes, as `plt.subplots(squeeze=False)` gives them.

    height: inches of the whole figure; default 2.9 a row. `more` goes to `plt.subplots`.
    """
    with plt.rc_context(STYLE):
        made, axes = plt.subplots(rows, columns, figsize=(width, height or 2.9 * rows), squeeze=False, **more)
    return made, axes


def seed_band(axis, table, x, *, label, index=0, log=True):
    """The mean over seeds of `value` against `x` (geometric mean where `log`), and the range over seeds as a band."""
    to, back = (np.log, np.exp) if log else (lambda v: v, lambda v: v)
    by = table.groupby(x)["value"]
    mean, low, high = back(by.apply(lambda v: to(v).mean())), by.min(), by.max()
    color = PALETTE[index % len(PALETTE)]
    marker = {"marker": MARKERS[index % len(MARKERS)], "markersize": 4, "markevery": 0.2}
    axis.plot(mean.index, mean, color=color, label=label, **marker)
    axis.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
    if log:
        axis.set_yscale("log")
