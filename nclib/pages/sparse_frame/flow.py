"""Gradient descent on a classifier over collapsed features that stay where they are, beside the law of its norms."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib.data import long_tail_counts
from nclib.runs.experiment import Experiment, rows
from nclib.theory import norm_law
from nclib.training.lbfgs import minimize

TIMES = (1, 3, 10, 30, 100, 300, 1000)
LARGEST = 500
DECAYS = (1e-2, 1e-3, 1e-4)
LATE = tuple(10 ** (i / 4) for i in range(29))  # times at which the law's exponent is worked out, to 1e7


def tail(K, ratio):
    """n_k of a long tail with that ratio of the largest class to the smallest."""
    return long_tail_counts(K, LARGEST, ratio)


@dataclass(frozen=True)
class Flow(Experiment):
    """K classes in a long tail, features orthogonal and of length a in a rotation by seed."""

    NAME: ClassVar[str] = "xiao2024.norm_flow"

    K: int
    ratio: int
    a: float
    seed: int

    def run(self, device="cpu"):
        """Norms of the rows after times `t` of gradient descent from 0, without decay, "norm", and at the minimum with
        decay lambda = 1/t on W alone, "norm decay", each by `class` beside the law; and the "exponent" of each. "law":
        the exponent by the closed form alone, to later times."""
        n = torch.tensor(tail(self.K, self.ratio), dtype=torch.float64)
        random = torch.randn(self.K, self.K, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        H = self.a * torch.linalg.qr(random).Q
        tables = []
        for t, W in descent(H, n / n.sum()):
            law = norm_law.flow_norms(n.long(), t, self.a)
            tables.append(self.found(W.norm(dim=1), law, n, "", t))
        for lam in DECAYS:
            W = minimum(H, n / n.sum(), lam)
            tables.append(self.found(W.norm(dim=1), norm_law.decay_norms(n.long(), lam, self.a), n, " decay", 1 / lam))
        late = [norm_law.exponent(n.long(), norm_law.flow_norms(n.long(), t, self.a)) for t in LATE]
        tables += [rows({"law": slope}, t=t) for t, slope in zip(LATE, late, strict=True)]
        return pd.concat(tables, ignore_index=True)

    @staticmethod
    def found(norms, law, n, name, t):
        slopes = (norm_law.exponent(n.long(), v) for v in (norms, law))
        values, theory = ({f"norm{name}": v, f"exponent{name}": s} for v, s in zip((norms, law), slopes, strict=True))
        table = rows(values, "class", theory=theory, t=float(t))
        return table.assign(n=[float("nan") if pd.isna(k) else n[int(k)].item() for k in table["class"]])


def gradient(W, H, p):
    """Of sum_k p_k CE(W h_k, k) by W."""
    error = torch.softmax(W @ H.T, 0) - torch.eye(len(W), dtype=W.dtype)
    return (error * p) @ H


def descent(H, p):
    """(t, W) at TIMES from 0: steps of 0.05 until t = 100, of 0.25 later, where the flow is slow."""
    W, t = torch.zeros_like(H), 0.0
    for end in TIMES:
        step = 0.05 if end <= 100 else 0.25
        for _ in range(round((end - t) / step)):
            W = W - step * gradient(W, H, p)
        t = end
        yield t, W


def minimum(H, p, lam):
    """W at the minimum of sum_k p_k CE(W h_k, k) + lam/2 |W|^2, by L-BFGS from 0."""
    y = torch.arange(len(H))

    def loss(theta, which):
        W = theta.view(-1, *H.shape)
        fit = -torch.log_softmax(W @ H.T, 1)[:, y, y] @ p
        return fit + lam / 2 * theta.square().sum(1)

    theta, _, _ = minimize(loss, torch.zeros(1, H.numel(), dtype=H.dtype), iterations=3000, tolerance=1e-10, history=20)
    return theta.view(H.shape)
