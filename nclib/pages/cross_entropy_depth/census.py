"""Deep linear heads with cross-entropy: a census of random starts, and what the simplex ETF is if not the minimum.

Objective (Dang et al. 2023, balanced classes, bias; one feature a class, to which NC1 reduces any n_k = n when lam_H is
replaced by n lam_H, since the objective is convex in the features of a class):

    1/K sum_k CE(W_M ... W_1 h_k + b, k) + lam/2 (sum_m |W_m|^2 + |H|^2 + |b|^2),   all factors K x K, b in R^K.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate, cross_polytope_wins


@dataclass(frozen=True)
class Census(Experiment):
    """One depth M and number of classes K; `starts` random starts for each of `lams` and of `seeds`, as one batch."""

    NAME: ClassVar[str] = "dang2023.cross_entropy"

    depth: int
    num_classes: int
    lams: tuple[float, ...]
    starts: int
    steps: int
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """Census and local tests of one (M, K), for each `lam`.

        For each start i and seed: `ratio`, its loss over the ETF's, the `rank` of its logits, the `gradient` where it
        ended. `logits` (i, j): those of the best start of the first seed. `etf`, `cross_polytope` (losses in closed
        form), `wins` (the small-lambda rule). `return_ratio`: loss over the ETF's after perturbing the ETF by noise of
        standard deviation 1e-3 and 1e-1 and minimizing. `curvature`: smallest Hessian eigenvalue at the ETF but for
        the zeros of rotations, over lam; `gauge_zero`: the largest absolute value of these zeros, over lam.
        """
        K, M = self.num_classes, self.depth
        F, b, lam = (start.to(device) for start in self.random_starts())
        F, b, gradient = minimize(F, b, lam, self.steps)
        values, Z = loss(F, b, lam), logits(F)
        s = torch.linalg.svdvals(Z)
        rank = (s > 1e-3 * s[:, :1]).sum(1)
        tables = []
        for i, value in enumerate(self.lams):
            etf = ce_etf_candidate(K, 1, (value,) * M, value).loss
            cross = ce_cross_polytope_candidate(K, 1, (value,) * M, value).loss
            exact = {"etf": etf, "cross_polytope": cross, "wins": cross_polytope_wins(K, M)}
            tables.append(rows(exact, lam=value, seed=self.seeds[0]))
            for j, seed in enumerate(self.seeds):
                own = slice((j * len(self.lams) + i) * self.starts, (j * len(self.lams) + i + 1) * self.starts)
                found = {"ratio": values[own] / etf, "rank": rank[own], "gradient": gradient[own]}
                found |= returned(K, M, value, etf, seed)
                if j == 0:
                    found |= {"logits": Z[own][values[own].argmin()]} | curvature(K, M, value)
                tables.append(rows(found, "i", "j", lam=value, seed=seed))
        return pd.concat(tables, ignore_index=True)

    def random_starts(self):
        """F (B, M+1, K, K) with entries N(0, 0.5^2), b = 0, and lam (B,): seeds, then lams, then starts."""
        shape = (len(self.lams) * self.starts, self.depth + 1, self.num_classes, self.num_classes)
        generators = (torch.Generator().manual_seed(seed) for seed in self.seeds)
        F = torch.cat([0.5 * torch.randn(shape, generator=g, dtype=torch.float64) for g in generators])
        lam = torch.tensor(self.lams, dtype=torch.float64).repeat_interleave(self.starts).repeat(len(self.seeds))
        return F, torch.zeros(len(F), self.num_classes, dtype=torch.float64), lam


def loss(F, b, lam):
    """The objective of each problem (B,) at F (B, M+1, K, K) = W_M, ..., W_1, H and b (B, K); lam (B,) or a number."""
    Z = logits(F) + b[:, :, None]
    fit = (Z.logsumexp(1) - Z.diagonal(dim1=1, dim2=2)).mean(1)
    return fit + lam / 2 * (F.square().sum((1, 2, 3)) + b.square().sum(1))


def logits(F):
    """W_M ... W_1 H of each problem, (B, K, K), column k the logits of class k."""
    Z = F[:, 0]
    for m in range(1, F.shape[1]):
        Z = Z @ F[:, m]
    return Z


def minimize(F, b, lam, steps):
    """Local minima from the given starts: Adam (rate 0.03, cosine to 0), then L-BFGS on the sum of the problems.

    The problems do not interact, so the sum is minimal where each is. Returns F, b and the norm of each gradient.
    """
    F, b = F.clone().requires_grad_(), b.clone().requires_grad_()
    adam = torch.optim.Adam([F, b], lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    polish = torch.optim.LBFGS(
        [F, b],
        max_iter=500,
        history_size=20,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        F.grad = b.grad = None
        value = loss(F, b, lam).sum()
        value.backward()
        return value

    for _ in range(steps):
        adam.step(closure)
        schedule.step()
    polish.step(closure)
    closure()
    gradient = (F.grad.square().sum((1, 2, 3)) + b.grad.square().sum(1)).sqrt()
    return F.detach(), b.detach(), gradient


def etf_point(num_classes, depth, lam):
    """The ETF as factors (1, M+1, K, K): each the (M+1)-th root of alpha (I - 11^T/K), the split of least norm."""
    K, M = num_classes, depth
    alpha = ce_etf_candidate(K, 1, (lam,) * M, lam).alpha
    P = torch.eye(K, dtype=torch.float64) - 1 / K
    return (alpha ** (1 / (M + 1)) * P).expand(1, M + 1, K, K).clone()


def hessian_eigenvalues(F, b, lam):
    """Eigenvalues, ascending, of the Hessian of the objective of one problem in all its parameters, by autograd."""
    shapes = F.shape, b.shape
    size = F.numel()

    def f(x):
        return loss(x[:size].view(shapes[0]), x[size:].view(shapes[1]), lam)[0]

    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, torch.cat([F.flatten(), b.flatten()])))


def gauge_dimension(num_classes, depth):
    """Dimension of the ETF's orbit under rotations between its M + 1 factors: M K(K-1)/2.

    Each of the M groups O(K) acts on matrices of rank K-1, with finite stabilizer.
    """
    return depth * num_classes * (num_classes - 1) // 2


def returned(K, M, lam, etf, seed):
    """Loss over the ETF's after noise of two sizes was added to the ETF and the objective minimized again (L-BFGS)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, M + 1, K, K, generator=generator, dtype=torch.float64)
    F = etf_point(K, M, lam) + torch.tensor([1e-3, 1e-1], dtype=torch.float64)[:, None, None, None] * noise
    F, b, _ = minimize(F, torch.zeros(2, K, dtype=torch.float64), lam, steps=0)
    return {"return_ratio": loss(F, b, lam) / etf}


def curvature(K, M, lam):
    """The Hessian at the ETF: its smallest eigenvalue but for the gauge's zeros, and the largest of these, over lam."""
    values = hessian_eigenvalues(etf_point(K, M, lam), torch.zeros(1, K, dtype=torch.float64), lam) / lam
    zeros = gauge_dimension(K, M)
    order = values.abs().argsort()
    return {"curvature": values[order[zeros:]].min(), "gauge_zero": values[order[:zeros]].abs().max()}
