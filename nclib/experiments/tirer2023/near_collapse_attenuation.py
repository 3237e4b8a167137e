"""How much of each collapse metric is left at the minimizer when H0 is the collapsed features plus noise."""

from dataclasses import dataclass

import pandas as pd
import torch

from nclib import metrics
from nclib.experiments.tirer2023.near_collapse_response import minimizer
from nclib.results import rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation

VERSION = 1


@dataclass(frozen=True)
class Config:
    """One problem, with Gaussian noise of each of `sizes` times sqrt(rho), the length of a class mean.

    skew: noise has standard deviations falling geometrically from coordinate 1 to d by this factor, after a random
    rotation of the features; 1 is isotropic noise.
    """

    lam_W: float
    lam_H: float
    beta: float
    skew: float
    num_classes: int = 4
    samples: int = 10
    dim: int = 10
    sizes: tuple[float, ...] = (1e-3,)
    seeds: tuple[int, ...] = (0, 1, 2)


def run(config, device="cpu"):
    """Over sizes, the metric of the minimizer over that of H0: "nc1", "nc1_trace_ratio", "nc2", measured and theory.

    The law of the trace ratio weighs the two attenuations with the share of the noise in the span of the means, which
    is computed from the noise drawn: K/d is its mean for isotropic noise.
    """
    K, n, d = config.num_classes, config.samples, config.dim
    p = perturbation.Problem(K, n, d, config.lam_W, config.lam_H, config.beta)
    y, H, found = torch.arange(K).repeat_interleave(n), p.collapsed()[1], []
    inside, outside = (config.beta / (config.beta + rate) for rate in (p.s, p.lam_H))
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        deviations = config.skew ** -torch.linspace(0, 1, d, dtype=torch.float64)
        rotation = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
        D = torch.randn(K * n, d, generator=generator, dtype=torch.float64) * deviations @ rotation
        centered = D - D.view(K, n, d).mean(1).repeat_interleave(n, 0)
        share = float(centered[:, :K].square().sum() / centered.square().sum())
        law = p.attenuation() | {"nc1_trace_ratio": share * inside**2 + (1 - share) * outside**2}
        found.append(rows(law, source="theory", seed=seed))
        starts = [H + size * p.rho**0.5 * D for size in config.sizes]
        ends = [minimizer(p, X, y) for X in starts]
        before, after = ([measure(X, y, K) for X in points] for points in (starts, ends))
        left = {name: [b[name] / a[name] for a, b in zip(before, after, strict=True)] for name in law}
        found.append(rows(left, seed=seed))
    return pd.concat(found, ignore_index=True)


def measure(H, y, K):
    """The three metrics; NC2 of the centered class means."""
    stats = ClassStatistics.from_features(H, y, K, scatter=True)
    found = {"nc1": metrics.nc1(stats), "nc1_trace_ratio": metrics.nc1_trace_ratio(stats)}
    return found | {"nc2": metrics.nc2(stats.centered_means)}
