"""The house style of figures, which are drawn from DataFrames. Nothing here imports torch.

Measured values are colored, with one color and one marker for each series and the range over seeds as a band; theory is
a black dashed line. Figures are at most 7 inches wide and their type has at least 10 points, so that they can be read
on a phone.
"""

import re

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.ticker import LogFormatterSciNotation

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
FEW = 12  # points of a curve up to which each has its marker
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(rows=1, columns=1, *, width=7.0, height=None, **more) -> tuple[plt.Figure, np.ndarray]:
    """Return a figure in the house style and its axes, an array (rows, columns).

    height: inches of the whole figure; default 2.9 a row. `more` goes to `plt.subplots`.
    """
    with plt.rc_context(STYLE):
        made, axes = plt.subplots(rows, columns, figsize=(width, height or 2.9 * rows), squeeze=False, **more)
    return made, axes


def seed_band(axis, table, x, *, label, index=0, log=True) -> None:
    """Draw the mean over seeds of `value` against `x` as a line, and the range over seeds as a band.

    With `log` the axis is logarithmic and the mean is the geometric one.
    """
    to, back = (np.log, np.exp) if log else (lambda v: v, lambda v: v)
    by = table.groupby(x)["value"]
    mean, low, high = back(to(table["value"]).groupby(table[x]).mean()), by.min(), by.max()
    color = PALETTE[index % len(PALETTE)]
    often = 1 if len(mean) <= FEW else 0.2
    marker = {"marker": MARKERS[index % len(MARKERS)], "markersize": 4, "markevery": often}
    axis.plot(mean.index, mean, color=color, label=label, **marker)
    axis.fill_between(mean.index, low, high, color=color, alpha=0.2, linewidth=0)
    if log:
        axis.set_yscale("log")


def nothing(axis, values, log=False) -> bool:
    """Whether a panel has nothing to draw; if so, the panel says it.

    Values can be drawn where they are finite and, on a logarithmic axis, positive.
    """
    values = np.asarray(values, dtype=float)
    if (np.isfinite(values) & ((values > 0) | (not log))).any():
        return False
    axis.text(0.5, 0.5, "no value", transform=axis.transAxes, ha="center", va="center", color="gray")
    return True


def places(column) -> dict:
    """{value: its place in the palette and among the markers}, so that a value looks the same in every panel."""
    return {value: place for place, value in enumerate(sorted(column.unique()))}


def legend_above(made, ncols=4) -> None:
    """Put one legend above all panels, with every label once: short labels first, numbers in their order."""
    pairs = [pair for axis in made.axes for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    handles = dict(sorted(((label, handle) for handle, label in pairs), key=lambda pair: _in_order(pair[0])))
    made.legend(handles.values(), handles, loc="outside upper center", ncols=ncols, columnspacing=1, handletextpad=0.4)


def literal(text) -> str:
    """Return a text of a reader or a corpus for a label, in which a dollar begins no formula."""
    return text.replace("$", r"\$")


def _in_order(label):
    words = re.sub(r"\d+", "", label)
    return len(words), words, [int(number) for number in re.findall(r"\d+", label)]


class PlainPowers(LogFormatterSciNotation):
    """Ticks of a logarithmic axis in plain characters: 2×10⁻³, and 0.6 on an axis of less than two decades near 1."""

    def __call__(self, x, pos=None) -> str:
        low, high = sorted(self.axis.get_view_interval())
        if self._base == 10 and 0.01 <= low and high < min(100 * low, 1e4):
            return f"{x:g}" if super().__call__(x, pos) else ""
        text = super().__call__(x, pos).removeprefix(r"$\mathdefault{").removesuffix("}$").replace(r"\times", "×")
        return re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(RAISED), text).replace("-", "−")


def plain_powers(made) -> None:
    """Give the logarithmic axes of a figure ticks in plain characters, in place: set as formulas, as matplotlib does
    by itself, these took half of the time of a figure."""
    for axis in (axis for axes in made.axes for axis in (axes.xaxis, axes.yaxis)):
        for old, change in (
            (axis.get_major_formatter(), axis.set_major_formatter),
            (axis.get_minor_formatter(), axis.set_minor_formatter),
        ):
            if type(old) is LogFormatterSciNotation:
                change(PlainPowers(old._base, old.labelOnlyBase, old.minor_thresholds, old._linthresh))


def narrow(made, width=4.6) -> None:
    """Change a finished figure for a narrow screen, in place: put its panels one below the other.

    Legends get two columns or, where these are wider than the figure, one. width: inches; type of 9 points is then 9
    pixels high where the figure is shown 350 pixels wide.
    """
    parts = made.subfigs or [made]
    made.set_size_inches(width, made.get_figheight() * max(_stack(part) for part in parts))
    for part in [made, *made.subfigs]:
        for legend in list(part.legends):
            entries = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
            place = f"outside {'upper' if 'upper' in str(legend._outside_loc) else 'lower'} center"
            legend.remove()
            style = {"loc": place, "columnspacing": 1, "handletextpad": 0.4}
            made_anew = part.legend(*entries, ncols=2, **style)
            if made_anew.get_window_extent().width > made.bbox.width:
                made_anew.remove()
                part.legend(*entries, ncols=1, **style)


def _stack(part):
    """Put the panels of a figure or subfigure below one another, and return how many stood in a row."""
    panels = [axis for axis in part.axes if axis.get_subplotspec() is not None]
    columns = max((axis.get_gridspec().ncols for axis in panels), default=1)
    if columns > 1:
        grid = part.add_gridspec(len(panels), 1)
        left = {axis.get_subplotspec().rowspan.start: axis for axis in reversed(panels)}
        low = {axis.get_subplotspec().colspan.start: axis for axis in panels}
        for axis, place in zip(panels, grid, strict=True):
            old = axis.get_subplotspec()
            axis.set_subplotspec(place)
            axis.tick_params(labelbottom=True, labelleft=True)
            axis.set_ylabel(axis.get_ylabel() or left[old.rowspan.start].get_ylabel())
            axis.set_xlabel(axis.get_xlabel() or low[old.colspan.start].get_xlabel())
    return columns
