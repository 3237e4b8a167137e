"""What page 05 proves by interval arithmetic, each proof as a table: bounds, boxes, bits, and whether it is one."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.pages.cross_entropy_depth.points import WRITTEN
from nclib.runs.experiment import Experiment, rows
from nclib.theory import certificates, deep_linear

# (M, K): edges of cells of alpha, the last one to infinity
POCKET = {(2, 6): (0.0, 5.11, 6.52, 7.29, 8.20), (3, 4): (0.0, 5.18, 6.92, 8.21)}


def certified(found, of, **more):
    """The rows of a certificate."""
    values = {"lower": found.lower, "upper": found.upper, "proved": found.proved, "boxes": found.boxes}
    return rows(values | {"bits": found.bits} | more, of=of, statement=found.statement)


@dataclass(frozen=True)
class Gap(Experiment):
    """The lowest losses of the two candidates at one weight decay, and their difference."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_gap_proof"

    depth: int
    num_classes: int
    lam: float
    seed: int = 0

    def run(self, device="cpu"):
        """`lower`, `upper`, `proved`, `boxes`, `bits` of "etf", "cross_polytope" and "gap"."""
        found = certificates.gap(self.num_classes, self.depth, self.lam)
        return pd.concat([certified(one, of) for of, one in found.items()], ignore_index=True)


@dataclass(frozen=True)
class Range(Experiment):
    """Every weight decay between two: whether the best cross-polytope lies below every ETF."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_range_proof"

    depth: int
    num_classes: int
    low: float
    high: float
    seed: int = 0

    def run(self, device="cpu"):
        """As `Gap`; the bounds are the range of weight decays."""
        return certified(certificates.every_decay(self.num_classes, self.depth, self.low, self.high), "range")


@dataclass(frozen=True)
class Pocket(Experiment):
    """The rows of `POCKET`: on each cell every ETF costs more than the point of `WRITTEN`."""

    NAME: ClassVar[str] = "dang2023.cross_entropy_pocket_proof"

    depth: int
    num_classes: int
    lam: float
    seed: int = 0

    def run(self, device="cpu"):
        """As `Gap`, of each cell, with the `point`'s loss, rounded up."""
        M, K = self.depth, self.num_classes
        point = self.point()
        cells = certificates.pocket(K, M, self.lam, POCKET[M, K], point)
        return pd.concat([certified(cell, "pocket", point=point) for cell in cells], ignore_index=True)

    def point(self):
        """An upper bound of the loss of the written point."""
        M, K = self.depth, self.num_classes
        exact, lam = certificates.I, certificates.decay(self.lam)
        u, v = (exact.mpf(round(100 * x)) / 100 for x in WRITTEN[M, K])
        family = certificates.cross_polytope(K, M, lam)
        price = lam / 2 * (2 * K * u**2 + (M - 1) * (K // 2) * v**2)
        return math.nextafter(float((family.fit(u**2 * v ** (M - 1)) + price).b), math.inf)


@dataclass(frozen=True)
class Threshold(Experiment):
    """The threshold of collapse at one depth, without its formula."""

    NAME: ClassVar[str] = "dang2023.threshold_proof"

    depth: int
    seed: int = 0

    def run(self, device="cpu"):
        """As `Gap`, with the relative `error` of `deep_linear.collapse_threshold`, at most."""
        found = certificates.threshold(self.depth)
        return certified(found, "threshold", error=error(found, deep_linear.collapse_threshold(self.depth)))


@dataclass(frozen=True)
class Roots(Experiment):
    """Overlaps of all classes of `count` random problems of squared error: up to six layers, up to six classes of up to
    60, unequal decays; log beta over the threshold of the first class is uniform from log 0.02 to log 3."""

    NAME: ClassVar[str] = "dang2023.root_proof"

    count: int
    seed: int = 0

    def run(self, device="cpu"):
        """As `Gap`, of each class, with the relative `error` of `deep_linear.mse_minimizer`, at most."""
        random, found = torch.Generator().manual_seed(self.seed), []
        for _ in range(self.count):
            problem = draw(random)
            known = deep_linear.mse_minimizer(*problem).logits.diagonal().tolist()
            for one, q in zip(certificates.roots(*problem), known, strict=True):
                found.append(certified(one, "root", error=error(one, q)))
        return pd.concat(found, ignore_index=True)


def draw(random):
    """counts, weight decays, lam_H of a random problem."""
    M, K = torch.randint(1, 7, (), generator=random).item(), torch.randint(2, 7, (), generator=random).item()
    counts = torch.randint(1, 61, (K,), generator=random).tolist()
    share = torch.randn(M + 1, generator=random, dtype=torch.float64) / 2
    start, end = math.log(0.02), math.log(3)
    aim = math.exp(start + (end - start) * torch.rand((), generator=random, dtype=torch.float64).item())
    N, beta = sum(counts), aim * deep_linear.collapse_threshold(M)
    product = (beta * counts[0] / (M * N)) ** M / N
    decays = (math.log(product) / (M + 1) + share - share.mean()).exp().tolist()
    return counts, decays[:M], decays[M]


def error(found, value):
    """The largest relative distance of a value from what a certificate encloses."""
    return max(abs(value - end) for end in (found.lower, found.upper)) / abs(found.upper) if found.upper else abs(value)
