"""Direct optimization of the deep linear problem with free features: curves, rates and final geometry.

Dang et al. 2023, the synthetic experiments of the appendix: full-batch gradient descent with momentum on
    1/(2N) |W_M ... W_1 H (+ b 1^T) - Y|^2 + lam/2 sum_m |W_m|^2 + lam/2 |H|^2,
the seeds of a run as one batch, in float64. Time is t = iterations * lr / (1 - momentum).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from nclib.models import FreeFeatures, HeavyBall, direct_descent
from nclib.pages._linear_heads import prediction
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory import deep_linear
from nclib.training import log_steps

# Rates are fitted where 2 lam t is in this window: transients are over, and nothing has met rounding yet.
WINDOW = (4.0, 10.0)
CURVES = ("nc1", "nc2_W", "nc2_H", "nc3", "nc3_WH", "loss_gap", "bias_error")


@dataclass(frozen=True)
class Direct(Experiment):
    """One problem. counts: samples a class; width: of H and of every layer; depth M; lam = lam_Wm = lam_H; std: of all
    entries at the start."""

    NAME: ClassVar[str] = "dang2023.direct"

    counts: tuple[int, ...]
    width: int
    depth: int
    bias: bool
    lam: float
    steps: int
    std: float
    lr: float = 0.1
    momentum: float = 0.9
    seeds: tuple[int, ...] = (0, 1, 2)

    def run(self, device="cpu"):
        """The errors and "loss_gap" at each recorded step. At the end, beside what is predicted: the geometry; for each
        `layer` m ("W1", "W2", ...) the singular values of W_m, and the errors of W_M ... W_m and its input; "rate_..."
        of each curve; and the minimal "loss", as theory alone."""
        y = torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts)).to(device)
        target, found = deep_linear.mse_minimizer(**self.problem()), []

        def record(step, state):
            for s, seed in enumerate(self.seeds):
                W, H, b = [layer[s] for layer in state.W], state.H[s], state.b[s]
                stats, P = ClassStatistics.from_features(H, y, len(self.counts), scatter=True), prediction.product(W)
                curves = prediction.errors(stats, P, target)
                curves["loss_gap"] = loss(W, H, b, y, self.lam) - target.loss
                if self.bias:
                    curves["bias_error"] = float(torch.linalg.norm(b - target.bias.to(b)))
                at = {"step": step, "layer": "", "seed": seed}
                found.append(head(curves, **at))
                if step == self.steps:
                    geometry = prediction.predicted_geometry(target)
                    found.append(head(prediction.measured_geometry(stats, P, target), theory=geometry, **at))
                    found.extend(self.by_layer(W, H, y, step, seed))

        problem = FreeFeatures(self.counts, self.width, self.depth, lam_W=self.lam, lam_H=self.lam, bias=self.bias)
        descent = HeavyBall(self.steps, self.lr, self.momentum, self.std, self.seeds)
        direct_descent(problem, descent, record, record_at=recorded(self.steps), device=device)
        measured = pd.concat(found, ignore_index=True)
        return pd.concat([measured, *self.rates(measured, target)], ignore_index=True)

    def problem(self):
        """Its arguments, as nclib.theory.deep_linear takes them."""
        decays = {"weight_decays": [self.lam] * self.depth, "lam_H": self.lam}
        return {"counts": self.counts, **decays, "bias": self.bias, "width": self.width}

    def by_layer(self, W, H, y, step, seed):
        """For each m: singular values of W_m, the K largest; from m = 2 on, the errors of the pair W_M ... W_m and
        W_(m-1) ... W_1 H."""
        K, predicted = len(self.counts), deep_linear.layer_singular_values(**self.problem())
        for m in range(1, len(W) + 1):
            at = {"step": step, "layer": f"W{m}", "seed": seed}
            sv = torch.linalg.svdvals(W[m - 1])[:K]
            yield head({"singular_value": sv}, theory={"singular_value": predicted[m - 1]}, **at)
            if m > 1:
                H = H @ W[m - 2].T
                stats = ClassStatistics.from_features(H, y, K, scatter=True)
                yield head(prediction.errors(stats, prediction.product(W[m - 1 :]), self.target_from(m)), **at)

    def target_from(self, m):
        """The minimizer as seen from layer m: the same logits, with the Gram matrices of W_M ... W_m and its input."""
        gram_W, gram_H = deep_linear.partial_grams(**self.problem(), layer=m)
        return replace(deep_linear.mse_minimizer(**self.problem()), gram_W=gram_W, gram_H=gram_H)

    def rates(self, measured, target):
        """Fitted "rate_<metric>" of each seed beside the law; as theory alone those that cannot be fitted, and the
        minimal loss."""
        law = {f"rate_{name}": rate for name, rate in self.laws(target).items()}
        fitted = {seed: self.fitted(measured[measured["seed"] == seed]) for seed in self.seeds}
        for seed, found in fitted.items():
            if found:
                yield head(found, theory=law, step=self.steps, layer="", seed=seed)
        for seed, found in fitted.items():
            more = {name: rate for name, rate in law.items() if name not in found} | {"loss": target.loss}
            yield head(dict.fromkeys(more, np.nan), theory=more, step=self.steps, layer="", seed=seed)

    def fitted(self, rows):
        """{"rate_<metric>": minus the slope of log(metric) against t in WINDOW} of one seed; none under 5 points."""
        t = rows["step"].astype(float) * self.lr / (1 - self.momentum)
        inside = (2 * self.lam * t).between(*WINDOW) & (rows["layer"] == "") & rows["metric"].isin(CURVES)
        curves = rows.assign(t=t)[inside].groupby("metric")
        return {
            f"rate_{name}": slope(part["t"], part["value"]) for name, part in curves if (part["value"] > 0).sum() >= 5
        }

    def laws(self, target):
        """Rates r of e^(-r t) (derived): those of `deep_linear.decay_rates`, and with a bias that of |b - n/N|.

        A shift m of all features inside the row space of P costs nothing in the fit once b has followed by -P m. With
        s^2 the singular value of P P^T there, gradient flow gives d(P m)/dt = -lam P m / (1 + s^2/N): slower than all
        else. Centered products P Hbar feel it to second order, so that with a bias nc3_WH ends up at twice this rate
        instead of at 4 lam.
        """
        law = deep_linear.decay_rates(self.lam)
        found = {"nc1": law["nc1"], "nc2_W": law["nc2"], "nc2_H": law["nc2"], "nc3": law["nc3"]}
        found["loss_gap"] = law["loss"]
        if not self.bias:
            return found | {"nc3_WH": law["nc3_product"]}
        s2 = float(torch.linalg.matrix_norm(target.gram_W, 2))
        return found | {"bias_error": self.lam / (1 + s2 / sum(self.counts))}


def head(values, **more):
    """`rows` of numbers, vectors and matrices with the indices `i` and `j`."""
    return rows(values, "i", "j", **more)


def recorded(steps):
    """Steps on a logarithmic and on a linear scale."""
    return sorted({*log_steps(steps, 30), *np.linspace(0, steps, 41).round().astype(int).tolist()})


def loss(W, H, b, y, lam):
    """The objective at layers W, features H (N, d), bias b (K,) and labels y (N,)."""
    Y = torch.nn.functional.one_hot(y, len(b)).to(H)
    fit = (H @ prediction.product(W).T + b - Y).square().sum() / (2 * len(H))
    return float(fit + lam / 2 * sum(A.square().sum() for A in (*W, H)))


def slope(t, value):
    """Minus the least-squares slope of log(value) against t, over positive values."""
    return -np.polyfit(t[value > 0], np.log(value[value > 0]), 1)[0]
