"""What neighbouring layers owe each other at every point of a descent, near a minimizer or not.

The fit depends on neighbouring factors A = W_(m+1), B = W_m (B = H for m = 0) through A B alone, so its gradients G
satisfy A^T G_A = G_B B^T. For the gradients of the whole objective, with decays lam_A and lam_B, that says

    A^T grad_A - grad_B B^T = lam_A A^T A - lam_B B B^T            the imbalance,

whatever the loss, the bias and the optimizer are; so at a critical point there is none. Where all decays equal lam, a
step of plain gradient descent with rate eta takes D = A^T A - B B^T to

    (1 - eta lam)^2 D + eta^2 (G_A^T G_A - G_B G_B^T)                               the recursion

(derived). Layers are trained here by torch's optimizers on gradients of autograd, which know nothing of it.
"""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.linalg import norm
from torch.nn import functional as F

from nclib.pages._linear_heads.prediction import product
from nclib.runs.experiment import Experiment, rows
from nclib.training import log_steps

OPTIMIZERS = {
    "descent": lambda theta, lr: torch.optim.SGD(theta, lr),
    "momentum": lambda theta, lr: torch.optim.SGD(theta, lr, momentum=0.9),
    "adam": torch.optim.Adam,
}


@dataclass(frozen=True)
class Balance(Experiment):
    """One problem, in float64. counts: samples a class; width: of H and of every layer; decays: of W_1, ..., W_M, then
    of H; loss: "mse", |Z - Y|^2/(2N), or "cross-entropy"; optimizer: "descent", "momentum" or "adam"; std: of all
    entries at the start."""

    NAME: ClassVar[str] = "dang2023.balance"

    counts: tuple[int, ...]
    width: int
    decays: tuple[float, ...]
    bias: bool
    loss: str
    optimizer: str
    lr: float
    steps: int
    std: float
    seeds: tuple[int, ...]

    def run(self, device="cpu"):
        """At each recorded step, for each pair of neighbours m = 0 ... M-1: the norm of the "imbalance"; the "identity"
        error, that of both sides over the norms of their terms. For plain descent with equal decays the imbalance also
        as (1 - lr lam)^(2 steps) times that at the start, and the error of the "recursion" over all steps so far, over
        |D|. Always on the CPU, the seeds as one batch."""
        *W, H, b = self.start()
        optimizer = OPTIMIZERS[self.optimizer]([*W, H, b] if self.bias else [*W, H], lr=self.lr)
        factors, lam = [H, *W], [self.decays[-1], *self.decays[:-1]]
        exact = self.optimizer == "descent" and len(set(lam)) == 1
        keep, found = (1 - self.lr * lam[0]) ** 2, []
        first = expected = differences(factors)
        for step in range(self.steps + 1):
            optimizer.zero_grad()
            self.objective(W, H, b).backward()
            grads = [X.grad for X in factors]
            if step in {0, *log_steps(self.steps, 20)}:
                values, law = imbalance(factors, grads, lam), {}
                if exact:
                    law = {"imbalance": keep**step * lam[0] * norms(first)}
                    D = differences(factors)
                    values["recursion"] = norms([a - e for a, e in zip(D, expected, strict=True)]) / norms(D)
                for s, seed in enumerate(self.seeds):
                    one, foretold = ({name: v[s] for name, v in part.items()} for part in (values, law))
                    found.append(rows(one, "m", theory=foretold, step=step, seed=seed))
            if exact:
                pushed = differences([g - lam[0] * X for g, X in zip(grads, factors, strict=True)])
                expected = [keep * e + self.lr**2 * p for e, p in zip(expected, pushed, strict=True)]
            optimizer.step()
        return pd.concat(found, ignore_index=True)

    def start(self):
        """[W_1, ..., W_M, H (B, d, N), b (B, K, 1)] of the B seeds, normal but for b = 0."""
        K, d, M = len(self.counts), self.width, len(self.decays) - 1
        shapes = [(d, d)] * (M - 1) + [(K, d), (d, sum(self.counts))]
        drawn = []
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            drawn.append([self.std * torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes])
        b = torch.zeros(len(self.seeds), K, 1, dtype=torch.float64)
        return [X.requires_grad_() for X in (*map(torch.stack, zip(*drawn, strict=True)), b)]

    def objective(self, W, H, b):
        """The fit and the penalties, summed over the seeds."""
        labels = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))
        Z, Y, N = product(W) @ H + b, F.one_hot(labels).double().T, len(labels)
        fit = (Z - Y).square().sum() / (2 * N) if self.loss == "mse" else -(Y * Z.log_softmax(1)).sum() / N
        return fit + sum(lam / 2 * X.square().sum() for lam, X in zip(self.decays, (*W, H), strict=True))


def neighbours(factors):
    """[(B, A)] of neighbouring factors, from (H, W_1, ..., W_M)."""
    return list(itertools.pairwise(factors))


def differences(factors):
    """[A^T A - B B^T] of neighbours."""
    return [(A.mT @ A - B @ B.mT).detach() for B, A in neighbours(factors)]


def norms(matrices):
    """(B, M): their Frobenius norms."""
    return torch.stack([norm(D, dim=(-2, -1)) for D in matrices], -1).detach()


def imbalance(factors, grads, lam):
    """{"imbalance": |lam_A A^T A - lam_B B B^T|, "identity": how far that is from A^T grad_A - grad_B B^T}: (B, M)."""
    pulled, decayed = [], []
    for (B, A), (gB, gA), (lB, lA) in zip(neighbours(factors), neighbours(grads), neighbours(lam), strict=True):
        pulled.append((A.mT @ gA, gB @ B.mT))
        decayed.append((lA * A.mT @ A, lB * B @ B.mT))
    scale = sum(norms(terms) for terms in (*zip(*pulled, strict=True), *zip(*decayed, strict=True)))
    (a, b), (c, d) = (map(torch.stack, zip(*terms, strict=True)) for terms in (pulled, decayed))
    return {"imbalance": norms(c - d), "identity": norms(a - b - (c - d)) / scale}
