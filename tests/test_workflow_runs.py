"""Runs of a study outside the book: Snakemake on this machine and, as a dry run, on SLURM; one run under torchrun."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from smoke_book import clean_environment

from nclib import pages
from nclib.pages._language_models import cost, grid
from nclib.runs import store

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import warm  # noqa: E402

STUDY = "linguistic_scaling"
SHORT = "federated"  # three runs of a second or two at smoke, for what is of any study


def environment(folder):
    """This checkout, with a store in `folder`."""
    kinds = {f"NCLIB_{kind.upper()}": str(folder / kind) for kind in ("cache", "results")}
    return clean_environment(PYTHONPATH=str(ROOT), TQDM_DISABLE="1", OMP_NUM_THREADS="1") | kinds


@pytest.fixture(scope="module")
def forks():
    """The variable by which commands of `warm.python()` are forks of a server, whose imports each of them is spared."""
    script = f"import os; print(os.environ['{warm.DOOR}'], flush=True); input()"
    command = [sys.executable, warm.__file__, "serve", sys.executable, "-c", script]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(ROOT / "nowhere"), **streams) as server:
        yield {warm.DOOR: server.stdout.readline().strip()}
        server.communicate("\n")


def snakemake(folder, machine, study, profile, *more, settings=(), forks=None):
    command = [*(warm.python() if forks else [sys.executable]), "-m", "snakemake", "-s", "workflow/runs.smk", *more]
    command += ["--workflow-profile", f"workflow/profiles/{machine}", "--directory", str(folder / "work")]
    command += ["--config", f"study={study}", f"profile={profile}", *settings]
    return {"args": command, "cwd": ROOT, "env": environment(folder) | (forks or {})}


def call(*arguments, **more):
    """(exit code, what it said)."""
    done = subprocess.run(**snakemake(*arguments, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def stored(folder, kind="cache"):
    """{experiment/key of an entry: when its manifest was written}; what is under a temporary name is none."""
    found = (folder / kind).glob("*/[!.]*/manifest.json")
    return {str(path.parent.relative_to(folder / kind)): path.stat().st_mtime_ns for path in found}


def killed_after_one(folder):
    """Start the runs, kill Snakemake and its jobs once one is stored."""
    with open(folder / "first.log", "w") as log:
        options = {"stdout": log, "stderr": log, "start_new_session": True}
        first = subprocess.Popen(**snakemake(folder, "local", SHORT, "smoke", "--cores", "1"), **options)
        deadline = time.monotonic() + 240
        while not stored(folder) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        early = first.poll()
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    return early is None


def test_law_killed_runs_go_on_and_finished_ones_are_not_repeated(tmp_path, forks):
    """What is killed, Snakemake and its jobs, are processes of their own."""
    names = {run.key() for run in pages.study(SHORT).runs("smoke")}
    assert killed_after_one(tmp_path)
    before = stored(tmp_path)
    assert 0 < len(before) < len(names)
    code, said = call(tmp_path, "local", SHORT, "smoke", "--cores", "1", forks=forks)
    after = stored(tmp_path)
    assert code == 0, said
    assert {entry.split("/")[1] for entry in after} == names
    assert before.items() <= after.items() and said.count("rule run:") == len(names) - len(before)
    code, said = call(tmp_path, "local", SHORT, "smoke", "--cores", "1", forks=forks)
    assert code == 0 and "rule run:" not in said and stored(tmp_path) == after


def jobs(said):
    """The resources of each job of a dry run, as one text each."""
    return re.findall(r"^rule run:.*?resources: ([^\n]*)$", said, re.S | re.M)


@pytest.mark.parametrize(
    ("machine", "profile", "gpu"),
    [("slurm", "paper", "1"), ("local", "smoke", "0")],
)
def test_law_dry_run_lists_one_job_a_run_with_its_resources(tmp_path, forks, machine, profile, gpu):
    code, said = call(tmp_path, machine, STUDY, profile, "-n", forks=forks)
    assert code == 0, said
    found = jobs(said)
    assert len(found) == len(grid.runs(profile))
    assert {re.search(r"gpu=(\d)", job)[1] for job in found} == {gpu}
    if machine == "slurm":
        assert all("runtime=240" in job and "mem_mb=8000" in job and "cpus_per_task=1" in job for job in found)
    where = "results" if profile == "paper" else "cache"
    assert said.count(f"output: {tmp_path / where}/wu2024.language_model/") == len(found)
    assert not list(tmp_path.rglob("table.csv"))


def test_law_a_run_on_a_processor_takes_no_gpu_slot(tmp_path, forks):
    code, said = call(tmp_path, "local", STUDY, "paper", "-n", settings=["device=cpu"], forks=forks)
    assert code == 0 and len(jobs(said)) == len(grid.runs("paper")) and all("gpu=0" in job for job in jobs(said))


def test_law_a_study_that_is_unknown_is_named(tmp_path, forks):
    code, said = call(tmp_path, "local", "dang2023.nothing", "smoke", "-n", forks=forks)
    assert code and "study = 'dang2023.nothing': must be one of" in said


# nclib as torchrun starts it, which also keeps the losses that the training of language models returns.
KEEPING = """
import os, runpy, torch
from nclib.training import language
fit = language.fit
def kept(*arguments, **settings):
    losses = fit(*arguments, **settings)
    torch.save(losses, os.environ["LOSSES"] + os.environ.get("RANK", ""))
    return losses
