"""What the prose of page 19 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.pruning import claims
from nclib.pages.pruning.views import WEIGHTS, drop, mended, series, turns, units, warning

HALF = 64  # of the hidden units


def quoted(table):
    """{key: text}: means over the seeds."""
    found = {"drop": mean(drop(table)), "turn": mean(turns(table)[3])}
    for name in ("nc1", "between", "rank"):
        ahead = claims.lead(name)(table)
        found |= {f"{name}-warns": mean(warning(table, name)), f"{name}-lead": words(ahead)}
    found |= {"gain": number(100 * np.mean(claims.minimum_gain(table)), ".0f")}
    empty, cured = series(table, "emptiest", WEIGHTS[1]).min(), at_empty(table)
    found |= {"emptiest": f"at most {empty.max():.0f} of its weights" if empty.any() else "no weights"}
    found |= {"cured": number(known(cured), ".0%")}
    found["emptied"] = f"{(empty == 0).sum()} of {len(empty)}"
    for key, part in {"once": "units at once", "cycles": "units in five cycles"}.items():
        found |= {f"behind-{key}": number(100 * np.mean(claims.behind(part)(table)), ".1f")}
        gone, back = at_half(table, part)
        found |= {f"gone-{key}": number(gone, ".0%"), f"back-{key}": number(100 * back, ".1f")}
    rows = units(table)
    recovered, full = rows["value"] >= rows["theory"] - 0.01, rows["rank"] >= 9
    found["least-rank"] = number(rows.loc[recovered, "rank"].min(), ".0f")
    found |= {"full-lost": number((full & ~recovered).mean(), ".0%")}
    return found | {"short-recovered": number((~full & recovered).mean(), ".0%")}


def at_half(table, part):
    """(accuracy when all but `HALF` units had gone, how far below the dense network it stays after training on)."""
    rows = mended(table).query("line == @part and kept == @HALF")
    gone, back = (rows.loc[rows["metric"] == metric, "value"].mean(skipna=False) for metric in ("pruned", "accuracy"))
    return gone, rows["theory"].mean() - back


def known(values):
    """The mean of what is there."""
    return np.mean(values[~np.isnan(values)]) if (~np.isnan(values)).any() else np.nan


def mean(values):
    """A mean over seeds."""
    return number(np.mean(values), ".1f")


def words(ahead):
    """How many rounds earlier or later."""
    return f"{mean(np.abs(np.mean(ahead)))} rounds {word(np.mean(ahead), 'later', 'earlier', 'apart')}"


def at_empty(table):
    """Accuracy with a minimum where a layer is first empty without one."""
    return claims.at_empty(WEIGHTS[2])(table)
