"""Norms of the classifier at the minimum with decay on both factors: squared error, cross-entropy, ReLU features."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.sparse_frame.flow import tail
from nclib.runs.experiment import Experiment, rows
from nclib.theory import deep_linear, imbalance, norm_law
from nclib.training.lbfgs import minimize


@dataclass(frozen=True)
class Decays(Experiment):
    """K classes in a long tail; `strengths` are q = N sqrt(lam_W lam_H/n_K) of the smallest class, lost at q = 1."""

    NAME: ClassVar[str] = "xiao2024.norm_decays"

    K: int
    ratio: int
    strengths: tuple[float, ...]
    optimized: tuple[float, ...]
    seed: int

    def run(self, device="cpu"):
        """The "exponent" of the norms by `setting` and `q`: "squared error" and "ReLU features" in closed form,
        "cross-entropy" from a random start by L-BFGS (with "gradient", largest entry over lambda). "limit" is q = 0:
        simplex-encoded labels."""
        n = torch.tensor(tail(self.K, self.ratio), dtype=torch.int64)
        tables = [self.one(n, imbalance.seli(n)[0], "limit", 0.0)]
        for q in self.strengths:
            lam = q * n[-1].item() ** 0.5 / n.sum().item()
            squared = deep_linear.mse_minimizer(n, (lam,), lam).gram_W
            tables.append(self.one(n, squared, "squared error", q))
            tables.append(self.one(n, imbalance.relu_ce_minimizer(n, lam, lam).gram_W, "ReLU features", q))
        for q in self.optimized:
            lam = q * n[-1].item() ** 0.5 / n.sum().item()
            W, slope = self.minimum(n, lam)
            tables.append(self.one(n, W @ W.T, "cross-entropy", q, gradient=slope))
        return pd.concat(tables, ignore_index=True)

    @staticmethod
    def one(n, gram, setting, q, **more):
        return rows({"exponent": norm_law.exponent(n, gram.diagonal().sqrt())} | more, setting=setting, q=q)

    def minimum(self, n, lam):
        """(W, largest entry of the gradient): one feature a class, sqrt(n_k) h_k as unknowns, no bias."""
        K, p, y = self.K, n / n.sum(), torch.arange(self.K)
        root = n.double().sqrt()

        def loss(theta, which):
            W, F = theta.view(-1, 2, K, K).unbind(1)
            fit = -torch.log_softmax(W @ (F / root[:, None]).mT, 1)[:, y, y] @ p.double()
            return (fit + lam / 2 * theta.square().sum(1)) / lam  # so that a gradient is one in units of the factors

        start = torch.randn(1, 2 * K * K, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        theta, _, slope = minimize(loss, start / K**0.5, iterations=1500, tolerance=1e-5, history=20)
        return theta.view(2, K, K)[0], slope.item()
