"""The runs of page 14: minimizers beside the closed form, its laws over many decades, three classes, W and H."""

from nclib.pages.mixup_theorem.attained import Attained
from nclib.pages.mixup_theorem.joint import Joint
from nclib.pages.mixup_theorem.laws import Laws, Plane
from nclib.runs.arguments import choose
from nclib.runs.study import Study

MIXES = (0.05, 0.1, 0.3, 0.5, 0.7, 0.9)
LENGTHS, DECAYS = (0.5, 1.0, 3.0), (1.0, 0.1, 0.01, 0.001)
CLASSES = {"smoke": (3, 10), "laptop": (3, 4, 10, 100), "paper": (3, 4, 10, 30, 100)}
JOINT = ((1e-3, 1e-2), (3e-3, 3e-3), (1e-2, 1e-3))  # lam_W, lam_H


def parts(profile, *, seed=0):
    """All settings at each number of classes; the laws for a from 0.1 to 1e12; classes 0 to 2 of ten in their plane;
    four and six classes with a free classifier."""
    classes, seeds = choose(profile, CLASSES), tuple(range(seed, seed + (1 if profile == "smoke" else 3)))
    joint = (4,) if profile == "smoke" else (4, 6)
    decays = DECAYS[::2] + DECAYS[3:] if profile == "smoke" else DECAYS
    return {
        "attained": [Attained(K, LENGTHS, decays, MIXES, s) for K in classes for s in seeds],
        "laws": [Laws(K, -1, 12, 27, (0.1, 0.25, 0.5), seed) for K in (3, 10, 100)],
        "plane": [Plane(10, 1000.0, 16, seed)],
        "joint": [Joint(K, lam_W, lam_H, (0.1, 0.3, 0.5, 0.7, 0.9), seeds) for K in joint for lam_W, lam_H in JOINT],
    }


STUDY = Study(
    "mixup_theorem",
    parts,
    beside={"paper scale": ("paper", {})},
    whole=True,
    cost={"paper": "seconds on one CPU core, as measured"},
)
