"""Many runs: side by side in processes, or as one batch. The result is that of one after another."""

import pytest
import torch
import toy

from nclib.runs import store as kept
from nclib.runs import work, workers


@pytest.fixture(autouse=True)
def clean(store):
    toy.calls.clear()


@pytest.fixture
def two_threads(monkeypatch):
    """Two processes for whatever comes after the first run."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.setattr(workers, "WORTH", 0.0)


def test_law_runs_side_by_side_are_those_of_one_process(store, two_threads):
    """In processes with other ids and one thread each, in the order of the configs, a stored one among them."""
    runs = toy.runs("smoke", base=3.25) + toy.runs("smoke", base=3.5)
    first = work.get(runs[4])
    tables = list(workers.each(runs, "cpu"))
    assert [table.loc[table["metric"] == "base", "value"].item() for table in tables] == [run.base for run in runs]
    assert tables[5]["value"].tolist() == [0.5, 1.75, 3.5] and tables[4].equals(first)
    assert toy.calls == [runs[4], runs[0]]  # here; the rest elsewhere, and stored
    assert all(kept.find(run)[0].equals(table) for run, table in zip(runs, tables, strict=True))
    manifests = [kept.find(run)[1] for run in runs]
    assert [manifest["threads"] for manifest in manifests] == [2, 1, 1, 1, 2, 1]


def test_an_error_side_by_side_comes_at_its_turn_and_loses_no_finished_run(store, two_threads):
    runs = [*toy.runs("smoke"), toy.Toy(base="x"), toy.Toy(base=9.0)]
    tables = []
    with pytest.raises(TypeError, match="unsupported operand") as error:
        tables.extend(workers.each(runs, "cpu"))
    assert "toy.py" in error.value.__notes__[0]  # where it happened, in the other process
    assert len(tables) == 3 and all(kept.find(run) is not None for run in runs[:3])
    assert kept.find(runs[3]) is None


def test_law_runs_that_are_alike_are_done_as_one(store, monkeypatch):
    batches = []

    def run_together(configs, device):
        batches.append([config.seed for config in configs])
        return [config.run(device) for config in configs]

    monkeypatch.setattr(toy.Toy, "together", lambda run: run.base if run.base < 5 else None)
    monkeypatch.setattr(toy.Toy, "run_together", run_together)
    runs = [*toy.runs("smoke"), *toy.runs("smoke", base=4.0, seed=7), *toy.runs("smoke", base=6.0)]
    tables = list(workers._in_batches(runs, "cpu", None))
    assert batches == [[0, 1, 2], [7, 8, 9]] and len(toy.calls) == 9
    assert [table["value"].iloc[2] for table in tables] == [3, 3, 3, 4, 4, 4, 6, 6, 6]
    assert [kept.find(run)[0].equals(table) for run, table in zip(runs, tables, strict=True)] == [True] * 9


@pytest.mark.parametrize("error", [FloatingPointError("training diverged"), torch.OutOfMemoryError("out of memory")])
def test_law_where_one_of_a_batch_diverges_or_they_are_too_large_each_is_done_by_itself(store, monkeypatch, error):
    """The one that diverges also alone raises at its turn; those before it are stored."""

    def run_together(configs, device):
        raise error

    def run(config, device, before=toy.Toy.run):
        if config.seed == 2:
            raise FloatingPointError("training diverged in epoch 3")
        return before(config, device)

    monkeypatch.setattr(toy.Toy, "together", lambda run: run.base)
    monkeypatch.setattr(toy.Toy, "run_together", run_together)
    monkeypatch.setattr(toy.Toy, "run", run)
    runs, tables = toy.runs("smoke"), []
    with pytest.raises(FloatingPointError, match="diverged in epoch 3"):
        tables.extend(workers._in_batches(runs, "cpu", None))
    assert len(tables) == 2 and [kept.find(run) is not None for run in runs] == [True, True, False]


def test_few_seconds_of_work_start_no_processes(store, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert len(list(workers.each(toy.runs("smoke")))) == len(toy.calls) == 3
