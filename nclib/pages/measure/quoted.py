"""What the prose of the page on measuring quotes of its runs, as text."""

from nclib.glued import number
from nclib.pages.measure.views import language, layer_values


def quoted(table):
    """{key: text} of a table of `study.STUDY`, of the network of the first seed and of the language model.

    shuffled: NC1 of the features under shuffled labels; pixels, features: the spread of the cosines over that of random
    directions; largest: the largest CDNV of the language model over the mean one.
    """
    layers = {name: layer_values(table, name) for name in ("pixels", "features")}
    spread = {
        name: found["measured"]["interference_std"] / found["theory"]["interference_std"]
        for name, found in layers.items()
    }
    values, _ = language(table)
    textbook = values["textbook"]
    return {
        "shuffled": number(layers["features"]["shuffled"]["nc1"], ".0f"),
        "pixels": number(spread["pixels"], ".1f"),
        "features": number(spread["features"], ".1f"),
        "largest": number(textbook["cdnv_max"] / textbook["cdnv_mean"], ",.0f"),
    }
