"""The layer-peeled model through the ratio R0 at which its minority classes merge.

Minimize sum_k n_k/N CE(W h_k, k) subject to mean_k |w_k|^2 <= E_W and mean_k |h_k|^2 <= E_H (Fang et al. 2021), for
K_major classes R times as large as the other K_minor. Scaling up W and H together lowers the loss of every separating
solution, so both constraints are active: L-BFGS runs on W/|W| and H/|H|.
"""

from dataclasses import dataclass

import torch

from nclib import results
from nclib.claims import Claim, judge
from nclib.lbfgs import minimize
from nclib.theory import imbalance

VERSION = 1
BELOW = Claim(
    "fang2021.layer-peeled.below",
    "Fang et al. 2021",
    "At R = 0.9 R0 minority classifiers differ: smallest mean |w_j - w_k| for 3, 5, 7 of 10 classes, over sqrt(E_W)",
    "finite R0 derived; the paper has the limit R -> infinity (recalled)",
    *(">=", 0.1, 0),
    kind="extension",
    seen="derived",
    every=True,
)
ABOVE = Claim(
    "fang2021.layer-peeled.above",
    "Fang et al. 2021",
    "At R = 1.1 R0 they are one: largest mean |w_j - w_k| over sqrt(E_W)",
    "finite R0 derived; the paper has the limit R -> infinity (recalled)",
    *("<=", 1e-3, 0),
    kind="extension",
    seen="derived",
    every=True,
)
COST = {"paper": "about a minute on one CPU core"}


@dataclass(frozen=True)
class Config:
    """relative: the ratios R over R0."""

    K_major: int = 5
    K_minor: int = 5
    E_W: float = 1.0
    E_H: float = 5.0
    relative: tuple = ()
    seeds: tuple = (0, 1, 2)
    dim: int = 12
    iterations: int = 4000


def runs(profile, *, seed=0, E_H=Config.E_H):
    """One run a number of majority classes, 10 classes in all."""
    fine = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5)
    relative = results.choose(profile, {"smoke": (0.9, 1.1), "laptop": fine, "paper": fine})
    seeds = tuple(range(seed, seed + (1 if profile == "smoke" else 3)))
    return [Config(K_major=A, K_minor=10 - A, E_H=E_H, relative=relative, seeds=seeds) for A in (3, 5, 7)]


def run(config, device="cpu"):
    """Rows, i over relative: "contrast[i]" = mean over minority pairs of |w_j - w_k|/sqrt(E_W), "length[i]" = mean
    over the minority of |w_k|/sqrt(E_W); "R0" (theory)."""
    A, B, d, seeds = config.K_major, config.K_minor, config.dim, config.seeds
    K = A + B
    R0 = imbalance.layer_peeled_ratio(A, B, config.E_W, config.E_H)
    R = R0 * torch.tensor(config.relative, dtype=torch.float64, device=device).repeat(len(seeds))
    share = torch.ones(len(R), K, dtype=torch.float64, device=device)
    share[:, :A] = R[:, None]
    share = share / share.sum(1, keepdim=True)
    y = torch.arange(K, device=device)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    theta = torch.stack(
        [torch.randn(2 * K * d, generator=r, dtype=torch.float64) for r in generators for _ in config.relative]
    )

    def split(theta):
        W, H = theta[:, : K * d], theta[:, K * d :]
        W, H = W / W.norm(dim=1, keepdim=True), H / H.norm(dim=1, keepdim=True)
        return (K * config.E_W) ** 0.5 * W.view(-1, K, d), (K * config.E_H) ** 0.5 * H.view(-1, d, K)

    def objective(theta, which):
        W, H = split(theta)
        return -(torch.log_softmax(W @ H, 1)[:, y, y] * share[which]).sum(1)

    theta, _, _ = minimize(objective, theta.to(device), iterations=config.iterations)
    w = split(theta)[0][:, A:]
    apart = torch.cdist(w, w).sum((1, 2)) / (B * (B - 1))
    found = {"contrast": apart, "length": w.norm(dim=2).mean(1)}
    found = {name: value.view(len(seeds), -1) / config.E_W**0.5 for name, value in found.items()}
    tables = [results.rows({"R0": R0}, source="theory", seed=seeds[0])]
    tables += [results.rows({name: v[r] for name, v in found.items()}, seed=seed) for r, seed in enumerate(seeds)]
    return results.pd.concat(tables, ignore_index=True)


def contrasts(table):
    """One row a group size, ratio R (over R0) and seed, with the minority's length."""
    keys = ["config", "seed", "i"]
    length = results.indexed(table, "length").set_index(keys)["value"].rename("length")
    found = results.indexed(table, "contrast").join(length, on=keys)
    R0 = table[table["metric"] == "R0"].set_index("config")["value"].rename("R0")
    return found.join(R0, on="config").assign(R=[row.relative[row.i] for row in found.itertuples()])


def claims(table):
    """The judged claims, from the runs of all three group sizes."""
    found = contrasts(table)
    return [
        judge(BELOW, found.loc[found["R"] == 0.9, "value"].min(skipna=False)),
        judge(ABOVE, found.loc[found["R"] == 1.1, "value"].max(skipna=False)),
    ]
