"""The runs of page 00: a small network on digits, and ResNet-18 on CIFAR-10 and Fashion-MNIST in the paper's recipe."""

from nclib.pages.original.network import Network
from nclib.runs.store import PROFILES
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 9, "paper": 3}  # of small networks three left verdicts to the rounding of sums
# A small network makes a sixtieth of the paper's updates: its weight decay, which moves it by rate x decay an update,
# is ten times the paper's. The rate is that of the authors' notebook for ResNet-18 on MNIST with cross-entropy.
SMALL = {"model": "convnet", "epochs": 100, "weight_decay": 5e-3, "batch_size": 64, "precision": "float32"}
LARGE = {"model": "resnet18", "epochs": 350, "weight_decay": 5e-4, "batch_size": 128, "precision": "bfloat16"}
PARTS = {
    "smoke": {"digits": ("digits", 12, SMALL | {"epochs": 30, "batch_size": 16})},
    "laptop": {"digits": ("digits", 140, SMALL), "Fashion-MNIST": ("fashion-mnist", 200, SMALL)},
    "paper": {
        "CIFAR-10, ResNet-18": ("cifar10", 5000, LARGE),
        "Fashion-MNIST, ResNet-18": ("fashion-mnist", 6000, LARGE),
    },
}
RATE = 0.0679


def parts(profile, *, seed=0, data=None, epochs=None, weight_decay=None):
    """Networks of consecutive seeds, trained for `epochs`, the rate divided by 10 after a third and two thirds of them.

    data: "digits" (alone without a choice) or "fashion-mnist" at laptop, "cifar10" or "fashion-mnist" at paper (both).
    """
    if profile not in PARTS:
        raise ValueError(f"profile = {profile!r}: must be one of {', '.join(PROFILES)}")
    known = {images: name for name, (images, _, _) in PARTS[profile].items()}
    if data is not None and data not in known:
        raise ValueError(f"data = {data!r}: must be one of {', '.join(known)} at profile {profile}")
    chosen = [known[data]] if data else list(known.values()) if profile == "paper" else ["digits"]
    return {name: networks(*PARTS[profile][name], profile, seed, epochs, weight_decay) for name in chosen}


def networks(data, samples, recipe, profile, seed, epochs, weight_decay):
    """The networks of one part, a seed each."""
    given = {"epochs": epochs, "weight_decay": weight_decay}
    recipe = recipe | {name: value for name, value in given.items() if value is not None}
    drops = recipe["epochs"] // 3, recipe["epochs"] * 2 // 3
    seeds = range(seed, seed + SEEDS[profile])
    return [Network(data, samples, lr=RATE, drops=drops, seed=s, **recipe) for s in seeds]


STUDY = Study(
    "original",
    parts,
    beside={
        "CIFAR-10 at paper scale": ("paper", {"data": "cifar10"}),
        "Fashion-MNIST at paper scale": ("paper", {"data": "fashion-mnist"}),
    },
    cost={"paper": "six networks, about 6 minutes each on one H200, at 0.9 s an epoch as measured"},
)
