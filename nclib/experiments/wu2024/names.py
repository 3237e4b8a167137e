"""Are first names collapsed farther than the average token? On texts that tell of people. Wu & Papyan, Table 5."""

from dataclasses import asdict

from nclib.experiments.wu2024 import tokens
from nclib.experiments.wu2024.names_model import MEASURED, Config

COST = {"laptop": "3 models of 2 x 64 on the corpus: minutes of one core"} | tokens.COST
WITHOUT = ("documentation", "reference", "grammar")  # corpora in which no one has a name


def runs(profile, *, seed=0, corpus="books"):
    """The models of `tokens` from the same seeds, on a text that tells of people."""
    return [Config(**asdict(config)) for config in tokens.runs(profile, seed=seed, corpus=corpus)]


def names(table):
    """The rows of `tokens.names` that are in a table of `runs`, with the number of updates of their model."""
    found = table[table["metric"].isin(MEASURED)]
    wide = found.pivot(index=["config", "seed", "layer", "split"], columns="metric", values="value").reset_index()
    updates = table[table["metric"] == "updates"].set_index("config")["value"].rename("updates")
    wide = wide.rename(columns={"layer": "token", "split": "partner"}).rename_axis(columns=None)
    return wide.join(updates, on="config").reindex(columns=[*tokens.NAME_COLUMNS, "updates"])
