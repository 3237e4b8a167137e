"""The minimum of the imbalanced problem by a quasi-Newton method that knows no closed form.

    1/(2N) |W_M ... W_1 H (+ b 1^T) - Y|^2 + lam/2 (sum_m |W_m|^2 + |H|^2)

on all factors at once, from several random starts: where M >= 2 descent can end at minima that are not the lowest.
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

STARTS = 32  # a seed; the lowest end counts
STD = 1.0


@dataclass(frozen=True)
class Minimum(Experiment):
    """One problem. counts: samples a class, falling; lam of every layer and of the features; features and layers have
    one more dimension than there are classes."""

    NAME: ClassVar[str] = "dang2023.imbalanced_minimum"

    counts: tuple[int, ...]
    depth: int
    lam: float
    bias: bool
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """For each seed at its lowest end, beside the closed form: the loss; for each class `i` |w_k|, "length_w", and
        N lam |h_k|^2, "energy", h_k its mean feature; |w_K - w_(K-1)|, "contrast". Then the relative distances of
        P P^T and Hbar^T Hbar from the closed form, "gram_W" and "gram_H", and that of b, "bias". On the CPU."""
        target, K, N = mse_minimizer(self.counts, [self.lam] * self.depth, self.lam, bias=self.bias), self.K, self.N
        apart = torch.zeros(K, dtype=torch.float64)
        apart[-2:] = torch.tensor([1.0, -1.0])
        law = {
            "loss": target.loss,
            "length_w": target.gram_W.diagonal().clamp(min=0).sqrt(),
            "energy": N * self.lam * target.gram_H.diagonal(),
            "contrast": (apart @ target.gram_W @ apart).clamp(min=0).sqrt(),
        }
        found = []
        for seed in self.seeds:
            loss, P, H, b = self.minimize(seed)
            means = torch.stack([part.mean(1) for part in H.split(self.counts, 1)])
            gram_W, gram_H = P @ P.T, means @ means.T
            values = {"loss": loss, "length_w": norm(P, dim=1), "energy": N * self.lam * gram_H.diagonal()}
            values["contrast"] = norm(P[-1] - P[-2])
            values["gram_W"] = norm(gram_W - target.gram_W) / norm(target.gram_W)
            values["gram_H"] = norm(gram_H - target.gram_H) / norm(target.gram_H)
            values["bias"] = norm(b - target.bias)
            found.append(rows(values, "i", theory=law, seed=seed))
        return pd.concat(found, ignore_index=True)

    @property
    def K(self):
        """Classes."""
        return len(self.counts)

    @property
    def N(self):
        """Samples."""
        return sum(self.counts)

    def minimize(self, seed):
        """(loss, P (K, d), H (d, N), b (K,)) at the lowest end."""
        K, M, d = self.K, self.depth, self.K + 1
        Y = F.one_hot(torch.arange(K).repeat_interleave(torch.tensor(self.counts)), K).double().T
        shapes = [(d, d)] * (M - 1) + [(K, d), (d, self.N), (K, 1)]
        sizes = [rows * columns for rows, columns in shapes]

        def factors(theta):
            *W, H, b = (x.unflatten(1, shape) for x, shape in zip(theta.split(sizes, 1), shapes, strict=True))
            return W, H, b if self.bias else 0 * b

        def loss(theta, which):
            W, H, b = factors(theta)
            fit = (product(W) @ H + b - Y).square().sum((1, 2)) / (2 * self.N)
            return fit + self.lam / 2 * theta[:, :-K].square().sum(1)

        generator = torch.Generator().manual_seed(seed)
        theta = STD * torch.randn(STARTS, sum(sizes), generator=generator, dtype=torch.float64)
        theta, values, _ = lbfgs.minimize(loss, theta, iterations=20_000, tolerance=1e-12, history=20)
        best = values.argmin()
        W, H, b = factors(theta[best : best + 1])
        return values[best], product(W)[0], H[0], b[0, :, 0]
