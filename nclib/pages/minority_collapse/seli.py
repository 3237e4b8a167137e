"""Imbalanced cross-entropy as lambda -> 0: how fast the geometry tends to the simplex-encoded-labels interpolation.

The objective is 1/N sum_k n_k CE(W h_k, k) + lambda/2 (|W|^2 + sum_k n_k |h_k|^2): one feature a class, since fixed
W all samples of a class solve one strictly convex problem. L-BFGS from random starts, then a certificate by the convex
problem in the logits Zbar: with G = (gradient of the cross-entropy by Zbar) diag(1/sqrt n), a stationary point with
Zbar != 0 is a global minimum iff the largest singular value of G is lambda.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory import imbalance
from nclib.training.lbfgs import minimize


@dataclass(frozen=True)
class Vanishing(Experiment):
    """One set of classes; lambdas falling."""

    NAME: ClassVar[str] = "dang2023.seli"

    counts: tuple = (40, 20, 10, 5)
    lambdas: tuple = ()
    seeds: tuple = (0, 1, 2)
    dim: int = 6
    iterations: int = 4000

    def run(self, device="cpu"):
        """For each seed and `lam`: 1 - cos to the limit of the logits over samples, "logits", of W W^T, "gram_W", of
        the features' Gram matrix, "gram_H"; and the "certificate" |G|/lambda, beside 1."""
        n = torch.tensor(self.counts, dtype=torch.float64, device=device)
        K, N, d, seeds = len(n), n.sum(), self.dim, self.seeds
        lam = torch.tensor(self.lambdas, dtype=torch.float64, device=device)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        theta = torch.stack(
            [torch.randn(2 * K * d, generator=r, dtype=torch.float64) for r in generators for _ in self.lambdas]
        )
        lam_all = lam.repeat(len(seeds))
        y = torch.arange(K, device=device)

        def split(theta):
            return theta[:, : K * d].view(-1, K, d), theta[:, K * d :].view(-1, d, K)

        def objective(theta, which):
            W, F = split(theta)
            log_p = torch.log_softmax(W @ (F / n.sqrt()), 1)[:, y, y]
            return -(log_p @ n) / (N * lam_all[which]) + theta.square().sum(1) / 2

        theta, _, _ = minimize(objective, theta.to(device), iterations=self.iterations, tolerance=1e-7, history=20)
        W, F = split(theta)
        Z = W @ (F / n.sqrt())
        G = (torch.softmax(Z, 1) - torch.eye(K, device=device)) * n.sqrt() / N
        gram_W, gram_F = imbalance.seli(self.counts)
        C = torch.eye(K, dtype=torch.float64) - 1 / K
        found = {
            "logits": distance(Z * n.sqrt(), (C * n.sqrt().cpu()).to(device)),
            "gram_W": distance(W @ W.mT, gram_W.to(device)),
            "gram_H": distance(F.mT @ F, gram_F.to(device)),
            "certificate": torch.linalg.matrix_norm(G, 2) / lam_all,
        }
        found = {name: value.view(len(seeds), -1) for name, value in found.items()}
        tables = [
            rows({name: v[r] for name, v in found.items()}, "point", theory={"certificate": 1.0}, seed=seed)
            for r, seed in enumerate(seeds)
        ]
        table = pd.concat(tables, ignore_index=True)
        return table.assign(lam=table["point"].map(dict(enumerate(self.lambdas))).astype("float64")).drop(
            columns="point"
        )


def distance(A, B):
    """1 - cos between matrices, over the last two dimensions."""
    return 1 - (A * B).sum((-2, -1)) / (A.norm(dim=(-2, -1)) * B.norm(dim=(-2, -1)))
