"""The runs of page 21: exact spectra for several numbers of classes, and a grid of networks."""

from nclib.pages.spectra.hessian import Hessian
from nclib.pages.spectra.zoo import Zoo
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 10}
CLASSES = {"smoke": (3, 4), "laptop": (3, 4, 6, 8, 10), "paper": (3, 4, 6, 8, 10)}
SPECTRUM = {"samples": 20, "dim": 10, "apart": 4.0, "width": 16, "lr": 1e-2, "weight_decay": 5e-3}
ZOO = {
    "smoke": {"widths": (2, 8, 16), "batches": (8, 32), "samples": 10, "epochs": 10},
    "laptop": {"widths": (2, 4, 6, 8, 16, 32), "batches": (8, 32, 128), "samples": 40, "epochs": 30},
}


def parts(profile, *, seed=0):
    """Networks on clusters, a part for each number of classes, and a grid of networks on digits, of consecutive seeds
    from `seed` on; at paper those of the laptop."""
    seeds = range(seed, seed + choose(profile, SEEDS))
    size, epochs = ("smoke", 30) if profile == "smoke" else ("laptop", 200)
    found = {f"{K} classes": [Hessian(K, **SPECTRUM, epochs=epochs, seed=s) for s in seeds] for K in CLASSES[profile]}
    return found | {"zoo": [Zoo(**ZOO[size], lr=3e-3, seed=s) for s in seeds]}


STUDY = Study(
    "spectra",
    parts,
    beside={"ten seeds": ("paper", {})},
    whole=True,
    cost={"paper": "the laptop's networks from ten seeds: three minutes on one CPU core, as measured"},
)
