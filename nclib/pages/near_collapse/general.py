"""Theorem 4.1 of Tirer et al. 2023 at features H0 that are not near collapse: of the features and of the classifier.

Both matrices come from the Hessian of f at the minimizer, and are held against central differences of minimizers. The
theorem is the implicit function theorem, so the Hessian must be invertible; where H0 has a low rank it is not, for
rotations of what H0 leaves free cost nothing.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.near_collapse.minimizer import objective
from nclib.pages.near_collapse.response import first_order, hessian, theorem
from nclib.runs.experiment import Experiment, rows
from nclib.theory import perturbation


@dataclass(frozen=True)
class General(Experiment):
    """H0 and dH0 Gaussian of standard deviation 1, the same from each seed for each of `betas`, where the theorem is
    held against central differences with each of `steps`, and for each of `large`, where Eq. 5 is held against it.
    ranks: of further H0, at which eigenvalues of the Hessian that are 0 are counted, with beta = lam_W."""

    NAME: ClassVar[str] = "tirer2023.near_collapse_general"

    lam_W: float
    lam_H: float
    betas: tuple[float, ...]
    steps: tuple[float, ...]
    large: tuple[float, ...]
    ranks: tuple[int, ...]
    num_classes: int = 3
    samples: int = 3
    dim: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """For each `beta`: "gradient", the largest entry of that of f at the minimizer; "least", the least eigenvalue
        of Kn times the Hessian; for each `step` "error", the norm of central difference minus theorem over |dH0|;
        "truncation", that of Eq. 5 minus theorem. `of` says which, W or H. "zeros": eigenvalues of Kn times the
        Hessian below 1e-9 for H0 of `rank`, counted and as the rotations say."""
        y = torch.arange(self.num_classes).repeat_interleave(self.samples)
        found = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            H0, D = torch.randn(2, len(y), self.dim, generator=generator, dtype=torch.float64)
            D = D / torch.linalg.norm(D)
            found += [part.assign(seed=seed) for beta in self.betas for part in self.differences(H0, D, y, beta)]
            found += [self.truncation(H0, D, y, beta).assign(seed=seed) for beta in self.large]
            found += [self.zeros(H0, y, rank).assign(seed=seed) for rank in self.ranks]
        return pd.concat(found, ignore_index=True)

    def minimizer(self, H0, y, beta):
        """(W, H, largest entry of the gradient): `solve` leaves a gradient of 1e-10, Newton's method less."""
        decays = self.lam_W, self.lam_H, beta
        W = perturbation.solve(H0, y, *decays)
        H = perturbation.features(W, H0, y, self.lam_H, beta)
        for _ in range(2):
            free = [x.clone().requires_grad_() for x in (W, H)]
            g = torch.cat([x.flatten() for x in torch.autograd.grad(objective(*free, H0, y, *decays), free)])
            step = torch.linalg.solve(hessian(W, H, H0, y, *decays), g)
            W, H = W - step[: W.numel()].view_as(W), H - step[W.numel() :].view_as(H)
        free = [x.clone().requires_grad_() for x in (W, H)]
        left = torch.autograd.grad(objective(*free, H0, y, *decays), free)
        return W, H, max(float(x.abs().max()) for x in left)

    def differences(self, H0, D, y, beta):
        """Yield the rows of one beta."""
        W, H, gradient = self.minimizer(H0, y, beta)
        A = hessian(W, H, H0, y, self.lam_W, self.lam_H, beta)
        moves = [F @ D.flatten() for F in theorem(A, W.numel(), beta / len(y))]
        yield rows({"gradient": gradient, "least": len(y) * torch.linalg.eigvalsh(A)[0]}, beta=beta)
        for step in self.steps:
            up, down = (self.minimizer(H0 + sign * step * D, y, beta) for sign in (1, -1))
            for of, a, b, move in zip("WH", up, down, moves, strict=False):
                yield rows({"error": distance((a - b).flatten() / (2 * step), move)}, of=of, beta=beta, step=step)

    def truncation(self, H0, D, y, beta):
        """The rows of one large beta."""
        W, H, _ = self.minimizer(H0, y, beta)
        decays = self.lam_W, self.lam_H, beta
        A, m = hessian(W, H, H0, y, *decays), W.numel()
        move = first_order(W, H, y, *decays) @ D.flatten()
        moves = -torch.linalg.solve(A[:m, :m], A[:m, m:] @ move), move
        exact = theorem(A, m, beta / len(y))
        found = [rows({"truncation": distance(a, F @ D.flatten())}) for a, F in zip(moves, exact, strict=True)]
        return pd.concat(found, ignore_index=True).assign(of=["W", "H"], beta=beta)

    def zeros(self, H0, y, rank):
        """The rows of one rank: of the K-dimensional frame, what H0 does not span turns in the d - rank directions."""
        low = H0.clone()
        low[:, rank:] = 0
        W = perturbation.solve(low, y, self.lam_W, self.lam_H, self.lam_W)
        H = perturbation.features(W, low, y, self.lam_H, self.lam_W)
        A = hessian(W, H, low, y, self.lam_W, self.lam_H, self.lam_W)
        count = (len(y) * torch.linalg.eigvalsh(A) < 1e-9).sum()
        free, left = self.dim - rank, self.num_classes - rank
        turns = free * (free - 1) // 2 - (free - left) * (free - left - 1) // 2
        return rows({"zeros": count}, theory={"zeros": turns}, rank=rank)


def distance(a, b):
    """|a - b|."""
    return torch.linalg.norm(a - b)
