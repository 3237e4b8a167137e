"""What the prose of page 08 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.depth.claims import against_power, correlations, evenness

WAYS = {"layerwise": "layer by layer", "together": "all at once"}


def quoted(table):
    """{key: text}: of the networks on digits the correlation, the evenness and the law that fits better, for each way
    of training; of those on Fashion-MNIST, trained layer by layer, what is left of error, NC1 and trace ratio
    (ranges over layers and seeds)."""
    own = {key: table[(table["beside"] == "") & (table["part"] == part)] for key, part in WAYS.items()}
    found = {f"correlation-{key}": number(np.mean(correlations(rows))) for key, rows in own.items()}
    found |= {f"even-{key}": number(np.mean(evenness(rows))) for key, rows in own.items()}
    found |= {
        f"fits-{key}": word(np.mean(against_power(rows)), "geometric", "power", "same") for key, rows in own.items()
    }
    hard = table[(table["beside"] == "Fashion-MNIST") & (table["part"] == WAYS["layerwise"])]
    first, rest = hard[hard["layer"] == 1], hard[hard["layer"] > 1]
    late = hard[hard["layer"] > 5]
    return found | {
        "hard-first": number(of(first, "error").mean(), ".0%"),
        "hard-rest": between(of(rest, "error"), ".0%"),
        "hard-nc1": between(of(late, "nc1")),
        "hard-trace": between(of(late, "nc1_trace_ratio")),
    }


def of(rows, metric):
    """The values of a metric."""
    return rows.loc[rows["metric"] == metric, "value"]


def between(values, spec=".2f"):
    """The least and the largest of some values."""
    return f"{number(values.min(), spec)} to {number(values.max(), spec)}"
