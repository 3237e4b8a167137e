"""Random masks of one shape: what predicts that one allows a simplex frame, and whether a solver finds it."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

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
        draws = [1000 * self.seed + i for i in range(self.masks)]
        each = {
            beta: torch.stack([sf.sparse_mask(self.K, self.d, beta, seed=draw) for draw in draws])
            for beta in self.betas
        }
        masks, seeds = torch.cat(list(each.values())), draws * len(each)
        disjoint = torch.tensor([sf.disjoint_pairs(mask) > 0 for mask in masks])
        error = torch.empty(len(masks), dtype=torch.float64)
        for kind, starts in ((True, 1), (False, 3)):  # a proof says that none gets there: one is tried all the same
            which = (disjoint == kind).nonzero()[:, 0]
            error[which] = sf.nearest_simplexes(masks[which], seeds=[seeds[i] for i in which], starts=starts)[1]
        found, E = [], sf.equations(self.K)
        for i, mask in enumerate(masks):
            beta = self.betas[i // self.masks]
            values = {
                "solved": error[i] < sf.EXACT,
                "full rank": sf.generic_rank(mask, seed=seeds[i]) == E,
                "counts": sf.unknowns(mask) >= E,
                "disjoint": disjoint[i],
            }
            known = {"solved": sf.solvable_probability(self.K, self.d, beta)}
            found.append(rows(values, theory=known, beta=beta, mask=i % self.masks))
        return pd.concat(found, ignore_index=True)
