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
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib import metrics
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory import perturbation
from nclib.training import lbfgs


@dataclass(frozen=True)
class Chain(Experiment):
    """One problem. noise: H_0 is the collapsed minimizer plus Gaussian noise of this standard deviation, or Gaussian of
    standard deviation 1 for None. coupling: "layerwise" or "chain"."""

    NAME: ClassVar[str] = "tirer2023.depth_chain"

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

    def run(self, device="cpu"):
        """Both NC1 at each `layer` from each seed, NC1 also as predicted near collapse; for the chain its distances, at
        the last layer. Always float64 on the CPU."""
        y = torch.arange(self.num_classes).repeat_interleave(self.samples)
        found = []
        starts = torch.stack([self.start(seed) for seed in self.seeds])
        paths = self.chain(starts, y) if self.coupling == "chain" else self.layerwise(starts, y)
        for seed, path in zip(self.seeds, paths, strict=True):
            first = collapse(path[0], y, self.num_classes)
            for layer, H in enumerate(path):
                law = {"nc1": first["nc1"] * self.attenuation(layer)}
                found.append(rows(collapse(H, y, self.num_classes), theory=law, layer=layer, seed=seed))
            if self.coupling == "chain":
                found.append(rows(self.distances(path, y), layer=self.layers, seed=seed))
        return pd.concat(found, ignore_index=True)

    def start(self, seed):
        """H_0 (N, d)."""
        N = self.num_classes * self.samples
        noise = torch.randn(N, self.dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return noise if self.noise is None else self.problem(self.beta).collapsed()[1] + self.noise * noise

    def problem(self, beta):
        """The single layer."""
        return perturbation.Problem(self.num_classes, self.samples, self.dim, self.lam_W, self.lam_H, beta)

    def attenuation(self, layer):
        """NC1 of layer l over that of the input, near collapse: (1 + s/beta)^(-2 l) for "layerwise". In the chain the
        noise falls on a straight line to 1/(1 + L s/beta): (1 - (l/L) (1 - 1/(1 + L s/beta)))^2. s = sqrt(lam_H/lam_W).
        """
        if self.coupling == "layerwise":
            return self.problem(self.beta).depth_law(layer)
        end = self.problem(self.beta).chain_law(self.layers) ** 0.5
        return (1 - layer / self.layers * (1 - end)) ** 2

    def step(self, H, y, beta):
        """The features of one layer with beta on features H."""
        W = perturbation.solve(H, y, self.lam_W, self.lam_H, beta)
        return perturbation.features(W, H, y, self.lam_H, beta)

    def layerwise(self, starts, y):
        """[H_0, ..., H_L] for each start."""
        for H in starts:
            path = [H]
            for _ in range(self.layers):
                path.append(self.step(path[-1], y, self.beta))
            yield path

    def chain(self, starts, y):
        """(B, L+1, N, d): the minimizers of the chain, by L-BFGS on all H_l and W from H_l = H_0 and random small W."""
        B, N, d = starts.shape
        K, L, n = self.num_classes, self.layers, self.samples
        Y = F.one_hot(y, K).double()

        def loss(theta, which):
            W, H = theta[:, : K * d].unflatten(1, (K, d)), theta[:, K * d :].unflatten(1, (L, N, d))
            increments = torch.cat([starts[which, None], H], 1).diff(dim=1)
            fit = (H[:, -1] @ W.mT - Y).square().sum((1, 2)) + n * self.lam_W * W.square().sum((1, 2))
            ties = self.lam_H * H[:, -1].square().sum((1, 2)) + self.beta * increments.square().sum((1, 2, 3))
            return (fit + ties) / 2

        generator = torch.Generator().manual_seed(0)
        W = 0.1 * torch.randn(B, K * d, generator=generator, dtype=torch.float64)
        theta = torch.cat([W, starts.repeat(1, L, 1).flatten(1)], 1)
        theta, _, _ = lbfgs.minimize(loss, theta, iterations=5000, tolerance=1e-11, history=20)
        return torch.cat([starts[:, None], theta[:, K * d :].unflatten(1, (L, N, d))], 1)

    def distances(self, path, y):
        """Of the chain from a single layer with beta/L, and from the straight line between its ends, relative to
        |H_L - H_0|."""
        single = self.step(path[0], y, self.beta / self.layers)
        share = torch.linspace(0, 1, self.layers + 1, dtype=torch.float64).view(-1, 1, 1)
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
