"""Minority collapse, squared error: lambda driven through the threshold, by closed form and by optimization.

The objective is Dang et al. 2023's, bias-free, all decays equal to lambda, depth M >= 1:

    1/(2N) |W_M ... W_1 H - Y|^2 + lambda/2 (sum_m |W_m|^2 + |H|^2),

minimized over the factors and over all N columns of H by L-BFGS from random starts of several sizes. For M >= 2 it has
bad local minima; the lowest value over the sizes is taken as the global minimum that a seed found.
"""

from dataclasses import dataclass

import numpy as np
import torch

from nclib import results
from nclib.claims import Claim, by_seed, counted, judge
from nclib.lbfgs import minimize
from nclib.theory import deep_linear

VERSION = 1
COST = {"paper": "about ten minutes on one CPU core"}
DEPTHS = (1, 2, 3)
ALIVE = 1e-3
# Close below a threshold the global minimum is mostly reached from sizes of 2 to 4, close above it from 0.8 to 1.
STARTS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.7, 2.4, 2.7, 3.0, 3.4, 3.8, 5.0, 8.0)

PAPER = "Dang et al. 2023"
RECALLED = {"kind": "paper", "seen": "recalled", "every": True}
DERIVED = {"kind": "extension", "seen": "derived", "every": True}
STARTS_CHOSEN = (
    "after: the random starts, of which the lowest is taken, were made more after trial runs; the rule stood"
)
M1 = "Theorem 4.1 (number recalled, formula derived)"
DEEP = "Theorem 4.4 (number recalled, formula derived)"
OVERLAP = {
    1: Claim(
        "dang2023.minority.overlap-M1",
        PAPER,
        "M = 1: q_k = max(0, 1 - N lambda / sqrt(n_k)) for every class and lambda; largest error",
        M1,
        *("<=", 1e-5, 0),
        **RECALLED,
        settled=STARTS_CHOSEN,
    ),
    2: Claim(
        "dang2023.minority.overlap-deep",
        PAPER,
        "M = 2, 3: q_k = x^M/(1 + x^M) at the largest root, 0 from the threshold on; largest error",
        DEEP,
        *("<=", 1e-5, 0),
        **RECALLED,
        settled=STARTS_CHOSEN,
    ),
}
LOSS = Claim(
    "dang2023.minority.loss",
    PAPER,
    "Lowest loss over all starts minus the closed form's minimum; largest absolute difference over M = 1, 2, 3",
    "Theorems 4.1, 4.4 (numbers recalled); the minimum derived",
    *("<=", 1e-9, 0),
    **RECALLED,
    settled=STARTS_CHOSEN,
)
ORDER = Claim(
    "dang2023.minority.order",
    PAPER,
    "Exactly the classes with beta_k >= thr(M) die, the smallest first; share of settings, M = 1, 2, 3",
    "Theorems 4.1, 4.4 (numbers recalled, thresholds derived)",
    *("==", 1, 0),
    **RECALLED,
    settled=STARTS_CHOSEN,
)
CONTINUOUS = Claim(
    "dang2023.minority.continuous-M1",
    PAPER,
    "M = 1: collapse is continuous; fall of q between beta = 0.98 thr and 1.02 thr, mean over classes",
    M1 + "; the kind of transition derived",
    *("<=", 0.02, 0),
    **DERIVED,
)
JUMPS = {
    M: Claim(
        f"dang2023.minority.jump-M{M}",
        PAPER,
        f"M = {M}: q falls from at least (M-1)/M to 0; fall between beta = 0.98 thr and 1.02 thr, mean over classes",
        DEEP + "; the kind of transition derived",
        *(">=", (M - 1) / M, 1e-6),
        **DERIVED,
    )
    for M in (2, 3)
}
BENIGN = Claim(
    "dang2023.minority.small-starts-M1",
    "Zhu et al. 2021",
    "M = 1 has no bad local minimum: from the smallest start, the share of classes alive of those that should be",
    "benign landscape at M = 1, for squared error and cross-entropy (recalled)",
    *("==", 1, 0),
    **RECALLED,
)
TRAPPED = Claim(
    "dang2023.minority.small-starts-deep",
    PAPER,
    "M = 2, 3: 0 is a bad local minimum below the threshold: the same share; the larger of the two depths",
    "not a claim of the paper; derived from the scalar loss",
    *("<=", 0.05, 0),
    **DERIVED,
)


