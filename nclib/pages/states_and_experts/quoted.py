"""What the prose of page 22 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.states_and_experts import claims
from nclib.pages.states_and_experts.views import OURS, PLAIN, collapse, tested, thresholds

KEYS = {"balanced": "balanced", "slight": "slightly balanced", "free": "not balanced", "two": "two experts each"}
WAYS = {"ours": OURS, "uniform": PLAIN, "frequency": "frequency", "aligned": "uniform, aligned"}
SAID = {"slight": tuple(WAYS), "balanced": ("uniform", "frequency")}


def quoted(table):
    """{key: text}: means over the seeds, and over the sizes of states."""
    shortest, longest = claims.ends(table)
    limits = thresholds(table)
    found = {"shortest": mean(shortest.min(axis=1), ".0f"), "longest": mean(longest.max(axis=1))}
    found["factor"] = number((limits["value"] / limits["dim"]).mean(), ".1f")
    rows = tested(table).query("metric == 'error'")
    for key, line, loads in (("short", claims.SHORT, (1, 2, 32)), ("long", claims.LONG, (16, 32))):
        part = rows[rows["line"] == line]
        found |= {f"{key}-{load}": mean(part[part["load"] == load]["value"], ".0%") for load in loads}
    found["ratio-missed"] = mean(claims.missed("trace_ratio", True)(table), ".1%")
    found["error-missed"] = mean(claims.missed("error", False)(table), ".3f")
    for key, arm in KEYS.items():
        found[f"use-{key}"] = mean(claims.end(arm, "in-use")(table), ".1f")
    for key, arm in {"slight": claims.SLIGHT, "balanced": claims.BALANCED}.items():
        wide = claims.accuracies(table, arm)[claims.CHOSEN]
        found[f"whole-{key}"] = mean(claims.whole(table, arm), ".1%")
        found |= {f"{name}-{key}": mean(wide[WAYS[name]], ".1%") for name in SAID[key]}
        for metric in ("inputs", "outputs", "digits"):
            found[f"{metric}-{key}"] = geometric(claims.end(arm, f"nc1-{metric}")(table))
    found["start"] = geometric(claims.at_epoch(table, claims.BALANCED, "nc1-inputs", "min"))
    found["lowest-slight"] = number(lowest(table, claims.SLIGHT))
    gains = claims.gain(OURS, PLAIN)(table)
    found |= {"gain-least": number(min(gains), ".3f"), "gain-most": number(max(gains), ".3f")}
    found["aligned-word"] = word(np.mean(claims.alignment(table)), "lowers", "raises", "does not change")
    found["aligned-gain"] = mean(np.abs(claims.alignment(table)), ".3f")
    found["rank"] = mean(claims.accuracies(table, claims.SLIGHT, "stable-rank")[claims.CHOSEN, OURS])
    return found


def lowest(table, arm):
    """The lowest geometric mean over the seeds, of all epochs, of the inputs' NC1 by expert."""
    rows = collapse(table)
    rows = rows[(rows["metric"] == "nc1-inputs") & (rows["arm"] == arm)]
    return np.exp(np.log(rows["value"]).groupby(rows["epoch"]).apply(lambda v: v.mean(skipna=False)).min())


def geometric(values):
    """A geometric mean over seeds, as the figure draws of NC1."""
    return number(np.exp(np.mean(np.log(np.asarray(values, float)))))


def mean(values, spec=".2f"):
    """A mean over seeds."""
    return number(np.mean(np.asarray(values, float)), spec)
