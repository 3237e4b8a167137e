"""The runs of page 22: a recurrence for each size of its state, and classifiers with routed experts."""

from nclib.pages.states_and_experts.recall import Recall
from nclib.pages.states_and_experts.routing import Routing
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 10}
DIMS = {"smoke": (4, 8), "laptop": (4, 8, 16, 32)}
STATES = {"values": 8, "steps": 60, "lr": 0.1, "start": 1e-3}
EXTENT = {
    "smoke": {"tokens": 512, "loads": (1, 2, 16, 32), "contexts": 64},
    "laptop": {"tokens": 2048, "loads": (1, 2, 4, 8, 16, 32), "contexts": 256},
}
GRID = {"smoke": (0, 5, 7), "laptop": range(8)}  # training lengths over the dimension: powers of sqrt(2)
NETWORK = {
    "smoke": {"width": 16, "experts": 4, "hidden": 8, "left": (2, 1), "samples": 20, "epochs": 3, "lr": 3e-3},
    "laptop": {"width": 32, "experts": 8, "hidden": 32, "left": (4, 2, 1), "samples": 140, "epochs": 20, "lr": 3e-3},
}
ARMS = (
    {"top": 1, "balance": 0.1},
    {"top": 1, "balance": 0.01},
    {"top": 1, "balance": 0.0},
    {"top": 2, "balance": 0.01},
)


def parts(profile, *, seed=0):
    """Recurrences and routed experts of consecutive seeds from `seed` on; at paper those of the laptop."""
    seeds = range(seed, seed + choose(profile, SEEDS))
    size = "smoke" if profile == "smoke" else "laptop"
    return {
        "states": [
            Recall(dim=d, lengths=tuple(round(d * 2 ** (i / 2)) for i in GRID[size]), **STATES, **EXTENT[size], seed=s)
            for s in seeds
            for d in DIMS[size]
        ],
        "experts": [Routing(**NETWORK[size], **arm, seed=s) for s in seeds for arm in ARMS],
    }


STUDY = Study(
    "states_and_experts",
    parts,
    beside={"ten seeds": ("paper", {})},
    whole=True,
    cost={"paper": "the laptop's runs from ten seeds: two minutes on one CPU core, as measured"},
)
