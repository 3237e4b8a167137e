"""Runs of before become runs of the new form without the loss of a bit, or stay as they are."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import toy

from nclib import pages, results
from nclib.runs import store as runs
from nclib.runs.experiment import Experiment, rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
import convert


@dataclass(frozen=True)
class Toy(Experiment):
    """What tests/toy.py does, in the new form."""

    NAME: ClassVar[str] = "toy"
    base: float = 3.0
    powers: tuple = (1, 2)
    seed: int = 0
    gpu: bool = False

    def run(self, device="cpu"):
        return rows({"power": [self.base**power / 7 for power in self.powers], "base": self.base}, "i")


@pytest.fixture(autouse=True)
def moved(store, monkeypatch):
    """The archive with three runs of before, and the experiment in its new place."""
    monkeypatch.setattr(pages, "experiments", lambda: {"toy": Toy})
    monkeypatch.setitem(convert.FORMS, "toy", convert.Form(axes=("i",)))
    for config in toy.runs("smoke"):
        results.get(config, root=results.archive_folder())


def command(*arguments):
    return convert.main([str(results.archive_folder()), *arguments])


def contents():
    return {path: path.read_bytes() for path in sorted(results.archive_folder().rglob("*.*"))}


def test_law_a_converted_run_is_what_the_new_class_gives_and_is_converted_once(capsys):
    before = json.loads((runs.place(Toy(), runs.archive_folder()) / "manifest.json").read_text())
    assert command("--only", "toy") == 0
    for seed in range(3):
        table, manifest = runs.find(Toy(seed=seed), archived_only=True)
        pd.testing.assert_frame_equal(table, runs.from_csv(*runs.to_csv(Toy(seed=seed).run())), check_exact=True)
    table, manifest = runs.find(Toy(), archived_only=True)
    assert manifest["converted_from"] == before["outputs"]["table.csv"] != manifest["outputs"]["table.csv"]
    del before["outputs"]
    assert {name: manifest[name] for name in before} == before
    once = contents()
    assert command("--only", "toy") == 0 and contents() == once
    counts = [(3, 0), (0, 3)]
    said = [f"toy: {new} runs converted, {old} were of this form already" for new, old in counts]
    assert capsys.readouterr().out.splitlines() == said


def edited(name, change):
    """Change a table of the archive, with a manifest that fits it."""
    folder = runs.place(Toy(), runs.archive_folder())
    manifest = json.loads((folder / "manifest.json").read_text())
    table = change(results.read_csv(folder / "table.csv"))
    shutil.rmtree(folder)
    results._save(folder, table, manifest | {name: "x"})


BAD = {
    "'step' is not always 0": lambda table: table.assign(step=[0, 0, 4]),
    "'layer' is not always ''": lambda table: table.assign(layer="h"),
    "'seed' is not always 0": lambda table: table.assign(seed=1),
    "measured base stands there twice": lambda table: pd.concat([table, table[-1:]]),
    "its form has the axes": lambda table: table.assign(metric=["p[0,1]", "p[0,2]", "base"]),
    "turned back it is another table": lambda table: pd.concat(
        [table.assign(value=np.nan), table.assign(source="theory")]
    ),
    "its table is of another run": lambda table: table.assign(config="0"),
}


@pytest.mark.parametrize("message", list(BAD))
def test_law_what_would_lose_something_is_refused_and_left_alone(message, capsys):
    edited("note", BAD[message])
    before = contents()
    assert command() == 1 and message in capsys.readouterr().err
    own = runs.place(Toy(), runs.archive_folder())
    assert {path: data for path, data in contents().items() if path.parent == own} == {
        path: data for path, data in before.items() if path.parent == own
    }


def test_value_a_damaged_or_misplaced_run_is_refused(capsys):
    folder = runs.place(Toy(), runs.archive_folder())
    (folder / "table.csv").write_bytes((folder / "table.csv").read_bytes().replace(b"3", b"4", 1))
    assert command("--only", "toy") == 1 and "its table does not fit its manifest" in capsys.readouterr().err
    shutil.rmtree(folder)
    runs.place(Toy(seed=1), runs.archive_folder()).rename(folder)
    assert command("--only", "toy") == 1 and "its manifest is of toy" in capsys.readouterr().err


def test_value_theory_becomes_a_column_and_columns_that_say_something_are_kept():
    old = results.rows({"w": [[1.0, 2.0], [3.0, 4.0]], "n": 5.0}, layer="3", step=7, seed=1)
    law = results.rows({"w": [[1.5, 2.5]], "limit": 9.0}, layer="3", step=7, seed=1, source="theory")
    form = convert.Form(("class", "other"), {"step": ("step", "Int64"), "layer": ("depth", "Int64")})
    old = pd.concat([old, law], ignore_index=True)
    new = form.new(old, {"seeds": [1]})
    assert list(new) == ["metric", "value", "theory", "class", "other", "step", "depth", "seed"]
    assert new["metric"].tolist() == ["w", "w", "w", "w", "n", "limit"] and set(new["depth"]) == {3}
    assert new["value"].tolist()[:5] == [1, 2, 3, 4, 5] and new["theory"].tolist()[:2] == [1.5, 2.5]
    assert new["other"].tolist()[:4] == [0, 1, 0, 1] and new["class"].isna().tolist()[4:] == [True, True]
    assert form.rows(new, {"seeds": [1]}) == convert.identities(old)
    one_bit = new.assign(value=np.nextafter(new["value"], 9))
    assert form.rows(one_bit, {"seeds": [1]}) != convert.identities(old)
