"""The runs of page 08: networks trained layer by layer or all at once, and two exact models of depth."""

from nclib.pages.depth.chain import Chain
from nclib.pages.depth.network import Network
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}
SMALL = {"layers": 10, "width": 64, "lam": 1e-3, "lr": 3e-3}
NETWORK = {
    "smoke": {"digits": SMALL | {"samples": 10, "layers": 3}},
    "laptop": {"digits": SMALL | {"samples": 50}, "fashion-mnist": SMALL | {"samples": 200}},
    "paper": {"cifar10": {"samples": 5000, "layers": 10, "width": 1024, "lam": 1e-4, "lr": 1e-3, "batch_size": 500}},
}
EPOCHS = {"smoke": (15, 30), "laptop": (500, 1200), "paper": (60, 200)}
CHAIN = {"num_classes": 3, "samples": 4, "dim": 6}
LAYERS = {"smoke": (4, 4), "laptop": (80, 10), "paper": (80, 10)}
NOISE = {"near collapse": 1e-3, "random start": None}


def parts(profile, *, seed=0, data=None, layers=None, lam=None, lam_W=0.5, lam_H=0.2, beta=5.0):
    """Networks of both modes from each seed, and the model, then the chain, from near collapse and from a random start.

    data: "digits", or "fashion-mnist" at laptop (default digits; at paper, CIFAR-10). layers, lam: of the networks.
    lam_W, lam_H, beta: of the models.
    """
    if layers is not None and layers < 3:
        raise ValueError(f"layers = {layers}: must be at least 3, a lower and an upper half above the first")
    choice = choose(profile, NETWORK)
    data = next(iter(choice)) if profile != "laptop" else data or "digits"
    net = choose(data, choice, "data")
    net = net | {name: value for name, value in {"layers": layers, "lam": lam}.items() if value is not None}
    seeds = tuple(range(seed, seed + SEEDS[profile]))
    found = {}
    for mode, layerwise, epochs in zip(("layer by layer", "all at once"), (True, False), EPOCHS[profile], strict=True):
        found[mode] = [Network(data, layerwise=layerwise, epochs=epochs, seed=s, **net) for s in seeds]
    model = CHAIN | {"lam_W": lam_W, "lam_H": lam_H, "beta": beta, "seeds": seeds}
    for coupling, name, L in zip(("layerwise", "chain"), ("", "chain, "), LAYERS[profile], strict=True):
        for start, noise in NOISE.items():
            found[name + start] = [Chain(**model, layers=L, noise=noise, coupling=coupling)]
    return found


STUDY = Study(
    "depth",
    parts,
    beside={"Fashion-MNIST": ("laptop", {"data": "fashion-mnist"}), "CIFAR-10": ("paper", {})},
    cost={"paper": "six networks on CIFAR-10: 17 minutes on one H200"},
)
