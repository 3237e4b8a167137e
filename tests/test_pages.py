"""Claims of all pages against missing values: whatever is lost, there is a verdict, and none that holds by it."""

import dataclasses
import importlib

import numpy as np
import pandas as pd
import pytest

from nclib import pages
from nclib.evidence.claims import VERDICTS, judge_all
from nclib.runs.study import Study

# Pages with a language model on a corpus have tests of their own; the published measurements are one archived run.
ELSEWHERE = ("linguistic_scaling", "linguistic_seeds", "linguistic_tokens", "linguistic_published", "measure")
PAGES = [name for name in pages.names() if name not in ELSEWHERE]
BROKEN = 1
ONCE = {"near_collapse": ("sigma", "cross", "rate")}  # metrics that are of no seed, stored under the first
MOST = 6  # headlines of a page


@pytest.fixture(scope="module")
def tables(stored_runs):
    """A function of a page that gives its runs at smoke, of the first seed, and the same numbers under a second."""

    def table(name):
        found = Study(name, lambda profile: parts(name)).table("smoke")
        found = found[~(found["seed"] > 0)]
        runs = [run for runs in parts(name).values() for run in runs]
        seeded = [run.key() for run in runs if hasattr(run, "seed") or hasattr(run, "seeds")]  # not numbers of others
        first = found[(found["seed"] == 0) & found["run"].isin(seeded) & ~found["metric"].isin(ONCE.get(name, ()))]
        second = first.assign(seed=BROKEN, run=first["run"] + "-again").astype(found.dtypes)
        return pd.concat([found, second], ignore_index=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(stored_runs))
        yield table


def parts(name):
    """{part: runs} of a page at smoke, those of the first seed alone."""
    named = pages.studies()[name].named("smoke")
    return {part: [run for run in runs if getattr(run, "seed", 0) == 0] for part, runs in named.items()}


def judged_on(name, table):
    """The rows of a page's claims on a table, at whatever scale."""
    headlines = importlib.import_module(f"nclib.pages.{name}.claims").HEADLINES
    free = [[dataclasses.replace(claim, needs=None) for claim in headline.claims] for headline in headlines]
    headlines = [dataclasses.replace(old, claims=new, needs=None) for old, new in zip(headlines, free, strict=True)]
    return judge_all(headlines, table).to_dict("records")


@pytest.mark.parametrize("name", pages.names())
def test_law_a_page_has_few_headlines(name):
    """What a reader meets first; claims that speak of one finding stand under one of them."""
    assert len(importlib.import_module(f"nclib.pages.{name}.claims").HEADLINES) <= MOST


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_class_in_one_seed_never_passes(tables, name):
    """Class (or problem) 0 gone or without a number, the whole seed without one, or half of its numbers missing: always
    a verdict, and none that holds by leaving something out."""
    table = tables(name)
    own = (table["seed"] == BROKEN) & (table.get("source", "measured") == "measured")
    first = own & (table["metric"].str.contains(r"\[0[,\]]") | (table.get("class", -1) == 0))
    half = np.random.default_rng(0).random(len(table)) < 0.5
    judged = {"gone": judged_on(name, table[~first])}
    for what, lost in {
        "nothing": own & ~own,
        "first": first,
        "all": own,
        "half": own & half,
        "rest": own & ~half,
    }.items():
        judged[what] = judged_on(name, table.assign(value=table["value"].mask(lost)))
    for rows in judged.values():
        assert {row["verdict"] for row in rows} <= set(VERDICTS)
        assert all(len(row["values"]) <= table["seed"].nunique() for row in rows)
    if not own.any():
        return
    by_id = {what: {row["id"]: row["interval"] for row in rows} for what, rows in judged.items()}
    seeded = [row["id"] for row in judged["nothing"] if len(row["values"]) > 1]
    assert seeded and not [claim for claim in seeded if by_id["all"][claim]]
    # What a value rests on is in one half, in the other, or in both: with each half gone in turn it cannot stand twice.
    assert not [claim for claim in seeded if by_id["half"][claim] and by_id["rest"][claim]]
