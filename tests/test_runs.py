"""What a run is and how it is kept: keys, tables, seals, code."""

import dataclasses
import json
import math
import os
import re
import shutil
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import toy

from nclib import pages
from nclib.plotting import publish as provenance
from nclib.runs import source, store, work, workers
from nclib.runs.experiment import Experiment, MissingRun, later, rows, typed
from nclib.runs.study import Study, own_runs

calls = []


@dataclass(frozen=True)
class Toy(Experiment):
    """Powers of a number over seven."""

    NAME: ClassVar[str] = "toy"
    base: float = 3.0
    powers: tuple = (1, 2)
    seed: int = 0

    def run(self, device="cpu"):
        calls.append(self)
        found = rows({"power": [self.base**p / 7 for p in self.powers]}, "i", theory={"power": [3 / 7, 9 / 7]}, step=2)
        return pd.concat([found, rows({"base": self.base}, "i", step=0)], ignore_index=True)


@pytest.fixture(autouse=True)
def clean(store_folders):
    calls.clear()
    toy.calls.clear()


@pytest.fixture
def store_folders(store):
    return store


def folder(run=Toy()):
    return store.place(run, store.cache_folder())


def test_value_rows():
    found = rows({"gram": [[1.0, 2.0], [3.0, 4.0]], "n": 5}, "class", "other", theory={"gram": 0.5}, part="a")
    assert found["class"].tolist() == [0, 0, 1, 1, pd.NA] and found["other"].tolist()[:4] == [0, 1, 0, 1]
    assert found["value"].tolist() == [1, 2, 3, 4, 5] and found["theory"].tolist()[:4] == [0.5] * 4
    assert np.isnan(found["theory"].iloc[4]) and set(found["part"]) == {"a"}
    with pytest.raises(ValueError, match=r"gram: has 2 indices, rows names the axes \('class',\)"):
        rows({"gram": [[1.0]]}, "class")


def test_value_the_key_is_stable():
    """Archived runs are found by this hash: whoever changes how it is made orphans them."""
    assert Toy().key() == "b45a1a7e24333e3a"
    keys = {dataclasses.replace(Toy(), **change).key() for change in ({}, {"base": 3.5}, {"powers": (1,)}, {"seed": 1})}
    assert len(keys) == 4


def test_law_a_field_that_is_added_later_leaves_the_keys_of_old_runs():
    @dataclass(frozen=True)
    class Older(Experiment):
        NAME: ClassVar[str] = "aged"

        base: float

    @dataclass(frozen=True)
    class Newer(Older):
        warmup: int = later(0)

        width: int = 3

    @dataclass(frozen=True)
    class Wide(Older):
        width: int = 3

    assert Newer(2.0).key() == Wide(2.0).key() != Older(2.0).key()
    assert Newer(2.0, warmup=5).key() not in (Newer(2.0).key(), Newer(2.0, warmup=6).key())
    assert Newer.again({"base": 2.0, "width": 3}) == Newer(2.0)


def test_law_a_run_comes_back_from_its_manifest():
    work.get(Toy(powers=(1, 2)))
    parameters = json.loads((folder() / "manifest.json").read_text())["parameters"]
    assert Toy.again(parameters) == Toy() and Toy.again(parameters).key() == folder().name


def test_law_a_field_must_not_hide_a_method():
    with pytest.raises(TypeError, match="Wrong: a field must not be called reads"):

        @dataclass(frozen=True)
        class Wrong(Experiment):
            reads: str = "x"


TYPES = pd.DataFrame(
    {
        "text": ["", "nan", 'a"b,\n', "\t", " x"],
        "number": [0.1, -np.inf, np.nan, 5e-324, 1 / 3],
        "whole": pd.array([1, None, -(2**53) - 1, 0, 7], "Int64"),
        "flag": pd.array([True, None, False, True, True], "boolean"),
    }
)


def test_law_a_table_is_read_back_exactly():
    data, kinds = store.to_csv(TYPES)
    assert kinds == {"text": "str", "number": "float64", "whole": "Int64", "flag": "boolean"}
    pd.testing.assert_frame_equal(store.from_csv(data, kinds), TYPES.astype({"text": "str"}), check_exact=True)
    with pytest.raises(TypeError, match="column 'x' holds a list: must be str, float64, Int64, boolean"):
        store.to_csv(pd.DataFrame({"x": [[1]]}))
    with pytest.raises(ValueError, match="column 'x' holds a carriage return"):
        store.to_csv(pd.DataFrame({"x": ["a\rb"]}))


