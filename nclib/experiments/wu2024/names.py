"""Are first names collapsed farther than the average token? On texts that tell of people. Wu & Papyan, Table 5.

Docstrings and Python's reference have no first names. For them the archived models of the books stand in.
"""

import sys
from dataclasses import asdict

import numpy as np

from nclib import results
from nclib.claims import counted, judge
from nclib.experiments.wu2024 import tokens
from nclib.experiments.wu2024.names_model import MEASURED, Config
from nclib.experiments.wu2024.tokens import CAPTION
from nclib.pages._language_models import grid

COST = {"laptop": "three models of 2 x 64 on the corpus: four minutes of one core"} | tokens.COST
NAMELESS = ("documentation", "reference", "grammar")  # corpora in which nobody has a first name


def runs(profile, *, seed=0, corpus=None):
    """The models of `tokens` from the same seeds. corpus: as in nclib.data.text.tokens; by default the books, at smoke
    Python's reference."""
    corpus = corpus or ("reference" if profile == "smoke" else "books")
    return [Config(**asdict(config)) for config in tokens.runs(profile, seed=seed, corpus=corpus)]


def table(profile, device="auto", *, seed=0, corpus=None):
    """The runs on a corpus that tells of people; for another the archived ones, which never run here."""
    module = sys.modules[__name__]
    if (corpus or results.choose(profile, grid.CORPORA)) in NAMELESS:
        return results.archived(module, "laptop")
    return results.table(module, profile, device, seed=seed, corpus=corpus)


def names(table):
    """The rows of `tokens.names` that are in a table of `runs`."""
    found = table[table["metric"].isin(MEASURED)]
    wide = found.pivot(index=["config", "seed", "layer", "split"], columns="metric", values="value").reset_index()
    wide = wide.rename(columns={"layer": "token", "split": "partner"}).rename_axis(columns=None)
    return wide.reindex(columns=tokens.NAME_COLUMNS)


ENOUGH = "at least five names among the classes with 10 or more samples, and 600 updates"
TABLE_5 = {
    "cdnv": tokens.claim(
        "names.cdnv",
        "The CDNV (power 2) of English first names is far below the average token's: mean over names / over tokens",
        f"{CAPTION}; that far below is at most half is our rule",
        "<=",
        0.5,
        ENOUGH,
        log=True,
    ),
    "interference": tokens.claim(
        "names.interference",
        "So is their interference: mean over names minus mean over tokens, in standard deviations over tokens",
        f"{CAPTION}; that far below is at least half a standard deviation is our rule",
        "<=",
        -0.5,
        ENOUGH,
    ),
    "each": tokens.claim(
        "names.each",
        "With few exceptions: share of the names whose CDNV is below the average token's",
        f"{CAPTION}; 0.9 is our rule",
        ">=",
        0.9,
        ENOUGH,
        "all but Anna and Tim",
    ),
}
EXCEPTIONS = {
    name: tokens.claim(
        f"names.{name.lower()}",
        f"{name} is an exception: in how many of CDNV and interference it is not below the average token",
        f"{CAPTION}, which does not say in which of the two",
        ">=",
        1.0,
        f"{name} is among the classes with 10 or more samples, most names are below the average, and 600 updates",
        "in one or both",
        settled="after: it held while most names lay above the average, where nobody is an exception",
    )
    for name in ("Anna", "Tim")
}
MATCHED = {
    "cdnv": tokens.claim(
        "names.matched-cdnv",
        "The CDNV (power 2) of first names is at most half that of tokens as frequent: geometric mean of the ratios",
        "our control of Table 5",
        "<=",
        0.5,
        ENOUGH,
        log=True,
    ),
    "interference": tokens.claim(
        "names.matched-interference",
        "Their interference is half a standard deviation below that of tokens as frequent",
        "our control of Table 5",
        "<=",
        -0.5,
        ENOUGH,
    ),
}


def claims(table):
    """The verdicts on a table of `runs`."""
    found, seeds = names(table), list(table["seed"].unique())
    present = [found[found["seed"] == seed] for seed in seeds]
    trained = bool(table.loc[table["metric"] == "updates", "value"].min() >= 600)
    enough = trained and min(map(len, present)) >= 5
    most = bool((found["cdnv_ratio"] < 1).mean() >= 0.5)
    values = {
        "cdnv": [rows["cdnv_ratio"].mean() for rows in present],
        "interference": [rows["interference_z"].mean() for rows in present],
        "each": [counted(rows["cdnv_ratio"] < 1, rows["cdnv_ratio"]).mean(skipna=False) for rows in present],
    }
    judged = [judge(claim, values[key], met=enough) for key, claim in TABLE_5.items()]
    for name, claim in EXCEPTIONS.items():
        rows = found[found["token"] == f"␣{name}"].set_index("seed").reindex(seeds)
        beyond = counted(rows["cdnv_ratio"] >= 1, rows["cdnv_ratio"]) + counted(
            rows["interference_z"] >= 0, rows["interference_z"]
        )
        judged.append(judge(claim, beyond, met=enough and most and bool(rows["count"].notna().all())))
    values = {
        "cdnv": [np.exp(np.log(rows["matched_ratio"]).mean(skipna=False)) for rows in present],
        "interference": [rows["matched_z"].mean(skipna=False) for rows in present],
    }
    return judged + [judge(claim, values[key], met=enough) for key, claim in MATCHED.items()]
