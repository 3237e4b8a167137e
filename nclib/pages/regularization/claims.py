"""What page 09 holds against Tirer et al. 2023, Fig. 3 and the text on it.

A group is a network with its base decay and loss, trained with five settings of weight decay. NC2 is judged where the
network comes near a frame: with batch norm. A tenth is what a figure on a logarithmic axis shows; anything above 0 is
more for a comparison of two effects.
"""

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most
from nclib.pages.regularization.views import changes, final

SETTINGS = {"baseline", "2x last layer", "2x features", "0 last layer", "0 features"}
SYMBOL = {"nc1": "NC1", "nc2": "NC2"}
WHERE = {
    "bn.mse": ("batch norm, MSE", "with batch norm, MSE"),
    "bn.ce": ("batch norm, CE", "with batch norm, CE"),
    "plain.mse": ("plain, MSE", "without batch norm, MSE"),
    "strong.mse": ("strong decay, MSE", "without batch norm, five times the decay, MSE"),
}
WORDS = {"double": ("doubling the decay", "doubling that"), "zero": ("no decay", "none")}


def fitted(part):
    """The need of a group with every setting, trained to its end."""

    def met(table):
        rows = table[table["part"] == part]
        whole = set(rows["setting"]) == SETTINGS and rows["step"].max() >= 100
        return whole and bool((final(rows, "error") <= 0.01).all(axis=None))

    return Need("every setting, at least 100 epochs, and a training error of at most 1% in every network", met)


def claim(group, name, statement, rule, ours, paper_value):
    """A claim on `changes` of a metric, the first word of `name`: ours is a function of its columns."""
    (part, where), metric = WHERE[group], name.partition(".")[0]
    return Claim(
        f"tirer2023.regularization.{group}.{name}",
        f"{where}: {statement.format(SYMBOL[metric])}",
        rule,
        lambda table: ours(changes(table[table["part"] == part], metric)),
        paper_value=paper_value,
        needs=fitted(part),
    )


def matters(group, metric):
    """A change at the features has the larger effect than the same change at the last layer."""

    def of(word, factor):
        features, last = WORDS[word]
        return claim(
            group,
            f"{metric}.{word}-matters",
            f"{features} of the features changes {{0}} more than {last} of the last layer: |log {{0}} ratio| of the "
            "first minus that of the second",
            at_least(0.0),
            lambda change: change[f"{factor} features"].abs() - change[f"{factor} last layer"].abs(),
            "larger",
        )

    return [of("double", "2x"), of("zero", "0")]


def direction(group, metric):
    """Twice the decay of the features lowers a metric, none raises it."""
    return [
        claim(
            group,
            f"{metric}.double-lowers",
            "doubling the decay of the features lowers {0} by a tenth or more; log of {0} over baseline",
            at_most(-0.1),
            lambda change: change["2x features"],
            "lower",
        ),
        claim(
            group,
            f"{metric}.zero-raises",
            "no decay of the features raises {0} by a tenth or more; log of {0} over baseline",
            at_least(0.1),
            lambda change: change["0 features"],
            "higher",
        ),
    ]


def each(make, *pairs):
    """The claims that `make` gives of pairs (group, metric)."""
    return [one for pair in pairs for one in make(*pair)]


BN = ("bn.mse", "nc1"), ("bn.mse", "nc2"), ("bn.ce", "nc1"), ("bn.ce", "nc2")
PLAIN = ("plain.mse", "nc1"), ("strong.mse", "nc1")
READ = {
    "kind": "paper",
    "of": "Tirer et al. 2023, Fig. 3 and the text on it",
    "seen": "read",
    "note": "text read, curves not; size of the rule ours",
}

HEADLINES = [
    Headline(
        "tirer2023.regularization.matters",
        "With batch normalization, weight decay of the features matters more than that of the last layer",
        each(matters, *BN),
        **READ,
    ),
    Headline(
        "tirer2023.regularization.direction",
        "With batch normalization, more decay of the features is more collapse; with cross-entropy, that of the last "
        "layer may help, too",
        [
            *each(direction, *BN),
            claim(
                "bn.ce",
                "nc1.last-helps",
                "doubling the decay of the last layer lowers {0}; log of {0} over baseline",
                at_most(0.0),
                lambda change: change["2x last layer"],
                "may be lower",
            ),
        ],
        **READ,
    ),
    Headline(
        "tirer2023.regularization.plain.matters",
        "Without batch normalization, too, weight decay of the features matters more, and more of it is more collapse",
        [*each(matters, *PLAIN), *each(direction, *PLAIN)],
        **READ,
    ),
]
