"""Cross-entropy with one linear layer and free features: the closed form against a minimizer that does not know it.

    1/N sum CE(W h + b, y) + lam_W/2 |W|^2 + lam_H/2 |H|^2

over W, H and a free bias b, balanced classes. The bias only shifts logits, all of a sample's by one common profile over
classes; at the minimum it is constant, and logits are compared with their mean over classes taken off.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.runs.experiment import Experiment, rows
from nclib.theory.deep_linear import ce_minimizer
from nclib.training import lbfgs


@dataclass(frozen=True)
class OneLayer(Experiment):
    """One problem: classes, samples a class, weight decays; features have one more dimension than there are classes."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_one_layer"

    num_classes: int
    samples: int
    lam_W: float
    lam_H: float
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """From one start a seed, beside the closed form: the loss, the largest error of a logit, and the relative
        errors of the Gram matrices of classifiers and class means. Float64, on the CPU."""
        K, n, known = self.num_classes, self.samples, ce_minimizer(*self.problem)
        theta, loss = self.minimum()
        found = []
        for seed, one, value in zip(self.seeds, theta, loss, strict=True):
            W, H, _ = self.parts(one)
            M = H.unflatten(0, (K, n)).mean(1)
            Z = W @ M.mT  # (class, class of the feature)
            errors = {
                "logits": (Z - Z.mean(0) - known.logits).abs().max(),
                "gram_W": torch.dist(W @ W.mT, known.gram_W) / known.gram_W.norm(),
                "gram_H": torch.dist(M @ M.mT, known.gram_H) / known.gram_H.norm(),
            }
            found.append(rows({"loss": value} | errors, theory={"loss": known.loss}, seed=seed))
        return pd.concat(found, ignore_index=True)

    @property
    def problem(self):
        return self.num_classes, self.samples, self.lam_W, self.lam_H

    def parts(self, theta):
        """W (..., K, d), H (..., N, d), b (..., K) of parameters."""
        K, N, d = self.num_classes, self.num_classes * self.samples, self.num_classes + 1
        W, H, b = theta.split([K * d, N * d, K], -1)
        return W.unflatten(-1, (K, d)), H.unflatten(-1, (N, d)), b

    def minimum(self):
        """(parameters (seeds, D), losses (seeds,)) by L-BFGS from normal entries of standard deviation 0.5."""
        K, N, d = self.num_classes, self.num_classes * self.samples, self.num_classes + 1
        y = torch.arange(K).repeat_interleave(self.samples)

        def loss(theta, which):
            W, H, b = self.parts(theta)
            logits = H @ W.mT + b[:, None]
            fit = F.cross_entropy(logits.flatten(0, 1), y.repeat(len(theta)), reduction="none").unflatten(0, (-1, N))
            decay = self.lam_W * W.square().sum((1, 2)) + self.lam_H * H.square().sum((1, 2))
            return fit.mean(1) + decay / 2

        starts = [
            0.5 * torch.randn(K * d + N * d + K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in self.seeds
        ]
        theta, value, _ = lbfgs.minimize(loss, torch.stack(starts), iterations=5000, tolerance=1e-11, history=20)
        return theta, value
