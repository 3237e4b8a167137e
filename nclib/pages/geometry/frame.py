"""The three frames of the linear-head theorems at K = d = 3, from the closed form and from an optimized model.

Dang et al. 2023 draw them in their Figure 1 (recalled, not re-read): the orthogonal frame (balanced classes, no bias),
the simplex ETF (balanced, bias) and the general orthogonal frame (imbalanced, no bias).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from nclib.metrics import nc1
from nclib.models import UnconstrainedFeatures
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory.deep_linear import mse_minimizer
from nclib.training import objective


@dataclass(frozen=True)
class Frame(Experiment):
    """One frame. counts: samples a class; bias: whether the head has one (not penalized); lam = lam_W = lam_H."""

    NAME: ClassVar[str] = "dang2023.frames"

    frame: str
    counts: tuple[int, ...]
    bias: bool
    lam: float
    seed: int

    def run(self, device="cpu"):
        """The rows "w" and "h" of classifier and class means by `class` and `coordinate`, measured and predicted, in
        the frame of the theory; the misfits |W Q - W*|/|W*| and |Hbar Q - Hbar*|/|Hbar*|, one rotation Q for both; NC1;
        and the class sizes "n". Always float64 on the CPU."""
        W0, M0 = self.closed_form()
        W, H, y = self.optimized()
        stats = ClassStatistics.from_features(H, y, len(W))
        Q = best_rotation(torch.cat([W, stats.means]), torch.cat([W0, M0]))
        W, M = W @ Q, stats.means @ Q
        misfit = {"misfit_w": torch.dist(W, W0) / W0.norm(), "misfit_h": torch.dist(M, M0) / M0.norm()}
        measured = {"w": W, "h": M, "nc1": nc1(stats), "n": self.counts} | misfit
        return rows(measured, "class", "coordinate", theory={"w": W0, "h": M0})

    def closed_form(self):
        """(W, Hbar), each (K, 3) with rows w_k and class means: the symmetric roots of the two Gram matrices.

        Both are diagonal in one basis, so that these roots also have the right W Hbar^T (derived).
        """
        minimizer = mse_minimizer(self.counts, (self.lam,), self.lam, bias=self.bias)
        return symmetric_root(minimizer.gram_W), symmetric_root(minimizer.gram_H)

    def optimized(self):
        """(W, H, y) of the unconstrained-features model in R^3, from entries N(0, 0.5^2), by L-BFGS."""
        K, N = len(self.counts), sum(self.counts)
        torch.manual_seed(self.seed)
        model = UnconstrainedFeatures(N, 3, K, bias_last=self.bias, std_H=0.5, std_W=0.5).double()
        y = torch.repeat_interleave(torch.arange(K), torch.tensor(self.counts))
        optimizer = torch.optim.LBFGS(
            model.parameters(),
            max_iter=2000,
            history_size=30,
            tolerance_grad=0,
            tolerance_change=1e-17,
            line_search_fn="strong_wolfe",
        )

        def closure():
            optimizer.zero_grad()
            value = objective(model(), y, model.features(), model.head, lam_W=self.lam, lam_H=self.lam)
            value.backward()
            return value

        optimizer.step(closure)
        return model.head.weights[0].detach(), model.H.detach(), y


def symmetric_root(G):
    """The positive semidefinite square root of G (K, K)."""
    values, vectors = torch.linalg.eigh(G)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def best_rotation(A, T):
    """The orthogonal Q (d, d), rotation or reflection, that minimizes |A Q - T|_F (orthogonal Procrustes)."""
    U, _, Vt = torch.linalg.svd(A.mT @ T)
    return U @ Vt
