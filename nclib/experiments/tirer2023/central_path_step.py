"""One backward-Euler step of the central path: the minimizer of Eq. 2 for random H0 and many beta = 1/t."""

from dataclasses import dataclass

import pandas as pd
import torch

from nclib import metrics
from nclib.experiments.tirer2023 import central_path_flow
from nclib.results import rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation

VERSION = 1


@dataclass(frozen=True)
class Config:
    """`count` random problems for each seed ("random" of central_path_flow), each solved at every one of `betas`."""

    count: int
    betas: tuple[float, ...]
    num_classes: int = 4
    samples: int = 5
    dim: int = 6
    seeds: tuple[int, ...] = (0, 1, 2)


def run(config, device="cpu"):
    """Over problems i and betas j: "fall" (trace ratio of the minimizer over that of H0), "margin" (its certificate),
    "within" and "between" (those of the minimizer over those of H0, over (beta/(beta + lam_H))^2); "constant[i]" (that
    of Corollary 3.2) and "rate[i]" (d/dt log trace ratio of the flow at H0)."""
    K, y = config.num_classes, torch.arange(config.num_classes).repeat_interleave(config.samples)
    like = central_path_flow.Config("random", config.count, (), K, config.samples, config.dim)
    betas, found = torch.tensor(config.betas, dtype=torch.float64), []
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        problems = [central_path_flow.problem(like, number, generator) for number in range(config.count)]
        values = {name: [] for name in ("fall", "margin", "within", "between", "constant", "rate")}
        for H0, _, lam_W, lam_H in problems:
            W = perturbation.solve(H0, y, lam_W, lam_H, betas)
            H = [perturbation.features(w, H0, y, lam_H, beta) for w, beta in zip(W, config.betas, strict=True)]
            shrink = torch.tensor([(beta / (beta + lam_H)) ** 2 for beta in config.betas], dtype=torch.float64)
            within, between = torch.tensor([traces(h, K) for h in H], dtype=torch.float64).T / shrink
            before = traces(H0, K)
            values["fall"].append([ratio(h, y, K) / ratio(H0, y, K) for h in H])
            values["margin"].append(perturbation.global_margin(W, H0, y, lam_W, lam_H, betas).tolist())
            values["within"].append((within / before[0]).tolist())
            values["between"].append((between / before[1]).tolist())
            values["constant"].append(perturbation.monotone_beta(lam_W, lam_H))
            values["rate"].append(perturbation.central_path(H0, y, lam_W, lam_H, [0.0])["log_slope"].iloc[0])
        found.append(rows(values, seed=seed))
    return pd.concat(found, ignore_index=True)


def traces(H, K):
    """(tr Sigma_W, tr Sigma_B) for samples class by class."""
    means = H.view(K, -1, H.shape[1]).mean(1, keepdim=True)
    within = (H.view(K, -1, H.shape[1]) - means).square().sum() / len(H)
    return float(within), float((means - means.mean(0)).square().sum() / K)


def ratio(H, y, K):
    """tr Sigma_W / tr Sigma_B."""
    return metrics.nc1_trace_ratio(ClassStatistics.from_features(H, y, K, scatter=True))
