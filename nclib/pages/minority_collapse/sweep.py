"""Minority collapse, squared error: lambda driven through the threshold, by closed form and by optimization.

The objective is Dang et al. 2023's, bias-free, all decays equal to lambda, depth M >= 1:

    1/(2N) |W_M ... W_1 H - Y|^2 + lambda/2 (sum_m |W_m|^2 + |H|^2),

minimized over the factors and over all N columns of H by L-BFGS from random starts of several sizes. For M >= 2 it has
bad local minima; the lowest value over the sizes is taken as the global minimum that a seed found.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory import deep_linear
from nclib.training.lbfgs import minimize

ALIVE = 1e-3
# Close below a threshold the global minimum is mostly reached from sizes of 2 to 4, close above it from 0.8 to 1.
STARTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.7, 2.4, 2.7, 3.0, 3.4, 3.8, 5.0, 8.0)


@dataclass(frozen=True)
class Sweep(Experiment):
    """One depth M: lambdas, and starts with singular values of about `starts`, for each seed."""

    NAME: ClassVar[str] = "dang2023.minority"

    counts: tuple = (20, 10, 5, 5)
    depth: int = 1
    lambdas: tuple = ()
    starts: tuple = STARTS
    seeds: tuple = (0, 1, 2)
    dim: int = 10
    iterations: int = 1500

    def run(self, device="cpu"):
        """For each seed and `lam`, of the lowest end over the starts: "q" of each class `i`, with its `size` and its
        `beta` over the threshold, and the "loss", beside the closed form. And for each `start` how many of the classes
        that survive at the global minimum do there, "kept", beside how many that are."""
        Y, d, M = targets(self.counts).to(device), self.dim, self.depth
        K, N, shape = *Y.shape, (len(self.seeds), len(self.lambdas), len(self.starts))
        generators = [torch.Generator().manual_seed(seed) for seed in self.seeds]
        theta = torch.stack([start(g, s, K, d, M, N) for g in generators for _ in self.lambdas for s in self.starts])
        lam = torch.tensor(self.lambdas, dtype=torch.float64, device=device)[None, :, None].expand(shape).reshape(-1)

        def loss_of(theta, which):
            return objective(theta, Y, lam[which], d, M)

        theta, loss, _ = minimize(loss_of, theta.to(device), iterations=self.iterations, tolerance=1e-8)
        q, loss = overlaps(theta, Y, d, M).view(*shape, K), loss.view(shape)
        exact = [deep_linear.mse_minimizer(self.counts, (lam,) * M, lam) for lam in self.lambdas]
        law = {"q": torch.stack([e.logits.diagonal() for e in exact]), "loss": [e.loss for e in exact]}
        survives = torch.stack([e.survives for e in exact]).to(device)
        best = loss.argmin(2)
        q_best = q.gather(2, best[..., None, None].expand(-1, -1, 1, K))[:, :, 0]
        kept = ((q > ALIVE) & survives[:, None]).sum(3)
        alive = (law["q"] > ALIVE).sum(1, keepdim=True).expand(shape[1:])
        found = []
        for r, seed in enumerate(self.seeds):
            ends = {"q": q_best[r], "loss": loss[r].amin(1)}
            found.append(rows(ends, "point", "i", theory=law, seed=seed))
            found.append(rows({"kept": kept[r]}, "point", "place", theory={"kept": alive}, seed=seed))
        return self.named(pd.concat(found, ignore_index=True))

    def named(self, table):
        """Rows with `lam`, and what they have of `size`, `beta` and `start`, for the indices of these."""
        betas = [beta(self.counts, lam, self.depth).tolist() for lam in self.lambdas]
        ratios = [float("nan") if pd.isna(i) else betas[p][i] for p, i in zip(table["point"], table["i"], strict=True)]
        return table.assign(
            lam=[self.lambdas[point] for point in table["point"]],
            size=table["i"].map(dict(enumerate(self.counts))).astype("Int64"),
            beta=ratios,
            start=table["place"].map(dict(enumerate(self.starts))).astype("float64"),
        ).drop(columns=["point", "place"])


def beta(counts, lam, depth):
    """(K,) beta_k = M (N/n_k) (N lambda^(M+1))^(1/M), over collapse_threshold(M): class k survives below 1."""
    M, n = depth, torch.as_tensor(counts, dtype=torch.float64)
    N = n.sum()
    return M * N / n * (N * lam ** (M + 1)) ** (1 / M) / deep_linear.collapse_threshold(M)


def lambda_at(ratio, n, N, depth):
    """The lambda at which a class of n out of N samples has beta = ratio * collapse_threshold(M)."""
    M = depth
    return float((ratio * deep_linear.collapse_threshold(M) * n / (M * N)) ** M / N) ** (1 / (M + 1))


def targets(counts):
    """Y (K, N), one-hot columns in label order."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return torch.nn.functional.one_hot(labels, len(counts)).double().T


def factors(theta, K, d, M):
    """theta (B, D) -> P = W_M ... W_1 (B, K, d) and H (B, d, N)."""
    B, last, square = len(theta), K * d, d * d
    P = theta[:, :last].view(B, K, d)
    for m in range(M - 1):
        P = P @ theta[:, last + m * square : last + (m + 1) * square].view(B, d, d)
    return P, theta[:, last + (M - 1) * square :].view(B, d, -1)


def objective(theta, Y, lam, d, M):
    """The objective of the module's docstring, (B,), for lam (B,) and Y (K, N)."""
    P, H = factors(theta, len(Y), d, M)
    return (P @ H - Y).square().sum((1, 2)) / (2 * Y.shape[1]) + lam / 2 * theta.square().sum(1)


def start(generator, size, K, d, M, N):
    """(D,): W_M, ..., W_1, H with independent normal entries and singular values of about `size`."""
    parts = [torch.randn(K * d + (M - 1) * d * d, generator=generator, dtype=torch.float64) / d**0.5]
    parts += [torch.randn(d * N, generator=generator, dtype=torch.float64) / max(d, N) ** 0.5]
    return size * torch.cat(parts)


def overlaps(theta, Y, d, M):
    """q (B, K): the diagonal of P Hbar."""
    P, H = factors(theta, len(Y), d, M)
    return torch.einsum("bkd,bdn,kn->bk", P, H, Y / Y.sum(1, keepdim=True))
