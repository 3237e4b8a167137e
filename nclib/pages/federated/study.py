"""The runs of page 17: a long-tailed mixture with all arms, digits with the main ones, 8 seeds of one comparison; at
paper long tails of CIFAR-10 and CIFAR-100."""

from nclib.pages.federated.image_loop import ImageLoop
from nclib.pages.federated.loop import Loop
from nclib.pages.federated.speed import Speed
from nclib.runs.arguments import choose
from nclib.runs.study import Study

COUNT = {"smoke": 1, "laptop": 3, "paper": 3}
SHAPES = (("dense", 0.0), ("sparse", 0.6))
RATES, GAMMAS = (0.1, 0.3), (1.0, 3.0, 6.0)
TRAINED = [("FedAvg", "", 0.0, 0.0, lr, 0.0) for lr in (0.03, 0.1, 0.3)]
TRAINED += [("FedProx", "", 0.0, 0.0, lr, 0.01) for lr in RATES]
DENSE = [("dense ETF", "dense", gamma, 0.0, lr, 0.0) for gamma in GAMMAS for lr in RATES]
SPARSE = [("sparse ETF", "sparse", gamma, 0.6, lr, 0.0) for gamma in GAMMAS for lr in RATES]
CURVE = [("curve", "nearest", 3.0, beta, 0.1, 0.0) for beta in (0.2, 0.4, 0.8, 0.9)]
FEW = [TRAINED[1], DENSE[0], SPARSE[0]]
# On a deep network the authors' logs have the best length at 0.1, and 8 points between lengths.
DEEP = [("FedAvg", "", 0.0, 0.0, lr, 0.0) for lr in (0.03, 0.1)] + [("FedProx", "", 0.0, 0.0, 0.03, 0.01)]
DEEP += [(f"{frame} ETF", frame, gamma, beta, 0.03, 0.0) for frame, beta in SHAPES for gamma in (0.1, 1.0)]
# The long tails of images: classes, images of the largest.
IMAGES = {"cifar10": ("CIFAR-10-LT", 10, 5000), "cifar100": ("CIFAR-100-LT", 100, 500)}
ADAM = [(name, name, 3.0, 0.6, 0.1, 0.0) for name in ("Adam", "polished")]


def parts(profile, *, seed=0, rounds=None, data=None):
    """rounds: of each loop. data: at paper, "cifar10" or "cifar100" for its long tail alone, "small" for the rest."""
    if data is not None and (data not in ("small", *IMAGES) or profile != "paper"):
        raise ValueError(f"data = {data!r}: must be one of small, {', '.join(IMAGES)}, at profile paper alone")
    seeds = range(seed, seed + choose(profile, COUNT))
    rounds = rounds or {"smoke": 2, "laptop": 25, "paper": 60}[profile]
    largest = {"smoke": 60, "laptop": 200, "paper": 500}[profile]
    small = profile == "smoke"
    arms = tuple(FEW) if small else tuple(TRAINED + DENSE + SPARSE + CURVE)

    def loop(data, classes, largest, ratio, arms, seed, rounds=rounds):
        return Loop(data, classes, largest, ratio, 10, 5, 0.5, rounds, 1 if small else 2, 16, tuple(arms), seed)

    tails = {
        name: [
            ImageLoop(source, classes, most, 50, 10, 5, 0.5, rounds, 3, 64, (arm,), s) for s in seeds for arm in DEEP
        ]
        for source, (name, classes, most) in IMAGES.items()
        if profile == "paper" and data in (None, source)
    }
    if data in IMAGES:
        return tails
    own = {
        "mixture": [loop("mixture", 20, largest, 20 if small else 50, arms, s) for s in seeds],
        "digits": [loop("digits", 10, 140, 20, FEW, s) for s in seeds],
        "polish": []
        if small
        else [loop("mixture", 20, largest, 50, ADAM, s, 15) for s in range(seed + 100, seed + 108)],
        "speed": [Speed(40, 8, 3 if small else 30, s) for s in seeds],
    }
    return own | tails


STUDY = Study(
    "federated",
    parts,
    beside={"paper scale": ("paper", {"data": "small"})}
    | {name: ("paper", {"data": source}) for source, (name, *_) in IMAGES.items()},
    cost={
        "paper": "42 networks on long tails of CIFAR-10 and CIFAR-100, estimated at 6 minutes each on one H100; the "
        "rest five minutes on one CPU core, as measured"
    },
)
