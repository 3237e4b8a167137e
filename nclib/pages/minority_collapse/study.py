"""The runs of page 04: squared error through its threshold, its landscape, cross-entropy, two limits, and networks."""

from nclib.pages._linear_heads.network import Network
from nclib.pages.minority_collapse.branches import Branches
from nclib.pages.minority_collapse.groups import Groups
from nclib.pages.minority_collapse.layer_peeled import LayerPeeled
from nclib.pages.minority_collapse.seli import Vanishing
from nclib.pages.minority_collapse.sweep import Sweep, lambda_at
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}
STEP = 0.05  # of beta over the threshold, along a branch
TOTAL = 32  # samples of the two classes of the phase diagram
DIGITS = {"data": "digits", "width": 64, "lr": 3e-3, "feature_scale": 0.1}
COUNTS = tuple(range(10, 101, 10))
# N^2 lambda^2: the size at and below which a class of digits collapses.
SIZES = {"smoke": (15,), "laptop": (5, 25), "paper": (2, 5, 15, 25, 35)}


def parts(profile, *, seed=0, dim=None):
    """Each question of the page. dim: feature dimension and width of the layers in the sweep; None: 10."""
    seeds = tuple(range(seed, seed + choose(profile, SEEDS)))
    return {
        "sweep": sweep(profile, seeds, dim),
        "branches": branches(profile, seed),
        "phase": phase(profile, seed),
        "cross-entropy": cross_entropy(profile, seeds),
        "SELI": vanishing(profile, seeds),
        "layer-peeled": layer_peeled(profile, seeds),
        "network": networks(profile, seeds),
    }


def sweep(profile, seeds, dim):
    """One run a depth; lambda through the thresholds of all classes, 2% below and above each of them included.

    Sizes are those of the paper's synthetic runs, (200, 100, 50, 50), over 10 but at `paper`; beta depends on them only
    through n_k/N, once lambda is rescaled.
    """
    counts = (200, 100, 50, 50) if profile == "paper" else Sweep.counts
    points, classes = {"smoke": (2, (1,)), "laptop": (18, (1, 2, 4)), "paper": (36, (1, 2, 4))}[profile]
    ratios = [0.23 * (5.5 / 0.23) ** (i / (points - 1)) for i in range(points)]
    ratios = sorted([*ratios, *(c * r for c in classes for r in (0.98, 1.02))])
    smallest, N = min(counts), sum(counts)
    return [
        Sweep(counts, M, tuple(lambda_at(r, smallest, N, M) for r in ratios), seeds=seeds, dim=dim or Sweep.dim)
        for M in (1, 2, 3)
    ]


def branches(profile, seed):
    """One run a depth. beta over the threshold in steps of STEP, never at 1 itself."""
    first, last, starts = {"smoke": (0.875, 1.7, 1), "laptop": (0.075, 1.7, 3), "paper": (0.075, 1.7, 5)}[profile]
    ratios = tuple(round(first + STEP * i, 3) for i in range(round((last - first) / STEP) + 1))
    seeds = tuple(range(seed, seed + starts))
    return [Branches(depth=M, ratios=ratios, curves=(0.6, 1.0, 1.15, 1.8), seeds=seeds) for M in (1, 2, 3)]


def phase(profile, seed):
    """Two classes: one run a depth and size of the smaller one; lambda on one grid a depth."""
    sizes, points = {"smoke": ((4, 12), 3), "laptop": (range(2, 17, 2), 14), "paper": (range(1, 17), 40)}[profile]
    starts = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 2.4, 2.7, 3.0, 3.4)
    found = []
    for M in (1, 2):
        low, high = lambda_at(0.7, 1, TOTAL, M), lambda_at(1.6, TOTAL / 2, TOTAL, M)
        lambdas = tuple(low * (high / low) ** (i / (points - 1)) for i in range(points))
        found += [Sweep((TOTAL - n, n), M, lambdas, starts, seeds=(seed,), dim=8) for n in sizes]
    return found


def cross_entropy(profile, seeds):
    """Free and nonnegative features. With H >= 0 there are bad local minima (a class whose features are all 0): the
    lowest of several starts counts."""
    fine = (1, 3, 5, 6, 7, 8, 9, 10, 11, 13, 15)
    sizes = {"smoke": (6, 7, 8, 12), "laptop": fine, "paper": tuple(range(1, 16))}[profile]
    starts = {False: 1, True: 4 if profile == "smoke" else 16}
    return [Groups(sizes, nonnegative, starts=n, seeds=seeds) for nonnegative, n in starts.items()]


def vanishing(profile, seeds):
    """One run, down to the smallest lambda."""
    smallest = {"smoke": 4, "laptop": 7, "paper": 9}[profile]
    iterations = 40_000 if profile == "paper" else Vanishing.iterations
    return [Vanishing(lambdas=tuple(10.0**-k for k in range(2, smallest + 1)), seeds=seeds, iterations=iterations)]


def layer_peeled(profile, seeds):
    """One run a number of majority classes, 10 classes in all."""
    fine = (0.3, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5)
    relative = (0.9, 1.1) if profile == "smoke" else fine
    return [LayerPeeled(A, 10 - A, relative=relative, seeds=seeds) for A in (3, 5, 7)]


def networks(profile, seeds):
    """One network a lambda and seed."""
    epochs = {"smoke": 10, "laptop": 2000, "paper": 10_000}[profile]
    common = DIGITS | {"counts": COUNTS, "depth": 1, "bias": False, "epochs": epochs, "drop": max(1, epochs * 4 // 5)}
    return [Network(**common, lam=size**0.5 / sum(COUNTS), seed=s) for size in SIZES[profile] for s in seeds]


STUDY = Study(
    "minority_collapse",
    parts,
    beside={"paper scale": ("paper", {})},
    whole=True,
    cost={"paper": "half an hour on one CPU core, as measured"},
)
