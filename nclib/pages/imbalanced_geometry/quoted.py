"""What the prose of page 03 quotes of its runs, as text."""

from nclib.glued import MISSING, number
from nclib.pages._linear_heads.rules import last
from nclib.pages._linear_heads.views import NETWORK


def quoted(table):
    """{key: text}: ranges over the networks on CIFAR-10, for heads of one or three layers ("shallow") and of six
    ("deep").

    narrow-lost: how many of the starts at M = 3 and just enough width lose the smallest class. accuracy on the
    training images; objective over its minimum; nc2-w, nc2-h: distances from the predicted matrices.
    """
    rows = table[(table["experiment"] == NETWORK) & (table["data"] == "cifar10") & (table["layer"] == "")]
    rows, found = rows if rows.empty else last(rows), {}
    for key, depths in {"shallow": (1, 3), "deep": (6,)}.items():
        end = rows[rows["depth"].isin(depths) & (rows["split"] == "train")].set_index("metric")
        found |= {
            f"accuracy-{key}": spread(end, "accuracy", ".0%"),
            f"objective-{key}": spread(end.assign(value=end["value"] / end["theory"]), "loss", ".1f"),
            f"nc2-w-{key}": spread(end, "nc2_W", ".2f"),
            f"nc2-h-{key}": spread(end, "nc2_H", ".2f"),
        }
    return found | {"narrow-lost": lost(table)}


def lost(table):
    """How many starts at M = 3 and width K end without the smallest class, with a verb."""
    rows = table[(table["part"] == "just wide enough") & (table["beside"] == "") & (table["depth"] == 3)]
    smallest = rows[(rows["metric"] == "length_w") & (rows["i"] == rows["i"].max())]
    count = int((smallest["value"] < smallest["theory"] / 2).sum())
    return f"{('none', 'one', 'two', 'three')[count]} {'lose' if count > 1 else 'loses'}"


def spread(end, metric, spec):
    """From the least to the largest value of a metric."""
    values = end.loc[end.index == metric, "value"]
    if values.empty:
        return MISSING
    low, high = number(values.min(), spec), number(values.max(), spec)
    return f"{low.removesuffix('%')} to {high}"
