"""Collapse against weight decay: networks."""

import dataclasses
import math
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from published import drawn

from nclib import data, results
from nclib.experiments.tirer2023 import (
    regularization,
    regularization_network,
    regularization_views,
)
from nclib.plotting import regularization as regularization_figures

DECAY = regularization_network.Config("digits", 4, "mlp-bn", "mse", 1e-2, "baseline", epochs=6, drop=4, lr=0.05, seed=0)


def test_value_decays_of_a_setting():
    model = regularization_network.build(DECAY, torch.zeros(2, 1, 8, 8))
    groups = regularization_network.decays(dataclasses.replace(DECAY, setting="2x features"), model)
    assert [group["weight_decay"] for group in groups] == [2e-2, 1e-2]
    count = sum(p.numel() for group in groups for p in list(group["params"]))
    assert count == sum(p.numel() for p in model.parameters())
    groups = regularization_network.decays(dataclasses.replace(DECAY, setting="0 last layer"), model)
    assert [group["weight_decay"] for group in groups] == [1e-2, 0]
    assert list(groups[1]["params"]) == [model.head.weights[0]]


@pytest.mark.parametrize("model", ["mlp", "mlp-bn", "resnet18"])
@pytest.mark.parametrize("loss, biases", [("mse", 0), ("cross-entropy", 10)])
def test_value_only_cross_entropy_has_a_bias(model, loss, biases):
    net = regularization_network.build(dataclasses.replace(DECAY, model=model, loss=loss), torch.zeros(2, 3, 8, 8))
    assert (0 if net.head.bias is None else net.head.bias.numel()) == biases
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    assert bool(norms) == (model != "mlp")


def test_law_settings_start_alike_and_part():
    first, last = [], []
    for setting in regularization_network.SETTINGS:
        nc1 = regularization_network.run(dataclasses.replace(DECAY, setting=setting)).query("metric == 'nc1'")
        first.append(nc1["value"].iloc[0])
        last.append(nc1["value"].iloc[-1])
    assert len(set(first)) == 1 and len(set(last)) == 5


def test_oracle_ratio_of_the_error():
    """Of an untrained network, from its logits."""
    model = regularization_network.build(DECAY, torch.zeros(2, 1, 8, 8))
    images = data.subset(data.load("digits"), (4,) * 10)
    with torch.no_grad():
        expected = float((model(images.x).argmax(1) != images.y).double().mean())
        assert float(regularization_network.measures(model, images.x, images.y)["error"]) == pytest.approx(expected)


def effects_table(changes):
    """Final NC1, NC2 and errors of the batch-norm groups with given factors over the baseline."""
    rows = [
        {"model": "mlp-bn", "lam": 2e-3, "loss": loss, "seed": s, "setting": name, "step": 100, "metric": metric}
        | {"value": (s + 1) * factor if metric != "error" else 0.0}
        for loss in regularization.LOSSES
        for s in range(3)
        for name, factor in changes.items()
        for metric in ("nc1", "nc2", "error")
    ]
    return pd.DataFrame(rows)


def verdicts(table):
    found = {row["id"].split(".", 2)[2]: row for row in regularization.claims(table)}
    assert len(found) == 17
    return found


def test_value_claims_on_effects():
    """The baseline's seed cancels: |log 0.5| - |log 0.9| and so on; a change of sign fails its claim and no other."""
    agree = {"baseline": 1.0, "2x last layer": 0.9, "2x features": 0.5, "0 last layer": 1.1, "0 features": 3.0}
    found = verdicts(effects_table(agree))
    assert {row["verdict"] for row in found.values()} == {"holds"}
    assert found["bn.mse.nc1.double-matters"]["ours"] == pytest.approx(math.log(2) - math.log(1 / 0.9))
    assert found["bn.ce.nc2.zero-raises"]["ours"] == pytest.approx(math.log(3))
    turned = verdicts(effects_table(agree | {"2x features": 2.0}))
    failed = {name for name, row in turned.items() if row["verdict"] == "fails"}
    assert failed == {f"bn.{loss}.{metric}.double-lowers" for loss in ("mse", "ce") for metric in ("nc1", "nc2")}
    small = verdicts(effects_table(agree | {"0 features": 1.05}))
    assert {name.split(".")[-1] for name, row in small.items() if row["verdict"] == "fails"} == {
        "zero-matters",
        "zero-raises",
    }
    table = effects_table(agree)
    unfitted = table.assign(value=table["value"].where(table["metric"] != "error", 0.02))
    assert {row["verdict"] for row in verdicts(unfitted).values()} == {"not at this scale"}


@pytest.mark.parametrize("profile", results.PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    configs = regularization.runs(profile, seed=5)
    assert len({results.key(config) for config in configs}) == len(configs)
    assert {c.seed for c in configs} == ({5} if profile == "smoke" else {5, 6, 7}) and "paper" in regularization.COST
    assert {regularization_network.needs_gpu(config) for config in configs} == {profile == "paper"}


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        regularization.runs("huge")


def test_value_overrides():
    short = regularization.runs("laptop", epochs=350, samples=3)[0]
    assert (short.epochs, short.drop, short.samples) == (350, 280, 3)


@pytest.mark.data
def test_the_paper_profile_runs(monkeypatch, few_images):
    """The first run of the paper's setting on real CIFAR-10, with few images and one epoch."""
    monkeypatch.setattr(regularization_network, "load", lambda *_: few_images)
    regularization_network.images.cache_clear()
    config = dataclasses.replace(regularization.runs("paper")[0], samples=2, epochs=1, batch_size=10, drop=1)
    found = regularization_network.run(config, "cpu")
    assert found["value"].notna().all() and {"nc1", "nc1_trace_ratio", "error"} <= set(found["metric"])


FIGURES = [
    (regularization_figures.curves, regularization_views.curves, {}),
    (regularization_figures.effects, regularization_views.effects, {"metric": "nc1"}),
    (regularization_figures.effects, partial(regularization_views.effects, metric="nc2"), {"metric": "nc2"}),
]


def test_figures_and_claims_of_the_smoke_profile(store):
    rows = results.table(regularization, "smoke")
    judged = regularization.claims(rows)
    assert len({row["id"] for row in judged}) == len(judged) >= 12
    assert {row["verdict"] for row in judged} == {"not at this scale"}
    for draw, view, options in FIGURES:
        made = drawn(draw, view(rows), **options)
        assert all(axis.get_xlabel() for axis in made.axes[-2:])
        plt.close(made)


def test_archived_runs_get_panels_of_their_own():
    table = effects_table(dict.fromkeys(regularization_network.SETTINGS, 1.0))
    rows = regularization_views.effects(table, table.assign(model="resnet18", lam=5e-4))
    made = drawn(regularization_figures.effects, rows, metric="nc1")
    titles = [axis.get_title() for axis in made.axes]
    assert len(titles) == 4 and titles[-1] == "ResNet-18, CE, $\\lambda = 0.0005$"
    plt.close(made)
