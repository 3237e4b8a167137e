"""One sparse frame made in three ways: masked only, by Adam as the authors' code does it, and exactly."""

import math
import time
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import frames
from nclib.runs.experiment import Experiment, rows
from nclib.theory import sparse_frame as sf

GAMMA = 0.1
ANGLES = 200  # pairs whose angle is kept, evenly spaced in the sorted list


@dataclass(frozen=True)
class Frame(Experiment):
    """steps: of Adam, 0 for none of it."""

    NAME: ClassVar[str] = "xiao2024.frame"

    K: int
    d: int
    beta: float
    steps: int
    seed: int

    def run(self, device="cpu"):
        """For each `way`: "angle mean" and "angle std" over pairs, degrees, "norm cv", "residual" max |V V^T - c C| at
        unit norm, "column sum" (the largest), "seconds"; and "off", quantiles (by `index`) of |angle - ideal|."""
        mask = sf.without_singletons(sf.sparse_mask(self.K, self.d, self.beta, seed=self.seed), seed=self.seed)
        start = frames.simplex_etf(self.K, max(self.d, self.K - 1))[:, : self.d]
        start = start @ torch.linalg.qr(torch.rand(self.d, self.d, generator=self.generator(), dtype=torch.float64)).Q
        ways = {"masked": lambda: start * mask, "exact": lambda: sf.simplex_on_mask(mask, seed=self.seed)}
        if self.steps:
            ways["Adam"] = lambda: by_adam(start * mask, mask, GAMMA, self.steps) / GAMMA
        tables = []
        for way, make in ways.items():
            begin = time.perf_counter()
            V = make()
            seconds = time.perf_counter() - begin
            tables.append(rows(measured(V) | {"seconds": seconds}, "index", theory=self.ideal(), way=way))
        return pd.concat(tables, ignore_index=True)

    def generator(self):
        return torch.Generator().manual_seed(self.seed)

    def ideal(self):
        return {"angle mean": math.degrees(math.acos(-1 / (self.K - 1)))}


def measured(V):
    K = len(V)
    unit = torch.nn.functional.normalize(V.double(), dim=1)
    i, j = torch.triu_indices(K, K, 1)
    # An angle by its cosine loses half of the digits; by the two chords it does not.
    chord, sum_ = (unit[i] - unit[j]).norm(dim=1), (unit[i] + unit[j]).norm(dim=1)
    angles = torch.rad2deg(2 * torch.atan2(chord, sum_))
    off = (angles - math.degrees(2 * math.atan2(math.sqrt(2 + 2 / (K - 1)), math.sqrt(2 - 2 / (K - 1))))).abs()
    norms = V.double().norm(dim=1)
    target = (K * torch.eye(K, dtype=torch.float64) - 1) / (K - 1)
    return {
        "angle mean": angles.mean(),
        "angle std": angles.std(correction=0),
        "norm cv": norms.std(correction=0) / norms.mean(),
        "residual": (V.double() @ V.double().T - target).abs().max(),
        "column sum": V.sum(0).abs().max(),
        "off": torch.quantile(off, torch.linspace(0, 1, min(ANGLES, len(off)), dtype=torch.float64)),
    }


def by_adam(V, mask, gamma, steps, lr=1e-4):
    """Adam on sum_c (|v_c| - gamma)^2 - mean_c min_{j != c} angle(v_c, v_j), V 0 off the mask, in float32: rate, number
    of steps and the clamp of cosines are those of the code of Xiao et al. 2024."""
    V, mask = V.float().clone().requires_grad_(), mask.float()
    optimizer = torch.optim.Adam([V], lr=lr)
    own = torch.eye(len(V), dtype=torch.bool)
    for _ in range(steps):
        optimizer.zero_grad()
        norms = V.norm(dim=1)
        cos = ((V @ V.T) / torch.outer(norms, norms)).clamp(-0.99999, 0.99999)
        nearest = torch.acos(cos).masked_fill(own, math.inf).amin(1)
        loss = (norms - gamma).square().sum() - nearest.mean()
        loss.backward()
        V.grad *= mask
        optimizer.step()
    return V.detach().double()
