"""Which of the two decays matters more for what is left of a metric: its elasticities in lam_W and in lam_H.

An elasticity is d log(metric of the minimizer over that of H0) / d log lam, here a central difference of exact
minimizers. Tirer et al. 2023 conclude from the spectrum of F that lam_H matters more; the laws are derived. They are
about H0 near the collapsed point of the same decays, which moves with them; with H0 held fixed the answer is another.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.near_collapse.attenuation import nc1_and_nc2, share_inside
from nclib.pages.near_collapse.response import minimizer
from nclib.runs.experiment import Experiment, rows
from nclib.theory import perturbation


@dataclass(frozen=True)
class Decays(Experiment):
    """One problem. start: "follows", H0 the collapsed point of the decays plus noise, and moves with them; "near", the
    same, held fixed; "random", Gaussian of standard deviation 1. size: of the noise, over the length of a class mean.
    step: of log lam."""

    NAME: ClassVar[str] = "tirer2023.near_collapse_decays"

    lam_W: float
    lam_H: float
    beta: float
    start: str
    size: float
    step: float
    num_classes: int = 4
    samples: int = 10
    dim: int = 10
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """The elasticities `of` lam_W and of lam_H of "nc1", "nc1_trace_ratio", "nc2"; predicted where H0 follows, with
        the share of the noise drawn in the span of the means. `c` is that of the decays."""
        found = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            D = torch.randn(self.num_classes * self.samples, self.dim, generator=generator, dtype=torch.float64)
            law = self.problem().elasticities(share_inside(D, self.num_classes)) if self.start == "follows" else {}
            for of in ("lam_W", "lam_H"):
                ends = [self.left(D, **{of: getattr(self, of) * math.exp(sign * self.step)}) for sign in (1, -1)]
                values = {metric: (ends[0][metric] - ends[1][metric]) / (2 * self.step) for metric in ends[0]}
                theory = {metric: both[of] for metric, both in law.items()}
                found.append(rows(values, theory=theory, of=of, c=self.problem().c, seed=seed))
        return pd.concat(found, ignore_index=True)

    def problem(self, **decays):
        """The problem at its decays, or at others."""
        decays = {"lam_W": self.lam_W, "lam_H": self.lam_H} | decays
        return perturbation.Problem(self.num_classes, self.samples, self.dim, **decays, beta=self.beta)

    def left(self, D, **decays):
        """log of each metric of the minimizer over that of H0, which is made of D."""
        p, y = self.problem(**decays), torch.arange(self.num_classes).repeat_interleave(self.samples)
        at = p if self.start == "follows" else self.problem()
        H0 = D if self.start == "random" else at.collapsed()[1] + self.size * at.rho**0.5 * D
        before, after = (nc1_and_nc2(H, y, self.num_classes) for H in (H0, minimizer(p, H0, y)))
        return {metric: math.log(after[metric] / before[metric]) for metric in before}
