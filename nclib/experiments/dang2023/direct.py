"""Direct optimization of the deep linear problem with free features: curves, rates and final geometry.

Dang et al. 2023, the synthetic experiments of the appendix: full-batch gradient descent with momentum on
    1/(2N) |W_M ... W_1 H (+ b 1^T) - Y|^2 + lam/2 sum_m |W_m|^2 + lam/2 |H|^2,
the seeds of a config as one batch, in float64. Time is t = iterations * lr / (1 - momentum).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from nclib.experiments.dang2023 import prediction
from nclib.models import direct_descent
from nclib.results import rows
from nclib.statistics import ClassStatistics
from nclib.theory import deep_linear
from nclib.training import log_steps

VERSION = 1
# Rates are fitted where 2 lam t is in this window: transients are over, and nothing has met rounding yet.
WINDOW = (4.0, 10.0)
CURVES = ("nc1", "nc2_W", "nc2_H", "nc3", "nc3_WH", "loss_gap", "bias_error")


@dataclass(frozen=True)
class Config:
    """One problem. counts: samples a class; width: of H and of every layer; depth M; lam = lam_Wm = lam_H; std: of all
    entries at the start."""

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


def run(config, device="cpu"):
    """Measured: the errors and "loss_gap" at each recorded step; at the end "rate_..." of each curve, the geometry, and
    for each layer m ("W1", "W2", ...) the singular values of W_m and the errors of W_M ... W_m and its input.
    Theory: the rates, the geometry, the singular values."""
    c, lams = config, [config.lam] * config.depth
    problem = {"counts": c.counts, "weight_decays": lams, "lam_H": c.lam, "bias": c.bias, "width": c.width}
    target = deep_linear.mse_minimizer(**problem)
    y = torch.repeat_interleave(torch.arange(len(c.counts)), torch.tensor(c.counts)).to(device)
    found = []

    def record(step, state):
        for s, seed in enumerate(c.seeds):
            W, H, b = [layer[s] for layer in state.W], state.H[s], state.b[s]
            stats, P = ClassStatistics.from_features(H, y, len(c.counts), scatter=True), prediction.product(W)
            gap = loss(W, H, b, y, c.lam) - target.loss
            curves = prediction.errors(stats, P, target) | {"loss_gap": gap}
            if c.bias:
                curves["bias_error"] = float(torch.linalg.norm(b - target.bias.to(b)))
            found.append(rows(curves, step=step, seed=seed))
            if step == c.steps:
                found.append(rows(prediction.measured_geometry(stats, P, target), step=step, seed=seed))
                found.extend(by_layer(W, H, y, problem, step=step, seed=seed))

    direct_descent(
        c.counts,
        c.width,
        c.depth,
        lam_W=c.lam,
        lam_H=c.lam,
        bias=c.bias,
        steps=c.steps,
        seeds=c.seeds,
        lr=c.lr,
        momentum=c.momentum,
        std=c.std,
        device=device,
        callback=record,
        record_at=recorded(c.steps),
    )
    measured = pd.concat(found, ignore_index=True)
    return pd.concat([measured, *fitted_rates(measured, c), *predicted(target, problem, c)], ignore_index=True)


def recorded(steps):
    """Steps on a logarithmic and on a linear scale."""
    return sorted({*log_steps(steps, 30), *np.linspace(0, steps, 41).round().astype(int).tolist()})


def loss(W, H, b, y, lam):
    """The objective at layers W, features H (N, d), bias b (K,) and labels y (N,)."""
    Y = torch.nn.functional.one_hot(y, len(b)).to(H)
    fit = (H @ prediction.product(W).T + b - Y).square().sum() / (2 * len(H))
    return float(fit + lam / 2 * sum(A.square().sum() for A in (*W, H)))


def by_layer(W, H, y, problem, **at):
    """For each m: singular values of W_m, the K largest; from m = 2 on, the errors of the pair W_M ... W_m and
    W_(m-1) ... W_1 H."""
    K = len(problem["counts"])
    for m in range(1, len(W) + 1):
        yield rows({"singular_value": torch.linalg.svdvals(W[m - 1])[:K]}, layer=f"W{m}", **at)
        if m > 1:
            H = H @ W[m - 2].T
            stats, target = ClassStatistics.from_features(H, y, K, scatter=True), partial_target(problem, m)
            yield rows(prediction.errors(stats, prediction.product(W[m - 1 :]), target), layer=f"W{m}", **at)


def partial_target(problem, m):
    """The minimizer as seen from layer m: the same logits, with the Gram matrices of W_M ... W_m and its input."""
    gram_W, gram_H = deep_linear.partial_grams(**problem, layer=m)
    return replace(deep_linear.mse_minimizer(**problem), gram_W=gram_W, gram_H=gram_H)


def fitted_rates(measured, config):
    """ "rate_<metric>" of each seed: minus the slope of log(metric) against t in WINDOW; no row with under 5 points."""
    t = measured["step"] * config.lr / (1 - config.momentum)
    inside = (2 * config.lam * t).between(*WINDOW) & (measured["layer"] == "") & measured["metric"].isin(CURVES)
    for seed in config.seeds:
        chosen = measured[inside & (measured["seed"] == seed)].assign(t=t)
        curves = {name: part for name, part in chosen.groupby("metric") if (part["value"] > 0).sum() >= 5}
        rates = {f"rate_{name}": slope(part["t"], part["value"]) for name, part in curves.items()}
        yield rows(rates, step=config.steps, seed=seed)


def slope(t, value):
    """Minus the least-squares slope of log(value) against t, over positive values."""
    return -np.polyfit(t[value > 0], np.log(value[value > 0]), 1)[0]


def rates(target, config):
    """Rates r of e^(-r t) at depth M (derived): those of `deep_linear.decay_rates`, and with a bias that of |b - n/N|.

    A shift m of all features inside the row space of P costs nothing in the fit once b has followed by -P m. With
    s^2 the singular value of P P^T there, gradient flow gives d(P m)/dt = -lam P m / (1 + s^2/N): slower than all
    else. Centered products P Hbar feel it to second order, so that with a bias nc3_WH ends up at twice this rate
    instead of at 4 lam.
    """
    law = deep_linear.decay_rates(config.lam)
    found = {"nc1": law["nc1"], "nc2_W": law["nc2"], "nc2_H": law["nc2"], "nc3": law["nc3"], "loss_gap": law["loss"]}
    if not config.bias:
        return found | {"nc3_WH": law["nc3_product"]}
    s2 = float(torch.linalg.matrix_norm(target.gram_W, 2))
    return found | {"bias_error": config.lam / (1 + s2 / sum(config.counts))}


def predicted(target, problem, config):
    """The theory rows, for each seed the same."""
    law = {f"rate_{name}": rate for name, rate in rates(target, config).items()}
    values = prediction.predicted_geometry(target) | law | {"loss": target.loss}
    sv = deep_linear.layer_singular_values(**problem)
    for seed in config.seeds:
        at = {"step": config.steps, "seed": seed, "source": "theory"}
        yield rows(values, **at)
        for m in range(config.depth):
            yield rows({"singular_value": sv[m]}, layer=f"W{m + 1}", **at)
