"""The runs of page 13: language models measured token by token, and by first names. Wu & Papyan (2024)."""

from dataclasses import asdict

from nclib.pages._language_models import grid
from nclib.pages.linguistic_tokens.names_model import NamesModel
from nclib.pages.linguistic_tokens.tokens_model import TokensModel
from nclib.pages.linguistic_tokens.views import BOOKS, FLOOR, PAPER
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SHAPES = {
    "smoke": {"width": 16, "depth": 1, "epochs": 1},
    "laptop": {"width": 64, "depth": 2, "epochs": 1},
    "paper": {"width": 512, "depth": 8, "epochs": 10},
}
NAMELESS = ("documentation", "reference", "grammar")  # corpora in which nobody has a first name


def parts(profile, *, seed=0, corpus=None, width=None, depth=None, tokens=None):
    """One model from each of three consecutive seeds, its classes, and its names where the text tells of people.

    corpus: as in nclib.data.text.tokens.
    """
    given = {"width": width, "depth": depth, "tokens": tokens}
    corpus = corpus or choose(profile, grid.CORPORA)
    size = choose(profile, SHAPES) | grid.size(profile, corpus)
    size |= {name: value for name, value in given.items() if value is not None}
    size |= {"rate": grid.rate(profile, size["width"]), "measured": (size["epochs"],), "weight_decay": 5e-4}
    classes = [TokensModel(corpus=corpus, seed=seed + i, floor=FLOOR, **size) for i in range(3)]
    names = [] if corpus in NAMELESS else [NamesModel(**asdict(run)) for run in classes]
    return {"classes": classes, "names": names}


STUDY = Study(
    "linguistic_tokens",
    parts,
    beside={PAPER: ("paper", {}), BOOKS: ("laptop", {"corpus": "books"})},
    cost={
        "laptop": "three models of 2 x 64 on the corpus, twice where it tells of people: four minutes of one core each",
        "paper": "twice 3 models of 8 x 512, 10 epochs of 20 M tokens, 1.1e17 FLOP: about 20 minutes of one H200 "
        "(estimated) each",
    },
)
