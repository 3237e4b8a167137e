"""Random masks of one shape: what predicts that one allows a simplex frame, and whether a solver finds it."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from nclib.runs.experiment import Experiment, rows
from nclib.theory import sparse_frame as sf


@dataclass(frozen=True)
class Masks(Experiment):
    """`masks` masks of K rows and d columns at each share of zeros."""

    NAME: ClassVar[str] = "xiao2024.masks"

    K: int
    d: int
    betas: tuple[float, ...]
    masks: int
    seed: int

    def run(self, device="cpu"):
        """For each `beta` and `mask`: 1 or 0 for "solved" (residual below 1e-12; `theory` is the probability in closed
        form), "full rank" (the generic rank is E), "counts" (F >= E), "disjoint" (two rows share no column)."""
        found = []
        for beta in self.betas:
            known = sf.solvable_probability(self.K, self.d, beta)
            for i in range(self.masks):
                draw = 1000 * self.seed + i
                mask = sf.sparse_mask(self.K, self.d, beta, seed=draw)
                E, disjoint = sf.equations(self.K), sf.disjoint_pairs(mask) > 0
                starts = 1 if disjoint else 3  # a proof says that none gets there: one is tried all the same
                values = {
                    "solved": sf.nearest_simplex(mask, seed=draw, starts=starts)[1] < sf.EXACT,
                    "full rank": sf.generic_rank(mask, seed=draw) == E,
                    "counts": sf.unknowns(mask) >= E,
                    "disjoint": disjoint,
                }
                found.append(rows(values, theory={"solved": known}, beta=beta, mask=i))
        return pd.concat(found, ignore_index=True)
