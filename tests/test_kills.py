"""Processes that are killed in the midst of their work, and several that do the same work: nothing is lost or mixed.

They are forked, so that a kill falls into the work and not into seconds of imports; and from a process that has done no
work. One that has shown a tqdm bar hands its children the lock of the bars, and who is killed with it stops all others.
Ten kills here; `pytest -m kills` does a hundred.
"""

import math
import multiprocessing
import os
import random
import signal
import time
import warnings

import pandas as pd
import pytest
import test_checkpoint
import torch
import toy

from nclib import training
from nclib.runs import store as files
from nclib.runs import work
from nclib.training import checkpoint

SEEDS = range(6)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "nclib.models", "nclib.runs.study", "nclib.runs.work", "nclib.training"])


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in the order of the children."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(function, *arguments):
    """A child that does `function` in the folders of this test; its exit code is 1 for an exception."""
    folders = {name: value for name, value in os.environ.items() if name.startswith("NCLIB_")}
    child = FORKS.Process(target=_child, args=(folders, function, *arguments), daemon=True)
    child.start()
    return child


def _child(folders, function, *arguments):
    for number in SIGNALS[1:]:
        signal.signal(number, signal.SIG_DFL)
    os.environ.update(folders)
    torch.set_num_threads(1)
    training.LOOK, checkpoint.SECONDS = 1, 0.0
    function(*arguments)


def code_of(child):
    """Its exit code once it has ended; minutes late is never."""
    child.join(120)
    assert child.exitcode is not None, "it hangs"
    return child.exitcode


def runs_and_training(path):
    """Six runs for the store, and a training that keeps a checkpoint after every epoch."""
    for seed in SEEDS:
        work.get(toy.Toy(seed=seed))
    test_checkpoint.trained(path)
    path.unlink()


def entries():
    """{seed: table} of what is stored, each whole and under its own key."""
    found = {seed: files.find(toy.Toy(seed=seed)) for seed in SEEDS}
    return {seed: one[0] for seed, one in found.items() if one is not None}


def wait_for(child, path, runs=math.inf):
    """Whether the work has stored so many runs or come to the training, as soon as it has; False when it is over."""
    folder = files.place(toy.Toy(), files.cache_folder()).parent
    while child.exitcode is None:
        stored = [entry for entry in folder.glob("*") if not entry.name.startswith(".")]
        if path.exists() or len(stored) >= runs:
            return True
        time.sleep(0.001)
    return False


def kill_often(folder, kills):
    """Kill the work, each time as it goes on from where the last one was killed; then let it end. How far each was."""
    path, draw, done = folder / "run.safetensors", random.Random(0), []
    expected = toy.Toy().run()
    for kill in range(kills):
        child = start(runs_and_training, path)
        if wait_for(child, path, kill % (len(SEEDS) + 1)):
            time.sleep(draw.uniform(0.0, 0.03))
            os.kill(child.pid, SIGNALS[kill % 3])
            code_of(child)
        stored = entries()  # no warning: nothing that is found under its own name is damaged
        done.append(len(stored) + path.exists())
        for table in stored.values():
            pd.testing.assert_frame_equal(table, expected, check_exact=True)
        if path.exists():
            assert checkpoint.Checkpoint(path, {"key": "a"}, []).load()
        if len(stored) == len(SEEDS):
            for seed in stored:
                files.remove(files.place(toy.Toy(seed=seed), files.cache_folder()))
    assert code_of(start(runs_and_training, path)) == 0
    assert list(entries()) == list(SEEDS)
    return done


def test_law_ten_kills_lose_and_mix_nothing(store):
    assert len(set(kill_often(store, 10))) > 2, "all kills fell into the same place"


@pytest.mark.kills
def test_law_a_hundred_kills_lose_and_mix_nothing(store):
    assert len(set(kill_often(store, 100))) > 3


def test_oracle_a_training_killed_by_a_signal_is_the_one_that_was_never_stopped(store, monkeypatch):
    monkeypatch.setattr(training, "LOOK", 1)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    path = store / "run.safetensors"
    for _ in range(3):
        child = start(test_checkpoint.trained, path)
        assert wait_for(child, path)
        child.kill()
        code_of(child)
    resumed, whole = test_checkpoint.trained(path), test_checkpoint.trained(None)
    assert torch.equal(resumed[0], whole[0]) and torch.equal(resumed[1], whole[1])
    pd.testing.assert_frame_equal(resumed[2], whole[2], check_exact=True)


def damaged_and_read():
    with warnings.catch_warnings(action="ignore"):  # that it is damaged
        for seed in SEEDS:
            work.get(toy.Toy(seed=seed))


def test_law_processes_that_do_the_same_at_once_agree(store):
    """Also where what they find is damaged, and each removes it."""
    expected = toy.Toy().run()
    for _ in range(2):
        children = [start(damaged_and_read) for _ in range(4)]
        assert [code_of(child) for child in children] == [0] * 4
        assert [len(table) for table in entries().values()] == [len(expected)] * len(SEEDS)
        folders = [files.place(toy.Toy(seed=seed), files.cache_folder()) for seed in SEEDS]
        assert sorted(path.name for path in folders[0].parent.iterdir()) == sorted(path.name for path in folders)
        for folder in folders:
            (folder / "table.csv").write_bytes(b"damage")
