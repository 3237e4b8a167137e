"""Features of mixed pairs for a given simplex ETF: minimizers that never saw the closed form, beside it.

For each pair of weights a free feature h, and one objective a feature, with W (K, d) a randomly turned simplex ETF of
length m:

    CE(softmax(W h), y) + lam_H/2 |h|^2   or   1/2 |W h - y|^2 + lam_H/2 |h|^2,   y = lambda e_0 + (1-lambda) e_1.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import pandas as pd
import torch

from nclib.frames import simplex_etf
from nclib.runs.experiment import Experiment, rows
from nclib.theory import mixup

LOSSES = ("cross-entropy", "squared error")
STEPS, HALVINGS = 1000, 12  # nearly all starts need less than 100


@dataclass(frozen=True)
class Attained(Experiment):
    """One number of classes; all pairs of `lengths` m and `decays` lam_H, each at all `mixes` lambda, random starts."""

    NAME: ClassVar[str] = "fisher2024.attained"

    num_classes: int
    lengths: tuple[float, ...]
    decays: tuple[float, ...]
    mixes: tuple[float, ...]
    seed: int

    def run(self, device="cpu"):
        """For each m and lam_H, so each `a`, of what the minimizer found, beside the closed form:

        `amplification`, and the `cosine` of the feature of class 0 to its classifier. For each `mix`: the `gap`
        z_0 - z_1, the `margin` of the larger of them over the other classes (not for two), the relative `error` of the
        feature, the largest entry of the gradient at the closed form, `slope`, how far the loss lies above that of the
        closed form, `excess`, the share of |h|^2 that lies `outside` of the span of w_0 and w_1, and for both losses
        the `bend`, |h - lambda h_00 - (1-lambda) h_11| / |h|.
        """
        K, generator, found = self.num_classes, torch.Generator().manual_seed(self.seed), []
        mixes = torch.tensor(self.mixes, dtype=torch.float64)
        frame = turned(simplex_etf(K, K), generator)
        settings = list(product(self.lengths, self.decays))
        W = torch.stack([m * frame for m, _ in settings])
        lam = torch.tensor([lam_H for _, lam_H in settings], dtype=torch.float64)
        Y = targets(K, torch.cat([torch.tensor([1.0, 0.0]).double(), mixes])).expand(len(W), -1, -1)
        H = {loss: minimum(W, Y, lam, loss, generator) for loss in LOSSES}
        for s, (m, lam_H) in enumerate(settings):
            one = {loss: features[s] for loss, features in H.items()}
            at = {"length": m, "lam_H": lam_H, "a": m**2 * K / ((K - 1) * lam_H)}
            found += [table.assign(**at) for table in self.measures(W[s], Y[s], lam_H, one, at["a"])]
        return pd.concat(found, ignore_index=True)

    def measures(self, W, Y, lam_H, H, a):
        """Tables of one m and lam_H; H[loss] (2 + L, d): features of class 0, of class 1, and of the mixes."""
        K, h = self.num_classes, H["cross-entropy"]
        even = h[2 + self.mixes.index(0.5)].norm() / h[0].norm()
        cosine = (h[0] @ W[0]) / (h[0].norm() * W[0].norm())
        theory = {"amplification": mixup.amplification(K, a), "cosine": 1.0}
        yield rows({"amplification": even, "cosine": cosine}, theory=theory)
        span = torch.linalg.qr(W[:2].T).Q
        for index, mix in enumerate(self.mixes, start=2):
            known, z = mixup.feature(W, 0, 1, mix, lam_H), W @ h[index]
            exact, top = mixup.logits(K, a, mix), int(mix < 0.5)
            own = objective(torch.stack([h[index], known]), W, Y[index], lam_H, "cross-entropy")
            values = {
                "gap": z[0] - z[1],
                "margin": z[top] - z[2:].mean(),
                "error": (h[index] - known).norm() / known.norm(),
                "slope": slope(known, W, Y[index], lam_H).abs().max(),
                "excess": own[0] - own[1],
                "outside": 1 - (h[index] @ span).square().sum() / h[index].square().sum(),
            }
            yield rows(values, theory={"gap": exact[0] - exact[1], "margin": exact[top] - exact[2]}, mix=mix)
            for loss, of in H.items():
                bend = (of[index] - mix * of[0] - (1 - mix) * of[1]).norm() / of[index].norm()
                yield rows({"bend": bend}, mix=mix, loss=loss)


def turned(frame, generator):
    """The frame in a random position."""
    return frame @ torch.linalg.qr(torch.randn(*[frame.shape[1]] * 2, generator=generator, dtype=torch.float64)).Q


def targets(num_classes, mixes):
    """Y (L, K) of mixes of the classes 0 and 1."""
    Y = torch.zeros(len(mixes), num_classes, dtype=torch.float64)
    Y[:, 0], Y[:, 1] = mixes, 1 - mixes
    return Y


def objective(h, W, Y, lam_H, loss):
    """The objectives (...) of features h (..., d) with W (..., K, d) and targets Y (..., K)."""
    Z = (W @ h[..., None])[..., 0]
    fit = Z.logsumexp(-1) - (Y * Z).sum(-1) if loss == "cross-entropy" else (Z - Y).square().sum(-1) / 2
    return fit + lam_H / 2 * h.square().sum(-1)


def slope(h, W, Y, lam_H):
    """The gradient of the cross-entropy's objective at h, by automatic differentiation."""
    h = h.clone().requires_grad_()
    return torch.autograd.grad(objective(h, W, Y, lam_H, "cross-entropy"), h)[0]


def minimum(W, Y, lam, loss, generator):
    """H (S, L, d) from normal starts, for W (S, K, d), Y (S, L, K) and lam (S,), all problems at once.

    Newton's steps, each halved until it shortens the gradient in proportion; they end where none does, at rounding.
    """
    lam, entropy = lam[:, None, None], loss == "cross-entropy"
    ridge = lam[..., None] * torch.eye(W.shape[-1], dtype=W.dtype)
    V = W[:, None]

    def derivatives(h):
        Z = h @ W.mT
        p = Z.softmax(-1) if entropy else Z
        return (p - Y) @ W + lam * h, p

    h = torch.randn(*Y.shape[:2], W.shape[-1], generator=generator, dtype=W.dtype)
    g, p = derivatives(h)
    for _ in range(STEPS):
        mean = (p @ W)[..., None]
        curvature = V.mT @ (p[..., None] * V) - mean @ mean.mT if entropy else V.mT @ V
        step = torch.linalg.solve(curvature + ridge, g[..., None])[..., 0]
        t = torch.ones_like(g[..., :1])
        for _ in range(HALVINGS):
            new, p = derivatives(h - t * step)
            worse = ~(new.norm(dim=-1, keepdim=True) < (1 - t / 10) * g.norm(dim=-1, keepdim=True))
            if not worse.any():
                break
            t = torch.where(worse, t / 2, t)
        t = torch.where(worse, 0.0, t)
        if not t.any():
            break
        h = h - t * step
        g, p = derivatives(h)
    return h
