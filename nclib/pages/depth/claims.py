"""What page 08 holds against Tirer et al. 2023, against the law of data separation, and against the laws of depth."""

import numpy as np

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, family, near
from nclib.evidence.seeds import by_seed
from nclib.pages.depth.views import CHAIN, NETWORK, successive


def deep(experiment):
    """The need of ten layers, as many as the paper has."""

    def met(table):
        return min(table.loc[table["experiment"] == experiment, "layers"], default=0) >= 10

    return Need("at least 10 layers", met)


def wide(rows, value="value"):
    """A row for each seed, a column for each layer."""
    return rows.pivot(index="seed", columns="layer", values=value).to_numpy()


def slowest(metric):
    """table -> the largest ratio of successive layers, from layer 1 on."""
    return lambda table: wide(successive(table, metric))[:, 1:].max(1)


def correlations(table):
    """Of log NC1 with the layer, from layer 1 on."""
    logs = np.log(wide(table.query("metric == 'nc1' and layer > 0")))
    return [np.corrcoef(np.arange(logs.shape[1]), log)[0, 1] for log in logs]


def against_power(table):
    """The squares that a straight line leaves of log NC1 against the layer, from layer 1 on, and those that it leaves
    against the layer's logarithm: their difference over their sum, -1 for a geometric law and 1 for a power law."""
    logs = np.log(wide(table.query("metric == 'nc1' and layer > 0")))
    layer = np.arange(1, logs.shape[1] + 1)
    geometric, power = (left(x, logs) for x in (layer, np.log(layer)))
    return (geometric - power) / (geometric + power)


def left(x, y):
    """The squares that a straight line in x (n,) leaves of each row of y (m, n)."""
    x, y = x - x.mean(), y - y.mean(1, keepdims=True)
    return (y**2).sum(1) - (y @ x) ** 2 / (x @ x)


def evenness(table):
    """The mean of log NC1(l)/NC1(l+1) over the upper half of the layers, over that of the lower half, from layer 1."""
    decays = -np.log(wide(successive(table))[:, 1:])
    half = decays.shape[1] // 2
    return decays[:, -half:].mean(1) / decays[:, :half].mean(1)


def over_law(table):
    """The factor of each layer over that of the law, a row for each seed."""
    rows = successive(table)
    return wide(rows) / wide(rows, "theory")


def distance(metric):
    """table -> the larger distance of the two starts."""
    return lambda table: by_seed(table[table["metric"] == metric].set_index("seed")["value"], table["seed"].unique())


def end(table):
    """The relative error of the law of the last layer."""
    rows = table.query("metric == 'nc1' and layer == layers").set_index("seed")
    return (rows["value"] / rows["theory"] - 1).abs()


DROPPED = "after: it also needed a training error of at most 1%, which left out the paper's own images"
GEOMETRIC = Claim(
    "geometric",
    "NC1 falls by the same factor a layer rather than as a power of the layer: squares that the one leaves of log NC1 "
    "less those of the other, over their sum",
    at_most(0.0),
    against_power,
    settled="after: the rule asked for a correlation of log NC1 with the layer below -0.95, which a power law passes",
)
EVEN = Claim(
    "even",
    "layers of the upper half separate as much as those of the lower; ratio of mean log decays",
    near(1.0, 0.25),
    evenness,
    settled=DROPPED,
)
LAYERWISE = "tirer2023.depth.layerwise", "Layer by layer", "part == 'layer by layer'"
TOGETHER = "tirer2023.depth.end-to-end", "All layers at once", "part == 'all at once'"
MODEL = {"kind": "extension", "of": "our laws of depth", "seen": "derived", "every": True, "needs": deep(CHAIN)}

HEADLINES = [
    Headline(
        "tirer2023.depth.falls",
        "Train a network layer by layer, and it collapses further with every layer after the first",
        family(
            *LAYERWISE,
            [
                Claim(
                    "nc1",
                    "every further layer lowers NC1; largest NC1(l+1)/NC1(l)",
                    at_most(1.0),
                    slowest("nc1"),
                    settled=DROPPED,
                    paper_value="falls",
                ),
                Claim(
                    "trace-ratio",
                    "every further layer lowers the trace ratio; largest ratio of successive layers",
                    at_most(1.0),
                    slowest("nc1_trace_ratio"),
                    settled=DROPPED,
                    paper_value="falls",
                ),
            ],
        ),
        kind="paper",
        of="Tirer et al. 2023, Section 3 and Fig. 2",
        seen="read",
        note="text read, curves not",
        every=True,
        needs=deep(NETWORK),
    ),
    Headline(
        "tirer2023.depth.separation",
        "The law of data separation: each layer of a network lowers NC1 by the same factor",
        [*family(*LAYERWISE, [GEOMETRIC]), *family(*TOGETHER, [GEOMETRIC, EVEN])],
        kind="paper",
        of="He and Su 2023",
        seen="recalled",
        note="rule ours",
        needs=deep(NETWORK),
    ),
    Headline(
        "tirer2023.depth.even",
        "Trained layer by layer, all layers do the same work, as near collapse they would",
        family(*LAYERWISE, [EVEN]),
        kind="extension",
        of="our laws of depth",
        seen="derived",
        needs=deep(NETWORK),
    ),
    Headline(
        "tirer2023.depth.model",
        "In the model each layer lowers NC1 by the same factor near collapse, and from anywhere in the end; layers "
        "that move together are a single one",
        [
            Claim(
                "tirer2023.depth.model.law",
                "Near collapse NC1 falls by (1 + s/beta)^-2 a layer, s = sqrt(lam_H/lam_W); largest relative error of "
                "a layer",
                at_most(0.0, 1e-3),
                lambda table: np.abs(over_law(table.query("part == 'near collapse'")) - 1).max(1),
            ),
            Claim(
                "tirer2023.depth.model.random",
                "From a random start the first layers are not at the law: NC1 ratio of the first layer over "
                "(1 + s/beta)^-2",
                at_least(1.01),
                lambda table: over_law(table.query("part == 'random start'"))[:, 0],
            ),
            Claim(
                "tirer2023.depth.model.late",
                "From a random start the last of 80 layers is at the law: NC1 ratio of the last layer over "
                "(1 + s/beta)^-2",
                near(1.0, 0.01),
                lambda table: over_law(table.query("part == 'random start'"))[:, -1],
                settled="after: 30 layers failed it with 4%, since the lengths of the class means converge slowly; so "
                "there are 80",
            ),
            *family(
                "tirer2023.depth.chain",
                "All layers at once",
                "coupling == 'chain'",
                [
                    Claim(
                        "single-layer",
                        "exactly one layer with beta/L; largest relative distance of H_L",
                        at_most(0.0, 1e-6),
                        distance("single_layer"),
                    ),
                    Claim(
                        "law",
                        "near collapse NC1(L)/NC1(0) = (1 + L s/beta)^-2; relative error",
                        at_most(0.0, 1e-3),
                        lambda table: end(table.query("part == 'chain, near collapse'")),
                    ),
                ],
            ),
        ],
        **MODEL,
    ),
]
