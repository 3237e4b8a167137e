"""The runs of page 05: two candidates in closed form, a census of random starts, the steps of a proof on factors."""

from nclib.pages.cross_entropy_depth.candidates import Candidates
from nclib.pages.cross_entropy_depth.census import Census
from nclib.pages.cross_entropy_depth.one_layer import OneLayer
from nclib.pages.cross_entropy_depth.points import WRITTEN, Shaped, Written
from nclib.pages.cross_entropy_depth.proofs import POCKET, Gap, Pocket, Range, Roots, Threshold
from nclib.runs.arguments import choose
from nclib.runs.study import Study

CASES = ((1, 4), (2, 4), (2, 6), (3, 4), (3, 6), (1, 6))
FINE = (1e-2, 1e-3, 1e-4, 1e-6, 1e-9, 1e-12, 1e-15)
LARGE = (0.17, 0.14, 0.12, 0.1, 0.07, 0.05, 0.03)  # at the first of them no ETF with four classes is better than 0
MAP = tuple(round(10 ** (-6 + k / 10), 9) for k in range(55))
PROVED = (2, 6, 1e-5, 0.12), (3, 4, 1e-5, 0.141), (2, 4, 0.012, 0.159)  # M, K, every lambda from, to
ONE = ((3, 4, 1e-2, 1e-2), (4, 10, 5e-3, 2e-3), (6, 5, 1e-3, 4e-3), (10, 3, 1e-3, 1e-3))  # K, n, lam_W, lam_H
BETWEEN = (0.0117, 0.0118, 0.015, 0.02, 0.05, 0.1, 0.13, 0.155, 0.159)  # where the order of the two turns at (2, 4)


def parts(profile, *, seed=0, starts=None):
    """The candidates for each weight decay; minima for one layer; the census of pairs (M, K) of CASES at lam in {1e-2,
    1e-3}; points of the ETF's shape and written-down ones."""
    cases = choose(profile, {"smoke": ((1, 6), (2, 6)), "laptop": CASES, "paper": CASES})
    few, steps, count = {"smoke": (4, 400, 1), "laptop": (24, 1500, 3), "paper": (128, 3000, 3)}[profile]
    seeds = tuple(range(seed, seed + count))
    small, large = ((1e-2, 1e-3, 1e-15), LARGE[::3]) if profile == "smoke" else (FINE, LARGE)
    grid = (1, 2, 3, 4, 6), (4, 6, 8, 10, 12)
    points = 40 if profile == "smoke" else 400
    return {
        "candidates": [Candidates(*grid, lam, seed) for lam in small],
        "large decays": [Candidates(*grid, lam, seed) for lam in large],
        "M=2, K=4": [Candidates((2,), (4,), lam, seed) for lam in BETWEEN],
        "census": [Census(M, K, (1e-2, 1e-3), starts or few, steps, seeds) for M, K in cases],
        "one layer": [OneLayer(*problem, seeds) for problem in ONE],
        "shaped": [
            Shaped(M, K, lam, spread, points, seeds)
            for M, K in WRITTEN
            for lam in (1e-2, 1e-3)
            for spread in (0.0, 0.1, 1.0)
        ],
        "written": [Written(M, K, 1e-3, seed) for M, K in WRITTEN],
        "map": [Candidates((1, 2, 3), (4, 6, 8), lam, seed) for lam in (MAP[::6] if profile == "smoke" else MAP)],
        "proved": [Gap(M, K, 1e-3, seed) for M, K in POCKET],
        "refused": [Gap(M, K, 1e-3, seed) for M, K in ((1, 6), (2, 4))],
        "ranges": [Range(*one, seed) for one in PROVED],
        "pocket": [Pocket(M, K, 1e-3, seed) for M, K in POCKET],
        "thresholds": [Threshold(M, seed) for M in range(2, 13)],
        "roots": [Roots(20, seed)],
    }


STUDY = Study(
    "cross_entropy_depth",
    parts,
    beside={"paper scale": ("paper", {})},
    whole=True,
    cost={"paper": "two minutes on one CPU core, as measured: 128 starts for each of ten settings and three seeds"},
)
