"""Training on two processes (gloo): the run of one process, and what only one of them writes."""

import math
import os
import time

import pytest
import torch
from test_language import SETTINGS, Flaky, T, fit, gpt, quiet, states_equal, text  # noqa: F401
from torch import distributed, multiprocessing

from nclib import _files

RANKS, STEPS = 2, 30
RUN = SETTINGS | {"epochs": 3, "batch_tokens": 6 * T}


def nan_on_one_rank(rank, windows, folder):
    model = gpt(kind=Flaky)
    model.at, model.event = 13, lambda value: value * (math.nan if rank == 1 else 1)
    try:
        fit(model, windows, checkpoint=folder / "nan", **RUN)
    except FloatingPointError as error:
        return str(error)


def stopped_and_resumed(windows, folder, monkeypatch):
    def slow(*file):
        time.sleep(0.3)  # rank 1 comes back first
        save(*file)

    save = _files.save

    def stop(epoch, model):
        raise KeyboardInterrupt

    monkeypatch.setattr(_files, "save", slow)
    try:
        fit(gpt(), windows, checkpoint=folder / "shared", measure_at=(2,), evaluate=stop, **RUN)
    except KeyboardInterrupt:
        model = gpt(seed=1)
        return fit(model, windows, checkpoint=folder / "shared", **RUN), list(model.parameters())


def refused(call):
    try:
        call()
    except ValueError as error:
        return str(error)


def one_rank(rank, folder):
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    windows, model, seen = text(64), gpt(seed=rank), []  # rank 1 starts elsewhere: rank 0's parameters count
    run = RUN | {"measure_at": (1,), "evaluate": lambda epoch, model: seen.append(epoch)}
    losses = fit(model, windows, checkpoint=folder / f"own-{rank}", **run)
    got = {
        "losses": losses,
        "parameters": list(model.parameters()),
        "seen": seen,
        "bfloat16": fit(gpt(), windows, precision="bfloat16", **RUN),
        "nan": nan_on_one_rank(rank, windows, folder),
        "resumed": stopped_and_resumed(windows, folder, pytest.MonkeyPatch()),
        "odd": refused(lambda: fit(gpt(), windows, **RUN | {"batch_tokens": 5 * T})),
        "apart": refused(lambda: fit(gpt(), windows, checkpoint=folder / f"own-{rank}", **run)),
    }
    torch.save(got, folder / f"got-{rank}")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.start_processes(one_rank, (folder,), nprocs=RANKS, start_method="spawn")
    return folder


@pytest.fixture(scope="module")
def ranks(folder):
    return [torch.load(folder / f"got-{rank}", weights_only=False) for rank in range(RANKS)]


def test_law_two_processes_have_the_loss_curve_of_one(ranks):
    model = gpt()
    expected = fit(model, text(64), **RUN)
    assert len(expected) == STEPS and expected[0] - expected[-1] > 0.5
    for got in ranks:
        torch.testing.assert_close(got["losses"], expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(got["parameters"], list(model.parameters()), rtol=0, atol=1e-4)
        assert got["seen"] == [1]
        assert 0 < (got["bfloat16"] - expected).abs().max() < 0.05
    assert torch.equal(ranks[0]["losses"], ranks[1]["losses"])
    assert all(torch.equal(p, q) for p, q in zip(ranks[0]["parameters"], ranks[1]["parameters"], strict=True))


def test_law_ranks_resume_one_file_and_only_rank_0_writes(ranks, folder):
    whole = gpt()
    expected = fit(whole, text(64), **RUN)
    assert (folder / "own-0").exists() and not (folder / "own-1").exists()
    for got in ranks:
        losses, parameters = got["resumed"]
        torch.testing.assert_close(losses, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(parameters, list(whole.parameters()), rtol=0, atol=1e-4)
        assert got["apart"] == f"checkpoint holds [{STEPS}, 0] steps on the ranks: all must read the same file"
    model = gpt()  # one process goes on from the file of two
    torch.testing.assert_close(fit(model, text(64), checkpoint=folder / "shared", **RUN), expected, rtol=0, atol=1e-5)


def test_law_a_nan_on_one_rank_stops_all_at_the_same_step(ranks, folder):
    assert all("the loss is nan at step 13, epoch 2" in got["nan"] for got in ranks)
    assert all(got["nan"].endswith("nan keeps step 10") for got in ranks)
    assert len(fit(gpt(), text(64), checkpoint=folder / "nan", **RUN)) == STEPS


def test_law_a_batch_that_ranks_cannot_share_is_refused(ranks):
    assert all(got["odd"] == "batch_tokens gives 5 windows a batch: must be a multiple of the 2 ranks" for got in ranks)
