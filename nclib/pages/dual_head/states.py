"""The gradients of two losses at collapse and near it, by automatic differentiation, beside the closed forms.

K classes, W = z times a simplex ETF of unit rows w_k, turned at random; features w_y + mean + noise, the mean
orthogonal to all rows of W; a teacher whose logit is T for the right class and 0 for the others. So the student's
margin is z K/(K-1).
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.frames import simplex_etf
from nclib.runs.experiment import Experiment, rows
from nclib.theory import distillation

TAU, NONE = 2.0, float("nan")
LOSSES = {"BinaryKL": (distillation.binary_kl, False), "BinaryKL-Norm": (distillation.binary_kl_norm, True)}
STUDENTS, TEACHERS = (0.5, 2.0, 4.0, 9.0), (1.0, 3.0, 6.0, 12.0)
SHIFTS = range(-4, 5)
LOGITS = (0.0, 1.0, 2.0)


@dataclass(frozen=True)
class States(Experiment):
    """All states of one turn of the frame. fine: how many margins of the student are drawn at a teacher's of 6."""

    NAME: ClassVar[str] = "yang2024.states"

    num_classes: int
    samples: int
    fine: int
    means: tuple[float, ...]
    noises: tuple[float, ...]
    seed: int

    def run(self, device="cpu"):
        """ "cos_w" and "cos_h" of the gradients of cross-entropy and `loss`, with what the closed form says of them
        (nothing where there is noise); "norm" and "kl", the errors of the identity of the Norm and of both losses
        against the KL divergence as it is written; and "softmax" and "sigmoid" of three logits moved by `shift`."""
        generator, found = torch.Generator().manual_seed(self.seed), []
        turn = torch.linalg.qr(torch.randn(self.num_classes + 1, self.num_classes + 1, generator=generator).double()).Q
        grid = [(z, T, 0.0, 0.0, "grid") for z in STUDENTS for T in TEACHERS]
        line = torch.linspace(0.25, 12, self.fine).tolist()
        grid += [(z, 6.0, 0.0, 0.0, "line") for z in line]
        grid += [(z, 6.0, g, 0.0, "mean") for g in self.means for z in line]
        grid += [(z, 6.0, 0.0, e, "noise") for e in self.noises for z in line]
        for name, (loss, norm) in LOSSES.items():
            pairs = [self.cosines(turn, *state[:4], loss, norm) for state in grid]
            values, theory = (
                {metric: [pair[i].get(metric, NONE) for pair in pairs] for metric in ("cos_w", "cos_h")} for i in (0, 1)
            )
            made = rows(values, "state", theory=theory, loss=name)
            own = [grid[i] for i in made.pop("state")]
            columns = ("student", "teacher", "mean", "noise", "states")
            found.append(made.assign(**dict(zip(columns, map(list, zip(*own, strict=True)), strict=True))))
        found.append(rows(identity_errors(generator)))
        for shift in SHIFTS:
            z = torch.tensor(LOGITS) + shift
            found.append(rows({"softmax": z.softmax(0), "sigmoid": z.sigmoid()}, "class", shift=float(shift)))
        return pd.concat(found, ignore_index=True)

    def cosines(self, turn, z, T, mean, noise, loss, norm):
        """({cos_w, cos_h}, what the theorem says of them)."""
        K, N = self.num_classes, self.num_classes * self.samples
        M = simplex_etf(K, K + 1).double()
        M = M / M.norm(dim=1, keepdim=True) @ turn
        offset = torch.linalg.svd(M).Vh[-1]
        y = torch.arange(N) % K
        eps = torch.randn(N, K + 1, generator=torch.Generator().manual_seed(self.seed)).double()
        W = (z * M).requires_grad_()
        H = (M[y] + mean * offset + noise * eps).requires_grad_()
        teacher = T * F.one_hot(y, K).double()
        gradients = [
            torch.autograd.grad(value, (W, H)) for value in (F.cross_entropy(H @ W.T, y), loss(H @ W.T, teacher, TAU))
        ]
        values = {
            name: float((a * b).sum() / (a.norm() * b.norm()))
            for name, a, b in zip(("cos_w", "cos_h"), *gradients, strict=True)
        }
        pairs = (z, -z / (K - 1)), (T, 0.0), TAU
        sign = float(distillation.conflict(*pairs, norm=norm).sign())
        if noise:
            return values, {}
        if not mean:
            return values, {"cos_w": sign, "cos_h": sign}
        in_w = distillation.cosine_with_mean(*pairs, num_classes=K, length=1, mean=mean, norm=norm)
        return values, {"cos_w": float(in_w), "cos_h": sign}


def identity_errors(generator):
    """Largest errors of `binary_kl_norm` and `binary_kl` over 200 rows, against cross-entropy less entropy of pairs."""
    S, T = (4 * torch.randn(200, 10, generator=generator).double() for _ in range(2))

    def kl(p, x):
        entropy = torch.special.entr(p) + torch.special.entr(1 - p)
        return TAU**2 * (F.binary_cross_entropy_with_logits(x, p, reduction="none") - entropy).sum(1)

    written = {
        "norm": (distillation.binary_kl_norm, kl(torch.full_like(S, 0.5), (S - T) / TAU)),
        "kl": (distillation.binary_kl, kl((T / TAU).sigmoid(), S / TAU)),
    }
    return {
        name: max(abs(float(loss(S[i : i + 1], T[i : i + 1], TAU) - value[i])) for i in range(200))
        for name, (loss, value) in written.items()
    }
