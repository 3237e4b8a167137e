"""The three frames of the linear-head theorems at K = d = 3, from the closed form and from an optimized model.

Dang et al. 2023 draw them in their Figure 1 (recalled, not re-read): the orthogonal frame (balanced classes, no bias),
the simplex ETF (balanced, bias) and the general orthogonal frame (imbalanced, no bias).
"""

from dataclasses import dataclass

import pandas as pd
import torch

from nclib.claims import Claim, by_seed, judge
from nclib.metrics import nc1
from nclib.models import UnconstrainedFeatures
from nclib.results import choose, indexed, rows
from nclib.statistics import ClassStatistics
from nclib.theory.deep_linear import mse_minimizer
from nclib.training import objective

VERSION = 1
FRAMES = {"OF": ((15, 15, 15), False), "ETF": ((15, 15, 15), True), "GOF": ((30, 10, 5), False)}
COST = {"paper": "a second on any CPU: there is nothing to scale up"}


@dataclass(frozen=True)
class Config:
    """One frame. counts: samples a class; bias: whether the head has one (not penalized); lam = lam_W = lam_H."""

    frame: str
    counts: tuple[int, ...]
    bias: bool
    lam: float
    seed: int


def runs(profile, *, seed=0, lam=5e-4):
    """The three frames, from one random start (smoke) or three (laptop, paper)."""
    starts = choose(profile, {"smoke": 1, "laptop": 3, "paper": 3})
    return [
        Config(frame, counts, bias, lam, seed + i) for frame, (counts, bias) in FRAMES.items() for i in range(starts)
    ]


def closed_form(config):
    """(W, Hbar, minimizer), W and Hbar (K, 3) with rows w_k and class means: the symmetric roots of the two Grams.

    Both Grams are diagonal in one basis, so that these roots also have the right W Hbar^T (derived).
    """
    minimizer = mse_minimizer(config.counts, (config.lam,), config.lam, bias=config.bias)
    return symmetric_root(minimizer.gram_W), symmetric_root(minimizer.gram_H), minimizer


def symmetric_root(G):
    """The positive semidefinite square root of G (K, K)."""
    values, vectors = torch.linalg.eigh(G)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def optimized(config):
    """(W, H, b, y, loss) of the unconstrained-features model in R^3, from entries N(0, 0.5^2), by L-BFGS in float64."""
    K, N = len(config.counts), sum(config.counts)
    torch.manual_seed(config.seed)
    model = UnconstrainedFeatures(N, 3, K, bias_last=config.bias, std_H=0.5, std_W=0.5).double()
    y = torch.repeat_interleave(torch.arange(K), torch.tensor(config.counts))
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=2000,
        history_size=30,
        tolerance_grad=0,
        tolerance_change=1e-17,
        line_search_fn="strong_wolfe",
    )

    def f():
        return objective(model(), y, model.features(), model.head, lam_W=config.lam, lam_H=config.lam)

    def closure():
        optimizer.zero_grad()
        value = f()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        b = model.head.bias.clone() if config.bias else torch.zeros(K, dtype=torch.float64)
        return model.head.weights[0].clone(), model.H.clone(), b, y, float(f())


def best_rotation(A, T):
    """The orthogonal Q (d, d), rotation or reflection, that minimizes |A Q - T|_F (orthogonal Procrustes)."""
    U, _, Vt = torch.linalg.svd(A.mT @ T)
    return U @ Vt


def run(config, device):
    """Coordinates `w[k,i]`, `h[k,i]` and lengths, from theory and measured, in the frame of the theory; on the CPU.

    Measured also has every feature `sample[n,i]`, and the misfits |W Q - W*|/|W*|, |Hbar Q - Hbar*|/|Hbar*|, one Q for
    both. q[k] is the logit of class k on itself (with the bias), s[k] = |w_k|, r[k] = |hbar_k|.
    """
    W0, M0, minimizer = closed_form(config)
    theory = described(W0, M0, minimizer.bias) | {"loss": minimizer.loss}
    W, H, b, y, loss = optimized(config)
    stats = ClassStatistics.from_features(H, y, len(W))
    Q = best_rotation(torch.cat([W, stats.means]), torch.cat([W0, M0]))
    W, M = W @ Q, stats.means @ Q
    misfit = {"misfit_w": torch.dist(W, W0) / W0.norm(), "misfit_h": torch.dist(M, M0) / M0.norm()}
    measured = described(W, M, b) | {"sample": H @ Q, "loss": loss, "nc1": nc1(stats)} | misfit
    return pd.concat([rows(theory, source="theory"), rows(measured)], ignore_index=True)


def described(W, M, b):
    """Coordinates, lengths and the logits of each class on itself."""
    return {"w": W, "h": M, "s": W.norm(dim=1), "r": M.norm(dim=1), "q": (W @ M.mT).diagonal() + b, "b": b}


THEOREM = "Theorems 3.1, 3.2 and 4.1 (numbers recalled); the closed form is derived here"


def _claim(name, statement, relation="==", reference=0.0, tolerance=0.0, paper_value=None, derived="Derived", **how):
    parts = f"dang2023.geometry.{name}", "Dang et al. 2023", statement, derived, relation, reference, tolerance
    kind, seen = ("paper", "recalled") if derived == THEOREM else ("extension", "derived")
    return Claim(*parts, paper_value, kind=kind, seen=seen, every=True, **how)


LIE = {
    frame: _claim(
        frame.lower(),
        f"{text}: optimized classifier and class means lie on the closed form after one rotation (relative distance)",
        tolerance=1e-5,
        paper_value="global minimizer",
        derived=THEOREM,
        settled="after: first trials showed that a loss in float64 fixes positions only to about 1e-6",
    )
    for frame, text in {
        "OF": "Balanced, no bias: an orthogonal frame",
        "ETF": "Balanced, free bias: a simplex ETF",
        "GOF": "n = (30, 10, 5), no bias: a general orthogonal frame",
    }.items()
}
COLLAPSED = _claim("nc1", "NC1 at the optimum, the largest over the three frames", "<=", 0.0, 1e-10, "0", THEOREM)
GOF_Q = [
    _claim(f"gof-q{k + 1}", f"GOF, lambda = 5e-4: logit of class {k + 1} on itself", reference=q, tolerance=5e-5)
    for k, q in enumerate((0.9959, 0.9929, 0.9899))
]
GOF_S = [
    _claim(f"gof-s{k + 1}", f"GOF, lambda = 5e-4: length of w_{k + 1}", reference=s, tolerance=5e-5)
    for k, s in enumerate((2.3355, 1.7719, 1.4878))
]


def claims(table):
    """Verdicts; a seed is one random start. The GOF's numbers are judged at their own lambda, 5e-4."""
    measured = table[table["source"] == "measured"]
    seeds = table["seed"].unique()
    misfit = measured[measured["metric"].isin(["misfit_w", "misfit_h"])].set_index("seed")
    nc1s = measured[measured["metric"] == "nc1"].set_index("seed")["value"]
    judged = [judge(claim, by_seed(misfit.query("frame == @frame")["value"], seeds)) for frame, claim in LIE.items()]
    judged.append(judge(COLLAPSED, by_seed(nc1s, seeds)))
    gof = measured[(measured["frame"] == "GOF") & (measured["lam"] == 5e-4)]
    for name, family in {"q": GOF_Q, "s": GOF_S}.items():
        values = indexed(gof, name)
        judged += [judge(claim, values[values["i"] == k]["value"]) for k, claim in enumerate(family) if len(values)]
    return judged
