"""The global minimizer by optimization: Theorem 2.1 and Corollary 2.2 of Tirer et al. 2023.

W (K, d) and all features H (N, d), N = Kn, are free, from random starts; for each seed the lowest of several is kept:

    f(W, H; H0) = 1/(2N) |H W^T - Y|^2 + lam_W/(2K) |W|^2 + lam_H/(2N) |H|^2 + beta/(2N) |H - H0|^2.

beta = 0 is their Eq. 1; beta > 0 is Eq. 2 with H0 the collapsed features of the theorem.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.runs.experiment import Experiment, rows
from nclib.theory import perturbation
from nclib.training import lbfgs


@dataclass(frozen=True)
class Minimizer(Experiment):
    """A problem for each lam_H, from `starts` random starts for each seed."""

    NAME: ClassVar[str] = "tirer2023.near_collapse_minimizer"

    lam_W: float
    lam_Hs: tuple[float, ...]
    beta: float
    num_classes: int = 4
    samples: int = 5
    dim: int = 6
    starts: int = 3
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """For each `c`: loss and "norm" (mean over classes of |hbar_k|^2), measured and predicted; the largest entries
        of "within" (features minus class mean), "gram" (Hbar Hbar^T - rho I), "duality" (W - s Hbar), and for beta > 0
        "distance" (of W and of H from the theorem's)."""
        K, n, d, S = self.num_classes, self.samples, self.dim, self.starts
        y = torch.arange(K).repeat_interleave(n)
        theory = self.problems()
        targets = [p.collapsed() for p in theory]
        P = len(theory)
        H0 = torch.stack([H for _, H in targets]).repeat_interleave(S, 0)
        lam_H = torch.tensor(self.lam_Hs, dtype=torch.float64).repeat_interleave(S)
        lam_W, beta = torch.full_like(lam_H, self.lam_W), torch.full_like(lam_H, self.beta)
        found = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            W = 0.5 * torch.randn(P * S, K, d, generator=generator, dtype=torch.float64)
            H = 0.5 * torch.randn(P * S, K * n, d, generator=generator, dtype=torch.float64)
            W, H, loss = minimize(W, H, H0, y, lam_W, lam_H, beta)
            best = loss.view(P, S).argmin(1) + torch.arange(P) * S
            for p, i, target in zip(theory, best, targets, strict=True):
                law = {"loss": objective(*target, target[1], y, p.lam_W, p.lam_H, 0), "norm": p.rho}
                values = geometry(p, W[i], H[i], target) | {"loss": loss[i]}
                found.append(rows(values, theory=law, c=p.c, seed=seed))
        return pd.concat(found, ignore_index=True)

    def problems(self):
        """perturbation.Problem for each lam_H."""
        sizes = self.num_classes, self.samples, self.dim
        return [perturbation.Problem(*sizes, self.lam_W, lam_H, self.beta) for lam_H in self.lam_Hs]


def objective(W, H, H0, y, lam_W, lam_H, beta):
    """f of the module's docstring for W (..., K, d), H (..., N, d); the rest broadcasts. n is N/K."""
    K, N = W.shape[-2], H.shape[-2]
    fit = (H @ W.mT - F.one_hot(y, K).double()).square().sum((-2, -1)) / (2 * N)
    decay = lam_W / (2 * K) * W.square().sum((-2, -1)) + lam_H / (2 * N) * H.square().sum((-2, -1))
    return fit + decay + beta / (2 * N) * (H - H0).square().sum((-2, -1))


def minimize(W, H, H0, y, lam_W, lam_H, beta):
    """(W, H, f): descent from W (B, K, d), H (B, N, d), each problem with its own H0 (B, N, d), lam_W ... (B,)."""
    K, N, d = W.shape[1], *H.shape[1:]

    def split(theta):
        return theta[:, : K * d].unflatten(1, (K, d)), theta[:, K * d :].unflatten(1, (N, d))

    def loss(theta, which):
        return objective(*split(theta), H0[which], y, lam_W[which], lam_H[which], beta[which]) * N

    theta = torch.cat([W.flatten(1), H.flatten(1)], 1)
    theta, value, _ = lbfgs.minimize(loss, theta, iterations=3000, tolerance=1e-10, history=12)
    return *split(theta), value / N


def geometry(p, W, H, target):
    """The deviations of `Minimizer.run` of one minimizer."""
    K, n = p.num_classes, p.samples_per_class
    means = H.view(K, n, -1).mean(1)
    far = {"distance": float(max((W - target[0]).abs().max(), (H - target[1]).abs().max()))} if p.beta else {}
    return far | {
        "norm": float(means.square().sum() / K),
        "within": float((H - means.repeat_interleave(n, 0)).abs().max()),
        "gram": float((means @ means.T - p.rho * torch.eye(K, dtype=H.dtype)).abs().max()),
        "duality": float((W - p.s * means).abs().max()),
    }
