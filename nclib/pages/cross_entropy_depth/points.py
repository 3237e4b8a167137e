"""No point of the ETF's shape beats the best ETF, and a written-down point does: the steps of the proof, on factors.

Both for the objective of `census`. The first is over random points whose logits have K - 1 equal singular values and no
others, in any rotation and any factorization, with any bias; the second are points with few digits, whose losses have
been enclosed with interval arithmetic.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.cross_entropy_depth.census import logits, loss
from nclib.runs.experiment import Experiment, rows
from nclib.theory.deep_linear import ce_etf_candidate

# (M, K): (u, v) of the point, lam = 1e-3
WRITTEN = {(2, 6): (87 / 50, 49 / 20), (3, 4): (139 / 100, 99 / 50)}


@dataclass(frozen=True)
class Shaped(Experiment):
    """`count` random points of the ETF's shape from each seed. log10 a is uniform from -1 to 1.3 for the singular value
    a; the factors are split by random matrices between the layers, whose entries are identity plus `spread` times
    N(0, 1); the bias is N(0, spread^2)."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_shaped"

    depth: int
    num_classes: int
    lam: float
    spread: float
    count: int
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """For each point i: `loss`, and as theory the `bound` g(a) of an aligned balanced ETF without a bias; `least`,
        the lowest loss of all ETFs."""
        K, M, found = self.num_classes, self.depth, []
        for seed in self.seeds:
            F, b, a = self.points(torch.Generator().manual_seed(seed))
            bound = (1 + (K - 1) * (-a).exp()).log() + (M + 1) / 2 * self.lam * (K - 1) * a ** (2 / (M + 1))
            found.append(rows({"loss": loss(F, b, self.lam)}, "i", theory={"loss": bound}, seed=seed))
        least = ce_etf_candidate(K, 1, (self.lam,) * M, self.lam).loss
        found.append(rows({"least": least}, seed=self.seeds[0]))
        return pd.concat(found, ignore_index=True)

    def points(self, generator):
        """F (B, M+1, K, K), b (B, K) and a (B,): W_M ... W_1 H = a U V^T, with U and V (K, K-1) orthonormal."""
        K, M, B = self.num_classes, self.depth, self.count

        def normal(*shape):
            return torch.randn(B, *shape, generator=generator, dtype=torch.float64)

        a = 10 ** (2.3 * torch.rand(B, generator=generator, dtype=torch.float64) - 1)
        U, V = (torch.linalg.qr(normal(K, K - 1)).Q for _ in range(2))
        G = torch.eye(K - 1, dtype=torch.float64) + self.spread * normal(M, K - 1, K - 1)
        F = torch.zeros(B, M + 1, K, K, dtype=torch.float64)
        F[:, 0, :, : K - 1] = U @ G[:, 0]
        for m in range(1, M):
            F[:, m, : K - 1, : K - 1] = torch.linalg.solve(G[:, m - 1], G[:, m])
        F[:, M, : K - 1] = torch.linalg.solve(G[:, M - 1], V.mT)
        return F * a[:, None, None, None] ** (1 / (M + 1)), self.spread * normal(K), a


@dataclass(frozen=True)
class Written(Experiment):
    """The cross-polytope of `WRITTEN`: W_M = u [B, 0], H its transpose, the layers between v diag(I, 0), b = 0, where B
    is I_(K/2) (x) (1, -1)^T."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_written"

    depth: int
    num_classes: int
    lam: float
    seed: int = 0

    def run(self, device="cpu"):
        """`point`, its loss, and `least`, the lowest loss of all ETFs."""
        F, b = self.point(), torch.zeros(1, self.num_classes, dtype=torch.float64)
        least = ce_etf_candidate(self.num_classes, 1, (self.lam,) * self.depth, self.lam).loss
        return rows({"point": loss(F, b, self.lam)[0], "least": least, "rank": torch.linalg.matrix_rank(logits(F))[0]})

    def point(self):
        """Its factors (1, M+1, K, K)."""
        K, M = self.num_classes, self.depth
        u, v = WRITTEN[M, K]
        F = torch.zeros(1, M + 1, K, K, dtype=torch.float64)
        axes = torch.eye(K // 2, dtype=torch.float64)
        F[0, 0, :, : K // 2] = u * torch.kron(axes, torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
        F[0, 1:M, : K // 2, : K // 2] = v * axes
        F[0, M] = F[0, 0].T
        return F
