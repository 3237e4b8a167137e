"""Imbalanced cross-entropy as lambda -> 0: how fast the geometry tends to the simplex-encoded-labels interpolation.

The objective is 1/N sum_k n_k CE(W h_k, k) + lambda/2 (|W|^2 + sum_k n_k |h_k|^2): one feature a class, since fixed
W all samples of a class solve one strictly convex problem. L-BFGS from random starts, then a certificate by the convex
problem in the logits Zbar: with G = (gradient of the cross-entropy by Zbar) diag(1/sqrt n), a stationary point with
Zbar != 0 is a global minimum iff the largest singular value of G is lambda.
"""

from dataclasses import dataclass

import numpy as np
import torch

from nclib import results
from nclib.claims import Claim, judge
from nclib.lbfgs import minimize
from nclib.theory import imbalance

VERSION = 1
PAPER = "Thrampoulidis et al. 2022"
LIMIT = Claim(
    "thrampoulidis2022.seli.limit",
    PAPER,
    "The logits tend to the simplex-encoded labels: 1 - cos at the smallest lambda over that at the largest",
    "limit as lambda -> 0 (recalled); the rule derived",
    *("<=", 0.4, 0),
    kind="paper",
    seen="recalled",
    every=True,
)
RATE = Claim(
    "thrampoulidis2022.seli.rate",
    PAPER,
    "But only as 1/log^2(1/lambda): slope of log(1 - cos) against log log(1/lambda) for lambda <= 1e-4",
    "not a claim of the paper; observed, exponent from an earlier run of ours",
    *("==", -2, 0.3),
    kind="extension",
    seen="derived",
    settled="after: exponent and tolerance were set after trial runs",
    precondition="lambda down to 1e-7",
)
GRAMS = Claim(
    "thrampoulidis2022.seli.geometry",
    PAPER,
    "W W^T and the features' Gram matrix tend to V S V^T and U S U^T: larger 1 - cos at the smallest lambda",
    "limit as lambda -> 0 (recalled); formula derived",
    *("<=", 2e-3, 0),
    kind="paper",
    seen="recalled",
    every=True,
    precondition="lambda down to 1e-7",
)
CERTIFICATE = Claim(
    "hong2023.convexity.certificate",
    "Hong & Ling 2023",
    "Random starts end at the global minimum: largest |singular value of the dual variable / lambda - 1|",
    "convex problem in the logits (recalled); certificate derived",
    *("<=", 1e-4, 0),
    kind="paper",
    seen="recalled",
    every=True,
)
COST = {"paper": "about a minute on one CPU core"}


@dataclass(frozen=True)
class Config:
    counts: tuple = (40, 20, 10, 5)
    lambdas: tuple = ()
    seeds: tuple = (0, 1, 2)
    dim: int = 6
    iterations: int = 4000


def runs(profile, *, seed=0, counts=Config.counts):
    """One run."""
    smallest = results.choose(profile, {"smoke": 4, "laptop": 7, "paper": 9})
    lambdas = tuple(10.0**-k for k in range(2, smallest + 1))
    iterations = 40_000 if profile == "paper" else Config.iterations
    seeds = tuple(range(seed, seed + (1 if profile == "smoke" else 3)))
    return [Config(counts=tuple(counts), lambdas=lambdas, seeds=seeds, iterations=iterations)]


def distance(A, B):
    """1 - cos between matrices, over the last two dimensions."""
    return 1 - (A * B).sum((-2, -1)) / (A.norm(dim=(-2, -1)) * B.norm(dim=(-2, -1)))


def run(config, device="cpu"):
    """Rows, i over lambdas, all measured: 1 - cos to the limit of the logits over samples "logits[i]", of W W^T
    "gram_W[i]", of the features' Gram matrix "gram_H[i]"; "certificate[i]" = |G|/lambda."""
    n = torch.tensor(config.counts, dtype=torch.float64, device=device)
    K, N, d, seeds = len(n), n.sum(), config.dim, config.seeds
    lam = torch.tensor(config.lambdas, dtype=torch.float64, device=device)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    theta = torch.stack(
        [torch.randn(2 * K * d, generator=r, dtype=torch.float64) for r in generators for _ in config.lambdas]
    )
    lam_all = lam.repeat(len(seeds))
    y = torch.arange(K, device=device)

    def split(theta):
        return theta[:, : K * d].view(-1, K, d), theta[:, K * d :].view(-1, d, K)

    def objective(theta, which):
        W, F = split(theta)
        log_p = torch.log_softmax(W @ (F / n.sqrt()), 1)[:, y, y]
        return -(log_p @ n) / (N * lam_all[which]) + theta.square().sum(1) / 2

    theta, _, _ = minimize(objective, theta.to(device), iterations=config.iterations, tolerance=1e-7, history=20)
    W, F = split(theta)
    Z = W @ (F / n.sqrt())
    G = (torch.softmax(Z, 1) - torch.eye(K, device=device)) * n.sqrt() / N
    gram_W, gram_F = imbalance.seli(config.counts)
    C = torch.eye(K, dtype=torch.float64) - 1 / K
    found = {
        "logits": distance(Z * n.sqrt(), (C * n.sqrt().cpu()).to(device)),
        "gram_W": distance(W @ W.mT, gram_W.to(device)),
        "gram_H": distance(F.mT @ F, gram_F.to(device)),
        "certificate": torch.linalg.matrix_norm(G, 2) / lam_all,
    }
    found = {name: value.view(len(seeds), -1) for name, value in found.items()}
    tables = [results.rows({name: v[r] for name, v in found.items()}, seed=seed) for r, seed in enumerate(seeds)]
    return results.pd.concat(tables, ignore_index=True)


def distances(table):
    """One row a metric, lambda (lam) and seed."""
    parts = [results.indexed(table, name) for name in ("logits", "gram_W", "gram_H")]
    found = results.pd.concat(parts)
    return found.assign(lam=[row.lambdas[row.i] for row in found.itertuples()])


def claims(table):
    """The judged claims."""
    lambdas = np.array(table["lambdas"].iloc[0])
    value = {
        name: results.indexed(table, name).pivot(index="seed", columns="i", values="value").to_numpy()
        for name in ("logits", "gram_W", "gram_H", "certificate")
    }
    x, small, reached = np.log(np.log(1 / lambdas)), lambdas <= 1.001e-4, min(lambdas) <= 1.001e-7
    slopes = [np.polyfit(x[small], np.log(v[small]), 1)[0] if reached else np.nan for v in value["logits"]]
    return [
        judge(LIMIT, value["logits"][:, -1] / value["logits"][:, 0]),
        judge(RATE, slopes, met=reached),
        judge(GRAMS, np.maximum(value["gram_W"], value["gram_H"])[:, -1].max(), met=reached),
        judge(CERTIFICATE, np.abs(value["certificate"] - 1).max()),
    ]
