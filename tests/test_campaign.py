"""The campaign at smoke size on a CPU: killed and called again, it ends with the tables of an undisturbed one.

A few kills of two studies here; `pytest -m kills` does ten of everything that is in the queue.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
import toy

from nclib import cli, pages
from nclib.data import files
from nclib.pages import campaign
from nclib.runs import store as kept
from nclib.runs import workers
from nclib.runs.experiment import Experiment, rows
from nclib.runs.manifest import ROOT
from nclib.training import checkpoint


@dataclass(frozen=True)
class Diverging(Experiment):
    """A run that diverges where its seed is odd."""

    NAME: ClassVar[str] = "toy.diverging"
    seed: int = 0

    def run(self, device="cpu"):
        if self.seed % 2:
            raise FloatingPointError("training\ndiverged")
        return rows({"seed": self.seed}, step=0)


QUEUE = (
    ("depth", lambda run: run.NAME == "tirer2023.depth_network"),
    ("geometry", lambda run: getattr(run, "frame", "") == "OF"),
)
CLOCK = b"faster,"  # how rows begin that say how long something took


def start(folder, *options, **variables):
    """`nclib campaign` at smoke in a process group of its own, its folders below `folder`, a checkpoint each epoch."""
    env = os.environ | {f"NCLIB_{name}": str(folder / name.lower()) for name in ("CACHE", "BUILD", "RESULTS")}
    env |= {"OMP_NUM_THREADS": "1", "NCLIB_CHECKPOINT_SECONDS": "0"} | variables
    command = [sys.executable, "-m", "nclib", "campaign", "--profile", "smoke", "--device", "cpu", *options]
    with open(folder / "said", "a", encoding="utf-8") as said:
        return subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)


def entries(folder):
    """{experiment/key: bytes of the table} of what is stored."""
    tables = sorted(folder.glob("cache/*/[!.]*/table.csv"))  # a name with a dot is being written
    return {"/".join(path.parts[-3:-1]): path.read_bytes() for path in tables}


def checkpoints(folder):
    """Those that are whole: what a kill leaves of one has a name with a dot, and stays for a day."""
    return list(folder.glob("cache/checkpoints/[!.]*"))


def killed_and_undisturbed(folder, kills, *options):
    """(tables of a campaign that was killed so often on its way, those of one that was not, how many tables and
    checkpoints there were at each kill)."""
    draw, seen, folders = random.Random(0), [], [folder / name for name in ("killed", "undisturbed")]
    for one in folders:
        one.mkdir()
    assert start(folders[1], *options).wait() == 0
    tables = len(entries(folders[1]))
    for kill in range(kills):
        process, goal = start(folders[0], *options), int((kill + draw.random()) * tables / (kills + 1))
        while len(entries(folders[0])) < goal or not entries(folders[0]) | dict.fromkeys(checkpoints(folders[0])):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 0.3))
        if kill % 2:  # the command alone, whose runs then end by themselves, or all at once
            os.kill(process.pid, signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen.append((len(entries(folders[0])), len(checkpoints(folders[0]))))
    assert start(folders[0], *options).wait() == 0
    assert not checkpoints(folders[0]) and not list(folders[1].glob("cache/checkpoints/*"))
    return *map(entries, folders), seen


def compare(killed, undisturbed):
    assert killed.keys() == undisturbed.keys()
    assert not [name for name in killed if untimed(killed[name]) != untimed(undisturbed[name])]


def untimed(table):
    return [line for line in table.split(b"\n") if not line.startswith(CLOCK)]


def test_oracle_a_killed_campaign_ends_with_the_tables_of_an_undisturbed_one(tmp_path):
    killed, undisturbed, _ = killed_and_undisturbed(tmp_path, 1, "--only", "original", "--jobs", "1")
    compare(killed, undisturbed)
    assert len(killed) == 1 and "stopped" not in (tmp_path / "undisturbed" / "said").read_text()


@pytest.mark.kills
def test_oracle_ten_kills_of_the_whole_campaign(tmp_path):
    """All 94 runs of the queue, byte for byte but for one row of seconds: five minutes on two cores. They are over
    before they leave checkpoints; that a run goes on from one is shown where it is trained."""
    killed, undisturbed, seen = killed_and_undisturbed(tmp_path, 10, "--jobs", "2", "--minutes", "120")
    compare(killed, undisturbed)
    print(len(killed), "tables; at the kills there were (tables, checkpoints)", seen)
    expected = {(run.NAME, run.key()) for study, _ in campaign.QUEUE for run in pages.study(study).runs("smoke")}
    assert {tuple(name.split("/")) for name in killed} == expected
    assert len(dict(seen)) > 5 and max(seen)[0] < len(expected)


class Program(subprocess.Popen):
    """A program that is asked as a process of multiprocessing is."""

    exitcode = property(subprocess.Popen.poll)

    def join(self, seconds=None):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(seconds)


def started(code):
    """A stand-in for `campaign._start` whose processes do `code`, a function of the task."""

    def start(task, profile, device, logs):
        with open(campaign._log(task, logs), "w") as log:
            return Program([sys.executable, "-c", code(task)], stdout=log, stderr=log)

    return start


def toys(*seeds):
    return campaign.Task("toy", seeds, tuple(toy.Toy(seed=seed) for seed in seeds))


def test_value_what_fails_together_is_done_apart_and_fails_alone(store, monkeypatch):
    """As runs of a stack do of which one diverges."""
    said = []
    fails = "raise SystemExit('nclib: run 1, toy: CUDA out of memory. Tried to allocate 2.00 GiB')"
    monkeypatch.setattr(campaign, "_start", started(lambda task: fails if 1 in task.indices else ""))
    left = campaign.work([toys(0, 1, 2), toys(3)], "smoke", "cpu", 1, 60, said.append)
    assert left == [toys(1)]
    assert [line.split()[0] for line in said] == ["apart", "done", "failed", "done", "done"]
    assert "toy --index 1" in said[2] and "run 1, toy: CUDA out of memory. Tried to allocate" in said[2]


def test_value_time_is_up(store, monkeypatch):
    said = []
    monkeypatch.setattr(campaign, "_start", started(lambda task: "import time; time.sleep(60)"))
    assert campaign.work([toys(0), toys(1)], "smoke", "cpu", 1, 0.5, said.append) == [toys(0), toys(1)]
    assert said == ["stopped  toy --index 0"]


def test_value_what_needs_data_that_is_not_there_is_skipped_with_a_line(store, monkeypatch):
    """There is nothing to download with, and books are never downloaded."""
    (store / "afile").write_text("")
    monkeypatch.setenv("NCLIB_DATA", str(store / "afile" / "data"))
    monkeypatch.setattr(campaign, "at_hand", lambda run: not campaign.data_of(run))
    runs = [pages.study(name).runs("paper")[0] for name in ("regularization", "linguistic_scaling", "dual_head")]
    tasks = [campaign.Task("a", (i,), (run,)) for i, run in enumerate(runs)]
    assert [campaign.data_of(run) for run in runs] == ["cifar10", "books", ""]
    said = []
    waiting = campaign.without_data(tasks, said.append)
    assert waiting == {"cifar10": [tasks[0]], "books": [tasks[1]]}
    assert [line[:26] for line in said] == ["skipped 1 runs on cifar10:", "skipped 1 runs on books: N"]
    assert all("afile is a file" in line for line in said)


def test_value_data_at_hand_is_seen_without_reading_it(store, monkeypatch):
    monkeypatch.setenv("NCLIB_DATA", str(store / "data"))
    run = pages.study("original").runs("paper", data="fashion-mnist")[0]
    assert not campaign.at_hand(run)
    for name in files.FASHION_MNIST:
        (store / "data" / "fashion-mnist").mkdir(parents=True, exist_ok=True)
        (store / "data" / "fashion-mnist" / name).touch()
    assert campaign.at_hand(run) and campaign.at_hand(toy.Toy())


def test_value_minutes_are_those_of_the_nearest_archived_run():
    network, model = (pages.study(name).runs("paper")[-1] for name in ("regularization", "linguistic_scaling"))
    kinds = campaign._kind(network), campaign._kind(model)
    archived = [(kinds[0], 60.0, 100.0), (kinds[0], 1000.0, 7.0), (kinds[1], 2 * campaign._size(model), 50.0)]
    assert campaign.seconds(network, archived) == (200.0, False)  # 120 epochs
    assert campaign.seconds(model, archived) == (50.0, False)  # a smaller model is bound by launches
    assert campaign.seconds(replace(model, epochs=8 * model.epochs), archived) == (200.0, False)
    assert campaign.seconds(toy.Toy(), archived) == (600.0, True)
    assert {kind[0] for kind, _, _ in campaign.timed()} >= {"l", "dang2023.network", "tirer2023.depth_network"}


def test_value_paper_scale_starts_with_what_needs_a_gpu_and_leaves_nothing_out():
    tasks = campaign.pending()
    runs = [run for task in tasks for run in task.runs]
    assert all(run.needs_gpu() for run in runs)
    assert len({run.key() for run in runs}) == len(runs) > 100
    assert tasks[0].study == "regularization" and runs[0].loss == "mse" and runs[0].seed == 0
    others = {run for page in pages.studies().values() for run in page.runs("paper") if run.needs_gpu()} - {*runs}
    assert all(kept.find(run, archived_only=True) for run in others)
    assert {run.data for run in runs if hasattr(run, "data")} == set(campaign.IMAGES)
    small = [task for task in tasks if len(task.runs) > 1]
    assert small and all(len({run.together() for run in task.runs}) == 1 for task in small)
    assert all(len(task.runs) == 1 for task in campaign.pending(together=False))
    with pytest.raises(ValueError, match="profile"):
        campaign.pending("poster")


def test_value_the_list_says_commands_minutes_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path / "nothing"))
    tasks = campaign.pending()[:4]
    lines = list(campaign.listing(tasks, "paper", 2))
    assert lines[0].startswith("nclib run regularization --index ") and "--profile paper  # " in lines[0]
    assert lines[-2] == f"cifar10: not in NCLIB_DATA = {tmp_path / 'nothing'}; 4 runs wait for it"
    assert lines[-1].startswith("4 runs left: about ") and "with 2 at a time" in lines[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nclib: no CUDA GPU here, and the runs of profile paper need one; --device cpu does them"),
        (("--device", "cuda"), "nclib: device = 'cuda': no CUDA device is available here"),
        (
            ("run", "depth", "--profile", "paper", "--index", "0"),
            "nclib: run 0: it needs a CUDA GPU, and there is none here (--device cpu does it all the same, slowly);",
        ),
        (("--jobs", "0"), "nclib: jobs, minutes = 0, 60.0: must be at least 1 and > 0"),
    ],
)
def test_value_bad_input_is_one_line(store, monkeypatch, capsys, options, message):
    monkeypatch.setattr(sys, "argv", ["nclib", *(() if "run" in options else ("campaign",)), *options])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().err
    assert said.startswith(message) and said.count("\n") == 1


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (
            lambda: torch.empty(2**50),
            r"\[enforce fail.* can.t allocate memory: you tried to allocate 4503599627370496 .*",
        ),
        (lambda: raises(torch.OutOfMemoryError("CUDA out of memory.\nTried 2 GiB")), "CUDA out of memory. Tried 2 GiB"),
        (lambda: raises(FloatingPointError("training diverged")), "training diverged"),
    ],
    ids=["memory of a processor", "memory of a GPU", "diverges"],
)
def test_value_a_run_without_memory_or_that_diverges_is_named_in_one_line(store, monkeypatch, capsys, fails, message):
    def each(runs, device, root):
        yield None
        fails()

    one = pages.study("geometry").runs("smoke")[1]
    monkeypatch.setattr("nclib.runs.together.each", each)
    monkeypatch.setattr("nclib.runs.together.first", lambda: False)
    monkeypatch.setattr(sys, "argv", ["nclib", "run", "geometry", "--profile", "smoke", "--index", "0", "--index", "1"])
    with pytest.raises(SystemExit):
        cli.main()
    assert re.fullmatch(f"nclib: run 1, {one.NAME} {one.key()}: {message}\n", capsys.readouterr().err)


@pytest.mark.parametrize("threads", [1, 2])
def test_law_what_fails_alone_leaves_the_others_to_be_done(store, monkeypatch, capsys, threads):
    """The second and the last of four runs; one after another, and side by side."""
    runs = [Diverging(seed=seed) for seed in range(4)]
    monkeypatch.setattr(cli, "_runs", lambda *given: (toy.STUDY, runs))
    monkeypatch.setattr(workers, "WORTH", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(sys, "argv", ["nclib", "run", "toy"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert [line.split()[0] for line in said.out.splitlines()] == ["0", "2"]
    expected = [f"nclib: run {i}, toy.diverging {runs[i].key()}: training diverged" for i in (1, 3)]
    assert said.err.splitlines() == expected
    assert [kept.find(run) is not None for run in runs] == [True, False, True, False]


WITHOUT = """
import sys

