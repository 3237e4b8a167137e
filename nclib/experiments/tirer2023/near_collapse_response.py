"""The linear response dH = F dH0 of the minimizer at collapse: dense matrices of Theorem 4.1 against closed forms.

F (Kn d, Kn d) is found in two ways, neither of which uses a closed form: from the Hessian of f by automatic
differentiation, beta/(Kn) (f_HH - f_HW f_WW^-1 f_WH)^-1; and to first order in 1/beta from the matrices Z and E of
Tirer et al. 2023, Eq. 5, as they are printed. Vectors stack the features sample by sample, class by class.
"""

from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch

from nclib.experiments.tirer2023.near_collapse_minimizer import objective
from nclib.results import rows
from nclib.theory import perturbation

VERSION = 1


@dataclass(frozen=True)
class Config:
    """One problem. sizes: standard deviations of dH0, from each seed, for which the minimizer is computed exactly."""

    lam_W: float
    lam_H: float
    beta: float
    num_classes: int = 4
    samples: int = 10
    dim: int = 10
    sizes: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)


def exact(p, y):
    """F of Theorem 4.1. Row i of the Hessian A is the gradient of entry i of the gradient, at a copy of its own."""
    W, H = p.collapsed()
    m = W.numel()
    theta = torch.cat([W.flatten(), H.flatten()])
    theta = theta.expand(len(theta), -1).clone().requires_grad_()
    free = theta[:, :m].unflatten(1, W.shape), theta[:, m:].unflatten(1, H.shape)
    f = objective(*free, H, y, p.lam_W, p.lam_H, p.beta)
    (g,) = torch.autograd.grad(f.sum(), theta, create_graph=True)
    (A,) = torch.autograd.grad(g.diagonal().sum(), theta)
    schur = A[m:, m:] - A[m:, :m] @ torch.linalg.solve(A[:m, :m], A[:m, m:])
    return p.beta / len(H) * torch.linalg.inv(schur)


def first_order(p, y):
    """F of Eq. 5, H there being (d, Kn): I - lam_H/beta I - 1/beta I (x) W^T W + Z/beta."""
    W, H = p.collapsed()
    H = H.T.contiguous()
    (d, N), K, eye = H.shape, len(W), partial(torch.eye, dtype=H.dtype)
    R = W @ H - eye(K)[:, y]
    E = torch.einsum("ai,kn->naik", eye(d), R).reshape(N * d, d * K)
    J = E.T + torch.kron(H, W)
    weight = torch.kron(H @ H.T, eye(K)) + p.samples_per_class * p.lam_W * eye(d * K)
    Z = J.T @ torch.linalg.solve(weight, J)
    return (1 - p.lam_H / p.beta) * eye(N * d) - torch.kron(eye(N), W.T @ W) / p.beta + Z / p.beta


def run(config, device="cpu"):
    """layer "exact" and "first-order": "sigma[i]", the singular values of the block F_11, descending, and "cross[i]",
    the first two of F_12; measured (from the matrices) and theory. "rate[i]": lam_H, s, mu, 2 mu (theory). The exact
    minimizer against F dH0: "residual[i]", its distance from H + F dH0, and "size[i]", |dH0|, over `sizes`."""
    sizes = config.num_classes, config.samples, config.dim
    p = perturbation.Problem(*sizes, config.lam_W, config.lam_H, config.beta)
    y = torch.arange(config.num_classes).repeat_interleave(config.samples)
    block, found = config.samples * config.dim, []
    for layer, order, F in (("exact", None, exact(p, y)), ("first-order", 1, first_order(p, y))):
        own, cross = (torch.linalg.svdvals(F[:block, part]) for part in (slice(block), slice(block, 2 * block)))
        found.append(rows({"sigma": own, "cross": cross[:2]}, layer=layer, seed=config.seeds[0]))
        own, cross = p.block_spectrum(order)
        found.append(rows({"sigma": own, "cross": [cross, 0.0]}, layer=layer, source="theory", seed=config.seeds[0]))
    found.append(rows({"rate": [p.lam_H, p.s, p.mu, 2 * p.mu]}, source="theory", seed=config.seeds[0]))
    H = p.collapsed()[1]
    for seed in config.seeds if config.sizes else ():
        D = torch.randn(H.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        steps = [size * D for size in config.sizes]
        moves = [minimizer(p, H + step, y) - H for step in steps]
        for layer, order in (("exact", None), ("first-order", 1)):
            residual = [torch.linalg.norm(m - p.response(s, order)) for m, s in zip(moves, steps, strict=True)]
            norms = [torch.linalg.norm(s) for s in steps]
            values = {"residual": torch.stack(residual), "size": torch.stack(norms)}
            found.append(rows(values, layer=layer, seed=seed))
    return pd.concat(found, ignore_index=True)


def minimizer(p, H0, y):
    """The features of the exact minimizer tied to H0."""
    W = perturbation.solve(H0, y, p.lam_W, p.lam_H, p.beta)
    return perturbation.features(W, H0, y, p.lam_H, p.beta)
