"""The runs of page 20: networks on digits from independent starts, and clients from one start."""

from nclib.pages.averages.clients import Clients
from nclib.pages.averages.merging import Merging
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 10}
NETWORK = {"width": 256, "layers": 1, "samples": 140, "lr": 1e-3}
SMALL = NETWORK | {"width": 32, "samples": 20}
MERGING = {"smoke": SMALL | {"models": 3, "epochs": 5}, "laptop": NETWORK | {"models": 4, "epochs": 20}}
CLIENTS = {
    "smoke": SMALL | {"clients": 3, "skew": 0.9, "rounds": 2, "epochs": 2},
    "laptop": NETWORK | {"clients": 5, "skew": 0.9, "rounds": 6, "epochs": 5},
}


def parts(profile, *, seed=0):
    """Networks to be merged, and clients, of consecutive seeds from `seed` on; at paper those of the laptop."""
    seeds = range(seed, seed + choose(profile, SEEDS))
    size = "smoke" if profile == "smoke" else "laptop"
    return {
        "merging": [Merging(**MERGING[size], seed=s) for s in seeds],
        "clients": [Clients(**CLIENTS[size], seed=s) for s in seeds],
    }


STUDY = Study(
    "averages",
    parts,
    beside={"ten seeds": ("paper", {})},
    whole=True,
    cost={"paper": "the laptop's networks from ten seeds: half a minute on one CPU core, as measured"},
)
