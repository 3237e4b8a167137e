"""Page 00: a network trained beyond zero training error."""

import dataclasses

import pytest
import torch

from nclib import data
from nclib.models import ConvNet
from nclib.pages.original import network
from nclib.pages.original.network import Network
from nclib.runs import work

NET = Network("digits", 12, "convnet", 30, (20,), 0.05, 5e-4, 16, "float32", 0)


def parts(*samples):
    """(x, y) of the first digits of each class, for each number of them."""
    images = [data.subset(data.load("digits"), (n,) * 10) for n in samples]
    return [(part.x, part.y) for part in images]


def entry(table, metric, **at):
    """The one value of a metric."""
    (value,) = [row.value for row in table.itertuples() if row.metric == metric and at.items() <= row._asdict().items()]
    return value


@torch.no_grad()
def test_oracle_measures_written_out():
    """Of an untrained network with a bias, every number by loops."""
    torch.manual_seed(0)
    model, (train_set, test_set) = ConvNet(10, 4).eval(), parts(5, 7)
    torch.nn.init.normal_(model.head.bias, std=0.3)
    found = network.measures(model, train_set, test_set)
    H, W, b = model.features(train_set[0]).double(), model.head.weights[0].double(), model.head.bias.double()
    means = torch.stack([H[train_set[1] == k].mean(0) for k in range(10)])
    M = means - means.mean(0)
    within = sum(torch.outer(h - means[k], h - means[k]) for h, k in zip(H, train_set[1], strict=True)) / len(H)
    inverse = torch.linalg.pinv(M.T @ M / 10, rtol=1e-10, hermitian=True)
    assert entry(found, "nc1") == pytest.approx(float((within @ inverse).trace()) / 10, rel=1e-8)
    assert entry(found, "nc3") == pytest.approx(float((W / W.norm() - M / M.norm()).norm()))
    for vectors, A in {"means": M, "classifiers": W}.items():
        lengths = A.norm(dim=1)
        assert entry(found, "equinorm_cv", vectors=vectors) == pytest.approx(
            float(lengths.std(correction=0) / lengths.mean())
        )
        cosines = torch.stack([A[j] @ A[k] / lengths[j] / lengths[k] for j in range(10) for k in range(j)])
        assert entry(found, "cosine_mean", vectors=vectors) == pytest.approx(float(cosines.mean()))
        assert entry(found, "cosine_std", vectors=vectors) == pytest.approx(float(cosines.std(correction=0)))
        assert entry(found, "equiangularity", vectors=vectors) == pytest.approx(float((cosines + 1 / 9).abs().mean()))
    for split, (x, y) in {"train": train_set, "test": test_set}.items():
        H = model.features(x).double()
        chosen, nearest = (H @ W.T + b).argmax(1), torch.cdist(H, means).argmin(1)
        share = float((chosen != nearest).double().mean())
        assert 0 < share and entry(found, "ncc_disagreement", split=split) == pytest.approx(share)
        assert entry(found, "error", split=split) == pytest.approx(float((chosen != y).double().mean()))


def test_the_terminal_phase_begins_and_is_measured():
    """The first epochs with few errors and with none are rows; all is measured there; none before is faultless."""
    table = NET.run()
    assert table["value"].notna().all()
    begin = entry(table, "terminal_epoch")
    errors = table.query("metric == 'error' and split == 'train'").set_index("epoch")["value"]
    assert set(errors.index) == network.recorded(30) | {begin, entry(table, "effective_epoch")} and 0 < begin < 30
    assert errors[begin] == 0 and (errors[errors.index < begin] > 0).all()
    nc1 = table.query("metric == 'nc1'").set_index("epoch")["value"]
    assert nc1[30] < nc1[begin] < nc1[0]


def test_a_network_that_does_not_fit_has_no_terminal_phase():
    metrics = set(dataclasses.replace(NET, epochs=1, lr=1e-6).run()["metric"])
    assert not {"terminal_epoch", "effective_epoch"} & metrics and "nc1" in metrics


def test_value_counting_errors_ends_early(monkeypatch):
    monkeypatch.setattr(network, "CHUNK", 3)
    seen = []

    def wrong(x):
        seen.append(len(x))
        return torch.eye(2)[torch.ones(len(x), dtype=torch.int64)]

    y = torch.zeros(10, dtype=torch.int64)
    assert network.misclassified(wrong, torch.zeros(10, 1), y, enough=3) == 6 and sum(seen) == 6
    assert network.misclassified(wrong, torch.zeros(10, 1), y, enough=100) == 10
    assert network.misclassified(wrong, torch.zeros(10, 1), 1 - y, enough=0) == 0


def test_the_rate_drops_and_the_seed_counts():
    short = dataclasses.replace(NET, epochs=2, drops=())
    first = short.run()
    assert first.equals(short.run())
    assert not first.equals(dataclasses.replace(short, seed=1).run())
    assert not first.equals(dataclasses.replace(short, drops=(1,)).run())


def test_what_is_stored_is_what_was_measured(store):
    run = dataclasses.replace(NET, epochs=1)
    measured, stored = run.run(), work.get(run)
    assert stored["value"].tolist() == measured["value"].tolist()
    assert (
        set(stored["split"]) == {"", "train", "test"}
        and stored.query("metric == 'cosine_mean'")["theory"].eq(-1 / 9).all()
    )


def test_an_unknown_model_is_refused_and_a_large_one_needs_a_gpu():
    with pytest.raises(ValueError, match=r"^model = 'vgg': must be one of resnet18, convnet$"):
        dataclasses.replace(NET, model="vgg").run()
    assert dataclasses.replace(NET, model="resnet18").needs_gpu() and not NET.needs_gpu()
    assert list(NET.reads()) == ["digits.csv.gz"]


def test_value_recorded():
    assert {0, 1, 175, 350} <= network.recorded(350) and max(network.recorded(350)) == 350
    assert 18 <= len(network.recorded(350)) <= 24


def test_value_small_convolutional_network():
    """16 (9 + 2) + 32 (144 + 2) + 32 (288 + 2) + 64 (288 + 2) and 650 parameters, features of 64 that are >= 0."""
    model = ConvNet(10)
    assert sum(p.numel() for p in model.parameters()) == 176 + 4672 + 9280 + 18560 + 650
    assert model.features(torch.randn(3, 1, 8, 8)).shape == (3, 64) and model(torch.randn(3, 1, 28, 28)).shape == (
        3,
        10,
    )
    assert model.features(torch.randn(3, 1, 8, 8)).min() >= 0
    with pytest.raises(ValueError, match="width = 0: must be a positive integer"):
        ConvNet(10, 0)
