"""What the prose of page 20 quotes of its runs, as text."""

import numpy as np

from nclib.glued import number, word
from nclib.pages.averages import claims
from nclib.pages.averages.views import barrier, one


def quoted(table):
    """{key: text}: means over the seeds."""
    found = {
        f"barrier-{key}": mean(barrier(table, way))
        for key, way in {"plain": "as they are", "matched": "matched"}.items()
    }
    found["distance"] = mean(claims.distance_left(table))
    found |= {f"gain-{name}": mean(claims.gained(name)(table)) for name in ("top", "bottom")}
    found["top-word"] = word(
        np.mean(claims.gained("top")(table) - claims.gained("bottom")(table)), "less", "more", "as much"
    )
    for way in ("trained", "matched"):
        found[f"variance-{way}"] = mean(one(table, metric="variance", way=way, n=claims.largest(table)))
        found[f"loss-{way}"] = mean(claims.loss(table, way, False))
        found[f"mended-{way}"] = mean(claims.loss(table, way, True))
    for key, way in {"ends": "ends", "plain": "as they are", "matched": "matched"}.items():
        found[f"nc3-{key}"] = mean(one(table, metric="nc3", way=way))
    for way in ("clients", "average"):
        found[f"accuracy-{way}"] = mean(claims.at_round("accuracy", way, "max")(table), ".0%")
        found[f"nc1-{way}"] = mean(claims.at_round("nc1", way, "max")(table))
    found["variance-clients"] = mean(claims.at_round("variance", "average", "min")(table))
    return found


def mean(values, spec=".2f"):
    """A mean over seeds."""
    return number(np.mean(np.asarray(values, float)), spec)