language.fit = kept
runpy.run_module("nclib", run_name="__main__")
"""
WORDS = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FORKED = [*warm.python(), *WORDS, "--no-python", *warm.python()]  # torchrun and the processes that it starts


def nclib(folder, program, *arguments, forks=None):
    """(exit code, standard output, standard error) of `nclib` with a store in `folder`."""
    folder.mkdir(exist_ok=True)
    variables = environment(folder) | {"LOSSES": str(folder / "losses")} | (forks or {})
    done = subprocess.run([*program, *arguments], env=variables, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout, done.stderr


def one_table(folder):
    (path,) = (folder / "cache" / "wu2024.language_model").glob("*/table.csv")
    return path.parent.name, store.read(path.parent)[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory, forks):
    """The folders of the same run, on one process and on two under torchrun."""
    folder = tmp_path_factory.mktemp("torchrun")
    script = folder / "keeping.py"
    script.write_text(KEEPING)
    run = "run", STUDY, "--profile", "smoke", "--index", "3"
    for name, program in {"one": warm.python(), "two": FORKED}.items():
        code, said, wrong = nclib(folder / name, [*program, str(script)], *run, forks=forks)
        assert code == 0, wrong
        assert [line.split()[:2] for line in said.splitlines()] == [["3", "wu2024.language_model"]]
    return folder / "one", folder / "two"


def test_law_two_processes_have_the_loss_curve_of_one(both):
    one, two = both
    expected, *found = (torch.load(path) for path in (one / "losses", two / "losses0", two / "losses1"))
    assert len(expected) > 70 and expected[0] - expected[-1] > 0.5
    for losses in found:
        torch.testing.assert_close(losses, expected, rtol=0, atol=1e-5)


def test_law_two_processes_store_the_entry_of_one(both):
    (key, expected), (found_key, found) = map(one_table, both)
    assert found_key == key and not list((both[1] / "cache" / "checkpoints").iterdir())
    names = ["step", "convention", "split", "metric"]
    pd.testing.assert_frame_equal(found[names], expected[names])
    losses = expected["metric"] == "loss"
    assert losses.sum() == 2
    pd.testing.assert_series_equal(found.loc[losses, "value"], expected.loc[losses, "value"], rtol=0, atol=1e-5)
    pd.testing.assert_series_equal(found["value"], expected["value"], rtol=1e-3, atol=1e-4)


def test_law_a_stored_run_is_not_done_again_under_torchrun(both, forks):
    folder = both[1]
    before = stored(folder)
    run = "run", STUDY, "--profile", "smoke", "--index", "3"
    code, said, wrong = nclib(folder, [*FORKED, "-m", "nclib"], *run, forks=forks)
    assert code == 0, wrong
    assert len(said.splitlines()) == 1 and stored(folder) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("geometry", "--index", "0"), "nclib: dang2023.frames runs in one process: start it without torchrun"),
        ((STUDY,), "nclib: torchrun does one run at a time: name it, --index from 0 to 3"),
    ],
)
def test_law_torchrun_is_refused_in_one_line(tmp_path, forks, arguments, message):
    code, said, wrong = nclib(tmp_path, [*FORKED, "-m", "nclib"], "run", *arguments, "--profile", "smoke", forks=forks)
    assert code and not said and not stored(tmp_path)
    assert [line for line in wrong.splitlines() if line.startswith("nclib:")] == [message]


def test_value_cost_counts_the_parameters_of_the_paper():
    shapes = cost.paper()
    assert shapes["models"].sum() == 230 and cost.EPOCHS == 25 and cost.TRAIN == 469_514_249
    assert shapes.set_index(["width", "depth"]).loc[[(64, 1), (1024, 12)], "parameters"].tolist() == [
        3_397_440,
        204_680_192,
    ]


def test_value_cost_of_a_small_model():
    # Weights 12 d^2 a layer and V d: 2 (2 * 12 * 16 + 10 * 4) = 848. A window of 6 attends to 3.5 positions globally,
    # to (1 + 2 + 2 + 2 + 2 + 2) / 6 within 2: 4 * 4 * (3.5 + 11 / 6).
    assert cost.forward(10, 6, 4, 2, local=2) == pytest.approx(848 + 16 * (3.5 + 11 / 6))
    assert cost.training(10, 6, 4, 2, local=2) == 3 * cost.forward(10, 6, 4, 2, local=2)


def test_law_cost_table_adds_up():
    table = cost.table((2e10, 5e10))
    assert table["models"].iloc[-1] == table["models"].iloc[:-1].sum() == 230
    hours = table["GPU hours"].str.replace(",", "").astype(float)
    assert hours.iloc[-1] == pytest.approx(hours.iloc[:-1].sum(), abs=0.05)
    shapes = cost.paper()
    total = (shapes["training"] + shapes["measuring"]).sum()
    assert hours.iloc[-1] == pytest.approx(total / (0.4 * 989e12) / 3600, abs=0.01)
    fast, slow = table["days of one core"].iloc[-1].replace(",", "").split(" to ")
    assert float(slow) == pytest.approx(total / 2e10 / 86_400, rel=5e-3) and float(fast) < float(slow)
