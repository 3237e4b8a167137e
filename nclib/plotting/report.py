"""The figure of one measurement: every number with its interval, and what directions without structure would give."""

import math

from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from nclib.plotting import MARKERS, PALETTE, THEORY, figure

PANELS = {
    "NC1: variability": {
        "nc1": "NC1",
        "nc1_trace_ratio": "trace ratio",
        "cdnv_mean": "CDNV, mean",
        "cdnv_max": "CDNV, worst",
    },
    "NC2: distance to a frame": {
        "etf_error": "simplex ETF",
        "of_error": "orthogonal",
        "dual_error": "ETF, $WM^\\top$",
        "norm_cv": "unequal norms",
    },
    "NC2: angles": {
        "interference_mean": "cosine",
        "interference_std": "its spread",
        "gnc2_mean": "$-\\log$ distance",
        "gnc2_std": "its spread",
    },
    "NC3, NC4: classifier": {
        "self_duality": "cosine",
        "duality_std": "its spread",
        "nc3": "distance",
        "ncc_agreement": "agreement",
    },
}
INTERVAL = {"linewidth": 1.6, "marker": "|", "markersize": 11}
LOGARITHMIC = "NC1: variability"


def report(measured: dict, null: dict, intervals: dict | None = None) -> "Figure":  # noqa: F821
    """Figure of `conventions.measure`, a panel for each kind of number, a row for each number that is there.

    null: `nulls.uniform_directions`, or the numbers of shuffled labels; drawn as a black dashed line for each number
    it has. intervals: {key: (low, high)} of `bootstrap.intervals`, drawn as bars. Values that are not finite are
    written as words, and variabilities of 0 have no place on their logarithmic axis.
    """
    intervals = intervals or {}
    panels = {title: {k: label for k, label in rows.items() if k in measured} for title, rows in PANELS.items()}
    panels = {title: rows for title, rows in panels.items() if rows}
    lines = -(-len(panels) // 2)
    made, axes = figure(lines, 2, height=2.5 * lines + 0.5)
    for axis, (p, (title, rows)) in zip(axes.flat, enumerate(panels.items()), strict=False):
        for i, key in enumerate(rows):
            _row(axis, i, measured[key], null.get(key), intervals.get(key), p, title == LOGARITHMIC)
        axis.set_yticks(range(len(rows)), list(rows.values()))
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_title(title, loc="left")
        axis.grid(axis="y", visible=False)
        axis.margins(x=0.08)
        if title == LOGARITHMIC:
            _decades(axis)
    for axis in list(axes.flat)[len(panels) :]:
        axis.remove()
    _legend(made, null, intervals)
    size = f"{measured['classes']:,.0f} classes, {measured['samples']:,.0f} samples"
    made.suptitle(f"{size}, {null['dimension']:,.0f} dimensions" if "dimension" in null else size, fontsize=11)
    return made


def _row(axis, i, value, null, interval, p, log):
    """One number: its point and interval, its value at the right, and its null as a dashed line across the row."""
    word = "undefined" if math.isnan(value) else "infinite" if math.isinf(value) else f"{value:.3g}"
    axis.text(1.02, i, word, transform=axis.get_yaxis_transform(), va="center", fontsize=9)
    if null is not None and math.isfinite(null):
        axis.plot([null, null], [i - 0.38, i + 0.38], **THEORY)
    if not math.isfinite(value) or (log and value <= 0):
        return
    if interval is not None and all(map(math.isfinite, interval)):
        axis.plot(interval, [i, i], color=PALETTE[p], **INTERVAL)
    axis.plot(value, i, color=PALETTE[p], marker=MARKERS[p], markersize=5, linestyle="none")


def _decades(axis):
    """A logarithmic axis between whole powers of ten, with at most six of them named."""
    low, high = axis.dataLim.intervalx if math.isfinite(axis.dataLim.width) else (0.1, 1)
    low, high = math.floor(math.log10(low) - 0.05), math.ceil(math.log10(high) + 0.05)
    axis.set_xscale("log")
    axis.set_xlim(10.0**low, 10.0 ** max(high, low + 1))
    axis.xaxis.set_major_locator(LogLocator(numticks=6))
    axis.xaxis.set_minor_locator(NullLocator())


def _legend(made, null, intervals):
    handles = [Line2D([], [], color="dimgray", marker=MARKERS[0], linestyle="none", label="measured")]
    if intervals:
        handles.append(Line2D([], [], color="dimgray", label="bootstrap over classes", **INTERVAL))
    if null:
        handles.append(Line2D([], [], label="uniform directions" if "dimension" in null else "null", **THEORY))
    made.legend(handles=handles, loc="outside lower center", ncols=3)
