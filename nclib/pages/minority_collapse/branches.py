"""Why minorities jump: the loss of one class as a function of q, its bad local minima, and the hysteresis they cause.

The objective is that of `sweep`, balanced. The branch of survivors is followed while lambda grows, the collapsed one
while lambda falls: each minimization starts where the last one ended, plus a little noise.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.minority_collapse.sweep import lambda_at, objective, overlaps, start, targets
from nclib.runs.experiment import Experiment, rows
from nclib.theory import deep_linear
from nclib.training.lbfgs import minimize

GRID = torch.linspace(0, 1, 101, dtype=torch.float64)


@dataclass(frozen=True)
class Branches(Experiment):
    """One depth M. ratios: beta over the threshold, ascending; curves: those whose landscape is drawn."""

    NAME: ClassVar[str] = "dang2023.minority_landscape"

    depth: int = 2
    ratios: tuple = ()
    curves: tuple = ()
    counts: tuple = (4, 4, 4)
    noise: float = 0.01
    seeds: tuple = (0, 1, 2)
    dim: int = 8
    iterations: int = 1000

    def run(self, device="cpu"):
        """For each seed and `ratio` the mean of q over classes on the branch followed upward, "up", beside the largest
        stationary point of the scalar loss, and downward, "down", beside the global minimum. As theory alone the
        "spinodal", over the threshold, and the "landscape": the loss of a class over n_k/N at a `ratio` and `q`."""
        M, d, Y = self.depth, self.dim, targets(self.counts).to(device)
        K, N, seeds = *Y.shape, self.seeds
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        lambdas = [lambda_at(ratio, N / K, N, M) for ratio in self.ratios]

        def settle(theta, lam):
            lam = torch.as_tensor(lam, dtype=torch.float64, device=device).expand(len(theta))
            return minimize(
                lambda x, which: objective(x, Y, lam[which], d, M), theta, iterations=self.iterations, tolerance=1e-7
            )

        first = torch.stack([start(g, 2.0, K, d, M, N) for g in generators for _ in range(8)]).to(device)
        first, loss, _ = settle(first, lambdas[0])
        up = first.view(len(seeds), 8, -1)[range(len(seeds)), loss.view(len(seeds), 8).argmin(1)]
        branches = torch.cat([up, torch.zeros_like(up)])
        followed = {"up": [], "down": []}
        for lam_up, lam_down in zip(lambdas, reversed(lambdas), strict=True):
            noise = torch.stack(
                [torch.randn(branches.shape[1], generator=g, dtype=torch.float64) for g in 2 * generators]
            )
            lam = torch.tensor([lam_up, lam_down], dtype=torch.float64).repeat_interleave(len(seeds))
            branches, _, _ = settle(branches + self.noise * noise.to(device), lam)
            q = overlaps(branches, Y, d, M).mean(1).view(2, len(seeds))
            followed["up"].append(q[0])
            followed["down"].insert(0, q[1])

        return pd.concat([self.landscape(), *self.rows_of(followed)], ignore_index=True)

    def landscape(self):
        """The rows that are theory alone."""
        M, thr = self.depth, deep_linear.collapse_threshold(self.depth)
        loss = torch.stack([deep_linear.scalar_loss(GRID, ratio * thr, M) for ratio in self.curves])
        law = {"landscape": loss, "spinodal": deep_linear.spinodal(M) / thr}
        found = rows(
            {name: torch.full_like(torch.as_tensor(v), torch.nan) for name, v in law.items()},
            "curve",
            "g",
            theory=law,
            seed=self.seeds[0],
        )
        ratio, q = dict(enumerate(self.curves)), dict(enumerate(GRID.tolist()))
        ratios, grid = found["curve"].map(ratio).astype("float64"), found["g"].map(q).astype("float64")
        return found.assign(ratio=ratios, q=grid).drop(columns=["curve", "g"])

    def rows_of(self, followed):
        """The rows of both branches, for each seed."""
        M, thr = self.depth, deep_linear.collapse_threshold(self.depth)
        law = {
            "up": [max((0.0, *deep_linear.stationary_points(ratio * thr, M))) for ratio in self.ratios],
            "down": [float(deep_linear.overlap(ratio * thr, M)) for ratio in self.ratios],
        }
        ratio = dict(enumerate(self.ratios))
        for r, seed in enumerate(self.seeds):
            measured = {name: torch.stack(q)[:, r] for name, q in followed.items()}
            found = rows(measured, "point", theory=law, seed=seed)
            yield found.assign(ratio=found["point"].map(ratio).astype("float64"), q=float("nan")).drop(columns="point")
