"""The runs of page 18: exact states, students of a mixture and of digits, nearness to collapse; CIFAR-10 at paper."""

from nclib.pages.dual_head.nearness import Nearness
from nclib.pages.dual_head.network import NONLINEAR, Network
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
LARGE = {
    "samples": 5000,
    "teacher_width": 64,
    "student_width": 16,
    "strength": 1.0,
    "rates": (0.02, 0.06, 0.2),
    "epochs": 40,
    "batch_size": 128,
    "weight_decay": 5e-4,
}
TRAINED = (
    *("CE", "one head", "two heads", "DHKD", "KD", "BinaryKL alone"),
    *("one head, Norm", "two heads, Norm", NONLINEAR, "one head, rescaled"),
)


def parts(profile, *, seed=0, epochs=None, weight_decay=None, data=None):
    """Consecutive seeds. epochs and weight_decay: of all students but those of "nearness". data: "cifar10" for these
    alone, at paper."""
    given = SMALL if profile == "smoke" else FULL
    seeds = range(seed, seed + choose(profile, SEEDS))
    if data is not None and (data, profile) != ("cifar10", "paper"):
        raise ValueError(f"data = {data!r}: must be cifar10, at profile paper alone")
    changes = {"epochs": epochs, "weight_decay": weight_decay}
    changes = {name: value for name, value in changes.items() if value is not None}
    students, large = given["students"] | changes, LARGE | changes
    cifar = {"CIFAR-10": [Network("cifar10", trained=arm, **large, seed=s) for s in seeds for arm in TRAINED]}
    small = {
        "states": [States(**given["states"], seed=s) for s in seeds],
        "mixture": [Students("mixture", **students, seed=s) for s in seeds],
        "digits": [Students("digits", **students, seed=s) for s in seeds],
        "nearness": [Nearness(width, **given["nearness"], seed=s) for width in WIDTHS for s in seeds],
    }
    return cifar if data else small | cifar if profile == "paper" else small


STUDY = Study(
    "dual_head",
    parts,
    beside={"CIFAR-10 at paper scale": ("paper", {"data": "cifar10"})},
    cost={"paper": "30 networks on CIFAR-10, each at three rates, about ten minutes each on one H100, an estimate"},
)