class Missing:
    NAMES = "IPython ipykernel jupyter_book jupyter_client jupyter_core nbclient nbformat papermill pooch sphinx"

    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in Missing.NAMES.split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
"""


def test_value_a_checkpoint_of_other_code_is_named_and_the_other_runs_are_done(tmp_path, monkeypatch):
    """The whole of it, as a user calls it on a machine without Jupyter and pooch: one line for the run that fails, the
    tables of the others."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("NCLIB_CACHE", str(tmp_path / "cache"))
    runs = pages.study("federated").runs("smoke")
    foreign = checkpoint.of_run(runs[1], runs[1].key(), [])
    foreign.identity["code"] = "another"
    foreign.save({"rounds": torch.tensor(1)})
    before = foreign.path.read_bytes()
    assert start(tmp_path, "--only", "federated", "--jobs", "1", PYTHONPATH=path).wait() == 0
    said = (tmp_path / "said").read_text().splitlines()
    assert [line.split()[0] for line in said[:3]] == ["done", "failed", "done"] and said[3].startswith("2 runs done;")
    assert f"nclib: checkpoint {foreign.path} is of another run, by its code; remove it to start again" in said[1]
    assert foreign.path.read_bytes() == before
    assert entries(tmp_path).keys() == {f"{run.NAME}/{run.key()}" for run in (runs[0], runs[2])}