def test_law_a_stored_run_is_not_run_again_and_is_read_back():
    first = work.get(Toy())
    pd.testing.assert_frame_equal(work.get(Toy()), first, check_exact=True)
    assert len(calls) == 1 and first["value"].tolist() == [3 / 7, 9 / 7, 3.0]


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << (bit % 8)
    path.write_bytes(bytes(data))


def other(path):
    work.get(Toy(base=4.0))
    shutil.copy(folder(Toy(base=4.0)) / path.name, path)


DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "list": lambda path: path.write_bytes(b"[]"),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "gone": lambda path: path.unlink(),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "foreign": other,
}


@pytest.mark.parametrize("name", ["table.csv", "manifest.json"])
@pytest.mark.parametrize("damage", [*DAMAGE, *range(0, 4000, 111)])
def test_law_damage_is_noticed_and_the_run_done_again(name, damage):
    first = work.get(Toy())
    path = folder() / name
    before = path.read_bytes()
    DAMAGE[damage](path) if damage in DAMAGE else flip(path, damage)
    assert not path.is_file() or path.read_bytes() != before
    calls.clear()
    with pytest.warns(UserWarning, match=r"damaged \(.*\), removed; it is run again"):
        pd.testing.assert_frame_equal(work.get(Toy()), first, check_exact=True)
    assert calls == [Toy()] and [p.name for p in folder().parent.iterdir() if p.name.startswith(".")] == []


def test_law_an_entry_under_another_name_is_refused_and_in_the_archive_an_error(store_folders):
    work.get(Toy(), root=store.archive_folder())
    mine = store.place(Toy(), store.archive_folder())
    mine.rename(store.place(Toy(seed=3), store.archive_folder()))
    with pytest.raises(ValueError, match=r"damaged \(it is of toy .*\); restore it with git"):
        store.find(Toy(seed=3))


def test_law_a_cached_entry_of_other_code_is_run_again_an_archived_one_is_kept(monkeypatch):
    work.get(Toy())
    work.get(Toy(seed=1), root=store.archive_folder())
    calls.clear()
    monkeypatch.setattr(source, "digest", lambda run: "other")
    work.get(Toy()), work.get(Toy(seed=1))
    assert calls == [Toy()] and store.find(Toy())[1]["code"] == "other"
    assert store.find(Toy(seed=1))[1]["code"] != "other"


def test_law_the_place_is_tried_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        work.get(Toy(), root=tmp_path / "file")
    assert calls == []


