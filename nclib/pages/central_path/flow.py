"""The central-path flow dH/dt = -Kn grad L(H), L(H) = min over W of Eq. 1, from many starts (Tirer et al. 2023, Eq. 4).

The flow of the class means and of Sigma_W is integrated; the rest follows from them.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from nclib.runs.experiment import Experiment, rows
from nclib.theory import perturbation

RECORDED = ("nc1", "nc1_trace_ratio", "within", "between", "mean_square", "nc2", "log_slope")
RISING_MEANS = ((3.7, 0.5, 1.4), (3.8, 0.9, -4.3), (0.3, 0.2, -4.8))
RISING_NOISE = ((0.0, 0.0, 0.2), (0.0, 0.0, -0.2), (0.0, 0.5, 0.0), (0.0, -0.5, 0.0))


@dataclass(frozen=True)
class Flow(Experiment):
    """`count` flows for each seed, observed at `times`.

    start: "random", Gaussian features of a random scale from 0.3 to 3, lam_W from 0.1 to 1 and lam_H from 0.01 to 1,
    uniform in the logarithm, lam_H = 0 in each fifth flow; "skewed", the same with a hundredfold range of the standard
    deviations of means and of noise over the coordinates; "near", the collapsed minimizer plus Gaussian noise of 0.01;
    "rising", the same three classes for each flow and seed. scale, lam_W and lam_H, where given, are used instead.
    """

    NAME: ClassVar[str] = "tirer2023.central_path_flow"

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

    def run(self, device="cpu"):
        """For each `flow` and time `t` what `perturbation.central_path` returns, and the flow's "lam_W" and "lam_H".

        For "random" also "speed", d/dt of log trace ratio, from flows to t +- h and in closed form, of the first 5
        flows at 3 times. For "near" the "rate" of late decay `of` each metric, as predicted.
        """
        found = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            flows = [self.problem(number, generator) for number in range(self.count)]
            paths = [perturbation.central_path(*flow, self.times) for flow in flows]
            for j, t in enumerate(self.times):
                values = {name: [path[name].iloc[j] for path in paths] for name in RECORDED}
                found.append(rows(values, "flow", t=t, seed=seed))
            decays = {"lam_W": [flow[2] for flow in flows], "lam_H": [flow[3] for flow in flows]}
            found.append(rows(decays, "flow", seed=seed))
            if self.start == "random":
                checks = [difference(flow, t) for flow in flows[:5] for t in self.times[1:4]]
                slopes = [slope for path in paths[:5] for slope in path["log_slope"].iloc[1:4]]
                found.append(rows({"speed": checks}, "i", theory={"speed": slopes}, seed=seed))
            if self.start == "near":
                for of, rate in self.near(flows[0]).flow_rates().items():
                    found.append(rows({"rate": float("nan")}, theory={"rate": rate}, of=of, seed=seed))
        return pd.concat(found, ignore_index=True)

    def problem(self, number, generator):
        """(H0, y, lam_W, lam_H) of one flow."""
        K, n, d = self.num_classes, self.samples, self.dim
        scale, lam_W, lam_H = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        lam_W, lam_H = 0.1 * 10**lam_W, 0.01 * 100**lam_H if number % 5 else 0.0
        scale = 0.3 * 10**scale if self.scale is None else self.scale
        lam_W = lam_W if self.lam_W is None else self.lam_W
        lam_H = lam_H if self.lam_H is None else self.lam_H
        y = torch.arange(K).repeat_interleave(n)
        if self.start == "rising":
            means, noise = (torch.tensor(rows, dtype=torch.float64) for rows in (RISING_MEANS, RISING_NOISE))
            return (means[:, None] + noise).flatten(0, 1), y, lam_W, lam_H
        H0 = torch.randn(K * n, d, generator=generator, dtype=torch.float64)
        if self.start == "near":
            return 0.01 * H0 + perturbation.Problem(K, n, d, lam_W, lam_H, 0.0).collapsed()[1], y, lam_W, lam_H
        means = torch.randn(K, d, generator=generator, dtype=torch.float64)
        if self.start == "skewed":
            widths = 100 ** (-torch.rand(2, d, generator=generator, dtype=torch.float64))
            means, H0 = means * widths[0], H0 * widths[1]
        return scale * (means[y] + H0), y, lam_W, lam_H

    def near(self, flow):
        """perturbation.Problem of a flow."""
        return perturbation.Problem(self.num_classes, self.samples, self.dim, *flow[2:], 0.0)


def difference(flow, t):
    """d/dt log trace ratio at t by the five-point formula."""
    h = 0.002 * t
    log = np.log(perturbation.central_path(*flow, [t - 2 * h, t - h, t + h, t + 2 * h])["nc1_trace_ratio"])
    return (log[0] - 8 * log[1] + 8 * log[2] - log[3]) / (12 * h)
