"""Figures of notebook A3: what codebases give on the same features, before and after conversion."""

import numpy as np

from nclib.pages.rosetta.views import KINDS, SETS
from nclib.plotting import MARKERS, PALETTE, figure, plt

COLORS = dict(zip(KINDS, (PALETTE[i] for i in (0, 1, 2, 3, 4, 7)), strict=True))
SHAPES = dict(zip(SETS, MARKERS, strict=False))
EDGES = (1e-4, 1e4)  # farther ratios are drawn here
BEFORE = {"color": "0.45", "markerfacecolor": "none", "ls": "", "markersize": 6}


def values(rows):
    """A panel for each name, a row for each formula, labelled by who computes it; |value|, colored by kind."""
    families = list(dict.fromkeys(rows["family"]))
    parts = [rows[rows["family"] == family] for family in families]
    made, axes = _stacked([part["metric"].nunique() for part in parts])
    for axis, family, part in zip(axes, families, parts, strict=True):
        _rows(axis, part, [part.loc[part["metric"] == name, "code"].iloc[0] for name in part["metric"].unique()])
        for i, (_, own) in enumerate(part.groupby("metric", sort=False)):
            for shape, value, kind in zip(own["data"].map(SHAPES), own["value"].abs(), own["kind"], strict=True):
                axis.plot(value, i, shape, color=COLORS[kind], markersize=6, alpha=0.85)
        axis.set(xscale="log", xlabel=f"|value| called {family}")
    kinds = [plt.Line2D([], [], marker="o", ls="", color=color, label=kind) for kind, color in COLORS.items()]
    made.legend(handles=[*kinds, *_shapes()], loc="outside upper center", ncols=3, frameon=False)
    return made


def ratios(rows):
    """Value over nclib's number, hollow, and over that number converted; below, those without a rule.

    A ratio beyond `EDGES` is drawn there."""
    ruled = rows.groupby("metric")["after"].transform(lambda after: after.notna().any())
    parts = {"with a rule": rows[ruled], "without": rows[~ruled]}
    made, axes = _stacked([part["metric"].nunique() for part in parts.values()], sharex=True)
    for axis, (title, part) in zip(axes, parts.items(), strict=True):
        _rows(axis, part, list(part["metric"].unique()))
        for i, (_, own) in enumerate(part.groupby("metric", sort=False)):
            for shape, before, after in zip(own["data"].map(SHAPES), own["before"], own["after"], strict=True):
                axis.plot(np.clip(abs(before), *EDGES), i, shape, **BEFORE)
                axis.plot(after, i, shape, color=PALETTE[0], markersize=5)
        axis.axvline(1, color="black", linestyle="--", linewidth=1.3, zorder=0)
        axis.set(xscale="log", xlabel=f"|value| over nclib's number, formulas {title}")
        axis.tick_params(labelbottom=True)
    looks = [BEFORE | {"label": "as it is"}, {"color": PALETTE[0], "ls": "", "label": "nclib's number converted"}]
    handles = [plt.Line2D([], [], marker="o", **look) for look in looks]
    made.legend(handles=[*handles, *_shapes()], loc="outside upper center", ncols=2, frameon=False)
    return made


def _stacked(counts, **more):
    """Panels below one another, as high as they have rows."""
    height = 0.23 * sum(counts) + 0.75 * len(counts) + 0.8
    more |= {"gridspec_kw": {"height_ratios": [count + 0.6 for count in counts]}}
    made, axes = figure(len(counts), 1, height=height, **more)
    return made, axes[:, 0]


def _rows(axis, part, labels):
    axis.set_yticks(np.arange(len(labels)), labels, fontsize=10)
    axis.set_ylim(len(labels) - 0.5, -0.5)


def _shapes():
    return [plt.Line2D([], [], marker=shape, ls="", color="0.3", label=name) for name, shape in SHAPES.items()]
