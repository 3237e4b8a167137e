"""Why minorities jump: the loss of one class as a function of q, its bad local minima, and the hysteresis they cause.

The objective is that of `minority`, balanced. The branch of survivors is followed while lambda grows, the collapsed one
while lambda falls: each minimization starts where the last one ended, plus a little noise.
"""

from dataclasses import dataclass

import torch

from nclib import results
from nclib.claims import Claim, by_seed, judge
from nclib.experiments.dang2023.minority import ALIVE, DERIVED, lambda_at, objective, overlaps, start, targets
from nclib.lbfgs import minimize
from nclib.theory import deep_linear

VERSION = 1
COST = {"paper": "about a minute on one CPU core"}
STEP = 0.05
SOURCE = "not a claim of the paper; derived from the scalar loss of its problem"
BRANCH = Claim(
    "dang2023.minority.local-branch",
    "Dang et al. 2023",
    "Followed upward, q is the largest stationary point of the scalar loss, also above the threshold; largest error",
    SOURCE,
    *("<=", 1e-4, 0),
    **DERIVED,
)
SPINODAL = {
    M: Claim(
        f"dang2023.minority.spinodal-M{M}",
        "Dang et al. 2023",
        f"M = {M}: survivors disappear at the spinodal; middle of the step of beta/thr in which q falls to 0",
        SOURCE,
        *("==", deep_linear.spinodal(M) / deep_linear.collapse_threshold(M), STEP / 2),
        **DERIVED,
    )
    for M in (2, 3)
}
HYSTERESIS = Claim(
    "dang2023.minority.hysteresis",
    "Dang et al. 2023",
    "M = 2, 3: followed downward, collapsed classes stay so below the threshold; largest q on that branch",
    SOURCE,
    *("<=", ALIVE, 0),
    **DERIVED,
)
REVERSIBLE = Claim(
    "dang2023.minority.reversible-M1",
    "Dang et al. 2023",
    "M = 1: no hysteresis; largest difference between the two branches",
    SOURCE,
    *("<=", 1e-4, 0),
    **DERIVED,
)
GRID = torch.linspace(0, 1, 101, dtype=torch.float64)


@dataclass(frozen=True)
class Config:
    """One depth M. ratios: beta over the threshold, ascending; curves: those whose landscape is drawn."""

    depth: int = 2
    ratios: tuple = ()
    curves: tuple = ()
    counts: tuple = (4, 4, 4)
    noise: float = 0.01
    seeds: tuple = (0, 1, 2)
    dim: int = 8
    iterations: int = 1000


def runs(profile, *, seed=0, depths=(1, 2, 3), dim=None):
    """One run a depth. beta over the threshold in steps of STEP, never at 1 itself."""
    first, last, starts = results.choose(
        profile, {"smoke": (0.875, 1.7, 1), "laptop": (0.075, 1.7, 3), "paper": (0.075, 1.7, 5)}
    )
    ratios = tuple(round(first + STEP * i, 3) for i in range(round((last - first) / STEP) + 1))
    return [
        Config(
            depth=M,
            ratios=ratios,
            curves=(0.6, 1.0, 1.15, 1.8),
            seeds=tuple(range(seed, seed + starts)),
            dim=dim or Config.dim,
        )
        for M in depths
    ]


