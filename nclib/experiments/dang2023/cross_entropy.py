"""Deep linear heads with cross-entropy: a census of random starts, and what the simplex ETF is if not the minimum.

Objective (Dang et al. 2023, balanced classes, bias; one feature a class, to which NC1 reduces any n_k = n when lam_H is
replaced by n lam_H, since the objective is convex in the features of a class):

    1/K sum_k CE(W_M ... W_1 h_k + b, k) + lam/2 (sum_m |W_m|^2 + |H|^2 + |b|^2),   all factors K x K, b in R^K.
"""

from dataclasses import dataclass

import pandas as pd
import torch

from nclib.claims import Claim, by_seed, counted, judge
from nclib.results import choose, indexed, rows
from nclib.theory.deep_linear import ce_cross_polytope_candidate, ce_etf_candidate, cross_polytope_wins

VERSION = 1
COST = {"paper": "about five minutes on one CPU core: 128 starts for each of ten settings and three seeds"}
CASES = ((1, 4), (2, 4), (2, 6), (3, 4), (3, 6), (1, 6))
BELOW = 1e-5


@dataclass(frozen=True)
class Config:
    """One depth M and number of classes K; `starts` random starts for each of `lams` and of `seeds`, as one batch."""

    depth: int
    num_classes: int
    lams: tuple[float, ...]
    starts: int
    steps: int
    seeds: tuple[int, ...]


def runs(profile, *, seed=0, starts=None):
    """The census: pairs (M, K) of CASES, lam in {1e-2, 1e-3}."""
    cases = choose(profile, {"smoke": ((1, 6), (2, 6)), "laptop": CASES, "paper": CASES})
    few, steps, seeds = {"smoke": (4, 400, 1), "laptop": (24, 1500, 3), "paper": (128, 3000, 3)}[profile]
    seeds = tuple(range(seed, seed + seeds))
    return [Config(M, K, (1e-2, 1e-3), starts or few, steps, seeds) for M, K in cases]


def loss(F, b, lam):
    """The objective of each problem (B,) at F (B, M+1, K, K) = W_M, ..., W_1, H and b (B, K); lam (B,) or a number."""
    Z = logits(F) + b[:, :, None]
    fit = (Z.logsumexp(1) - Z.diagonal(dim1=1, dim2=2)).mean(1)
    return fit + lam / 2 * (F.square().sum((1, 2, 3)) + b.square().sum(1))


def logits(F):
    """W_M ... W_1 H of each problem, (B, K, K), column k the logits of class k."""
    Z = F[:, 0]
    for m in range(1, F.shape[1]):
        Z = Z @ F[:, m]
    return Z


