"""Depth in the model with features tied to those of the layer below: solved layer by layer, or all layers at once.

In the paper's scaling, times Kn, for features H_l (N, d) with N = Kn and one-hot labels Y:

    layerwise   H_l minimizes   1/2 |H W^T - Y|^2 + n lam_W/2 |W|^2 + lam_H/2 |H|^2 + beta/2 |H - H_{l-1}|^2   over H, W
    chain       H_1 ... H_L, W minimize   1/2 |H_L W^T - Y|^2 + n lam_W/2 |W|^2 + lam_H/2 |H_L|^2
                                          + beta/2 sum_l |H_l - H_{l-1}|^2                                 all at once

The first is how Tirer et al. 2023 read their Corollary 3.2. The second is a proximal model of end-to-end training; it
is minimized here over all its variables, and held against what was derived: H_L is that of a single layer with beta/L,
and H_l lies on the straight line from H_0 to H_L.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from torch.nn import functional as F

from nclib import lbfgs, metrics
from nclib.results import rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation

VERSION = 1


@dataclass(frozen=True)
class Config:
    """One problem. noise: H_0 is the collapsed minimizer plus Gaussian noise of this standard deviation, or Gaussian of
    standard deviation 1 for None. coupling: "layerwise" or "chain"."""

    num_classes: int
    samples: int
    dim: int
    lam_W: float
    lam_H: float
    beta: float
    layers: int
    noise: float | None
    coupling: str
    seeds: tuple[int, ...]


def run(config, device="cpu"):
    """Both NC1 at each layer, measured and near collapse predicted; for the chain also its distance from a single layer
    of beta/L and from the straight line, relative to |H_L - H_0|. Always float64 on the CPU."""
    y = torch.arange(config.num_classes).repeat_interleave(config.samples)
    found = []
    starts = torch.stack([start(config, seed) for seed in config.seeds])
    paths = chain(config, starts, y) if config.coupling == "chain" else layerwise(config, starts, y)
    for seed, path in zip(config.seeds, paths, strict=True):
        first = collapse(path[0], y, config.num_classes)
        for layer, H in enumerate(path):
            found.append(rows(collapse(H, y, config.num_classes), layer=str(layer), seed=seed))
            law = first["nc1"] * attenuation(config, layer)
            found.append(rows({"nc1": law}, layer=str(layer), source="theory", seed=seed))
        if config.coupling == "chain":
            found.append(rows(distances(config, path, y), layer=str(config.layers), seed=seed))
    return pd.concat(found, ignore_index=True)


def start(config, seed):
    """H_0 (N, d)."""
    N = config.num_classes * config.samples
    noise = torch.randn(N, config.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise if config.noise is None else problem(config, config.beta).collapsed()[1] + config.noise * noise


def problem(config, beta):
    """The single layer."""
    sizes = config.num_classes, config.samples, config.dim
    return perturbation.Problem(*sizes, config.lam_W, config.lam_H, beta)


def attenuation(config, layer):
    """NC1 of layer l over that of the input, near collapse: (1 + s/beta)^(-2 l) for "layerwise". In the chain the noise
    falls on a straight line to 1/(1 + L s/beta): (1 - (l/L) (1 - 1/(1 + L s/beta)))^2. s = sqrt(lam_H/lam_W)."""
    if config.coupling == "layerwise":
        return problem(config, config.beta).attenuation()["nc1"] ** layer
    end = problem(config, config.beta / config.layers).attenuation()["nc1"] ** 0.5
    return (1 - layer / config.layers * (1 - end)) ** 2


def step(config, H, y, beta):
    """The features of one layer with beta on features H."""
    W = perturbation.solve(H, y, config.lam_W, config.lam_H, beta)
    return perturbation.features(W, H, y, config.lam_H, beta)


def layerwise(config, starts, y):
    """[H_0, ..., H_L] for each start."""
    for H in starts:
        path = [H]
        for _ in range(config.layers):
            path.append(step(config, path[-1], y, config.beta))
        yield path


def chain(config, starts, y):
    """(B, L+1, N, d): the minimizers of the chain, by L-BFGS on all H_l and W from H_l = H_0 and random small W."""
    B, N, d = starts.shape
    K, L, n = config.num_classes, config.layers, config.samples
    Y = F.one_hot(y, K).double()

    def loss(theta, which):
        W, H = theta[:, : K * d].unflatten(1, (K, d)), theta[:, K * d :].unflatten(1, (L, N, d))
        increments = torch.cat([starts[which, None], H], 1).diff(dim=1)
        fit = (H[:, -1] @ W.mT - Y).square().sum((1, 2)) + n * config.lam_W * W.square().sum((1, 2))
        ties = config.lam_H * H[:, -1].square().sum((1, 2)) + config.beta * increments.square().sum((1, 2, 3))
        return (fit + ties) / 2

    generator = torch.Generator().manual_seed(0)
    W = 0.1 * torch.randn(B, K * d, generator=generator, dtype=torch.float64)
    theta = torch.cat([W, starts.repeat(1, L, 1).flatten(1)], 1)
    theta, _, _ = lbfgs.minimize(loss, theta, iterations=5000, tolerance=1e-11, history=20)
    return torch.cat([starts[:, None], theta[:, K * d :].unflatten(1, (L, N, d))], 1)


def distances(config, path, y):
    """Of the chain from a single layer with beta/L, and from the straight line between its ends."""
    single = step(config, path[0], y, config.beta / config.layers)
    share = torch.linspace(0, 1, config.layers + 1, dtype=torch.float64).view(-1, 1, 1)
    line = path[0] + share * (path[-1] - path[0])
    scale = torch.linalg.norm(path[-1] - path[0])
    return {
        "single_layer": torch.linalg.norm(path[-1] - single) / scale,
        "straight_line": torch.linalg.norm(path - line, dim=(1, 2)).max() / scale,
    }


def collapse(H, y, num_classes):
    """The two NC1."""
    stats = ClassStatistics.from_features(H, y, num_classes, scatter=True)
    return {"nc1": metrics.nc1(stats), "nc1_trace_ratio": metrics.nc1_trace_ratio(stats)}
