"""What the prose of page 21 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number
from nclib.pages.spectra import claims, views

KEYS = dict(zip(("all", "last", "centered"), views.WHICH, strict=True))


def quoted(table):
    """{key: text}: means over the seeds, of outliers for the largest number of classes."""
    rows = views.counts(table)
    close = {
        key: (rows["value"] - rows["theory"] + (key == "last")).abs()[rows["line"] == line] <= 1
        for key, line in KEYS.items()
    }
    rows = rows[rows["K"] == rows["K"].max()]
    found = {f"outliers-{key}": mean(rows.loc[rows["line"] == line, "value"], ".1f") for key, line in KEYS.items()}
    found |= {f"close-{key}": number(right.mean(), ".0%") for key, right in close.items()}
    found["classes"] = number(rows["K"].max(), ".0f")
    found |= {f"area-{key}": mean(claims.area(table, key), ".2f") for key in ("loss", "trace_ratio")}
    found["steps"] = mean(claims.apart(table), ".1f")
    gains = table.loc[(table["part"] == "zoo") & (table["metric"] == "gain"), "value"]
    found |= {"gain-least": number(100 * gains.min(), ".1f"), "gain-most": number(100 * gains.max(), ".1f")}
    return {key.replace("_", "-"): text for key, text in found.items()}


def mean(values, spec):
    """A mean over seeds."""
    return number(np.mean(np.asarray(values, float)), spec)
