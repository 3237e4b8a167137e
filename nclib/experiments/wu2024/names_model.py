"""First names in one language model: what `tokens.names` says of them, and of no other class. Wu & Papyan, Table 5.

Training and measures are those of `tokens_model`. `layer` is the name, `split` the class with which its CDNV is
largest; a table of a few hundred rows, where that of all classes has tens of thousands.
"""

from dataclasses import dataclass

import pandas as pd

from nclib import results
from nclib.experiments.wu2024 import tokens, tokens_model
from nclib.experiments.wu2024.tokens_model import data, needs_gpu  # noqa: F401

VERSION = 1
MEASURED = [name for name in tokens.NAME_COLUMNS if name not in ("seed", "token", "partner")]


@dataclass(frozen=True)
class Config(tokens_model.Config):
    """A run of `tokens_model`."""


def run(config, device):
    """Rows of `tokens.names` at the end of training, and the number of updates."""
    table = tokens_model.run(config, device)
    return of_classes(table.assign(experiment="", config="", seed=config.seed))


def of_classes(table):
    """The table of a run from that of `tokens_model`."""
    updates = table.loc[table["metric"] == "updates", "value"].item()
    rows = [
        results.rows(name[MEASURED].to_dict(), layer=name["token"], split=name["partner"])
        for _, name in tokens.names(tokens.classes(table)).iterrows()
    ]
    return pd.concat([results.rows({"updates": updates}), *rows], ignore_index=True)
