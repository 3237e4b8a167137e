"""Page 15, networks with mixup: what is measured on features of the theorem, the runs, the claims, the figures."""

import dataclasses

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.frames import simplex_etf
from nclib.pages.mixup_networks import claims, figures, views
from nclib.pages.mixup_networks.claims import HEADLINES, MIXUP, PLAIN
from nclib.pages.mixup_networks.descent import mixes, stepper
from nclib.pages.mixup_networks.measures import MIXES, draw, geometry, hidden, layers, picture, temperature
from nclib.pages.mixup_networks.network import Network
from nclib.pages.mixup_networks.quoted import quoted
from nclib.pages.mixup_networks.study import STUDY
from nclib.runs.study import own_runs
from nclib.theory import mixup
from nclib.training import checkpoint, seed_everything

matplotlib.use("agg")
DATA = ("digits", "fashion-mnist", "cifar10")


@pytest.fixture(scope="module")
def table(smoke_table):
    return smoke_table(STUDY)


def ideal(lam_H=0.02):
    """Features of the theorem for ten classes: {kind: {mix: (N, d)}}, their labels, W and the means."""
    W = 2 * simplex_etf(10, 12)
    i = torch.arange(10).repeat(3)
    j = (i + torch.tensor([1, 2, 5]).repeat_interleave(10)) % 10
    features = {
        "different": {mix: mixup.feature(W, i, j, mix, lam_H) for mix in MIXES},
        "same": {mix: mixup.feature(W, i, i, mix, lam_H) for mix in MIXES},
    }
    means = mixup.feature(W, torch.arange(10), torch.arange(10), 1.0, lam_H)
    return features, {"different": [i, j], "same": [i, i]}, means, W


def test_value_geometry_of_the_theorem():
    features, labels, means, W = ideal()
    found = list(geometry(features, labels, means, W, torch.full((10,), 3.0).double()))
    values, theory = (found[0].set_index("metric")[column] for column in ("value", "theory"))
    a = 4 * 10 / (9 * 0.02)
    assert values["fit_a"] == pytest.approx(a, rel=1e-4) and values["fit_error"] < 1e-5
    assert values["alignment"] == pytest.approx(1) and values["span"] == pytest.approx(1)
    for metric in ("amplification", "slope", "logit_same"):
        assert values[metric] == pytest.approx(theory[metric], rel=1e-5)
    assert values["amplification"] == pytest.approx(float(mixup.amplification(10, a)))
    logits = pd.concat(found[1:])
    assert len(logits) == 15 and np.allclose(logits["value"], logits["theory"], rtol=1e-4)


def test_value_picture_has_its_corners():
    features, labels, _, W = ideal()
    rows = pd.concat(picture(features, labels, W))
    wide = rows.pivot(index=["kind", "mix", "point"], columns="metric", values="value").reset_index()
    corners = wide[wide["kind"] == "classifier"][["x", "y"]].to_numpy()
    assert corners == pytest.approx(views.CORNERS, abs=1e-9)
    same = wide[wide["kind"] == "same"][["x", "y"]].to_numpy()
    assert np.abs(same[:, None] - views.CORNERS).sum(2).min(1) == pytest.approx(0, abs=1e-9)
    even = wide[(wide["kind"] == "different") & (wide["mix"] == 0.5)]
    ratio = float(mixup.amplification(10, 4 * 10 / (9 * 0.02))) / (16 / 9) ** 0.5
    assert len(even) and np.hypot(even["x"], even["y"]).to_numpy() == pytest.approx(ratio, abs=1e-9)


def test_law_pairs_are_of_two_classes_or_of_one():
    y = torch.arange(200) % 10
    pairs = draw(y, 50, torch.Generator().manual_seed(0))
    assert (y[pairs["different"][0]] != y[pairs["different"][1]]).all() and len(pairs["different"][0]) == 50
    assert (y[pairs["same"][0]] == y[pairs["same"][1]]).all() and len(pairs["same"][1]) == 50
    with pytest.raises(ValueError, match="count = 50: too few pairs"):
        draw(torch.arange(1000), 50, torch.Generator().manual_seed(0))


def test_value_temperature():
    """Logits of labels that are drawn from their softmax, tripled."""
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(20000, 4, generator=generator, dtype=torch.float64)
    y = torch.multinomial(Z.softmax(1), 1, generator=generator)[:, 0]
    assert temperature(3 * Z, y) == pytest.approx(3, rel=0.05)


