"""Closed-form losses of the simplex ETF and of the cross-polytope for cross-entropy, over depth, classes and decay."""

from dataclasses import dataclass

import pandas as pd

from nclib.claims import Claim, counted, judge
from nclib.results import choose, rows
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate, cross_polytope_wins

VERSION = 1
COST = {"paper": "a second on any CPU"}


@dataclass(frozen=True)
class Config:
    """All pairs of depths M and even numbers of classes K, one weight decay lam for all factors, one sample a class."""

    depths: tuple[int, ...]
    classes: tuple[int, ...]
    lam: float
    seed: int = 0


def runs(profile, *, seed=0):
    """A grid for each weight decay; nothing is random, and `seed` is only recorded."""
    fine = (1e-2, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12, 1e-15)
    lams = choose(profile, {"smoke": (1e-2, 1e-3, 1e-15), "laptop": fine, "paper": fine})
    return [Config((1, 2, 3, 4, 6), (4, 6, 8, 10, 12), lam, seed) for lam in lams]


def limit(num_classes, depth):
    """(K/2) 2^(2/(M+1)) / (K-1): the ratio of the two regularizers at equal margin, so of the losses as lam -> 0."""
    return num_classes / 2 * 2 ** (2 / (depth + 1)) / (num_classes - 1)


def run(config, device):
    """Rows by `layer` "M=2,K=6": losses `etf`, `cross_polytope`, their `ratio`, its `limit`, and `wins` by the rule."""
    tables = []
    for M in config.depths:
        for K in config.classes:
            decays = (config.lam,) * M, config.lam
            etf, cross = ce_etf_candidate(K, 1, *decays).loss, ce_cross_polytope_candidate(K, 1, *decays).loss
            found = {"etf": etf, "cross_polytope": cross, "ratio": cross / etf}
            found |= {"limit": limit(K, M), "wins": cross_polytope_wins(K, M)}
            tables.append(rows(found, layer=f"M={M},K={K}", source="theory"))
    return pd.concat(tables, ignore_index=True)


def pairs(table):
    """One row for each (lam, M, K), with a column for each metric."""
    found = table["layer"].str.extract(r"M=(?P<M>\d+),K=(?P<K>\d+)").astype(int)
    index = ["lam", "M", "K"]
    return table.assign(**found).pivot_table(index=index, columns="metric", values="value").reset_index()


RULE = Claim(
    "dang2023.cross-entropy.small-lambda-rule",
    "Dang et al. 2023",
    "Pairs (M, K) on which the rule (K/2) 2^(2/(M+1)) < K - 1 and the losses at lambda = 1e-15 disagree",
    "Derived; not a statement of the paper",
    "==",
    0.0,
    0.0,
    kind="extension",
    seen="derived",
    every=True,
)


def claims(table):
    """The small-lambda rule against the losses at the smallest decay of the grid."""
    smallest = pairs(table).query("lam == lam.min()")
    wrong = counted((smallest["ratio"] < 1) != (smallest["wins"] > 0), smallest["ratio"])
    return [judge(RULE, wrong.sum(skipna=False))]
