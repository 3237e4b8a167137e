"""The runs of page 07: the gradient flow with the classifier eliminated, from many starts, and one proximal step."""

import numpy as np

from nclib.pages.central_path.flow import Flow
from nclib.pages.central_path.step import Step
from nclib.runs.arguments import choose
from nclib.runs.study import Study

TIMES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
BETAS = (1e-2, 3e-2, 0.1, 0.3, 0.6, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e4)
SHAPE = {"num_classes": 3, "samples": 4, "dim": 3}
RISING = SHAPE | {"lam_W": 0.25, "lam_H": 0.1}
# d and last time, near collapse, with room to spare and without. lam_H = 0 is late once 4 lam_W t exceeds the square of
# the mean square length at the start: a first run of random scale, up to 100 in that length, was not.
LATE = {"late, d > K": (6, 25.0), "late, d = K": (4, 6.0)}
FREE = {"dim": 6, "scale": 0.3, "lam_H": 0.0}
END = 3000.0


def parts(profile, *, seed=0, starts=None, lam_W=0.5, lam_H=0.2):
    """Flows from random and from skewed starts (`starts` of each for each seed), from the start at which NC1 rises, and
    late ones; proximal steps at many beta. lam_W, lam_H: of the late flows."""
    if lam_W * lam_H >= 1:
        raise ValueError(f"lam_W * lam_H = {lam_W * lam_H:g}: must be < 1, where the minimizer is collapsed")
    starts = starts or choose(profile, {"smoke": 2, "laptop": 34, "paper": 340})
    few = profile == "smoke"
    seeds = tuple(range(seed, seed + (1 if few else 3)))
    found = {
        "random starts": [Flow("random", starts, TIMES, seeds=seeds)],
        "skewed starts": [Flow("skewed", (starts + 1) // 2, TIMES, **SHAPE, seeds=seeds)],
        "rising start": [Flow("rising", 1, tuple(0.1 * i for i in range(51)), **RISING, seeds=seeds[:1])],
    }
    for name, (dim, end) in LATE.items():
        times = tuple(end / 25 * i for i in range(26))
        found[name] = [Flow("near", 1, times, dim=dim, lam_W=lam_W, lam_H=lam_H, seeds=seeds)]
    times = (0.0, *np.geomspace(0.01, END, 25).tolist())
    found["no feature decay"] = [Flow("random", 1, times, lam_W=lam_W, **FREE, seeds=seeds)]
    found["steps"] = [Step(2 if few else 15, BETAS, seeds=seeds)]
    return found


STUDY = Study(
    "central_path",
    parts,
    beside={"paper scale": ("paper", {})},
    whole=True,
    cost={"paper": "four minutes on one CPU core, as measured"},
)
