import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import toy

from nclib import results


@pytest.fixture(autouse=True)
def clean(store):
    toy.calls.clear()


def test_value_a_run_is_stored_with_its_schema_and_read_back_bit_for_bit():
    table = results.get(toy.Config())
    assert list(table.columns) == results.SCHEMA
    assert table["metric"].tolist() == ["power[0]", "power[1]", "base"]
    assert table["value"].tolist() == [3 / 7, 9 / 7, 3.0]
    assert set(table["experiment"]) == {"toy"} and set(table["seed"]) == {0}


def test_a_stored_run_is_not_run_again():
    first = results.get(toy.Config())
    pd.testing.assert_frame_equal(results.get(toy.Config()), first)
    assert len(toy.calls) == 1


@pytest.mark.parametrize("change", [{"base": 3.5}, {"powers": (1, 3)}, {"seed": 1}])
def test_law_every_field_is_part_of_the_key(change):
    assert results.key(dataclasses.replace(toy.Config(), **change)) != results.key(toy.Config())


def test_law_the_version_is_part_of_the_key(monkeypatch):
    before = results.key(toy.Config())
    monkeypatch.setattr(toy, "VERSION", 2)
    assert results.key(toy.Config()) != before


def test_value_the_key_is_stable():
    """Archived runs are found by this hash: whoever changes how it is made orphans them."""
    assert results.key(toy.Config()) == "32496176c968e7cc"


def test_the_archive_is_looked_in_before_the_cache(store):
    results.get(toy.Config(), root=results.archive_folder())
    assert (store / "results/toy" / results.key(toy.Config()) / "table.csv").exists()
    results.get(toy.Config())
    assert len(toy.calls) == 1 and not (store / "cache").exists()


@pytest.mark.parametrize("damage", ["truncate", "no manifest", "no table"])
def test_a_damaged_entry_of_the_cache_is_removed_and_run_again(damage):
    first = results.get(toy.Config())
    folder = results.entry("toy", results.key(toy.Config()))
    if damage == "truncate":
        (folder / "table.csv").write_bytes((folder / "table.csv").read_bytes()[:-20])
    else:
        (folder / {"no manifest": "manifest.json", "no table": "table.csv"}[damage]).unlink()
    with pytest.warns(UserWarning, match="damaged, removed"):
        again = results.get(toy.Config())
    pd.testing.assert_frame_equal(again, first)
    assert len(toy.calls) == 2


def test_a_damaged_entry_of_the_archive_is_an_error_and_is_kept():
    results.get(toy.Config(), root=results.archive_folder())
    folder = results.entry("toy", results.key(toy.Config()))
    (folder / "table.csv").write_text("")
    with pytest.raises(ValueError, match="does not match its manifest"):
        results.find(toy.Config())
    assert folder.exists()


def test_a_failed_run_leaves_nothing_behind(store, monkeypatch):
    def fail(config, device):
        raise RuntimeError("stopped in the middle")

    monkeypatch.setattr(toy, "run", fail)
    with pytest.raises(RuntimeError):
        results.get(toy.Config())
    assert not [path for path in (store / "cache").rglob("*") if path.is_file()]


def test_a_half_written_entry_is_never_read(store):
    partial = store / "cache/toy" / f".{results.key(toy.Config())}.1.part"
    partial.mkdir(parents=True)
    (partial / "table.csv").write_text("half")
    assert results.find(toy.Config()) is None
    assert results.get(toy.Config())["value"].iloc[0] == 3 / 7


def test_two_processes_that_finish_the_same_run_leave_one_whole_entry(monkeypatch):
    real = toy.run

    def slow(config, device):
        monkeypatch.setattr(toy, "run", real)
        results.get(config)
        return real(config, device)

    monkeypatch.setattr(toy, "run", slow)
    results.get(toy.Config())
    folder = results.entry("toy", results.key(toy.Config()))
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "table.csv"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_manifest_says_where_a_run_comes_from():
    results.get(toy.Config())
    manifest = json.loads((results.entry("toy", results.key(toy.Config())) / "manifest.json").read_text())
    assert manifest["parameters"] == {"base": 3.0, "powers": [1, 2], "seed": 0, "gpu": False}
    assert manifest["seeds"] == [0] and manifest["device"] == "cpu" and manifest["hardware"]
    assert "Config(base=3.0, powers=(1, 2), seed=0, gpu=False)" in manifest["command"]
    assert {"commit", "dirty", "versions", "wall_seconds", "peak_memory_mib", "started", "outputs"} <= manifest.keys()


