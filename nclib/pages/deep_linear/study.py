"""The runs of page 02: direct optimization and networks, without and with a bias, and two checks by other
optimizers."""

from nclib.pages._linear_heads.direct import Direct
from nclib.pages._linear_heads.network import Network
from nclib.pages.deep_linear.balance import Balance
from nclib.pages.deep_linear.scale import Scale
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SEEDS = {"smoke": 1, "laptop": 3, "paper": 3}
DEPTHS = {"smoke": (1, 3), "laptop": (1, 3, 6, 9), "paper": (1, 3, 6, 9)}
NETWORK_DEPTHS = {"smoke": (1,), "laptop": (1, 3, 6), "paper": (1, 3, 6, 9)}
# A layer's gain at the start is std sqrt(width) = 0.8, the authors' at their width 64: with smaller ones a deep product
# starts near 0, where the problem is flat.
DIRECT = {
    "smoke": {"samples": 5, "width": 16, "steps": 400, "std": 0.2},
    "laptop": {"samples": 10, "width": 16, "steps": 10_000, "std": 0.2},
    "paper": {"samples": 100, "width": 64, "steps": 30_000, "std": 0.1},
}
DIGITS = {"data": "digits", "width": 64, "lr": 3e-3, "feature_scale": 0.1, "init": "normal"}
CIFAR10 = {"data": "cifar10", "counts": (5000,) * 10, "batch_size": 128, "epochs": 200, "drop": 50, "lam": 1e-4}
CIFAR10 |= {"width": 512, "scale": "authors-balanced"}
NETWORK = {
    "smoke": DIGITS | {"counts": (5,) * 10, "epochs": 12, "drop": 10, "lam": 1e-3},
    "laptop": DIGITS | {"counts": (30,) * 10, "epochs": 1000, "drop": 800, "lam": 1e-3},
    "paper": CIFAR10 | {"lr": 1e-4, "batch_norm": True},
}
RESNET = CIFAR10 | {"lr": 1e-3, "model": "resnet18", "init": "normal", "precision": "bfloat16"}
BIAS = {"no bias": False, "bias": True}

UNEVEN = {"counts": (6, 4, 2), "width": 5, "std": 0.5}
BALANCE = {  # name: loss, bias, optimizer, rate, decays of W_1, W_2, W_3 and H
    "plain descent": ("mse", False, "descent", 0.5, (0.01,) * 4),
    "plain descent, cross-entropy": ("cross-entropy", True, "descent", 0.5, (0.01,) * 4),
    "momentum": ("mse", True, "momentum", 0.1, (0.02, 0.01, 0.005, 0.01)),
    "Adam": ("cross-entropy", True, "adam", 0.02, (0.02, 0.01, 0.005, 0.01)),
}
STEPS = {"smoke": 50, "laptop": 400, "paper": 400}
SCALE = {"K/2 scale": ((4, 3, 1, 0.02), (4, 3, 2, 0.004), (3, 5, 3, 0.005)), "around the threshold": (0.98, 1.02)}
THRESHOLD = 4, 3, 1  # classes, samples, depth: collapse at lam = (2/K) sqrt(n)/N


def parts(profile, *, seed=0, depths=None, samples=None, num_classes=4, lam=5e-4, network_lam=None):
    """Direct optimization and networks at every depth, without and with a bias of the last layer; at `paper` ResNet-18,
    with a bias and one seed. Then the two checks, which no argument but the seed changes."""
    seeds = tuple(range(seed, seed + choose(profile, SEEDS)))
    problem, net = dict(DIRECT[profile]), NETWORK[profile] | ({"lam": network_lam} if network_lam else {})
    problem |= {"counts": (samples or problem["samples"],) * num_classes, "lam": lam, "seeds": seeds}
    del problem["samples"]
    found = {}
    for name, bias in BIAS.items():
        found[f"direct, {name}"] = [Direct(**problem, depth=M, bias=bias) for M in depths or DEPTHS[profile]]
    for name, bias in BIAS.items():
        found[f"network, {name}"] = [
            Network(**net, depth=M, bias=bias, seed=s) for M in depths or NETWORK_DEPTHS[profile] for s in seeds
        ]
    if profile == "paper":
        found["ResNet-18"] = [Network(**RESNET, depth=M, bias=True, seed=seed) for M in depths or DEPTHS[profile]]
    for name, (loss, bias, optimizer, lr, decays) in BALANCE.items():
        run = Balance(**UNEVEN, decays=decays, bias=bias, loss=loss, optimizer=optimizer, lr=lr, **{
            "steps": STEPS[profile], "seeds": seeds,
        })  # fmt: skip
        found[name] = [run]
    K, n, M = THRESHOLD
    critical = 2 / K * n**0.5 / (K * n)
    for name, chosen in SCALE.items():
        problems = [(K, n, M, share * critical) for share in chosen] if "threshold" in name else chosen
        found[name] = [Scale(*one, seeds=seeds) for one in problems]
    return found


STUDY = Study(
    "deep_linear",
    parts,
    beside={"paper scale": ("paper", {})},
    cost={
        "paper": "direct optimization: about 5 minutes on one CPU core; networks, on one H200, by the time of a step "
        "as measured: MLPs about 20 minutes, ResNet-18 about 15"
    },
)
