"""The runs of page 18: exact states, students of a mixture and of digits, nearness to collapse; CIFAR-10 at paper."""

from nclib.pages.dual_head.nearness import Nearness
from nclib.pages.dual_head.states import States
from nclib.pages.dual_head.students import Students
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}
ALPHAS, RATES = (0.1, 0.3, 1.0, 2.0, 5.0), (0.003, 0.0125, 0.05, 0.2)
STATES = {"num_classes": 10, "samples": 5, "fine": 13, "means": (0.5, 1.0, 2.0, 4.0), "noises": (0.05, 0.1, 0.2, 0.5)}
STUDENTS = {"samples": 3000, "alphas": ALPHAS, "rates": RATES, "epochs": 20, "batch_size": 64, "weight_decay": 5e-4}
NEARNESS = {
    "decays": (5e-4, 5e-3),
    "label_noises": (0.0, 0.1, 0.3),
    "data_noises": (0.2, 0.5),
    "samples": 1000,
    "recorded": (2, 5, 10, 20, 40, 80),
    "batch_size": 100,
}
SMALL = {
    "states": STATES | {"fine": 4, "means": (1.0, 4.0), "noises": (0.1, 0.5)},
    "students": STUDENTS | {"samples": 200, "alphas": (0.3, 1.0), "rates": (0.05, 0.2), "epochs": 4},
    "nearness": NEARNESS | {"samples": 200, "recorded": (1, 2, 4), "label_noises": (0.0, 0.3)},
}
FULL = {"states": STATES, "students": STUDENTS, "nearness": NEARNESS}
WIDTHS = (16, 32, 64)


def parts(profile, *, seed=0, epochs=None, weight_decay=None):
    """Consecutive seeds. epochs and weight_decay: of the students of the mixture and of the digits."""
    given = SMALL if profile == "smoke" else FULL
    seeds = range(seed, seed + choose(profile, SEEDS))
    changes = {"epochs": epochs, "weight_decay": weight_decay}
    students = given["students"] | {name: value for name, value in changes.items() if value is not None}
    return {
        "states": [States(**given["states"], seed=s) for s in seeds],
        "mixture": [Students("mixture", **students, seed=s) for s in seeds],
        "digits": [Students("digits", **students, seed=s) for s in seeds],
        "nearness": [Nearness(width, **given["nearness"], seed=s) for width in WIDTHS for s in seeds],
    }


STUDY = Study("dual_head", parts)
