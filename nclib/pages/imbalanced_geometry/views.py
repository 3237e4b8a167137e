"""Tables of `study.STUDY` -> the rows that a figure draws. `n`: samples of the class."""

import pandas as pd

from nclib.pages._linear_heads import views as shared
from nclib.pages._linear_heads.views import DIRECT, NETWORK

FLOOR = ("nc2_W", "nc2_H", "nc3_WH", "nc3")
EXPERIMENT = {"direct": DIRECT, "network": NETWORK}


def sizes(rows):
    """Samples of the class `i` of each row."""
    return [int(counts.split()[i]) for counts, i in zip(rows["counts"], rows["i"], strict=True)]


def curves(table, part):
    """Errors at each step of direct optimization, with predicted rates, or of networks."""
    draw = {"direct": shared.direct_curves, "network": shared.network_curves}[part]
    return draw(table[table["part"] == part])


def gram_matrices(table, part):
    """The three matrices of one run, measured and predicted."""
    return shared.gram_matrices(table[table["part"] == part], experiment=EXPERIMENT[part])


def lengths(table, part):
    """|w_k| and |class mean k| at the end, measured (all seeds) and predicted."""
    rows = shared.panels(table[table["part"] == part], EXPERIMENT[part], False)
    found = pd.concat([rows[rows["metric"] == metric] for metric in ("length_w", "length_h")])
    return found.assign(n=sizes(found))[["panel", "metric", "depth", "seed", "n", "value", "theory"]]


def layers(table, *, depths=(3, 6)):
    """The K largest singular values of each layer `m` by direct optimization, measured (all seeds) and predicted."""
    rows = table[(table["part"] == "direct") & (table["beside"] == "") & (table["metric"] == "singular_value")]
    depths = [M for M in depths if M in set(rows["depth"])] or [max(rows["depth"])]
    found = rows[rows["depth"].isin(depths)]
    found = found.assign(m=found["layer"].str.removeprefix("W").astype(int))
    return found[["depth", "m", "i", "seed", "value", "theory"]]


def widths(table):
    """|w_k| of each class against the width of the layers, measured (all seeds) and predicted."""
    rows = table[table["part"].isin(["narrow", "just wide enough"]) & (table["metric"] == "length_w")]
    found = rows[rows["beside"] == ""]
    return found.assign(n=sizes(found))[["depth", "width", "i", "n", "seed", "value", "theory"]]


def floor(table):
    """The network of the authors' objective against its minimizer and against their target, whose floor is theory."""
    rows = table[(table["experiment"] == NETWORK) & (table["beside"] == "") & (table["layer"] == "")]
    rows = rows[(rows["scale"] == "authors-imbalanced") & (rows["step"] > 0)]
    rows = rows[rows["depth"] == rows["depth"].min()]
    names = [name for metric in FLOOR for name in (metric, f"authors_{metric}")]
    return rows[rows["metric"].isin(names)][["metric", "seed", "step", "value", "theory"]]


def energies(table):
    """N lam |h_k|^2 at the minima of another optimizer, measured (all seeds) and predicted."""
    rows = table[(table["part"] == "lengths") & (table["metric"] == "energy") & (table["beside"] == "")]
    return rows.assign(n=sizes(rows))[["depth", "seed", "n", "value", "theory"]]