@dataclass(frozen=True)
class Config:
    """One depth M: lambdas, and starts with singular values of about `starts`, for each seed."""

    counts: tuple = (20, 10, 5, 5)
    depth: int = 1
    lambdas: tuple = ()
    starts: tuple = STARTS
    seeds: tuple = (0, 1, 2)
    dim: int = 10
    iterations: int = 1500


def runs(profile, *, seed=0, depths=DEPTHS, dim=None):
    """One run a depth; lambda through the thresholds of all classes, 2% below and above each of them included.

    Sizes are those of the paper's synthetic runs, (200, 100, 50, 50), over 10 but at `paper`; beta depends on them only
    through n_k/N, once lambda is rescaled.
    """
    counts = (200, 100, 50, 50) if profile == "paper" else Config.counts
    points, classes = results.choose(profile, {"smoke": (2, (1,)), "laptop": (18, (1, 2, 4)), "paper": (36, (1, 2, 4))})
    ratios = [0.23 * (5.5 / 0.23) ** (i / (points - 1)) for i in range(points)]
    ratios = sorted([*ratios, *(c * r for c in classes for r in (0.98, 1.02))])
    return [
        Config(
            counts=counts,
            depth=M,
            lambdas=tuple(lambda_at(ratio, min(counts), sum(counts), M) for ratio in ratios),
            seeds=tuple(range(seed, seed + (1 if profile == "smoke" else 3))),
            dim=dim or Config.dim,
        )
        for M in depths
    ]


def beta(counts, lam, depth):
    """(K,) beta_k = M (N/n_k) (N lambda^(M+1))^(1/M), over collapse_threshold(M): class k survives below 1."""
    M, n = depth, torch.as_tensor(counts, dtype=torch.float64)
    N = n.sum()
    return M * N / n * (N * lam ** (M + 1)) ** (1 / M) / deep_linear.collapse_threshold(M)


def lambda_at(ratio, n, N, depth):
    """The lambda at which a class of n out of N samples has beta = ratio * collapse_threshold(M)."""
    M = depth
    return float((ratio * deep_linear.collapse_threshold(M) * n / (M * N)) ** M / N) ** (1 / (M + 1))


def targets(counts):
    """Y (K, N), one-hot columns in label order."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return torch.nn.functional.one_hot(labels, len(counts)).double().T


def factors(theta, K, d, M):
    """theta (B, D) -> P = W_M ... W_1 (B, K, d) and H (B, d, N)."""
    B, last, square = len(theta), K * d, d * d
    P = theta[:, :last].view(B, K, d)
    for m in range(M - 1):
        P = P @ theta[:, last + m * square : last + (m + 1) * square].view(B, d, d)
    return P, theta[:, last + (M - 1) * square :].view(B, d, -1)


def objective(theta, Y, lam, d, M):
    """The objective of the module's docstring, (B,), for lam (B,) and Y (K, N)."""
    P, H = factors(theta, len(Y), d, M)
    return (P @ H - Y).square().sum((1, 2)) / (2 * Y.shape[1]) + lam / 2 * theta.square().sum(1)


def start(generator, size, K, d, M, N):
    """(D,): W_M, ..., W_1, H with independent normal entries and singular values of about `size`."""
    parts = [torch.randn(K * d + (M - 1) * d * d, generator=generator, dtype=torch.float64) / d**0.5]
    parts += [torch.randn(d * N, generator=generator, dtype=torch.float64) / max(d, N) ** 0.5]
    return size * torch.cat(parts)


def overlaps(theta, Y, d, M):
    """q (B, K): the diagonal of P Hbar."""
    P, H = factors(theta, len(Y), d, M)
    return torch.einsum("bkd,bdn,kn->bk", P, H, Y / Y.sum(1, keepdim=True))


