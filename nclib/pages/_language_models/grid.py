"""Texts, batches and rates of our language models, and the grid of them. Wu & Papyan (2024).

Their grid is six widths times five depths times seven measurements; profile `paper` copies it at a smaller scale.
"""

from nclib.pages._language_models.language_model import LanguageModel
from nclib.runs.arguments import choose

SIZES = {
    "smoke": {"tokens": 40_000, "vocab": 512, "context": 64, "local": 32, "heads": 4, "batch": 512},
    "laptop": {"tokens": 240_000, "vocab": 2048, "context": 64, "local": 32, "heads": 4, "batch": 384},
    "books": {"tokens": 640_000, "vocab": 4096, "context": 128, "local": 64, "heads": 4, "batch": 1024},
    "paper": {"tokens": 20_000_000, "vocab": 8192, "context": 256, "local": 128, "heads": 8, "batch": 8192},
}
CORPORA = {"smoke": "reference", "laptop": "documentation", "paper": "books"}  # what every reader of the lock has
# A wider model needs a lower rate. At `laptop` chosen by the validation loss of three shapes at three rates, before any
# measurement of collapse was looked at; for `books` not tried. At `paper` such a sweep with batches of 16,384 pointed
# to 0.16 / width; for half the batch the square-root rule gives the 0.12 used here, not tried against others.
RATES = {"smoke": (0.1, 1.0), "laptop": (0.1, 1.0), "books": (0.1, 1.0), "paper": (0.12, 1.0)}
# Updates over which the rate rises at `paper`, by (width, depth): none. At 8 x 512 a run without is tried first; it
# gets one only if its validation loss is not below that of 4 x 256, and before any collapse is looked at.
WARMUPS = {}
WIDTHS = {"smoke": (8, 16), "laptop": (16, 32, 64), "books": (32, 64, 128), "paper": (32, 64, 128, 256, 384, 512)}
DEPTHS = {"smoke": (1, 2), "laptop": (1, 2, 4), "books": (1, 2, 4), "paper": (1, 2, 4, 8, 12)}
ONCE = {"epochs": 1, "measured": (1,), "weight_decay": 5e-4}
DECAYED = {"epochs": 1, "measured": (1,), "weight_decay": 0.1}
THRICE = {"epochs": 3, "measured": (3,), "weight_decay": 5e-4}
SETTINGS = {
    "smoke": (ONCE,),
    "laptop": (ONCE, THRICE),
    "books": (ONCE, THRICE),
    "paper": (
        *(ONCE, DECAYED, THRICE),
        {"epochs": 10, "measured": (6, 10), "weight_decay": 5e-4},
        {"epochs": 10, "measured": (6, 10), "weight_decay": 0.1},
    ),
}


def scale(profile, corpus):
    """Which of the sizes above: the profile's, but at `laptop` the books have their own, a processor's 40 minutes."""
    return "books" if (profile, corpus) == ("laptop", "books") else profile


def size(profile, corpus):
    """The text and batch of the models."""
    return choose(scale(profile, corpus), SIZES)


def rate(profile, width):
    """The learning rate at the start of a run: a / width^b."""
    a, b = RATES[profile]
    return a / width**b


def runs(profile, *, seed=0, corpus=None, widths=None, depths=None, tokens=None, batch=None):
    """Every shape in every setting, the largest shapes last. corpus: as in nclib.data.text.tokens."""
    corpus = corpus or choose(profile, CORPORA)
    at = scale(profile, corpus)
    given = {name: value for name, value in {"tokens": tokens, "batch": batch}.items() if value is not None}
    common = {"corpus": corpus, "seed": seed, **size(profile, corpus), **given}
    shapes = [(width, depth) for width in widths or WIDTHS[at] for depth in depths or DEPTHS[at]]
    return [
        LanguageModel(
            width=width,
            depth=depth,
            rate=rate(at, width),
            warmup=WARMUPS.get((width, depth), 0) if at == "paper" else 0,
            **common,
            **setting,
        )
        for width, depth in sorted(shapes, key=lambda shape: shape[0] ** 2 * shape[1])
        for setting in SETTINGS[at]
    ]