def test_law_a_run_ends_when_the_campaign_is_gone():
    """`end_with` a process that is not the parent, as that of one whose parent was killed."""
    code = f"import time; from nclib.runs.workers import end_with; end_with({os.getppid()}); time.sleep(50)"
    assert subprocess.run([sys.executable, "-c", code], timeout=40).returncode == 1


def test_law_what_runs_are_forked_from_has_not_asked_for_a_gpu_or_shown_a_bar():
    """A process whose parent has asked the driver cannot use a GPU. A lock of bars would be that of all runs, and one
    that is killed with it would stop the others."""
    code = """
import importlib, torch, tqdm
torch._C._cuda_getDeviceCount = lambda: 1 / 0
from nclib.pages import campaign
for name in campaign._preloaded():
    importlib.import_module(name)
assert not torch.cuda.is_initialized()
assert not hasattr(tqdm.tqdm, "_lock")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_law_the_runs_of_a_campaign_end_when_it_is_killed_alone(tmp_path):
    campaign = start(tmp_path, "--only", "original", "--jobs", "1")
    while not checkpoints(tmp_path):
        assert campaign.poll() is None
        time.sleep(0.01)
    campaign.kill()
    campaign.wait()
    end = time.monotonic() + 20
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(campaign.pid, 0)
            time.sleep(0.1)
    assert not entries(tmp_path)
