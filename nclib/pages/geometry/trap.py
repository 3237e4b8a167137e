"""How the metrics of collapse break exactly where collapse is reached, each trap shown by running it, and their
conventions on one example.

Derived: none of it is in Dang et al. 2023, whose metrics are described on the page.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from nclib import metrics
from nclib.frames import orthogonal_frame, simplex_etf
from nclib.models import FreeFeatures, HeavyBall, direct_descent
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics


@dataclass(frozen=True)
class Trap(Experiment):
    """trap: a name of TRAPS. points: how many values of x. seed: of the noise or of the start."""

    NAME: ClassVar[str] = "dang2023.traps"

    trap: str
    points: int
    seed: int

    def run(self, device="cpu"):
        """What each way of computing (`metric`) gives at each `x`, and the exact value as `theory`. On the CPU."""
        found = TRAPS[self.trap](self.points, self.seed)
        return pd.concat(found, ignore_index=True)


def pinv(points, seed):
    """Two of K = 10 classes merge: x is their distance, as a fraction of that between the other classes. d = 512.

    Exact: nclib's NC1, at the exact rank. float32: tr(Sigma_W pinv(Sigma_B))/K with torch's default cutoff on float32
    covariances; numpy32, numpy64: the same with numpy's default cutoff, 1e-15 of the largest singular value, on float32
    and float64 covariances (absolute values: some are negative). mean_cdnv and max_cdnv are over pairs of classes.
    """
    K, n, d = 10, 50, 512
    y = torch.repeat_interleave(torch.arange(K), n)
    normal = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    noise = 1e-2 * torch.randn(K * n, d, **normal) / d**0.5
    R = torch.linalg.qr(torch.randn(d, K, **normal)).Q.mT
    for x in torch.logspace(0, -4, points // 3 + 1, dtype=torch.float64).tolist():
        M = R.clone()
        M[9] = M[8] + x * (M[9] - M[8])
        stats = ClassStatistics.from_features(M[y] + noise, y, K)
        W, B = stats.within, stats.between
        found = {"float32": (W.float() @ torch.linalg.pinv(B.float())).trace() / K}
        for name, kind in {"numpy32": np.float32, "numpy64": np.float64}.items():
            Sigma_W, Sigma_B = W.numpy().astype(kind), B.numpy().astype(kind)
            found[name] = abs(np.trace(Sigma_W @ np.linalg.pinv(Sigma_B))) / K
        cdnv = metrics.cdnv_summary(stats)
        exact = dict.fromkeys(found, metrics.nc1(stats))
        yield rows(found | {"mean_cdnv": cdnv.mean, "max_cdnv": cdnv.max}, theory=exact, x=x)


def one_pass(points, seed):
    """tr Sigma_W of one class, relative error; x is the collapse ratio tr Sigma_W / |mean|^2, d = 64, 2,000 samples.

    one_pass: sum_i E[h_i^2] - E[h_i]^2 in float32; two_pass: E|h - E h|^2 in float32; nclib: ClassStatistics in batches
    of 100 merged by +, of the same float32 features. Exact: two passes in float64 over features that were not rounded.
    """
    n, d = 2000, 64
    unit = torch.full((d,), d**-0.5, dtype=torch.float64)
    noise = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / d**0.5
    for x in torch.logspace(0, -9, points, dtype=torch.float64):
        H = unit + x.sqrt() * noise
        exact = (H - H.mean(0)).square().sum(1).mean()
        h, y = H.float(), torch.zeros(100, dtype=torch.int64)
        parts = [ClassStatistics.from_features(batch, y, 1) for batch in h.split(100)]
        traces = {
            "one_pass": (h.square().mean(0) - h.mean(0).square()).sum(),
            "two_pass": (h - h.mean(0)).square().sum(1).mean(),
            "nclib": sum(parts[1:], parts[0]).spread[0] / n,
        }
        yield rows({name: abs(trace / exact - 1) for name, trace in traces.items()}, x=float(x))


def centering(points, seed):
    """NC3 of perfect frames with the wrong centering; x is the number of classes K (the seed changes nothing).

    of: an orthogonal frame, features centered; exactly sqrt(2 - 2 sqrt(1 - 1/K)) (derived). of_right: not centered, 0.
    etf: a simplex ETF whose features carry a common offset as long as a class mean, not centered; exactly
    sqrt(2 - sqrt(2)) for any K (derived). etf_right: centered, 0.
    """
    for K in sorted({10} | {round(2 * 50 ** (i / (points - 1))) for i in range(points)}):
        F, E = orthogonal_frame(K, K + 1), simplex_etf(K, K + 1)
        offset = torch.linalg.svd(E).Vh[-1] * E[0].norm()
        found = {
            "of": metrics.nc3(F, F - F.mean(0)),
            "of_right": metrics.nc3(F, F),
            "etf": metrics.nc3(E, E + offset),
            "etf_right": metrics.nc3(E, (E + offset) - (E + offset).mean(0)),
        }
        exact = {"of": math.sqrt(2 - 2 * math.sqrt(1 - 1 / K)), "etf": math.sqrt(2 - math.sqrt(2))}
        yield rows(found, theory=exact | {"of_right": 0.0, "etf_right": 0.0}, x=float(K))


def dead(points, seed):
    """Gradient descent on the free-features model, K = 4, n = 10, d = 8, M = 1, below and above the weight decay
    sqrt(n)/N = 0.0791 at which the whole network dies (Dang et al. 2023, Theorem 3.1; threshold derived).

    x: iteration. nc1, trace_between = tr Sigma_B, each for "alive" (lam = 0.02) and "dead" (lam = 0.1).
    """
    steps, found = 400, []
    y = torch.repeat_interleave(torch.arange(4), 10)

    def record(fate, step, state):
        stats = ClassStatistics.from_features(state.H[0], y, 4)
        values = {f"nc1_{fate}": metrics.nc1(stats), f"trace_between_{fate}": stats.between.trace()}
        found.append(rows(values, x=float(step)))

    for fate, lam in {"alive": 0.02, "dead": 0.1}.items():
        direct_descent(
            FreeFeatures((10,) * 4, 8, 1, lam_W=lam, lam_H=lam),
            HeavyBall(steps, std=0.3, seeds=(seed,)),
            partial(record, fate),
            record_at=torch.linspace(0, steps, points).round().int().tolist(),
        )
    return found


def conventions(points, seed):
    """One imbalanced example, K = 4, n = (60, 30, 15, 5), d = 6: every metric of the page in its conventions."""
    counts = torch.tensor([60, 30, 15, 5])
    y = torch.repeat_interleave(torch.arange(4), counts)
    normal = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    M = orthogonal_frame(4, 6) + 0.2 * torch.randn(4, 6, **normal)
    H = M[y] + 0.1 * torch.randn(len(y), 6, **normal)
    W = M + 0.1 * torch.randn(4, 6, **normal)
    stats = ClassStatistics.from_features(H, y, 4)
    means, centered = stats.means, stats.centered_means
    values = {
        "nc1 class": metrics.nc1(stats),
        "nc1 sample": metrics.nc1(stats, center="sample"),
        "nc1 sum": 4 * metrics.nc1(stats),
        "nc1 trace": metrics.nc1_trace_ratio(stats),
        "nc2 etf": metrics.nc2(centered, "etf"),
        "nc2 of": metrics.nc2(means, "of"),
        "nc2 equinorm": metrics.equinorm_cv(centered),
        "nc2 equiangularity": metrics.equiangularity(centered),
        "nc3 uncentered": metrics.nc3(W, means),
        "nc3 centered": metrics.nc3(W, centered),
        "nc3 squared": metrics.nc3(W, centered) ** 2,
        "nc3 cosine": metrics.self_duality(W, centered),
        "nc4 agreement": metrics.ncc_agreement(H, W, None, means),
        "cdnv mean": metrics.cdnv_summary(stats).mean,
        "cdnv max": metrics.cdnv_summary(stats).max,
        "cdnv power 2": metrics.cdnv_summary(stats, power=2).mean,
    }
    return [rows(values)]


TRAPS = {f.__name__: f for f in (pinv, one_pass, centering, dead, conventions)}
