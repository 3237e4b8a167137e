"""The phase diagram of minority collapse: two classes, the smaller one's size and lambda varied at a fixed total N."""

from nclib.claims import Claim, counted, judge
from nclib.experiments.dang2023 import minority
from nclib.results import choose
from nclib.theory import deep_linear

COST = {"paper": "about five minutes on one CPU core"}
TOTAL = 32
AGREES = Claim(
    "dang2023.minority.phase-diagram",
    minority.PAPER,
    "The smaller of two classes collapses iff beta >= thr(M); share of (n, lambda, M) that agree, M = 1, 2",
    "Theorems 4.1, 4.4 (numbers recalled, thresholds derived)",
    *("==", 1, 0),
    **minority.RECALLED,
    settled=minority.STARTS_CHOSEN,
)


def runs(profile, *, seed=0):
    """One run a depth and size of the smaller class; lambda on one grid a depth."""
    sizes, points = choose(
        profile, {"smoke": ((4, 12), 3), "laptop": (range(2, 17, 2), 14), "paper": (range(1, 17), 40)}
    )
    configs = []
    for M in (1, 2):
        low, high = minority.lambda_at(0.7, 1, TOTAL, M), minority.lambda_at(1.6, TOTAL / 2, TOTAL, M)
        lambdas = tuple(low * (high / low) ** (i / (points - 1)) for i in range(points))
        configs += [
            minority.Config(
                counts=(TOTAL - n, n),
                depth=M,
                lambdas=lambdas,
                starts=(0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 2.4, 2.7, 3.0, 3.4),
                seeds=(seed,),
                dim=8,
            )
            for n in sizes
        ]
    return configs


def minority_table(table):
    """One row a depth, size and lambda: q of the smaller class, and the lambdas of its threshold and its spinodal."""
    found = minority.overlap_table(table)
    found = found[found["j"] == 1]
    end = {M: deep_linear.spinodal(M) / deep_linear.collapse_threshold(M) for M in (1, 2)}
    return found.assign(
        critical=[minority.lambda_at(1, row.size, TOTAL, row.depth) for row in found.itertuples()],
        spinodal=[minority.lambda_at(end[row.depth], row.size, TOTAL, row.depth) for row in found.itertuples()],
    )


def claims(table):
    """The judged claim."""
    found = minority_table(table)
    right = counted((found["q"] > minority.ALIVE) == (found["beta"] < 1), found["q"])
    return [judge(AGREES, right.mean(skipna=False))]