def test_law_a_fixed_frame_stays_and_layers_are_found():
    run = dataclasses.replace(STUDY.runs("smoke")[3], epochs=1)
    assert run.frame == 2
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    torch.manual_seed(0)
    model = run.build(x)
    W = model.head.weights[0].clone()
    run.fit(model, x, y, torch.Generator().manual_seed(0))
    assert torch.equal(W, model.head.weights[0])
    assert torch.allclose(W @ W.T, 4 * 10 / 9 * (torch.eye(10) - 0.1), atol=1e-5)
    model.eval()
    found = hidden(model, x)
    assert [h.shape[1] for h in found] == [256, 256, 256, 64] and torch.equal(found[-1], model.features(x))
    rows = layers(model, x, (torch.arange(30), torch.arange(30, 60)))
    assert rows["layer"].tolist() == [1, 2, 3, 4] and (rows["value"] > 0).all()
    for kind, count in (("convnet", 4), ("resnet18", 9), ("wrn16-4", 7)):
        model = dataclasses.replace(run, model=kind, frame=0.0).build(torch.zeros(1, 3, 8, 8)).eval()
        found = hidden(model, torch.randn(2, 3, 8, 8))
        assert len(found) == count and found[-1].ndim == 2
    with pytest.raises(ValueError, match="model = 'tree': must be one of mlp, convnet, resnet18, wrn16-4"):
        dataclasses.replace(run, model="tree").build(x)


def test_law_mixing_of_labels():
    """alpha = 0 is plain training: the loss of a network that knows its labels goes to 0; with mixup it cannot."""
    x = 3 * torch.eye(10).repeat(10, 1).view(100, 1, 2, 5)
    y, reached = torch.arange(10).repeat(10), {}
    for alpha in (0.0, 1.0):
        run = dataclasses.replace(STUDY.runs("smoke")[0], alpha=alpha, epochs=20)
        torch.manual_seed(0)
        model = run.build(x)
        run.fit(model, x, y, torch.Generator().manual_seed(0))
        with torch.no_grad():
            reached[alpha] = float(torch.nn.functional.cross_entropy(model(x), y))
    assert reached[0.0] < 0.1 < reached[1.0]


def test_law_runs_are_distinct():
    assert len({run.key() for run in STUDY.runs("smoke")}) == 5
    for data, count in zip(DATA, (15, 21, 21), strict=True):
        runs = STUDY.runs("laptop", data=data, seed=3)
        assert len({run.key() for run in runs}) == count and {run.seed for run in runs} == {3, 4, 5}
        assert not any(run.needs_gpu() for run in runs)
    paper = STUDY.runs("paper")
    assert len({run.key() for run in paper}) == len(paper) == 84 and sum(run.needs_gpu() for run in paper) == 42
    assert {run.model for run in paper[63:]} == {"wrn16-4"} == {paper[63].model}
    assert paper[63:] == STUDY.runs("paper", data="cifar10", model="wrn16-4")
    for data in DATA[1:]:
        assert set(STUDY.runs("laptop", data=data)) < set(paper)
    with pytest.raises(ValueError, match="data = 'cifar10': must be one of digits"):
        STUDY.runs("smoke", data="cifar10")
    with pytest.raises(ValueError, match="model = 'mlp': must be one of resnet18, wrn16-4"):
        STUDY.runs("paper", model="mlp")


def test_value_keys_of_the_archived_runs():
    """They are for good: of the first run on Fashion-MNIST and of the last on CIFAR-10."""
    paper = STUDY.runs("paper")
    assert [paper[21].key(), paper[62].key()] == ["9675b6578cde101d", "29f215855ff3e636"]


def test_value_mixes_of_an_epoch():
    random, generator = np.random.default_rng(3), torch.Generator().manual_seed(3)
    batches = mixes(10, 4, 1.0, random, generator)
    assert [tuple(batch.shape) for batch in batches] == [(4, 3), (4, 3), (2, 3)]
    assert torch.cat(batches)[:, 0].sort().values.tolist() == list(range(10))
    again = np.random.default_rng(3)
    for batch in batches:
        assert batch[:, 1].sort().values.equal(batch[:, 0].sort().values)
        assert set(batch[:, 2].tolist()) == {again.beta(1.0, 1.0)}
    assert set(torch.cat(mixes(10, 4, 0.0, random, generator))[:, 2].tolist()) == {1.0}


