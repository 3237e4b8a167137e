"""What the prose of page 07 quotes of its runs, as text."""

import numpy as np

from nclib.glued import MISSING, number
from nclib.pages.central_path.claims import RANDOM, neither, rising
from nclib.pages.central_path.views import series


def quoted(table):
    """{key: text} of a table of `study.STUDY`."""
    nc1 = series(table, "rising start", "nc1").iloc[0]
    above = nc1[nc1 > nc1.iloc[0]]
    skewed, quotients = rising(table), neither(table)
    falls = {name: series(table, RANDOM, metric) for name, metric in (("nc1", "nc1"), ("ratio", "nc1_trace_ratio"))}
    down = {name: np.sum((curves.diff(axis=1).iloc[:, 1:] < 0).all(axis=1)) for name, curves in falls.items()}
    return {
        "flows": f"{len(falls['nc1'])}",
        "nc1-falls": f"{down['nc1']}",
        "excess": number(nc1.max() / nc1.iloc[0]),
        "peak": number(nc1.idxmax(), ".1f"),
        "above": number(above.index.max(), ".1f") if len(above) else MISSING,
        "skewed": f"{len(skewed)}",
        "skewed-rise": number(skewed.sum(), ".0f"),
        "open": f"{len(quotients)}",
        "exceptions": f"{np.sum(quotients >= 1)}",
    }
