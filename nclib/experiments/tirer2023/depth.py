"""Collapse against depth: networks trained layer by layer or all at once, and two exact models of depth.

Tirer et al. 2023, Corollary 3.2 and Fig. 2; the laws of the models are derived.
"""

import numpy as np

from nclib.claims import Claim, by_seed, judge
from nclib.experiments.tirer2023.depth_chain import Config as Chain
from nclib.experiments.tirer2023.depth_network import Config as Network
from nclib.results import choose

COST = {"paper": "networks on CIFAR-10: about 20 minutes on one H200 (estimated)"}
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
NOISE = 1e-3


def runs(profile, *, seed=0, data=None, layers=None, lam=None, lam_W=0.5, lam_H=0.2, beta=5.0):
    """Networks of both modes from each seed, and the two models from near collapse and from a random start.

    data: "digits", or "fashion-mnist" at laptop (default digits; at paper, CIFAR-10). layers, lam: of the networks.
    lam_W, lam_H, beta: of the models.
    """
    if layers is not None and layers < 3:
        raise ValueError(f"layers = {layers}: must be at least 3, a lower and an upper half above the first")
    choice = choose(profile, NETWORK)
    data = next(iter(choice)) if profile != "laptop" else data or "digits"
    net = choose(data, choice)
    net = net | {name: value for name, value in {"layers": layers, "lam": lam}.items() if value is not None}
    seeds = tuple(range(seed, seed + SEEDS[profile]))
    networks = [
        Network(data, layerwise=layerwise, epochs=epochs, seed=s, **net)
        for layerwise, epochs in zip((True, False), EPOCHS[profile], strict=True)
        for s in seeds
    ]
    models = [
        Chain(**CHAIN, lam_W=lam_W, lam_H=lam_H, beta=beta, layers=L, noise=noise, coupling=coupling, seeds=seeds)
        for coupling, L in zip(("layerwise", "chain"), LAYERS[profile], strict=True)
        for noise in (NOISE, None)
    ]
    return networks + models


PAPER = "Tirer et al. 2023"
FITTED = "a training error of at most 1% in every network"
DEEP = "at least 10 layers"


def _network(name, statement, source, relation, reference, tolerance=0.0, paper_value=None, **how):
    parts = f"tirer2023.depth.{name}", PAPER, statement, source, relation, reference, tolerance, paper_value
    return Claim(*parts, precondition=FITTED, **{"kind": "paper", "seen": "recalled"} | how)


FIGURE = "Section 3 and Fig. 2: text read, curves not"
HE_SU = "the law of data separation of He and Su 2023, recalled; rule ours"
FALLS = {
    "nc1": _network(
        "layerwise.nc1",
        "Layer by layer: every further layer lowers NC1; largest NC1(l+1)/NC1(l)",
        FIGURE,
        "<=",
        1.0,
        paper_value="falls",
        seen="read",
        every=True,
    ),
    "nc1_trace_ratio": _network(
        "layerwise.trace-ratio",
        "Layer by layer: every further layer lowers the trace ratio; largest ratio of successive layers",
        FIGURE,
        "<=",
        1.0,
        paper_value="falls",
        seen="read",
        every=True,
    ),
}
GEOMETRIC = {
    True: _network(
        "layerwise.geometric",
        "Layer by layer: NC1 is geometric in depth; correlation of log NC1 with the layer, from layer 1",
        HE_SU,
        "<=",
        -0.95,
    ),
    False: _network(
        "end-to-end.geometric",
        "All layers at once: NC1 is geometric in depth; correlation of log NC1 with the layer, from layer 1",
        HE_SU,
        "<=",
        -0.95,
    ),
}
EVEN = {
    True: _network(
        "layerwise.even",
        "Layer by layer: layers of the upper half separate as much as those of the lower; ratio of mean log decays",
        "geometric law, derived near collapse",
        "==",
        1.0,
        0.25,
        kind="extension",
        seen="derived",
    ),
    False: _network(
        "end-to-end.even",
        "All layers at once: layers of the upper half separate as much as those of the lower; ratio of mean log decays",
        HE_SU,
        "==",
        1.0,
        0.25,
    ),
}


def _model(name, statement, relation, reference, tolerance, settled="before"):
    parts = f"tirer2023.depth.{name}", PAPER, statement, "derived", relation, reference, tolerance
    return Claim(*parts, precondition=DEEP, kind="extension", seen="derived", every=True, settled=settled)


