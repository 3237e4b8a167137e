"""A run that is killed and goes on is the run that was never stopped; a file that does not fit is named, not used."""

import threading

import pandas as pd
import pytest
import torch

from nclib.models import MLP
from nclib.runs.experiment import rows
from nclib.training import checkpoint, seed_everything, train

LABELS = torch.arange(50) % 5


class Killed(Exception):
    pass


def trained(path, *, kill_at=None, batch_size=12, identity=None, optimizer=torch.optim.Adam):
    """(values, parameters, rows) of a small network with batch normalization and a rate that falls."""
    generator = seed_everything(3)
    model, found = MLP(20, 16, 2, 5, 2, batch_norm=True, bias_last=True), []
    updates = 1 if batch_size is None else 5
    x = torch.randn(50, 20)
    chosen = optimizer(model.parameters(), lr=1e-2, **{"momentum": 0.9} if optimizer is torch.optim.SGD else {})
    schedule = torch.optim.lr_scheduler.MultiStepLR(chosen, [4, 11], 0.1)

    def record(step, model):
        if step == kill_at:
            raise Killed
        logits = model(x)
        found.append(rows({"mean": logits.double().mean(0)}, "class", epoch=step // updates))

    values = train(
        model,
        x,
        LABELS,
        optimizer=chosen,
        epochs=16,
        batch_size=batch_size,
        schedule=schedule,
        generator=generator,
        evaluate=record,
        evaluate_at=range(0, 16 * updates + 1, updates),
        checkpoint=None if path is None else checkpoint.Checkpoint(path, identity or {"key": "a"}, found),
        lam_W=1e-3,
    )
    return values, torch.cat([p.detach().flatten() for p in model.state_dict().values()]), pd.concat(found)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("batch_size", [None, 12])
def test_oracle_ten_kills_change_nothing(monkeypatch, tmp_path, batch_size, optimizer):
    """Bit for bit: values, parameters, running means and recorded rows."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr("nclib.training.LOOK", 1)
    path, updates = tmp_path / "run.safetensors", 1 if batch_size is None else 5
    for kill in (1, 2, 2, 3, 5, 6, 9, 12, 14, 15):
        with pytest.raises(Killed):
            trained(path, kill_at=kill * updates, batch_size=batch_size, optimizer=optimizer)
    resumed = trained(path, batch_size=batch_size, optimizer=optimizer)
    whole = trained(None, batch_size=batch_size, optimizer=optimizer)
    assert torch.equal(resumed[0], whole[0]) and torch.equal(resumed[1], whole[1])
    pd.testing.assert_frame_equal(resumed[2], whole[2], check_exact=True)
    assert len(whole[2]) == 17 * 5 and len(set(whole[2]["value"])) > 60


def test_value_a_file_of_another_run_or_a_damaged_one_is_named_and_left(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr("nclib.training.LOOK", 1)
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        trained(path, kill_at=25, identity={"key": "a", "code": "1"})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"run.safetensors is of another run, by its code; remove it to start again"):
        trained(path, identity={"key": "a", "code": "2"})
    assert path.read_bytes() == before
    middle = len(before) - 40
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    with pytest.raises(ValueError, match=r"run.safetensors: damaged or none of this library's"):
        trained(path, identity={"key": "a", "code": "1"})
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        trained(path, identity={"key": "a", "code": "1"})


@pytest.fixture
def asking(monkeypatch):
    """`checkpoint.ask`, that of this test alone."""
    monkeypatch.setattr(checkpoint, "_ASKED", threading.Event())
    return checkpoint.ask


def test_law_a_run_that_is_asked_to_end_keeps_the_epoch_it_is_in(asking, tmp_path, monkeypatch):
    """No minute has passed; the state is that of the end of epoch 7, which began when it was asked."""
    path, before = tmp_path / "run.safetensors", torch.optim.Adam.step
    calls = []

    def step(self):
        calls.append(before(self))
        if len(calls) == 31:
            asking()

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(SystemExit):
        trained(path)
    assert len(calls) == 35
    checkpoint._ASKED.clear()
    resumed = trained(path)
    assert len(calls) == 80
    whole = trained(None)
    assert torch.equal(resumed[0], whole[0]) and torch.equal(resumed[1], whole[1])
    pd.testing.assert_frame_equal(resumed[2], whole[2], check_exact=True)


def test_law_rows_of_both_stores_come_back_as_they_were(tmp_path):
    old = pd.DataFrame({"seed": [1, 2], "layer": ["", "W1"], "value": [0.1 + 0.2, float("nan")]})
    new = rows({"a": [1 / 3, float("inf")], "b": 1e-300}, "class", split="train", theory={"a": [0.5, float("nan")]})
    kept = checkpoint.Checkpoint(tmp_path / "x", {}, [old, new])
    kept.save({"w": torch.arange(3)})
    again = checkpoint.Checkpoint(tmp_path / "x", {}, [])
    assert torch.equal(again.load()["w"], torch.arange(3))
    for table, read in zip((old, new), again.rows, strict=True):
        pd.testing.assert_frame_equal(table, read, check_exact=True)
