"""The runs of page 12: one architecture from 21 seeds. Wu & Papyan (2024), Table 1.

Their seeds shuffle the data of a model of two layers and width 768; ours also draw the initial weights.
"""

from nclib.pages._language_models import grid
from nclib.pages._language_models.language_model import LanguageModel
from nclib.runs.arguments import choose
from nclib.runs.study import Study

SHAPES = {
    "smoke": {"width": 8, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "laptop": {"width": 32, "depth": 1, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
    "paper": {"width": 256, "depth": 2, "epochs": 1, "measured": (1,), "weight_decay": 5e-4},
}
COUNT = {"smoke": 4, "laptop": 21, "paper": 21}


def parts(profile, *, seed=0, corpus=None, count=None):
    """The same model from `count` consecutive seeds."""
    shape = choose(profile, SHAPES)
    corpus = corpus or choose(profile, grid.CORPORA)
    rate, size = grid.rate(profile, shape["width"]), grid.size(profile, corpus)
    common = {"corpus": corpus, "rate": rate, **size, **shape}
    return {"seeds": [LanguageModel(seed=seed + i, **common) for i in range(count or COUNT[profile])]}


STUDY = Study(
    "linguistic_seeds",
    parts,
    beside={"paper scale": ("paper", {})},
    cost={"paper": "21 models of 2 x 256 on 20 M tokens: about 20 minutes of one H200 (estimated)"},
)
