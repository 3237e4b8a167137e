"""A bound of page 06 by interval arithmetic, on a grid of boxes that covers its range."""

from dataclasses import dataclass
from itertools import pairwise, product
from typing import ClassVar

import numpy as np

from nclib.runs.experiment import Experiment, rows
from nclib.theory.certificates import trace_ratio_bound


@dataclass(frozen=True)
class TraceRatio(Experiment):
    """c from 0.01 to 0.99, lam_H from 1e-4 to 10, beta from 1e-3 to 1e4, `steps` boxes in each direction."""

    NAME: ClassVar[str] = "tirer2023.trace_ratio_proof"

    steps: int
    seed: int = 0

    def run(self, device="cpu"):
        """`lower`, the least factor by which |E_H|/|E_W| - 1 of the trace ratio exceeds 2 c (1-a)/a; `unproved`, in how
        many of the `boxes` that is not shown to be above 1."""
        edges = np.linspace(0.01, 0.99, self.steps + 1), np.geomspace(1e-4, 10, self.steps + 1)
        sides = [list(pairwise(side.tolist())) for side in (*edges, np.geomspace(1e-3, 1e4, self.steps + 1))]
        found = [trace_ratio_bound(*box) for box in product(*sides)]
        lower, unproved = min(one.lower for one in found), sum(not one.proved for one in found)
        return rows({"lower": lower, "unproved": unproved, "boxes": len(found)})
