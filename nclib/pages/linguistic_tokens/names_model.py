"""First names in one language model: what `views.names_of` says of them, and of no other class. Wu & Papyan, Table 5.

Training and measures are those of `TokensModel`. `token` is the name, `partner` the class with which its CDNV is
largest; a table of a few hundred rows, where that of all classes has tens of thousands.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from nclib.pages.linguistic_tokens import views
from nclib.pages.linguistic_tokens.tokens_model import TokensModel
from nclib.runs.experiment import rows


@dataclass(frozen=True)
class NamesModel(TokensModel):
    """A run of `TokensModel`."""

    NAME: ClassVar[str] = "wu2024.names_model"

    def run(self, device="cpu"):
        """Rows of `views.names_of` at the end of training, and the number of updates."""
        return of_classes(super().run(device).assign(run=self.key(), seed=self.seed))


def of_classes(table):
    """The table of a run from that of `TokensModel`."""
    updates = table.loc[table["metric"] == "updates", "value"].item()
    found = [
        rows(name[views.OF_NAME].to_dict(), token=name["token"], partner=name["partner"])
        for _, name in views.names_of(views.classes_of(table)).iterrows()
    ]
    # the run as a whole has no name; as partner the archived runs have what its column meant before
    return pd.concat([rows({"updates": updates}, token="", partner="train"), *found], ignore_index=True)
