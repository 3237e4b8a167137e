"""Closed-form losses of the simplex ETF and of the cross-polytope for cross-entropy, over depth, classes and decay."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from nclib.runs.experiment import Experiment, rows
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate, cross_polytope_wins


@dataclass(frozen=True)
class Candidates(Experiment):
    """All pairs of depths M and even numbers of classes K, one weight decay lam for all factors, one sample a class.
    Nothing is random: `seed` is only recorded."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_candidates"

    depths: tuple[int, ...]
    classes: tuple[int, ...]
    lam: float
    seed: int = 0

    def run(self, device="cpu"):
        """For each `M` and `K`: losses `etf`, `cross_polytope`, their `ratio`, its `limit`, and `wins` by the rule."""
        tables = []
        for M in self.depths:
            for K in self.classes:
                decays = (self.lam,) * M, self.lam
                etf, cross = ce_etf_candidate(K, 1, *decays).loss, ce_cross_polytope_candidate(K, 1, *decays).loss
                found = {"etf": etf, "cross_polytope": cross, "ratio": cross / etf}
                found |= {"limit": limit(K, M), "wins": cross_polytope_wins(K, M)}
                tables.append(rows(found, M=M, K=K))
        return pd.concat(tables, ignore_index=True)


def limit(num_classes, depth):
    """(K/2) 2^(2/(M+1)) / (K-1): the ratio of the two regularizers at equal margin, so of the losses as lam -> 0."""
    return num_classes / 2 * 2 ** (2 / (depth + 1)) / (num_classes - 1)
