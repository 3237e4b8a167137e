"""The runs of page 03: direct optimization of imbalanced classes, also in narrow layers; networks; and minima by
another optimizer, on both sides of the class size where features are longest, and with a bias."""

from nclib.pages._linear_heads.direct import Direct
from nclib.pages._linear_heads.network import Network
from nclib.pages.imbalanced_geometry.minimum import Minimum
from nclib.runs.arguments import choose
from nclib.runs.study import Study
from nclib.theory.deep_linear import collapse_threshold

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}
DEPTHS = {"smoke": (1, 3), "laptop": (1, 3, 6), "paper": (1, 3, 6, 9)}
# A layer's gain at the start is std sqrt(width) = 0.8, the authors' at their width 64: with smaller ones a deep product
# starts near 0, where the problem is flat.
GAIN = 0.8
DIRECT = {
    "smoke": {"counts": (16, 8, 4, 4), "width": 16, "steps": 400, "std": 0.2},
    "laptop": {"counts": (200, 100, 50, 50), "width": 16, "steps": 10_000, "std": 0.2},
    "paper": {"counts": (200, 100, 50, 50), "width": 64, "steps": 30_000, "std": 0.1},
}
NARROW = (200, 100, 70, 50)
STEPS = {"smoke": 100, "laptop": 10_000, "paper": 30_000}
DIGITS = {"data": "digits", "width": 64, "lr": 3e-3, "feature_scale": 0.1}
NETWORK = {
    "smoke": DIGITS | {"counts": tuple(range(2, 12)), "epochs": 12, "drop": 10, "lam": 1e-3},
    "laptop": DIGITS | {"counts": tuple(range(10, 101, 10)), "epochs": 1000, "drop": 800, "lam": 5e-4},
    "paper": {
        "data": "cifar10",
        "counts": (100, 100, 200, 200, 300, 300, 400, 400, 500, 500),
        "width": 2048,
        "lr": 1e-4,
        "epochs": 12_000,
        "drop": 6000,
        "lam": 1e-5,
        "scale": "authors-imbalanced",
        "init": "normal",
        "precision": "tf32",
    },
}
# Counts by depth, and the class size at which a class collapses over the threshold: at M = 1 features are longest at 4
# times that, 10; at M >= 2 nowhere. With a bias, three equal classes below and beyond the threshold without one.
LENGTHS = {1: ((40, 28, 20, 10, 7, 5, 3), 2.5), 2: ((40, 24, 14, 9), 12.6), 3: ((40, 24, 16, 9), 13.0)}
BIASED = (9, 3, 3, 3)
BEFORE, BEYOND = {1: 0.85, 2: 0.95}, {1: 1.15, 2: 1.05}


def parts(profile, *, seed=0, depths=None, counts=None, lam=5e-4, network_counts=None, network_lam=None):
    """Direct optimization at every depth; layers of every width up to K, with the NARROW classes and with four equal
    ones; networks at every depth up to 6 from three seeds, and, where those minimize the paper's objective, one that
    minimizes the authors' with the same effective lambda; and minima by another optimizer."""
    seeds = tuple(range(seed, seed + choose(profile, SEEDS)))
    depths = tuple(depths or DEPTHS[profile])
    problem = DIRECT[profile] | ({"counts": tuple(counts)} if counts else {})
    found = {"direct": [Direct(**problem, depth=M, bias=False, lam=lam, seeds=seeds) for M in depths]}
    found |= narrow(lam, STEPS[profile], tuple(range(seed, seed + 3)))
    net = NETWORK[profile] | ({"counts": tuple(network_counts)} if network_counts else {})
    net |= {"lam": network_lam} if network_lam else {}
    shallow = [M for M in depths if M <= 6]
    found["network"] = [Network(**net, depth=M, bias=False, seed=s) for M in shallow for s in seeds]
    if "scale" not in net and shallow:
        theirs = net | {"scale": "authors-imbalanced", "lam": net["lam"] / len(net["counts"])}
        found["authors' objective"] = [Network(**theirs, depth=shallow[0], bias=False, seed=seed)]
    found["lengths"] = [
        Minimum(sizes, M, decay(critical, sizes, M), False, seeds) for M, (sizes, critical) in LENGTHS.items()
    ]
    for name, ratios in {"bias, before the threshold": BEFORE, "bias, beyond the threshold": BEYOND}.items():
        found[name] = [
            Minimum(BIASED, M, decay(ratio * BIASED[-1], BIASED, M), True, seeds) for M, ratio in ratios.items()
        ]
    return found


def narrow(lam, steps, seeds):
    """Direct optimization in narrow layers, at depths 1 and 3."""

    def direct(counts, width, bias):
        common = {"lam": lam, "steps": steps, "std": GAIN / width**0.5, "seeds": seeds}
        return [Direct(counts=counts, width=width, depth=M, bias=bias, **common) for M in (1, 3)]

    return {
        "narrow": [run for width in range(1, len(NARROW)) for run in direct(NARROW, width, False)],
        "just wide enough": direct(NARROW, len(NARROW), False),
        "narrow, balanced": direct((10,) * 4, 2, False),
        "narrow, balanced, bias": direct((10,) * 4, 2, True),
    }


def decay(critical, counts, depth):
    """lam = lam_Wm = lam_H at which classes of up to `critical` samples collapse: M N (N lam^(M+1))^(1/M) over that is
    the threshold of depth M."""
    N, M = sum(counts), depth
    return ((critical * collapse_threshold(M) / (M * N)) ** M / N) ** (1 / (M + 1))


STUDY = Study(
    "imbalanced_geometry",
    parts,
    beside={"paper scale": ("paper", {})},
    cost={
        "paper": "direct optimization: about 6 minutes on one CPU core; networks: about 8 minutes on one H200, at "
        "3.6 ms (M = 1) to 4.7 ms (M = 6) a step as measured"
    },
)
