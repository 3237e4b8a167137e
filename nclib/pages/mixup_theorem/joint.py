"""Classifiers and features together: is the simplex ETF, which the theorem takes for given, what mixup arrives at?

    1/N sum over (i, j, lambda) of [ CE(softmax(W h), lambda e_i + (1-lambda) e_j) + lam_H/2 |h|^2 ] + lam_W/2 |W|^2

over W (K, K) and a feature h for each of the N ordered pairs of classes (i = j among them) and weights lambda.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.metrics import equiangularity, equinorm_cv
from nclib.runs.experiment import Experiment, rows
from nclib.theory import mixup
from nclib.training import lbfgs


@dataclass(frozen=True)
class Joint(Experiment):
    """One problem, from a random start for each seed."""

    NAME: ClassVar[str] = "fisher2024.joint"

    num_classes: int
    lam_W: float
    lam_H: float
    mixes: tuple[float, ...]
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """Of the minimum found from each seed: `angle`, the mean of |cos + 1/(K-1)| over pairs of classifiers, the
        `spread` of their lengths (standard deviation over mean), the length of their `sum` over theirs, the `cosine`
        nearest to -1 of a feature of one class and its classifier, and the largest relative `error` of a feature beside
        the closed form for the simplex ETF nearest to W; `length`, the mean one of W."""
        K, found = self.num_classes, []
        for seed, theta in zip(self.seeds, self.minimum(), strict=True):
            W, H = theta[: K * K].view(K, K), theta[K * K :].view(-1, K)
            m = W.norm(dim=1).mean()
            i, j, mix = self.items()
            same = torch.nn.functional.cosine_similarity(H, W[i])[i == j]
            values = {
                "angle": equiangularity(W),
                "spread": equinorm_cv(W),
                "sum": W.sum(0).norm() / m,
                "cosine": same.min(),
                "error": self.error(W, H, m, i, j, mix),
                "length": m,
            }
            found.append(rows(values, theory={"cosine": 1.0}, seed=seed))
        return pd.concat(found, ignore_index=True)

    def error(self, W, H, m, i, j, mix):
        """The frame of length m nearest to W: m sqrt(K/(K-1)) times the orthogonal factor of the centered W."""
        K = self.num_classes
        U, _, V = torch.linalg.svd(W - W.mean(0))
        frame = m * (K / (K - 1)) ** 0.5 * U[:, : K - 1] @ V[: K - 1]
        known = mixup.feature(frame, i, j, mix, self.lam_H)
        return ((H - known).norm(dim=1) / known.norm(dim=1)).max()

    def items(self):
        """i, j and lambda of all N features."""
        K = torch.arange(self.num_classes)
        grid = torch.cartesian_prod(K.double(), K.double(), torch.tensor(self.mixes, dtype=torch.float64))
        return grid[:, 0].long(), grid[:, 1].long(), grid[:, 2]

    def minimum(self):
        """Parameters (seeds, D) by L-BFGS from normal entries."""
        K, (i, j, mix) = self.num_classes, self.items()
        N = len(mix)
        Y = torch.zeros(N, K, dtype=torch.float64)
        Y[torch.arange(N), i] += mix
        Y[torch.arange(N), j] += 1 - mix

        def loss(theta, which):
            W, H = theta[:, : K * K].unflatten(1, (K, K)), theta[:, K * K :].unflatten(1, (N, K))
            Z = H @ W.mT
            fit = Z.logsumexp(2) - (Y * Z).sum(2) + self.lam_H / 2 * H.square().sum(2)
            return fit.mean(1) + self.lam_W / 2 * W.square().sum((1, 2))

        starts = [
            torch.randn(K * K + N * K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
            for seed in self.seeds
        ]
        return lbfgs.minimize(loss, torch.stack(starts), iterations=5000, tolerance=1e-9, history=20)[0]
