"""The printed tables and paragraphs of page A1."""

import textwrap

import pandas as pd

from nclib import conventions
from nclib.glued import number
from nclib.measuring import report
from nclib.pages.measure.views import TRAPS, disagreement, errors, language, layer_values
from nclib.reading import reading


def numbers(table, layer="features"):
    """Every number of a layer beside its interval and nulls, and what it means."""
    found = layer_values(table, layer)
    lines = [
        {
            "metric": key,
            "value": _number(found["measured"][key]),
            "95 % over classes": " to ".join(_number(found[end][key]) for end in ("low", "high"))
            if key in found["low"]
            else "",
            "random directions": _number(found["theory"].get(key)) if key != "classes" else "",
            "shuffled labels": _number(found["shuffled"].get(key)) if key not in ("classes", "samples") else "",
            "what it is": meaning,
        }
        for key, meaning in conventions.DESCRIPTIONS.items()
        if key in found["measured"]
    ]
    return pd.DataFrame(lines).set_index("metric")


def words(table, what="network"):
    """`nclib.reading` of the network's features, or of the language model, as Markdown."""
    from IPython.display import Markdown

    if what == "network":
        found = layer_values(table)
        text = reading(found["measured"], found["theory"])
    else:
        values, null = language(table)
        text = reading(values["textbook"], null)
    return Markdown(textwrap.indent(text, "> "))


def presets(table):
    """`views.disagreement` for a reader."""
    return shown(disagreement(table))


def shown(frame):
    """A table of numbers as text for a reader."""
    return frame.map(lambda value: value if isinstance(value, str) else _number(value))


def _number(value):
    if value is None or value != value:
        return ""
    return number(value, ",.4g") if value < 1e5 else report.number(value)


def traps(table):
    """The traps of the first seed for a reader: the number, the naive way and its value, ours, the loop's."""
    found = errors(table)
    found = found[found["seed"] == found["seed"].min()].set_index("trap")
    lines = [
        {
            "number": what,
            "naive way": naive,
            "naive": _number(found.loc[trap, "naive"]),
            "nclib": _number(found.loc[trap, "ours"]),
            "float64 loop": _number(found.loc[trap, "truth"]),
            "nclib's way": ours,
        }
        for trap, (what, naive, ours) in TRAPS.items()
    ]
    return pd.DataFrame(lines).set_index("number")
