"""Minority collapse, cross-entropy: samples moved from a majority to a minority of classes at a fixed total N.

The objective is 1/N sum_i CE(W h_i, y_i) + lambda/2 (|W|^2 + |H|^2) without a bias, H free or H >= 0, minimized over W
and all N columns of H by (projected) L-BFGS from random starts. `groups` classes of n_A samples, `groups` of n_B.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory import imbalance
from nclib.training.lbfgs import minimize


@dataclass(frozen=True)
class Groups(Experiment):
    """total N; sizes: the n_B; collapse_size: N^2 lambda^2, Hong & Ling's threshold; nonnegative: H >= 0."""

    NAME: ClassVar[str] = "dang2023.minority_cross_entropy"

    sizes: tuple = ()
    nonnegative: bool = False
    total: int = 60
    groups: int = 2
    collapse_size: float = 6.5
    starts: int = 1
    seeds: tuple = (0, 1, 2)
    dim: int = 16
    iterations: int = 3000

    def run(self, device="cpu"):
        """For each seed and `size` n_B the "contrast" inside the minority and the "loss", beside the closed form; and
        the `threshold` on n_B."""
        g, N, d, K, seeds = self.groups, self.total, self.dim, 2 * self.groups, self.seeds
        lam = self.collapse_size**0.5 / N
        counts = [self.class_counts(size) for size in self.sizes]
        exact = [
            imbalance.relu_ce_minimizer(n, lam, lam)
            if self.nonnegative
            else imbalance.two_group_ce_minimizer(g, n[0], g, n[-1], lam, lam)
            for n in counts
        ]
        y = torch.stack([torch.repeat_interleave(torch.arange(K), torch.tensor(n)) for n in counts])
        shape = (len(seeds), self.starts, len(counts))
        y = y.repeat(len(seeds) * self.starts, 1).to(device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        theta = torch.cat(
            [torch.randn(shape[1] * shape[2], K * d + d * N, generator=r, dtype=torch.float64) for r in generators]
        )

        def logits(theta):
            return theta[:, : K * d].view(-1, K, d) @ theta[:, K * d :].view(-1, d, N)

        def objective(theta, which):
            fit = torch.nn.functional.cross_entropy(logits(theta), y[which], reduction="none").mean(1)
            return fit + lam / 2 * theta.square().sum(1)

        bound = torch.arange(K * d + d * N) >= (K * d if self.nonnegative else K * d + d * N)
        theta = torch.where(bound, theta.abs(), theta).to(device) / d**0.5
        theta, loss, _ = minimize(objective, theta, iterations=self.iterations, tolerance=1e-8, nonnegative=bound)
        Y = torch.nn.functional.one_hot(y, K).double()
        found = contrast(logits(theta) @ (Y / Y.sum(1, keepdim=True)), g).view(shape)
        loss, best = loss.view(shape).min(1)
        found = found.gather(1, best[:, None])[:, 0]

        law = {"contrast": [float(contrast(e.logits, g)) for e in exact], "loss": [e.loss for e in exact]}
        tables = [
            rows({"contrast": found[r], "loss": loss[r]}, "point", theory=law, seed=seed)
            for r, seed in enumerate(seeds)
        ]
        table = pd.concat(tables, ignore_index=True)
        threshold = self.collapse_size * (K / (K - 1) if self.nonnegative else 1)
        sizes = table["point"].map(dict(enumerate(self.sizes))).astype("Int64")
        return table.assign(size=sizes, threshold=threshold).drop(columns="point")

    def class_counts(self, size):
        """Class sizes, majority first, with n_B = size."""
        g = self.groups
        return (self.total // g - size,) * g + (size,) * g


def contrast(logits, g):
    """Mean over the last g classes of own logit minus the others' in the group, of class logits (..., K, K)."""
    B = logits[..., -g:, -g:]
    own = B.diagonal(dim1=-2, dim2=-1).sum(-1)
    return own / g - (B.sum((-2, -1)) - own) / (g * (g - 1))