def run(config, device="cpu"):
    """Rows, i over ratios: "q[i]" and "local[i]" (theory: at the global minimum, and at the largest stationary point).

    "up[i]", "down[i]" (measured): mean of q over classes on the branch followed upward and downward.
    "landscape[c,j]" (theory): loss of a class over n_k/N at curves[c] and q = GRID[j]. "spinodal" (theory), over the
    threshold.
    """
    M, d, Y = config.depth, config.dim, targets(config.counts).to(device)
    K, N, seeds = *Y.shape, config.seeds
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    lambdas = [lambda_at(ratio, N / K, N, M) for ratio in config.ratios]

    def settle(theta, lam):
        lam = torch.as_tensor(lam, dtype=torch.float64, device=device).expand(len(theta))
        return minimize(
            lambda x, which: objective(x, Y, lam[which], d, M), theta, iterations=config.iterations, tolerance=1e-7
        )

    first = torch.stack([start(g, 2.0, K, d, M, N) for g in generators for _ in range(8)]).to(device)
    first, loss, _ = settle(first, lambdas[0])
    up = first.view(len(seeds), 8, -1)[range(len(seeds)), loss.view(len(seeds), 8).argmin(1)]
    branches = torch.cat([up, torch.zeros_like(up)])
    followed = {"up": [], "down": []}
    for lam_up, lam_down in zip(lambdas, reversed(lambdas), strict=True):
        noise = torch.stack([torch.randn(branches.shape[1], generator=g, dtype=torch.float64) for g in 2 * generators])
        lam = torch.tensor([lam_up, lam_down], dtype=torch.float64).repeat_interleave(len(seeds))
        branches, _, _ = settle(branches + config.noise * noise.to(device), lam)
        q = overlaps(branches, Y, d, M).mean(1).view(2, len(seeds))
        followed["up"].append(q[0])
        followed["down"].insert(0, q[1])

    thr = deep_linear.collapse_threshold(M)
    theory = {
        "q": [float(deep_linear.overlap(ratio * thr, M)) for ratio in config.ratios],
        "local": [max((0.0, *deep_linear.stationary_points(ratio * thr, M))) for ratio in config.ratios],
        "landscape": torch.stack([deep_linear.scalar_loss(GRID, ratio * thr, M) for ratio in config.curves]),
        "spinodal": deep_linear.spinodal(M) / thr,
    }
    tables = [results.rows(theory, source="theory", seed=seeds[0])]
    for r, seed in enumerate(seeds):
        tables.append(results.rows({name: torch.stack(q)[:, r] for name, q in followed.items()}, seed=seed))
    return results.pd.concat(tables, ignore_index=True)


def branches(table):
    """One row a depth, seed and ratio: up, down (measured); q, local, spinodal (theory)."""
    keys = ["depth", "ratio", "seed"]
    parts = []
    for name in ("up", "down", "q", "local"):
        part = results.indexed(table, name)
        part = part.assign(ratio=[row.ratios[row.i] for row in part.itertuples()])
        theory = part["source"].eq("theory").all()
        parts.append(part.set_index(keys[:2] if theory else keys)["value"].rename(name))
    end = table[table["metric"] == "spinodal"].set_index("depth")["value"].rename("spinodal")
    found = parts[0].to_frame().join(parts[1]).join(parts[2], on=keys[:2]).join(parts[3], on=keys[:2])
    return found.join(end, on="depth").reset_index()


def curves(table):
    """One row a depth, ratio and q: the loss of a class over n_k/N."""
    found = results.indexed(table, "landscape")
    return found.assign(ratio=[row.curves[row.i] for row in found.itertuples()], q=GRID.numpy()[found["j"]])


def claims(table):
    """The judged claims, from the runs of all three depths."""
    found = branches(table)
    deep, flat = found[found["depth"] > 1], found[found["depth"] == 1]
    return [
        judge(BRANCH, (found["up"] - found["local"]).abs().max(skipna=False)),
        *(judge(claim, _last(found[found["depth"] == M])) for M, claim in SPINODAL.items()),
        judge(HYSTERESIS, deep["down"].max(skipna=False)),
        judge(REVERSIBLE, (flat["up"] - flat["down"]).abs().max(skipna=False)),
    ]


def _last(rows):
    """For each seed the middle of the step after the last ratio with survivors."""
    rows = rows.set_index("seed")
    alive = rows[~(rows["up"] <= ALIVE)]
    return by_seed((alive["ratio"] + STEP / 2).where(alive["up"].notna()), rows.index.unique())
