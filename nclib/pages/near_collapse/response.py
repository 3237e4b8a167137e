"""The linear response dH = F dH0 of the minimizer at collapse: dense matrices of Theorem 4.1 against closed forms.

F (Kn d, Kn d) is found in two ways, neither of which uses a closed form: from the Hessian of f by automatic
differentiation, beta/(Kn) (f_HH - f_HW f_WW^-1 f_WH)^-1; and to first order in 1/beta from the matrices Z and E of
Tirer et al. 2023, Eq. 5, as they are printed. Vectors stack the features sample by sample, class by class.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.near_collapse.minimizer import objective
from nclib.runs.experiment import Experiment, rows
from nclib.theory import perturbation


@dataclass(frozen=True)
class Response(Experiment):
    """One problem. sizes: standard deviations of dH0, from each seed, for which the minimizer is computed exactly."""

    NAME: ClassVar[str] = "tirer2023.near_collapse_response"

    lam_W: float
    lam_H: float
    beta: float
    num_classes: int = 4
    samples: int = 10
    dim: int = 10
    sizes: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """In each `layer`, "exact" and "first-order": "sigma" over i, the singular values of the block F_11,
        descending, and "cross", the first two of F_12, of the matrices and predicted. "rate": lam_H, s, mu, 2 mu, as
        predicted. The exact minimizer against F dH0, over i, the `sizes`: "residual", its distance from H + F dH0, and
        "size", |dH0|."""
        p = perturbation.Problem(self.num_classes, self.samples, self.dim, self.lam_W, self.lam_H, self.beta)
        y = torch.arange(self.num_classes).repeat_interleave(self.samples)
        first = first_order(*p.collapsed(), y, self.lam_W, self.lam_H, self.beta)
        block, found = self.samples * self.dim, []
        for layer, order, F in (("exact", None, exact(p, y)), ("first-order", 1, first)):
            own, cross = (torch.linalg.svdvals(F[:block, part]) for part in (slice(block), slice(block, 2 * block)))
            law = dict(zip(("sigma", "cross"), p.block_spectrum(order), strict=True))
            law["cross"] = [law["cross"], 0.0]
            found.append(rows({"sigma": own, "cross": cross[:2]}, "i", theory=law, layer=layer, seed=self.seeds[0]))
        rates = {"rate": [p.lam_H, p.s, p.mu, 2 * p.mu]}
        found.append(rows({"rate": [float("nan")] * 4}, "i", theory=rates, layer="", seed=self.seeds[0]))
        H = p.collapsed()[1]
        for seed in self.seeds if self.sizes else ():
            D = torch.randn(H.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            steps = [size * D for size in self.sizes]
            moves = [minimizer(p, H + step, y) - H for step in steps]
            for layer, order in (("exact", None), ("first-order", 1)):
                residual = [torch.linalg.norm(m - p.response(s, order)) for m, s in zip(moves, steps, strict=True)]
                norms = [torch.linalg.norm(s) for s in steps]
                values = {"residual": torch.stack(residual), "size": torch.stack(norms)}
                found.append(rows(values, "i", layer=layer, seed=seed))
        return pd.concat(found, ignore_index=True)


def hessian(W, H, H0, y, *decays):
    """Second derivatives of f in (W, H), flat. Row i is the gradient of entry i of the gradient, at a copy of its own.
    decays: lam_W, lam_H, beta."""
    m = W.numel()
    theta = torch.cat([W.flatten(), H.flatten()])
    theta = theta.expand(len(theta), -1).clone().requires_grad_()
    free = theta[:, :m].unflatten(1, W.shape), theta[:, m:].unflatten(1, H.shape)
    (g,) = torch.autograd.grad(objective(*free, H0, y, *decays).sum(), theta, create_graph=True)
    return torch.autograd.grad(g.diagonal().sum(), theta)[0]


def theorem(A, m, weight):
    """(F_W, F) of Theorem 4.1, dW = F_W dH0 and dH = F dH0, from the Hessian A, whose first m entries are W.
    weight: beta/(Kn)."""
    schur = A[m:, m:] - A[m:, :m] @ torch.linalg.solve(A[:m, :m], A[:m, m:])
    F = weight * torch.linalg.inv(schur)
    return -torch.linalg.solve(A[:m, :m], A[:m, m:]) @ F, F


def exact(p, y):
    """F of Theorem 4.1 at collapse."""
    W, H = p.collapsed()
    return theorem(hessian(W, H, H, y, p.lam_W, p.lam_H, p.beta), W.numel(), p.beta / len(H))[1]


def first_order(W, H, y, lam_W, lam_H, beta):
    """F of Eq. 5 at a minimizer (W, H), the paper's H being (d, Kn)."""
    H = H.T.contiguous()
    (d, N), K, eye = H.shape, len(W), partial(torch.eye, dtype=H.dtype)
    R = W @ H - eye(K)[:, y]
    E = torch.einsum("ai,kn->naik", eye(d), R).reshape(N * d, d * K)
    J = E.T + torch.kron(H, W)
    weight = torch.kron(H @ H.T, eye(K)) + N // K * lam_W * eye(d * K)
    Z = J.T @ torch.linalg.solve(weight, J)
    return (1 - lam_H / beta) * eye(N * d) - torch.kron(eye(N), W.T @ W) / beta + Z / beta


def minimizer(p, H0, y):
    """The features of the exact minimizer tied to H0."""
    W = perturbation.solve(H0, y, p.lam_W, p.lam_H, p.beta)
    return perturbation.features(W, H0, y, p.lam_H, p.beta)
