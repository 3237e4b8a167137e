"""The runs of page 15: a small network on digits; small convolutional ones on images; at profile paper ResNet-18 and
WRN-16-4. (The paper's WideResNet is WRN-40-10, as we recall: twenty times as many parameters.)"""

from nclib.pages.mixup_networks.network import LARGE, Network
from nclib.runs.arguments import choose
from nclib.runs.study import Study

WIDE = "wrn16-4"
FRAME = 2.0  # length of the fixed simplex ETF's rows
SMALL = {"model": "mlp", "samples": 140, "epochs": 120, "batch_size": 100, "lr": 0.1, "count": 2000}
IMAGES = SMALL | {"model": "convnet", "samples": 500, "epochs": 30}
BIG = {"model": LARGE[0], "samples": 5000, "epochs": 60, "batch_size": 512, "lr": 0.2, "count": 10000}
SMOKE = SMALL | {"epochs": 8, "samples": 40, "count": 100}
RECIPES = {
    "smoke": {"digits": SMOKE},
    "laptop": {"digits": SMALL, "fashion-mnist": IMAGES, "cifar10": IMAGES},
    "paper": {"cifar10": BIG, "fashion-mnist": BIG},
}
# part: what is other than in plain training
ARMS = {
    "cross-entropy": {},
    "mixup": {"alpha": 1.0},
    "mixup, squared error": {"alpha": 1.0, "loss": "mse"},
    "mixup, fixed ETF": {"alpha": 1.0, "frame": FRAME},
    "mixup, a quarter of the epochs": {"alpha": 1.0, "short": True},
}
MORE = {"mixup, alpha 0.2": {"alpha": 0.2}, "label smoothing": {"smoothing": 0.1}}


def parts(profile, *, seed=0, data=None, model=None):
    """Networks of three consecutive seeds, and on images two more ways of training. data: "digits" (the default),
    "fashion-mnist" or "cifar10" at laptop, "cifar10" (the default) or "fashion-mnist" at paper. model: at paper
    "resnet18" (the default) or "wrn16-4". Without a choice paper has in parts of other names also the small networks
    on images, so that they are archived, and WRN-16-4."""
    if profile == "paper" and data is None and model is None:
        small = {name: parts("laptop", seed=seed, data=name) for name in ("fashion-mnist", "cifar10")}
        more = {f"{arm}, small, {name}": runs for name, arms in small.items() for arm, runs in arms.items()}
        wide = parts("paper", seed=seed, data="cifar10", model=WIDE)
        more |= {f"{arm}, {WIDE}": runs for arm, runs in wide.items()}
        return parts("paper", seed=seed, data="cifar10") | more
    known = choose(profile, RECIPES)
    data = data or next(iter(known))
    recipe = choose(data, known, "data")
    models = LARGE if recipe["model"] in LARGE else (recipe["model"],)
    choose(model or models[0], dict.fromkeys(models), "model")
    recipe = recipe | {"model": model or models[0]}
    arms = ARMS if data == "digits" else ARMS | MORE
    seeds = range(seed, seed + (1 if profile == "smoke" else 3))
    return {name: [network(data, recipe, s, **more) for s in seeds] for name, more in arms.items()}


def network(data, recipe, seed, *, loss="cross-entropy", alpha=0.0, smoothing=0.0, frame=0.0, short=False):
    """One network; with squared error the rate is half."""
    recipe = recipe | {"epochs": recipe["epochs"] // 4} if short else recipe
    recipe = recipe | {"lr": recipe["lr"] / 2} if loss == "mse" else recipe
    return Network(data=data, loss=loss, alpha=alpha, smoothing=smoothing, frame=frame, seed=seed, **recipe)


STUDY = Study(
    "mixup_networks",
    parts,
    beside={
        "Fashion-MNIST": ("laptop", {"data": "fashion-mnist"}),
        "CIFAR-10": ("laptop", {"data": "cifar10"}),
        "CIFAR-10, ResNet-18": ("paper", {"data": "cifar10"}),
        "CIFAR-10, WRN-16-4": ("paper", {"data": "cifar10", "model": WIDE}),
    },
    cost={
        "paper": "ResNet-18, WRN-16-4: ten minutes a network on one GPU (estimated); small ones: an hour on a CPU core",
        "laptop": "a minute; on images about an hour",
    },
)