LAW = _model(
    "model.law",
    "Near collapse NC1 falls by (1 + s/beta)^-2 a layer, s = sqrt(lam_H/lam_W); largest relative error of a layer",
    "<=",
    0.0,
    1e-3,
)
RANDOM = _model(
    "model.random",
    "From a random start the first layers are not at the law: NC1 ratio of the first layer over (1 + s/beta)^-2",
    ">=",
    1.01,
    0.0,
)
LATE = _model(
    "model.late",
    "From a random start the last of 80 layers is at the law: NC1 ratio of the last layer over (1 + s/beta)^-2",
    "==",
    1.0,
    0.01,
    "after: 30 layers failed it with 4%, since the lengths of the class means converge slowly; so there are 80",
)
SINGLE = _model(
    "chain.single-layer",
    "All layers at once is exactly one layer with beta/L; largest relative distance of H_L",
    "<=",
    0.0,
    1e-6,
)
LINE = _model(
    "chain.straight-line",
    "All layers at once: H_l lies on the straight line from H_0 to H_L; largest relative distance",
    "<=",
    0.0,
    1e-6,
)
CHAIN_LAW = _model(
    "chain.law",
    "All layers at once, near collapse: NC1(L)/NC1(0) = (1 + L s/beta)^-2; relative error",
    "<=",
    0.0,
    1e-3,
)


def networks(table, layerwise):
    """Rows of the networks of one mode."""
    return table[(table["experiment"] == "tirer2023.depth_network") & (table["layerwise"] == layerwise)]


def model(table, coupling, near):
    """Rows of one model, from near collapse or from a random start."""
    chosen = table[(table["experiment"] == "tirer2023.depth_chain") & (table["coupling"] == coupling)]
    return chosen[chosen["noise"].notna() == near]


def by_layer(rows, metric, source="measured"):
    """A row for each seed, a column for each layer 0 ... L."""
    chosen = rows[(rows["metric"] == metric) & (rows["source"] == source)]
    return chosen.assign(layer=chosen["layer"].astype(int)).pivot(index="seed", columns="layer", values="value")


def successive(rows, metric="nc1", source="measured"):
    """The value at a layer over that at the one before, (seeds, L)."""
    values = by_layer(rows, metric, source).to_numpy()
    return values[:, 1:] / values[:, :-1]


def correlations(rows):
    """For each seed that of log NC1 with the layer, layers 1 to L."""
    logs = np.log(by_layer(rows, "nc1").to_numpy()[:, 1:])
    return [np.corrcoef(np.arange(logs.shape[1]), log)[0, 1] for log in logs]


def evenness(rows):
    """For each seed the mean of log NC1(l)/NC1(l+1) over the upper half of the layers, over that of the lower half."""
    decays = -np.log(successive(rows)[:, 1:])
    half = decays.shape[1] // 2
    return decays[:, -half:].mean(1) / decays[:, :half].mean(1)


def claims(table):
    """The verdicts on a table of `runs`."""
    nets = {layerwise: networks(table, layerwise) for layerwise in (True, False)}
    fitted = bool((table[table["metric"] == "error"]["value"] <= 0.01).all())
    judged = [judge(claim, successive(nets[True], metric)[:, 1:].max(1), met=fitted) for metric, claim in FALLS.items()]
    judged += [judge(GEOMETRIC[mode], correlations(rows), met=fitted) for mode, rows in nets.items()]
    judged += [judge(EVEN[mode], evenness(rows), met=fitted) for mode, rows in nets.items()]

    near, far = (model(table, "layerwise", near) for near in (True, False))
    deep = bool(table[table["experiment"] == "tirer2023.depth_chain"]["layers"].min() >= 10)
    law = successive(near, source="theory")
    judged.append(judge(LAW, np.abs(successive(near) / law - 1).max(1), met=deep))
    judged.append(judge(RANDOM, (successive(far) / law)[:, 0], met=deep))
    judged.append(judge(LATE, (successive(far) / law)[:, -1], met=deep))

    chained = table[(table["experiment"] == "tirer2023.depth_chain") & (table["coupling"] == "chain")]
    for claim, metric in ((SINGLE, "single_layer"), (LINE, "straight_line")):
        distance = chained[chained["metric"] == metric].set_index("seed")["value"]
        judged.append(judge(claim, by_seed(distance, chained["seed"].unique()), met=deep))
    ends = [by_layer(model(table, "chain", True), "nc1", source).to_numpy()[:, -1] for source in ("measured", "theory")]
    judged.append(judge(CHAIN_LAW, np.abs(ends[0] / ends[1] - 1), met=deep))
    return judged