def minimize(F, b, lam, steps):
    """Local minima from the given starts: Adam (rate 0.03, cosine to 0), then L-BFGS on the sum of the problems.

    The problems do not interact, so the sum is minimal where each is. Returns F, b and the norm of each gradient.
    """
    F, b = F.clone().requires_grad_(), b.clone().requires_grad_()
    adam = torch.optim.Adam([F, b], lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    polish = torch.optim.LBFGS(
        [F, b],
        max_iter=500,
        history_size=20,
        tolerance_grad=1e-9,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        F.grad = b.grad = None
        value = loss(F, b, lam).sum()
        value.backward()
        return value

    for _ in range(steps):
        adam.step(closure)
        schedule.step()
    polish.step(closure)
    closure()
    gradient = (F.grad.square().sum((1, 2, 3)) + b.grad.square().sum(1)).sqrt()
    return F.detach(), b.detach(), gradient


def random_starts(config):
    """F (B, M+1, K, K) with entries N(0, 0.5^2), b = 0, and lam (B,): seeds, then lams, then starts."""
    shape = (len(config.lams) * config.starts, config.depth + 1, config.num_classes, config.num_classes)
    generators = (torch.Generator().manual_seed(seed) for seed in config.seeds)
    F = torch.cat([0.5 * torch.randn(shape, generator=g, dtype=torch.float64) for g in generators])
    lam = torch.tensor(config.lams, dtype=torch.float64).repeat_interleave(config.starts).repeat(len(config.seeds))
    return F, torch.zeros(len(F), config.num_classes, dtype=torch.float64), lam


def etf_point(num_classes, depth, lam):
    """The ETF as factors (1, M+1, K, K): each the (M+1)-th root of alpha (I - 11^T/K), the split of least norm."""
    K, M = num_classes, depth
    alpha = ce_etf_candidate(K, 1, (lam,) * M, lam).alpha
    P = torch.eye(K, dtype=torch.float64) - 1 / K
    return (alpha ** (1 / (M + 1)) * P).expand(1, M + 1, K, K).clone()


def hessian_eigenvalues(F, b, lam):
    """Eigenvalues, ascending, of the Hessian of the objective of one problem in all its parameters, by autograd."""
    shapes = F.shape, b.shape
    size = F.numel()

    def f(x):
        return loss(x[:size].view(shapes[0]), x[size:].view(shapes[1]), lam)[0]

    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(f, torch.cat([F.flatten(), b.flatten()])))


def gauge_dimension(num_classes, depth):
    """Dimension of the ETF's orbit under rotations between its M + 1 factors: M K(K-1)/2.

    Each of the M groups O(K) acts on matrices of rank K-1, with finite stabilizer.
    """
    return depth * num_classes * (num_classes - 1) // 2


def run(config, device):
    """Census and local tests of one (M, K).

    For each start: `ratio[i]` = its loss over the ETF's, `rank[i]` of its logits, `gradient[i]`; by lam in `layer`
    ("lam=0.01") and by seed. `logits[j,k]`: those of the best start of the first seed. Theory: `etf`, `cross_polytope`
    (losses, K even), `wins` (the small-lambda rule). `return_ratio[i]`: loss over the ETF's after perturbing the ETF by
    noise of standard deviation 1e-3 and 1e-1 and minimizing. `curvature`: smallest Hessian eigenvalue at the ETF but
    for the zeros of rotations, over lam; `gauge_zero`: the largest absolute value of these zeros, over lam.
    """
    K, M = config.num_classes, config.depth
    F, b, lam = (start.to(device) for start in random_starts(config))
    F, b, gradient = minimize(F, b, lam, config.steps)
    values, Z = loss(F, b, lam), logits(F)
    s = torch.linalg.svdvals(Z)
    rank = (s > 1e-3 * s[:, :1]).sum(1)
    tables = []
    for i, value in enumerate(config.lams):
        layer = f"lam={value:g}"
        etf = ce_etf_candidate(K, 1, (value,) * M, value).loss
        cross = ce_cross_polytope_candidate(K, 1, (value,) * M, value).loss
        theory = {"etf": etf, "cross_polytope": cross, "wins": cross_polytope_wins(K, M)}
        tables.append(rows(theory, layer=layer, source="theory", seed=config.seeds[0]))
        for j, seed in enumerate(config.seeds):
            own = slice((j * len(config.lams) + i) * config.starts, (j * len(config.lams) + i + 1) * config.starts)
            found = {"ratio": values[own] / etf, "rank": rank[own], "gradient": gradient[own]}
            found |= returned(K, M, value, etf, seed)
            if j == 0:
                found |= {"logits": Z[own][values[own].argmin()]} | curvature(K, M, value)
            tables.append(rows(found, layer=layer, seed=seed))
    return pd.concat(tables, ignore_index=True)


def returned(K, M, lam, etf, seed):
    """Loss over the ETF's after noise of two sizes was added to the ETF and the objective minimized again (L-BFGS)."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2, M + 1, K, K, generator=generator, dtype=torch.float64)
    F = etf_point(K, M, lam) + torch.tensor([1e-3, 1e-1], dtype=torch.float64)[:, None, None, None] * noise
    F, b, _ = minimize(F, torch.zeros(2, K, dtype=torch.float64), lam, steps=0)
    return {"return_ratio": loss(F, b, lam) / etf}


def curvature(K, M, lam):
    """The Hessian at the ETF: its smallest eigenvalue but for the gauge's zeros, and the largest of these, over lam."""
    values = hessian_eigenvalues(etf_point(K, M, lam), torch.zeros(1, K, dtype=torch.float64), lam) / lam
    zeros = gauge_dimension(K, M)
    order = values.abs().argsort()
    return {"curvature": values[order[zeros:]].min(), "gauge_zero": values[order[:zeros]].abs().max()}


ABSTRACT = "Abstract (read): global solutions exhibit neural collapse, also for cross-entropy; theorem not re-read"
DERIVED = "Derived; not a statement of the paper"


def _claim(name, statement, relation, reference, tolerance, source=DERIVED, paper_value=None, every=True):
    parts = f"dang2023.cross-entropy.{name}", "Dang et al. 2023", statement, source, relation, reference, tolerance
    kind, seen = ("extension", "derived") if source == DERIVED else ("paper", "read")
    return Claim(*parts, paper_value, kind=kind, seen=seen, every=every)


GLOBAL = {
    (M, K): _claim(
        f"etf-global-M{M}-K{K}",
        f"Cross-entropy, M = {M}, K = {K}: no start ends below the simplex ETF (lowest loss over the ETF's)",
        ">=",
        1.0,
        BELOW,
        ABSTRACT,
        "the ETF is the global minimum",
    )
    for M, K in ((1, 4), (2, 4), (2, 6), (3, 4), (3, 6))
}
LOWEST = {
    (M, K): _claim(
        f"lowest-M{M}-K{K}",
        f"M = {M}, K = {K}, lambda = 1e-3: the lowest loss of the starts is the cross-polytope's",
        "==",
        value,
        5e-7,
    )
    for (M, K), value in {(2, 6): 2.9568e-2, (3, 4): 1.6595e-2}.items()
}
SHARE = {
    (M, K): _claim(
        f"share-M{M}-K{K}",
        f"M = {M}, K = {K}: share of random starts that end below the ETF",
        *(">=", 0.5, 0.0),
        every=False,
    )
    for M, K in ((2, 6), (3, 4), (3, 6))
}
RANK = {
    M: _claim(f"rank-M{M}", f"K = 6, lambda = 1e-3: rank of the logits of the best start at M = {M}", "==", rank, 0.0)
    for M, rank in {1: 5, 2: 3, 3: 3}.items()
}
RETURN = _claim(
    "return", "Starts at the ETF plus noise return to it: largest change of the loss, relative", "<=", 0.0, 1e-6
)
CURVATURE = _claim(
    "curvature",
    "Smallest Hessian eigenvalue at the ETF but for rotations, over lambda: the least of all M >= 2",
    "==",
    1.0,
    1e-6,
)


def claims(table):
    """Verdicts for the (M, K) that the table has; one value a seed."""
    judged, seeds = [], table["seed"].unique()
    for (M, K), claim in GLOBAL.items():
        ratio = census(table, M, K)
        judged += [judge(claim, by_seed(ratio["value"], seeds, "min"))] if len(ratio) else []
    for (M, K), claim in LOWEST.items():
        ratio = census(table, M, K, lam=1e-3)
        etf = _theory(table, M, K, "lam=0.001", "etf")
        judged += [judge(claim, by_seed(ratio["value"] * etf.iloc[0], seeds, "min"))] if len(ratio) else []
    for (M, K), claim in SHARE.items():
        ratio = census(table, M, K)["value"]
        judged += [judge(claim, by_seed(counted(ratio < 1 - BELOW, ratio), seeds, "mean"))] if len(ratio) else []
    for M, claim in RANK.items():
        ratio = census(table, M, 6, lam=1e-3)
        judged += [judge(claim, [_best_rank(ratio.query("seed == @seed")) for seed in seeds])] if len(ratio) else []
    deep = table[table["depth"] >= 2]
    back = indexed(deep, "return_ratio").set_index("seed")["value"]
    judged.append(judge(RETURN, by_seed((back - 1).abs(), seeds)))
    return [*judged, judge(CURVATURE, deep[deep["metric"] == "curvature"]["value"].min(skipna=False))]


def _best_rank(rows):
    """The rank of the start with the lowest loss; NaN where a start has none."""
    return float("nan") if rows.empty or rows["value"].isna().any() else rows["rank"].iloc[rows["value"].argmin()]


def census(table, depth, num_classes, lam=None):
    """One row a start, indexed by seed: layer (its lambda), `value` (loss over the ETF's) and `rank`."""
    chosen = table[(table["depth"] == depth) & (table["num_classes"] == num_classes)]
    if lam is not None:
        chosen = chosen[chosen["layer"] == f"lam={lam:g}"]
    columns = ["seed", "layer", "i"]
    rank = indexed(chosen, "rank").set_index(columns)["value"].rename("rank")
    return indexed(chosen, "ratio").set_index(columns)[["value"]].join(rank).reset_index().set_index("seed")


def _theory(table, M, K, layer, metric):
    found = (table["depth"] == M) & (table["num_classes"] == K) & (table["layer"] == layer)
    return table[found & (table["metric"] == metric)]["value"]
