"""Page 00: a network trained beyond zero training error."""

import dataclasses

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from published import drawn

from nclib import data
from nclib.evidence.claims import judge_all
from nclib.models import ConvNet
from nclib.pages.original import figures, network, views
from nclib.pages.original.claims import HEADLINES
from nclib.pages.original.network import Network
from nclib.pages.original.quoted import quoted
from nclib.pages.original.study import STUDY
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


def test_oracle_a_run_that_is_killed_goes_on(store, monkeypatch):
    """After the terminal phase has begun, and before: the table is that of a run that was never stopped."""
    whole, measures, calls = NET.run(), network.measures, []
    monkeypatch.setattr("nclib.training.checkpoint.SECONDS", 0.0)
    monkeypatch.setattr("nclib.training.LOOK", 1)

    def killed(*args):
        calls.append(1)
        if len(calls) in (3, 10, 16):
            raise KeyboardInterrupt
        return measures(*args)

    monkeypatch.setattr(network, "measures", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            NET.run()
    assert len(calls) == 16
    pd.testing.assert_frame_equal(NET.run(), whole, check_exact=True)


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


def toy():
    """A table of two networks that fit after epochs 2 and 4 of 8: every metric is 8 at first, 4 at that epoch and 1 at
    the end; a little more for the second network."""
    kinds = [("nc1", "", ""), ("nc3", "", "")]
    kinds += [
        (metric, of, "")
        for metric in ("equinorm_cv", "cosine_std", "equiangularity")
        for of in ("means", "classifiers")
    ]
    kinds += [(metric, "", split) for metric in ("error", "loss", "ncc_disagreement") for split in ("train", "test")]
    found = []
    for seed, begin in enumerate((2, 4)):
        at = {"seed": seed, "part": "digits", "beside": "", "run": f"run{seed}", "experiment": Network.NAME}
        epochs = {0: 8, begin: 4, 8: 1}
        found += [
            {"metric": metric, "vectors": of, "split": split, "epoch": epoch, "value": value * (1 + seed / 64)} | at
            for metric, of, split in kinds
            for epoch, value in epochs.items()
        ]
        found.append(
            {"metric": "terminal_epoch", "vectors": "", "split": "", "epoch": begin, "value": float(begin)} | at
        )
    return pd.DataFrame(found)


def test_value_claims_of_a_toy_table():
    judged = judge_all(HEADLINES, toy()).set_index("id")
    ratios = [name for name in judged.index if judged["log"][name]]
    assert len(ratios) == 9 and all(judged["values"][name] == pytest.approx([0.25, 0.25]) for name in ratios)
    assert judged["values"]["papyan2020.terminal.error"] == [1, 65 / 64] == judged["values"]["papyan2020.ncc.train"]
    assert judged["values"]["papyan2020.ncc.test"] == [-3, -195 / 64] == judged["values"]["papyan2020.test-error"]
    assert judged["values"]["papyan2020.share"] == pytest.approx([2 / 3, 2 / 3])
    failed = {"papyan2020.terminal.error", "papyan2020.ncc.train"}
    assert set(judged.index[judged["verdict"] != "holds"]) == failed


def test_claims_need_networks_that_fit():
    """One that does not makes all claims "not at this scale", and of another part none is judged."""
    table = toy()
    unfitted = table[(table["metric"] != "terminal_epoch") | (table["seed"] == 0)]
    assert set(judge_all(HEADLINES, unfitted)["verdict"]) == {"not at this scale"}
    other = table.assign(part="other", value=99.0, seed=table["seed"])
    both = pd.concat([table, other], ignore_index=True)
    assert judge_all(HEADLINES, both)["values"].tolist() == judge_all(HEADLINES, table)["values"].tolist()


def test_value_quoted():
    said = quoted(toy())
    assert (said["begin-least"], said["begin-most"], said["epochs"]) == ("2", "4", "8")
    assert (said["nc3-first"], said["nc3-last"], said["share"], said["test-change"]) == ("4.03", "1.01", "67%", "falls")
    table = toy()
    unfitted = quoted(table[table["metric"] != "terminal_epoch"])
    assert (unfitted["begin-least"], unfitted["nc3-first"], unfitted["nc3-last"]) == ("–", "–", "1.01")
    assert set(unfitted) == set(said) and all(unfitted.values())


def test_value_curves_at_common_epochs():
    rows = views.curves(toy(), "nc1", "error")
    assert sorted(rows["epoch"].unique()) == [0, 8] and set(rows["begin"]) == {2.0, 4.0}
    assert set(rows["line"]) == {"", "training images", "test images"}


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs) == {"smoke": 1, "laptop": 9, "paper": 6}[profile]
    assert {run.seed for run in runs} == set(range(5, 5 + {"smoke": 1, "laptop": 9, "paper": 3}[profile]))
    assert {run.needs_gpu() for run in runs} == {profile == "paper"}
    assert {run.drops for run in runs} == {{"smoke": (10, 20), "laptop": (33, 66), "paper": (116, 233)}[profile]}


def test_value_overrides():
    (run, *_) = STUDY.runs("laptop", data="fashion-mnist", epochs=9, weight_decay=0.0)
    assert (run.data, run.epochs, run.drops, run.weight_decay) == ("fashion-mnist", 9, (3, 6), 0.0)
    assert {run.data for run in STUDY.runs("paper", data="cifar10")} == {"cifar10"}
    with pytest.raises(ValueError, match=r"^data = 'cifar10': must be one of digits, fashion-mnist at profile laptop$"):
        STUDY.runs("laptop", data="cifar10")
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")


@pytest.mark.data
@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_the_paper_profile_runs(name, monkeypatch):
    """The first run of the paper's setting on real images, with few of them and one epoch."""
    try:
        images = data.subset(data.load(name, "test"), [3] * 10)
    except data.DataError as error:
        pytest.skip(f"no {name}: {error}")
    monkeypatch.setattr(network, "load", lambda *_: images)
    network.images.cache_clear()
    run = dataclasses.replace(STUDY.runs("paper", data=name)[0], samples=2, epochs=1, batch_size=10, drops=())
    found = run.run("cpu")
    network.images.cache_clear()
    assert found["value"].notna().all() and {"nc1", "nc3", "ncc_disagreement"} <= set(found["metric"])


def test_figures_and_claims_of_the_smoke_profile(store):
    table = STUDY.table("smoke")
    judged = judge_all(HEADLINES, table)
    assert len(judged) == 14 and "not at this scale" not in set(judged["verdict"])
    beside = pd.concat([table, table.assign(part="more", run="more")], ignore_index=True)
    made = drawn(figures.curves, views.curves(beside, *figures.AXES))
    assert [axis.get_title() for axis in made.axes[:2]] == ["digits", "more"] and len(made.axes) == 16
    assert all(axis.lines for axis in made.axes)
    plt.close(made)