def test_value_a_step_by_hand():
    """z = W x on three images in the plane, of which the first and the third are mixed by 3/4."""
    model = torch.nn.Module()
    model.features, model.head = torch.nn.Identity(), torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(model.head.weight), torch.nn.init.zeros_(model.head.bias)
    x, Y = torch.tensor([[4.0, 0.0], [9.0, 9.0], [0.0, 8.0]]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    batch = torch.tensor([[0, 2, 0.75], [2, 0, 0.75]], dtype=torch.float64)  # images (3, 2) and (1, 6)
    for loss, value, W in (
        ("cross-entropy", np.log(2), [[0.25, -0.5], [-0.25, 0.5]]),  # mean of (y - 1/2) x, y = 3/4 and 1/4
        ("mse", (9 + 1) / 16 / 2, [[1.25, 1.5], [0.75, 2.5]]),  # mean of y x
    ):
        model.head.weight.data.zero_(), model.head.bias.data.zero_()
        update = stepper(model, torch.optim.SGD([model.head.weight], 1.0), x, Y, loss)
        assert float(update(batch)) == pytest.approx(value) and model.head.weight.tolist() == W


class Killed(Exception):
    pass


def test_oracle_a_large_run_that_is_killed_goes_on(monkeypatch, tmp_path):
    """Bit for bit: parameters, running means and the generators."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    run = dataclasses.replace(STUDY.runs("paper")[66], epochs=4, batch_size=8)
    x, y = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 10

    def trained(kept):
        generator = seed_everything(0)
        small = run.build(x[:, :1])
        try:
            run.fit(small, x, y, generator, kept)
        except Killed:
            return None
        return torch.cat([v.double().flatten() for v in small.state_dict().values()]), generator.get_state()

    class Mortal(checkpoint.Checkpoint):
        def save(self, tensors):
            super().save(tensors)
            if int(tensors["epochs"]) in (1, 3):
                raise Killed

    def kept():
        return Mortal(tmp_path / "run.safetensors", {"key": run.key()}, [])

    assert trained(kept()) is None and trained(kept()) is None
    for found, whole in zip(trained(kept()), trained(None), strict=True):
        assert torch.equal(found, whole)


def test_value_a_run_that_diverges_says_so():
    run = dataclasses.replace(STUDY.runs("smoke")[2], lr=1e30, epochs=3)
    x, y = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 10
    torch.manual_seed(0)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 2; lower the rate"):
        run.fit(run.build(x), x, y, torch.Generator().manual_seed(0))


def test_value_claims_of_a_toy_table():
    """Two seeds of plain training and mixup, every metric 1 and 2; what is compared elsewhere is missing."""
    rows = []
    for part, value in ((PLAIN, 2.0), (MIXUP, 3.0)):
        for seed in (0, 1):
            at = {"part": part, "seed": seed, "beside": "", "split": "test", "run": f"{part}{seed}"}
            for metric in ("alignment", "span", "amplification", "slope", "fit_error"):
                rows += [at | {"metric": metric, "value": value, "batch_norm": mode} for mode in ("eval", "train")]
            rows += [at | {"metric": metric, "value": value} for metric in ("nc1", "ece", "overconfidence", "accuracy")]
            rows += [at | {"metric": "segment_distance", "layer": k, "value": value * k} for k in (1, 2, 3)]
    judged = judge_all(HEADLINES, pd.DataFrame(rows)).set_index("id")
    values = {name.removeprefix("fisher2024.networks."): found for name, found in judged["values"].items()}
    assert values["slope"] == [0.5, 0.5] and values["predicted"] == [1.5, 1.5] == values["nc1"] == values["ece"]
    assert values["segment"] == [1.5, 1.5] and values["longer"] == [3, 3] and values["longer-plain"] == [2, 2]
    unjudged = set(judged.index[judged["verdict"] == "not at this scale"])
    assert {
        f"fisher2024.networks.{name}" for name in ("bend", "ece-gentle", "ece-calibrated", "fixed-span")
    } <= unjudged


def test_figures_and_claims_of_the_smoke_profile(table):
    judged = judge_all(HEADLINES, table)
    own = judged[judged["beside"] == ""]
    assert len(own) == 20 and all(isinstance(run, Network) for run in STUDY.runs("smoke"))
    unjudged = set(own.loc[own["verdict"] == "not at this scale", "id"].str.removeprefix("fisher2024.networks."))
    calibration = {"ece", "ece-gentle", "ece-calibrated", "temperature", "smoothing"}
    assert {"ece-gentle", "smoothing"} <= unjudged <= calibration
    for name in ("plane", "geometry", "odds", "price", "layers"):
        made = drawn(getattr(figures, name), getattr(views, name)(table))
        assert made.axes[0].get_xlabel()
        plt.close(made)
    assert "–" not in quoted(table).values()
    assert claims.early(own_runs(table), PLAIN).shape == (1,)


def test_value_images_in_the_prose(table):
    """The digits' rows again as those of two data sets; at profile paper names of parts carry the data."""
    own = own_runs(table)
    alone = quoted(own)
    assert alone["images"] == "no other data so far" and alone["images-slope"].startswith("not known")
    assert alone["nc1-order"] == "cannot be compared" and alone["data"] == "digits"
    fashion = own.assign(beside="Fashion-MNIST", data="fashion-mnist", model="convnet")
    large = own.assign(beside="CIFAR-10, WRN-16-4", data="cifar10", model="wrn16-4", part=own["part"] + ", wrn16-4")
    large.loc[large["metric"] == "nc1", "value"] *= 2
    large.loc[large["metric"] == "amplification", "value"] -= 0.5
    both = pd.concat([own, fashion, large])
    found, amp = quoted(both), float(alone["amp-mixup"])
    assert found["images"] == "Fashion-MNIST and CIFAR-10 with WRN-16-4" and found["nc1-order"] == "falls"
    assert found["images-amp-mixup"] == f"{amp:.2f} on Fashion-MNIST and {amp - 0.5:.2f} on CIFAR-10 with WRN-16-4"
    rows = views.scales(both, views.GEOMETRY)
    assert list(rows.index.unique(0)) == ["digits", "Fashion-MNIST", "CIFAR-10, WRN-16-4"]
    assert rows.loc[("digits", MIXUP), "amplification"] == alone["amp-mixup"] and not (rows == "–").any(axis=None)
    assert (
        views.scales(both, views.CALIBRATION).loc[("Fashion-MNIST", "mixup, squared error"), "calibration error"] == "–"
    )
