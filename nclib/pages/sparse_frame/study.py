"""The runs of page 16: masks, frames, the norm law without decay and with it, and the authors' logs."""

from nclib.pages.sparse_frame.decays import Decays
from nclib.pages.sparse_frame.flow import Flow
from nclib.pages.sparse_frame.frame import Frame
from nclib.pages.sparse_frame.logs import Logs
from nclib.pages.sparse_frame.masks import Masks
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SHAPES = ((5, 8), (8, 16), (10, 32), (12, 24), (16, 48), (20, 64))
BETAS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COUNT = {"smoke": 1, "laptop": 3, "paper": 3}
STRENGTHS = (1e-3, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9)


def parts(profile, *, seed=0, masks=None):
    """masks: of each shape and share of zeros, for each of three seeds."""
    seeds = range(seed, seed + choose(profile, COUNT))
    small = profile == "smoke"
    shapes, betas = (SHAPES[:2], BETAS[1::3]) if small else (SHAPES, BETAS)
    masks = masks or {"smoke": 2, "laptop": 4, "paper": 40}[profile]
    adam = ((6, 12, 100),) if small else ((20, 64, 10_000), (10, 512, 10_000))
    classes = (10,) if small else (10, 100)
    optimized = (0.1,) if small else (0.01, 0.1, 0.5)
    beta = 0.3 if small else 0.6
    return {
        "masks": [Masks(K, d, betas, masks, s) for K, d in shapes for s in seeds],
        "frames": [Frame(K, d, beta, steps, s) for K, d, steps in adam for s in seeds],
        "large frame": [Frame(10 if small else 100, 64 if small else 512, 0.6, 0, s) for s in seeds],
        "flow": [Flow(K, 100, 1.0, seed) for K in classes],
        "decays": [Decays(K, ratio, STRENGTHS, optimized, seed) for K in classes for ratio in (50, 100)],
        "logs": [Logs()],
    }


STUDY = Study(
    "sparse_frame",
    parts,
    beside={"paper scale": ("paper", {})},
    whole=True,
    cost={"paper": "nine minutes on one CPU core, as measured: ten times the masks"},
)