def test_law_what_resumes_a_run_is_forgotten_only_when_its_table_is_stored(monkeypatch):
    done = []
    monkeypatch.setattr(Toy, "forget", lambda run: done.append(run))
    monkeypatch.setattr(store, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        work.get(Toy())
    assert calls and not done


def test_value_code_without_comments_formatting_and_docstrings(tmp_path):
    texts = ['"""a"""\nx = 1\ndef f():\n    "b"\n    return x', "x   = 1  # c\n\n\ndef f():\n    return (x)", "x = 2"]
    found = []
    for i, text in enumerate(texts):
        (tmp_path / f"{i}.py").write_text(text)
        found.append(source.statements(tmp_path / f"{i}.py"))
    assert found[0] == found[1] != found[2]


def test_law_the_closure_holds_what_is_imported_anywhere():
    names = {path.name for path in source.closure(source.PACKAGE / "runs" / "work.py")}
    assert {"work.py", "store.py", "source.py", "experiment.py", "manifest.py"} <= names


def test_law_a_study_names_parts_and_shows_the_archive_beside():
    def parts(profile, *, seed=0):
        return {"small": [Toy(seed=seed)], "large": [Toy(base=5.0, seed=seed), Toy(seed=seed)]}

    study = Study("toy", parts, beside={"paper scale": ("paper", {"seed": 7}), "none": ("paper", {"seed": 8})})
    work.get(Toy(seed=7), root=store.archive_folder())
    table = study.table("laptop", seed=2)
    assert table.groupby(["beside", "part"])["run"].nunique().to_dict() == {
        ("", "small"): 1, ("", "large"): 2, ("paper scale", "small"): 1, ("paper scale", "large"): 1,
    }  # fmt: skip
    assert set(table["experiment"]) == {"toy"} and set(table[table["beside"] == ""]["seed"]) == {2}
    assert list(table[table["beside"] != ""]["profile"].unique()) == ["paper"] and set(table["powers"]) == {"1 2"}


def toys(profile, *, seed=0, base=3.0):
    return {"all": [Toy(base=base, seed=s) for s in range(seed, seed + 3)]}


def test_value_overrides_of_a_study_are_read_and_refused():
    study = Study("toy", toys, cost={"paper": "a second"})
    assert [run.seed for run in study.runs("smoke", seed="4", base=None)] == [4, 5, 6]
    assert study.runs("smoke", base="2")[0] == Toy(base=2.0) and study.runs("paper", base=None) == study.runs("paper")
    for given, message in {
        "huge": "profile = 'huge': must be one of smoke, laptop, paper",
        -1: "seed = -1: must be a whole number from 0",
    }.items():
        with pytest.raises(ValueError, match=message):
            study.table(given) if isinstance(given, str) else study.table("smoke", seed=given)
    assert study.advice("paper") == "run: nclib run toy --profile paper  (a second)"


def more_seeds(profile):
    return {"all": [Toy(seed=seed) for seed in range(4 if profile == "paper" else 1)]}


def test_value_a_table_says_what_the_archive_lacks_of_the_papers_scale():
    """Of four runs one is also the laptop's: nobody has to make it for the archive."""
    study = Study("toy", more_seeds, cost={"paper": "a second"})
    runs, about = study.runs("paper")[1:], {"runs": 3, "command": "nclib run toy --profile paper", "cost": "a second"}
    assert study.table("smoke").attrs["lacking"] == {"archived": 0} | about
    work.do(runs[1:2], "cpu", store.archive_folder())
    assert study.table("smoke").attrs["lacking"] == {"archived": 1} | about
    assert study.table("paper").attrs["lacking"] == {}
    for run in (runs[0], runs[2]):
        work.do([run], "cpu", store.archive_folder())
    assert study.lacking() == {} == Study("toy", more_seeds).lacking()


def test_law_a_scale_beside_is_shown_with_the_runs_that_are_the_page_s_own():
    study = Study("toy", more_seeds, beside={"more seeds": ("paper", {})})
    assert set(study.table("laptop")["beside"]) == {""}
    work.get(Toy(seed=2), root=store.archive_folder())
    table = study.table("laptop")
    assert table.groupby("beside")["seed"].unique().map(list).to_dict() == {"": [0], "more seeds": [0, 2]}
    whole = dataclasses.replace(study, whole=True)
    assert table.attrs["unjudged"] == [] and whole.table("laptop").attrs["unjudged"] == ["more seeds"]
    work.do([Toy(seed=1), Toy(seed=3)], "cpu", store.archive_folder())
    assert whole.table("laptop").attrs["unjudged"] == []
    assert own_runs(table).equals(table[table["profile"] == "laptop"]) and set(own_runs(table)["seed"]) == {0}


def test_law_entries_of_other_code_are_done_again_as_one(monkeypatch):
    """What is stale is missing from the start, so that it is done in a batch and not one by one."""
    batches, made = [], toys("smoke")["all"]
    monkeypatch.setattr(Toy, "together", lambda run: run.base)
    monkeypatch.setattr(
        Toy, "run_together", lambda runs, device: batches.append(len(runs)) or [run.run(device) for run in runs]
    )
    monkeypatch.setattr(workers, "_in_processes", workers._in_batches)
    first = list(workers.each(made, "cpu"))
    assert batches == [3] and list(workers.each(made, "cpu"))[2].equals(first[2]) and batches == [3]
    monkeypatch.setattr(source, "digest", lambda run: "other")
    assert list(workers.each(made, "cpu"))[2].equals(first[2]) and batches == [3, 3]


def test_law_the_manifest_names_the_command_that_does_the_run_again():
    work.get(Toy(seed=2))
    command = store.find(Toy(seed=2))[1]["command"]
    code = command.removeprefix('python -c "').removesuffix('"')
    assert code == f"from nclib.runs import work; from {__name__} import Toy; work.get({Toy(seed=2)})"
    calls.clear()
    exec(code)
    assert calls == []


def test_law_the_runs_behind_a_figure_are_those_of_its_rows():
    table = Study("toy", toys).table("smoke")
    assert {run["key"] for run in provenance.run_manifests(table)} == {run.key() for run in toys("smoke")["all"]}
    assert provenance.run_manifests(table[["run", "value"]]) == []


def test_law_no_warning_in_a_clean_store():
    with warnings.catch_warnings(action="error"):
        work.get(Toy()), work.get(Toy())


def test_law_a_failed_run_leaves_nothing_behind(store_folders, monkeypatch):
    def fail(self, device):
        raise RuntimeError("stopped in the middle")

    monkeypatch.setattr(Toy, "run", fail)
    with pytest.raises(RuntimeError):
        work.get(Toy())
    assert not [path for path in store.cache_folder().rglob("*") if path.is_file()]


def test_law_a_half_written_entry_is_never_read():
    partial = folder().with_name(f".{Toy().key()}.1.part")
    partial.mkdir(parents=True)
    (partial / "table.csv").write_text("half")
    assert store.find(Toy()) is None and work.get(Toy())["value"].iloc[0] == 3 / 7


def test_value_what_killed_processes_left_of_checkpoints_goes_after_a_day():
    old, new = (store.unfinished(name).with_name(f".{name}.1.part") for name in ("old", "new"))
    for path in (old, new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    work.get(Toy())
    assert not old.exists() and new.exists()


def test_law_two_processes_that_finish_the_same_run_leave_one_whole_entry(monkeypatch):
    real = Toy.run

    def slow(self, device):
        monkeypatch.setattr(Toy, "run", real)
        work.get(self)
        return real(self, device)

    monkeypatch.setattr(Toy, "run", slow)
    work.get(Toy())
    assert sorted(path.name for path in folder().iterdir()) == ["manifest.json", "table.csv"]
    assert [path.name for path in folder().parent.iterdir()] == [folder().name]


def test_law_paper_runs_without_archive_or_gpu_name_the_command_and_the_cost():
    with pytest.raises(MissingRun, match=r"nclib run toy --profile paper  \(estimated: a second") as error:
        toy.STUDY.table("paper")
    assert "\n" not in str(error.value) and not toy.calls


def taken(**given):
    """What a study gets of overrides; lam and beta are real numbers, the rest whole ones."""

    def parts(
        profile, *, seed=0, depths=None, counts=None, samples=10, lam=None, beta=2.0, corpus=None, weight_decay=None
    ):
        return {name: value for name, value in locals().items() if name in given}

    return Study("taken", parts).named("smoke", **given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"samples": 5.0, "seed": 3.0}, {"samples": 5, "seed": 3}),
        ({"depths": 3, "counts": 30.0}, {"depths": [3], "counts": [30]}),
        ({"depths": "[30,10,5]", "counts": "7"}, {"depths": [30, 10, 5], "counts": [7]}),
        ({"counts": (30, 10.0, 5)}, {"counts": [30, 10, 5]}),
        ({"lam": 1, "beta": "5e-4", "weight_decay": 0}, {"lam": 1.0, "beta": 5e-4, "weight_decay": 0.0}),
        ({"samples": None, "seed": "4"}, {"samples": 10, "seed": 4}),
        ({"corpus": "[1]"}, {"corpus": "[1]"}),
    ],
)
def test_value_overrides_are_read_as_they_are_meant(given, expected):
    found = taken(**given)
    assert found == expected and list(map(repr, found.values())) == [repr(expected[name]) for name in found]


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        *(("seed", value, "a whole number from 0 to 2147483647") for value in (True, 0.5, -1, 2**31, [1], "[1]")),
        *(("samples", value, "a whole number > 0") for value in (True, 2.5, 0, [5], "[5]", "many", np.inf, {})),
        *(("weight_decay", value, "a number >= 0") for value in (-1, True, "none")),
        *(("lam", value, "a number > 0") for value in (False, 0.0, "nan", [1e-3], "1e-3 or so")),
        *(
            ("counts", value, r"a whole number > 0, or a list of such, as \[30, 10, 5\]")
            for value in ([], "[30,10,", "[30,true]", [30, [10]], [30, 1.5], "30 10", [True])
        ),
        *(("corpus", value, "text") for value in (3, True, ["books"])),
    ],
)
def test_bad_override_is_one_line(name, value, allowed):
    with pytest.raises(ValueError, match=rf"^{name} = {re.escape(repr(value))}: must be {allowed}$"):
        taken(**{name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: work.get(Toy(), "tpu"), "device = 'tpu': must be auto, cpu or cuda"),
        (lambda: pages.study("dang2023.nothing"), "study = 'dang2023.nothing': must be one of averages"),
        (lambda: Toy(base=float("nan")).key(), "not JSON compliant"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("at", [{"step": 3, "line": "x", "flag": True, "rate": 0.5}, {"rate": math.nan}, {}])
def test_oracle_rows_are_as_typed_has_them(at):
    """Also where what repeats is numpy's, which takes the way through `typed`."""
    values = {"length": [1.5, math.nan], "overlap": [[1.0, 0.5], [0.5, 1.0]], "loss": 2}
    found = rows(values, "i", "j", theory={"loss": 1.0, "length": [1, 2]}, **at)
    pd.testing.assert_frame_equal(found, typed(found), check_exact=True)
    other = rows(values, "i", "j", theory={"loss": 1.0, "length": [1, 2]}, **at, more=np.int64(4))
    pd.testing.assert_frame_equal(other.drop(columns="more"), found, check_exact=True)
    assert (len(found), other["more"].dtype) == (7, "Int64")
    assert rows({}, "i", **at).dtypes["value"] == "float64"
