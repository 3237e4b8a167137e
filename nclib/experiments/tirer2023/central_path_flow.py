"""The central-path flow dH/dt = -Kn grad L(H), L(H) = min over W of Eq. 1, from many starts (Tirer et al. 2023, Eq. 4).

The flow of the class means and of Sigma_W is integrated; the rest follows from them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from nclib.results import rows
from nclib.theory import perturbation

VERSION = 1
RECORDED = ("nc1", "nc1_trace_ratio", "within", "between", "mean_square", "nc2", "log_slope")
RISING_MEANS = ((3.7, 0.5, 1.4), (3.8, 0.9, -4.3), (0.3, 0.2, -4.8))
RISING_NOISE = ((0.0, 0.0, 0.2), (0.0, 0.0, -0.2), (0.0, 0.5, 0.0), (0.0, -0.5, 0.0))


@dataclass(frozen=True)
class Config:
    """`count` flows for each seed, observed at `times`.

    start: "random", Gaussian features of a random scale from 0.3 to 3, lam_W from 0.1 to 1 and lam_H from 0.01 to 1,
    uniform in the logarithm, lam_H = 0 in each fifth flow; "skewed", the same with a hundredfold range of the standard
    deviations of means and of noise over the coordinates; "near", the collapsed minimizer plus Gaussian noise of 0.01;
    "rising", the same three classes for each flow and seed. scale, lam_W and lam_H, where given, are used instead.
    """

    start: str
    count: int
    times: tuple[float, ...]
    num_classes: int = 4
    samples: int = 5
    dim: int = 6
    scale: float | None = None
    lam_W: float | None = None
    lam_H: float | None = None
    seeds: tuple[int, ...] = (0, 1, 2)


def problem(config, number, generator):
    """(H0, y, lam_W, lam_H) of one flow."""
    K, n, d = config.num_classes, config.samples, config.dim
    scale, lam_W, lam_H = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    lam_W, lam_H = 0.1 * 10**lam_W, 0.01 * 100**lam_H if number % 5 else 0.0
    scale = 0.3 * 10**scale if config.scale is None else config.scale
    lam_W = lam_W if config.lam_W is None else config.lam_W
    lam_H = lam_H if config.lam_H is None else config.lam_H
    y = torch.arange(K).repeat_interleave(n)
    if config.start == "rising":
        means, noise = (torch.tensor(rows, dtype=torch.float64) for rows in (RISING_MEANS, RISING_NOISE))
        return (means[:, None] + noise).flatten(0, 1), y, lam_W, lam_H
    H0 = torch.randn(K * n, d, generator=generator, dtype=torch.float64)
    if config.start == "near":
        return 0.01 * H0 + perturbation.Problem(K, n, d, lam_W, lam_H, 0.0).collapsed()[1], y, lam_W, lam_H
    means = torch.randn(K, d, generator=generator, dtype=torch.float64)
    if config.start == "skewed":
        widths = 100 ** (-torch.rand(2, d, generator=generator, dtype=torch.float64))
        means, H0 = means * widths[0], H0 * widths[1]
    return scale * (means[y] + H0), y, lam_W, lam_H


def run(config, device="cpu"):
    """Over flows i and times j: what `perturbation.central_path` returns, and "lam_W[i]", "lam_H[i]". For "random" also
    "difference[i]" (of log trace ratio, between flows to t +- h) and "slope[i]", of the first 5 flows at 3 times."""
    found = []
    for seed in config.seeds:
        generator = torch.Generator().manual_seed(seed)
        flows = [problem(config, number, generator) for number in range(config.count)]
        paths = [perturbation.central_path(*flow, config.times) for flow in flows]
        values = {name: np.stack([path[name] for path in paths]) for name in RECORDED}
        values |= {"lam_W": [flow[2] for flow in flows], "lam_H": [flow[3] for flow in flows]}
        found.append(rows(values, seed=seed))
        if config.start == "random":
            checks = [difference(flow, t) for flow in flows[:5] for t in config.times[1:4]]
            slopes = [slope for path in paths[:5] for slope in path["log_slope"].iloc[1:4]]
            found.append(rows({"difference": checks, "slope": slopes}, seed=seed))
    return pd.concat(found, ignore_index=True)


def difference(flow, t):
    """d/dt log trace ratio at t by the five-point formula."""
    h = 0.002 * t
    log = np.log(perturbation.central_path(*flow, [t - 2 * h, t - h, t + h, t + 2 * h])["nc1_trace_ratio"])
    return (log[0] - 8 * log[1] + 8 * log[2] - log[3]) / (12 * h)