def run(config, device="cpu"):
    """Rows, i over lambdas, k over classes, s over starts.

    "beta[i,k]" (over the threshold), "q[i,k]", "loss[i]" (theory); "q[i,k]", "loss[i]" of the lowest run over starts,
    "kept[i,s]": how many of the classes that survive at the global minimum do in the run from start s (measured).
    """
    Y, d, M = targets(config.counts).to(device), config.dim, config.depth
    K, N, shape = *Y.shape, (len(config.seeds), len(config.lambdas), len(config.starts))
    generators = [torch.Generator().manual_seed(seed) for seed in config.seeds]
    theta = torch.stack([start(g, s, K, d, M, N) for g in generators for _ in config.lambdas for s in config.starts])
    lam = torch.tensor(config.lambdas, dtype=torch.float64, device=device)[None, :, None].expand(shape).reshape(-1)

    def loss_of(theta, which):
        return objective(theta, Y, lam[which], d, M)

    theta, loss, _ = minimize(loss_of, theta.to(device), iterations=config.iterations, tolerance=1e-8)
    q, loss = overlaps(theta, Y, d, M).view(*shape, K), loss.view(shape)
    exact = [deep_linear.mse_minimizer(config.counts, (lam,) * M, lam) for lam in config.lambdas]
    q_exact = torch.stack([e.logits.diagonal() for e in exact])
    survives = torch.stack([e.survives for e in exact]).to(device)
    best = loss.argmin(2)
    q_best = q.gather(2, best[..., None, None].expand(-1, -1, 1, K))[:, :, 0]
    kept = ((q > ALIVE) & survives[:, None]).sum(3)
    betas = torch.stack([beta(config.counts, lam, M) for lam in config.lambdas])
    theory = {"beta": betas, "q": q_exact, "loss": [e.loss for e in exact]}
    tables = [results.rows(theory, source="theory", seed=config.seeds[0])]
    for r, seed in enumerate(config.seeds):
        found = {"q": q_best[r], "loss": loss[r].amin(1), "kept": kept[r]}
        tables.append(results.rows(found, step=config.iterations, seed=seed))
    return results.pd.concat(tables, ignore_index=True)


def errors(table, metric):
    """Measured minus theory of a metric "metric[i,k]" or "metric[i]", one column a seed, by (depth, config, i, k)."""
    keys = ["depth", "config", "metric"]
    found = table[table["metric"].str.startswith(metric + "[")]
    theory = found[found["source"] == "theory"].set_index(keys)["value"]
    measured = found[found["source"] == "measured"].pivot(index=keys, columns="seed", values="value")
    return measured.sub(theory, axis=0)


def overlap_table(table):
    """One row a depth, lambda (lam), class (size) and seed: beta (over the threshold), predicted and measured q."""
    keys = ["depth", "config", "i", "j"]
    q, betas = results.indexed(table, "q"), results.indexed(table, "beta").set_index(keys)["value"]
    theory = q[q["source"] == "theory"].set_index(keys)["value"]
    found = q[q["source"] == "measured"].join(betas.rename("beta"), on=keys).join(theory.rename("theory"), on=keys)
    size, lam = zip(*[(row.counts[row.j], row.lambdas[row.i]) for row in found.itertuples()], strict=True)
    return found.rename(columns={"value": "q"}).assign(size=size, lam=lam)


def kept_share(table):
    """Share of the classes alive at the global minimum that survive, by (depth, start, seed)."""
    keys = ["depth", "config", "i"]
    q = results.indexed(table, "q")
    alive = q[q["source"] == "theory"].groupby(keys)["value"].agg(lambda v: (v > ALIVE).sum())
    kept = results.indexed(table, "kept").join(alive.rename("alive"), on=keys)
    kept = kept.assign(start=[row.starts[row.j] for row in kept.itertuples()])
    sums = kept.groupby(["depth", "start", "seed"])[["value", "alive"]].sum(skipna=False)
    return (sums["value"] / sums["alive"]).rename("value").reset_index()


def fall(table, depth):
    """q at beta = 0.98 thr minus q at 1.02 thr, mean over classes, one value a seed."""
    q = overlap_table(table[table["depth"] == depth])
    near = [q[(q["beta"] - r).abs() < 1e-6].set_index("seed")["q"] for r in (0.98, 1.02)]
    before, after = (np.array(by_seed(part, table["seed"].unique(), "mean")) for part in near)
    return before - after


def claims(table):
    """The judged claims, from the runs of all three depths."""
    q, share = overlap_table(table), kept_share(table)
    error = (q["q"] - q["theory"]).abs()
    right = counted((q["q"] > ALIVE) == (q["beta"] < 1), q["q"])
    smallest = share[share["start"] == share["start"].min()].set_index(["depth", "seed"])["value"].unstack()
    return [
        judge(OVERLAP[1], error[q["depth"] == 1].max(skipna=False)),
        judge(OVERLAP[2], error[q["depth"] > 1].max(skipna=False)),
        judge(LOSS, errors(table, "loss").abs().to_numpy().max()),
        judge(ORDER, right.mean(skipna=False)),
        judge(CONTINUOUS, fall(table, 1)),
        *(judge(JUMPS[M], fall(table, M)) for M in JUMPS),
        judge(BENIGN, smallest.loc[1].min(skipna=False)),
        judge(TRAPPED, smallest.loc[2:].to_numpy().max()),
    ]
