"""Which problem the authors' balanced script solves: its fit has another scale than the paper's, so the decays too.

For K classes of n samples, N = K n, the script minimizes the mean over all N K entries and the decays,
    1/(NK) |W_M ... W_1 H - Y|^2 + lam/2 (sum_m |W_m|^2 + |H|^2)
        = (2/K) [1/(2N) |W_M ... W_1 H - Y|^2 + (K lam/2)/2 (sum_m |W_m|^2 + |H|^2)],
which is the paper's objective with K lam/2 in place of lam (derived). Minimized here as the script writes it, by L-BFGS
from random starts, which knows nothing of that.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.linalg import norm
from torch.nn import functional as F

from nclib.pages._linear_heads.prediction import product
from nclib.runs.experiment import Experiment, rows
from nclib.theory.deep_linear import mse_minimizer
from nclib.training import lbfgs

STARTS = 4  # a seed; the lowest end counts, since descent may end at the origin, a local minimum where M >= 2
STD = 0.5


@dataclass(frozen=True)
class Scale(Experiment):
    """One problem without a bias, on all samples; features and layers have num_classes + 1 dimensions."""

    NAME: ClassVar[str] = "dang2023.balanced_scale"

    num_classes: int
    samples: int
    depth: int
    lam: float
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """For each seed the lowest "loss" and |P|, "norm", beside those of the minimizer for K lam/2; and the relative
        distance of P P^T to that of the minimizer for K lam/2, "gram", and for lam, "gram_lam". On the CPU."""
        K = self.num_classes
        right, wrong = self.minimizer(K * self.lam / 2), self.minimizer(self.lam)
        law, found = {"loss": 2 / K * right.loss, "norm": right.gram_W.trace().sqrt()}, []
        for seed in self.seeds:
            loss, P = self.minimize(seed)
            values = {"loss": loss, "norm": norm(P)}
            for name, target in {"gram": right, "gram_lam": wrong}.items():
                if target.survives.all():
                    values[name] = norm(P @ P.T - target.gram_W) / norm(target.gram_W)
            found.append(rows(values, theory=law, seed=seed))
        return pd.concat(found, ignore_index=True)

    def minimizer(self, lam):
        """That of the paper's objective with all decays lam."""
        return mse_minimizer((self.samples,) * self.num_classes, [lam] * self.depth, lam)

    def minimize(self, seed):
        """(loss, P) at the lowest end."""
        K, M, d, N = self.num_classes, self.depth, self.num_classes + 1, self.num_classes * self.samples
        Y = F.one_hot(torch.arange(K).repeat_interleave(self.samples), K).double().T
        shapes = [(d, d)] * (M - 1) + [(K, d), (d, N)]
        sizes = [rows * columns for rows, columns in shapes]

        def factors(theta):
            return [x.unflatten(1, shape) for x, shape in zip(theta.split(sizes, 1), shapes, strict=True)]

        def loss(theta, which):
            *W, H = factors(theta)
            fit = (product(W) @ H - Y).square().sum((1, 2)) / (N * K)
            return fit + self.lam / 2 * theta.square().sum(1)

        generator = torch.Generator().manual_seed(seed)
        theta = STD * torch.randn(STARTS, sum(sizes), generator=generator, dtype=torch.float64)
        theta, values, _ = lbfgs.minimize(loss, theta, iterations=20_000, tolerance=1e-12, history=20)
        best = values.argmin()
        return values[best], product(factors(theta[best : best + 1])[:-1])[0]
