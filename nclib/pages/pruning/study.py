"""The runs of page 19: one network on digits, pruned by weights and by units."""

from nclib.pages.pruning.groups import Groups
from nclib.pages.pruning.magnitude import Magnitude
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 10}
FULL = {"width": 48, "layers": 6, "samples": 140, "lr": 3e-3}
NETWORK = {"smoke": FULL | {"width": 12, "layers": 2, "samples": 20}, "laptop": FULL, "paper": FULL}
LONG = {"first": 20, "rounds": 24, "share": 0.2}
SHORT = {"first": 4, "rounds": 6, "share": 0.5}
WEIGHTS = {"smoke": SHORT, "laptop": LONG, "paper": LONG}
EPOCHS = {"smoke": (2, 2), "laptop": (12, 8), "paper": (12, 8)}
UNITS = {"width": 32, "layers": 4, "samples": 140, "lr": 3e-3, "first": 20, "epochs": 5}
GROUPS = {
    "smoke": UNITS | {"width": 8, "layers": 2, "samples": 20, "first": 4, "epochs": 1, "targets": (8, 6, 4)},
    "laptop": UNITS | {"targets": (96, 64, 48, 40, 32, 24, 16)},
    "paper": UNITS | {"targets": (96, 64, 48, 40, 32, 24, 16)},
}
MINIMUM = {"smoke": 8, "laptop": 64, "paper": 64}
CYCLES = {"units at once": 1, "units in five cycles": 5}


def parts(profile, *, seed=0):
    """Weights pruned round after round, at once, and at once with a least number a layer; units at once and in cycles.

    Consecutive seeds from `seed` on.
    """
    seeds = range(seed, seed + choose(profile, SEEDS))
    network = NETWORK[profile] | WEIGHTS[profile]
    rewound, trained_on = EPOCHS[profile]
    ways = {
        "round after round": {"at_once": False, "minimum": 0, "epochs": rewound},
        "at once": {"at_once": True, "minimum": 0, "epochs": trained_on},
        "at once, a minimum a layer": {"at_once": True, "minimum": MINIMUM[profile], "epochs": trained_on},
    }
    found = {name: [Magnitude(**network, **way, seed=s) for s in seeds] for name, way in ways.items()}
    return found | {
        name: [Groups(**GROUPS[profile], cycles=cycles, seed=s) for s in seeds] for name, cycles in CYCLES.items()
    }


STUDY = Study(
    "pruning",
    parts,
    beside={"ten seeds": ("paper", {})},
    whole=True,
    cost={"paper": "the laptop's networks from ten seeds: seven minutes on one CPU core, as measured"},
)