def test_a_table_has_a_row_a_value_with_the_fields_of_its_config():
    table = results.table(toy.module, "smoke", seed=4, base=None)
    assert len(table) == 9 and sorted(table["seed"].unique()) == [4, 5, 6]
    assert set(table["base"]) == {3.0} and table["powers"].iloc[0] == (1, 2)


def test_paper_runs_without_archive_or_gpu_name_the_command_and_the_cost():
    with pytest.raises(results.MissingRun, match=r"nclib run .*toy --profile paper  \(estimated: a second") as error:
        results.table(toy.module, "paper")
    assert "\n" not in str(error.value)
    assert results.archived(toy.module).empty and not toy.calls


def test_archived_paper_runs_are_read_without_a_gpu():
    results.get(toy.runs("paper")[1], "cpu", results.archive_folder())
    assert set(results.archived(toy.module)["seed"]) == {1}


def taken(**overrides):
    """What a study gets of overrides; lam and beta are real numbers, the rest whole ones."""

    def runs(
        profile, *, seed=0, depths=None, counts=None, samples=10, lam=None, beta=2.0, corpus=None, weight_decay=None
    ):
        return {name: value for name, value in locals().items() if name in overrides}

    return results.configs(SimpleNamespace(runs=runs), "smoke", **overrides)


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
def test_a_bad_override_is_one_line(name, value, allowed):
    with pytest.raises(ValueError, match=rf"^{name} = {re.escape(repr(value))}: must be {allowed}$"):
        taken(**{name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: results.table(toy.module, "huge"), "profile = 'huge': must be one of smoke, laptop, paper"),
        (lambda: results.table(toy.module, "smoke", seed=-1), "seed = -1: must be a whole number from 0"),
        (lambda: results.table(toy.module, "smoke", seed="x"), "seed = 'x': must be a whole number from 0"),
        (lambda: results.table(toy.module, "smoke", base=0), "base = 0: must be a number > 0"),
        (lambda: results.table(toy.module, "smoke", base=[]), r"base = \[\]: must be a number > 0"),
        (
            lambda: results.table(toy.module, "smoke", base=[2, float("nan")]),
            r"base = \[2, nan\]: must be a number > 0",
        ),
        (lambda: results.get(toy.Config(), "tpu"), "device = 'tpu': must be auto, cpu or cuda"),
        (lambda: results.study("dang2023.nothing"), "experiment = 'dang2023.nothing': must be one of dang2023"),
        (lambda: results.key(toy.Config(base=float("nan"))), "not JSON compliant"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_law_tables_survive_csv_with_all_their_digits(tmp_path):
    values = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    table = results.rows({"x": values, "gone": float("nan"), "far": float("inf")}).assign(
        experiment="toy", config="1234567890123456", seed=0
    )[results.SCHEMA]
    (tmp_path / "t.csv").write_bytes(results.csv_bytes(table))
    pd.testing.assert_frame_equal(results.read_csv(tmp_path / "t.csv"), table, check_dtype=False, check_exact=True)


def test_value_indexed_splits_vectors_and_matrices():
    table = results.rows({"m": [[1.0, 2.0], [3.0, 4.0]], "v": [5.0], "m2": 6.0})
    matrix = results.indexed(table, "m")
    assert matrix[["i", "j", "value"]].values.tolist() == [[0, 0, 1], [0, 1, 2], [1, 0, 3], [1, 1, 4]]
    assert results.indexed(table, "v")[["i", "value"]].values.tolist() == [[0, 5]]
