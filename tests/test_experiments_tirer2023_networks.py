"""Collapse against depth and against weight decay: networks, and the two exact models of depth."""

import dataclasses
import math
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F

from nclib import data, results
from nclib.experiments.tirer2023 import (
    depth,
    depth_chain,
    depth_network,
    depth_views,
    regularization,
    regularization_network,
    regularization_views,
)
from nclib.plotting import depth as depth_figures
from nclib.plotting import regularization as regularization_figures
from nclib.training import seed_everything

NET = depth_network.Config("digits", 6, 3, 16, 1e-3, layerwise=True, epochs=25, lr=1e-2, seed=0)
CHAIN = depth_chain.Config(3, 4, 5, 0.5, 0.2, beta=2.0, layers=4, noise=1e-3, coupling="chain", seeds=(0, 1))
DECAY = regularization_network.Config("digits", 4, "mlp-bn", "mse", 1e-2, "baseline", epochs=6, drop=4, lr=0.05, seed=0)


def stored(config, module):
    """The table of one run with the columns that the store adds."""
    found = module.run(config, "cpu")
    seed = {"seed": config.seed} if hasattr(config, "seed") else {}
    name = module.__name__.removeprefix("nclib.experiments.")
    found = found.assign(experiment=name, config="run", **seed)
    return results._with_fields(found[results.SCHEMA], config)


@pytest.mark.parametrize("noise", [1e-3, None])
def test_law_a_chain_is_one_layer_and_a_straight_line(noise):
    table = stored(dataclasses.replace(CHAIN, noise=noise), depth_chain)
    for metric in ("single_layer", "straight_line"):
        assert table[table["metric"] == metric]["value"].max() < 1e-6


def test_attainment_the_chain_is_stationary_in_the_objective_as_written():
    config = dataclasses.replace(CHAIN, noise=None)
    y = torch.arange(3).repeat_interleave(4)
    starts = torch.stack([depth_chain.start(config, seed) for seed in config.seeds])
    path = depth_chain.chain(config, starts, y)[1]
    Y = F.one_hot(y, 3).double()

    def value(H):
        last = H[-1]
        W = torch.linalg.solve(last.T @ last + 4 * config.lam_W * torch.eye(5, dtype=H.dtype), last.T @ Y).T
        ties = torch.cat([path[:1], H]).diff(dim=0).square().sum()
        fit = (last @ W.T - Y).square().sum() + 4 * config.lam_W * W.square().sum()
        return (fit + config.lam_H * last.square().sum() + config.beta * ties) / 24

    H = path[1:].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(H), H)
    assert gradient.abs().max() < 1e-9 and value(H) < 0.95 * value(path[:1].expand(4, -1, -1))


def test_value_attenuation_in_depth():
    """r = s/beta = sqrt(0.4)/2: (1 + r)^-2l layer by layer; the chain halfway is ((1 + e)/2)^2 with e = 1/(1 + 4 r)."""
    r = math.sqrt(0.2 / 0.5) / 2
    layerwise = dataclasses.replace(CHAIN, coupling="layerwise")
    assert depth_chain.attenuation(layerwise, 3) == pytest.approx((1 + r) ** -6)
    assert depth_chain.attenuation(CHAIN, 4) == pytest.approx((1 + 4 * r) ** -2)
    assert depth_chain.attenuation(CHAIN, 2) == pytest.approx(((1 + 1 / (1 + 4 * r)) / 2) ** 2)


@pytest.mark.parametrize("coupling", ["layerwise", "chain"])
def test_law_nc1_in_depth_near_collapse(coupling):
    table = stored(dataclasses.replace(CHAIN, coupling=coupling), depth_chain)
    measured, law = (depth.by_layer(table, "nc1", source) for source in ("measured", "theory"))
    assert measured.shape == (2, 5)
    np.testing.assert_allclose(measured, law, rtol=1e-3)
    assert (np.abs(depth.successive(table) - 1) > 0.05).all()


def table_of_nc1(values):
    return pd.DataFrame(
        {"seed": 0, "layer": [str(layer) for layer in range(len(values))], "metric": "nc1", "value": values}
    ).assign(source="measured")


def test_value_successive_correlations_and_evenness():
    """From layer 1 on 8, 4, 2, 1 is geometric; 8, 4, 3, 2.25 decays in its upper half log(4/3)/log(2) times as much."""
    even = table_of_nc1([100.0, 8, 4, 2, 1, 0.5])
    assert depth.successive(even).tolist() == [pytest.approx([0.08, 0.5, 0.5, 0.5, 0.5])]
    assert depth.correlations(even) == [pytest.approx(-1)] and depth.evenness(even).tolist() == [pytest.approx(1)]
    uneven = table_of_nc1([100.0, 16, 8, 4, 3, 2.25])
    assert depth.evenness(uneven).tolist() == [pytest.approx(math.log(4 / 3) / math.log(2))]
    assert depth.correlations(uneven)[0] > -0.99


@pytest.mark.parametrize("layerwise", [True, False])
def test_oracle_collapse_of_each_layer(layerwise):
    """The trace ratio of every layer from a forward pass written out, for a network trained for one epoch."""
    config = dataclasses.replace(NET, layerwise=layerwise, epochs=1)
    table = depth_network.run(config)
    measured = table[table["metric"] == "nc1_trace_ratio"]["value"].tolist()
    generator = seed_everything(0)
    images = data.subset(data.load("digits"), (6,) * 10)
    x, y, expected = images.x.flatten(1), images.y, []
    if layerwise:
        for _ in range(3):
            model = depth_network.MLP(x.shape[1], 16, 1, 10)
            depth_network.fit(config, model, x, y, generator)
            expected.append(x)
            x = (x @ model.backbone[1].weight.T + model.backbone[1].bias).relu().detach()
    else:
        model = depth_network.MLP(64, 16, 3, 10)
        depth_network.fit(config, model, x, y, generator)
        for layer in (1, 3, 5):
            expected.append(x)
            x = (x @ model.backbone[layer].weight.T + model.backbone[layer].bias).relu().detach()
    for H, value in zip([*expected, x], measured, strict=True):
        means = torch.stack([H[y == k].double().mean(0) for k in range(10)])
        between = (means - means.mean(0)).square().sum() / 10
        assert value == pytest.approx(float((H - means[y]).square().sum() / len(y) / between), rel=1e-4)


def test_a_layer_is_trained_on_frozen_ones_and_learns():
    table = depth_network.run(dataclasses.replace(NET, width=64, epochs=200))
    errors = table[table["metric"] == "error"]
    assert errors["layer"].tolist() == ["1", "2", "3"] and errors["value"].max() <= 0.05
    assert depth_network.run(NET).equals(depth_network.run(NET))
    assert not depth_network.run(NET).equals(depth_network.run(dataclasses.replace(NET, seed=1)))


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


@pytest.mark.parametrize("study", [depth, regularization])
@pytest.mark.parametrize("profile", results.PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(study, profile):
    configs = study.runs(profile, seed=5)
    assert len({results.key(config) for config in configs}) == len(configs)
    seeds = {s for c in configs for s in (c.seeds if isinstance(c, depth_chain.Config) else (c.seed,))}
    assert seeds == ({5} if profile == "smoke" else {5, 6, 7}) and "paper" in study.COST
    modules = [results.experiment(config)[0] for config in configs]
    gpu = {m.needs_gpu(c) for m, c in zip(modules, configs, strict=True) if hasattr(m, "needs_gpu")}
    assert gpu == {profile == "paper"}


@pytest.mark.parametrize("study", [depth, regularization])
def test_an_unknown_profile_is_refused(study):
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        study.runs("huge")


def test_value_overrides():
    assert {c.data for c in depth.runs("laptop", data="fashion-mnist")[:6]} == {"fashion-mnist"}
    net, *_, model = depth.runs("smoke", layers=4, lam=0.1, beta=9.0)
    assert (net.layers, net.lam, net.data, model.beta) == (4, 0.1, "digits", 9.0)
    with pytest.raises(ValueError, match=r"^layers = 2: must be at least 3"):
        depth.runs("smoke", layers=2)
    short = regularization.runs("laptop", epochs=350, samples=3)[0]
    assert (short.epochs, short.drop, short.samples) == (350, 280, 3)


@pytest.mark.data
@pytest.mark.parametrize("name", ["depth", "regularization"])
def test_the_paper_profile_runs(name, monkeypatch):
    """The first run of the paper's setting on real CIFAR-10, with few images and one epoch."""
    study = {"depth": depth, "regularization": regularization}[name]
    module = {"depth": depth_network, "regularization": regularization_network}[name]
    try:
        images = data.subset(data.load("cifar10", "test"), [3] * 10)
    except data.DataError as error:
        pytest.skip(f"no CIFAR-10: {error}")
    monkeypatch.setattr(module, "load", lambda *_: images)
    regularization_network.images.cache_clear()
    config = dataclasses.replace(study.runs("paper")[0], samples=2, epochs=1, batch_size=10)
    config = dataclasses.replace(config, **({"width": 24, "layers": 2} if name == "depth" else {"drop": 1}))
    found = module.run(config, "cpu")
    assert found["value"].notna().all() and {"nc1", "nc1_trace_ratio", "error"} <= set(found["metric"])


FIGURES = {
    depth: [(getattr(depth_figures, name), getattr(depth_views, name), {}) for name in ("layers", "ratios", "models")],
    regularization: [
        (regularization_figures.curves, regularization_views.curves, {}),
        (regularization_figures.effects, regularization_views.effects, {"metric": "nc1"}),
        (regularization_figures.effects, partial(regularization_views.effects, metric="nc2"), {"metric": "nc2"}),
    ],
}


@pytest.mark.parametrize("study", FIGURES)
def test_figures_and_claims_of_the_smoke_profile(study, store):
    rows = results.table(study, "smoke")
    judged = study.claims(rows)
    assert len({row["id"] for row in judged}) == len(judged) >= 12
    assert {row["verdict"] for row in judged} == {"not at this scale"}
    for draw, view, options in FIGURES[study]:
        made = drawn(draw, view(rows), **options)
        assert all(axis.get_xlabel() for axis in made.axes[-2:])
        plt.close(made)


def test_archived_runs_get_panels_of_their_own():
    rows = pd.concat(
        [stored(dataclasses.replace(NET, epochs=1, layerwise=mode), depth_network) for mode in (True, False)]
    )
    tables = rows, rows.assign(value=0.0), rows.assign(data="cifar10"), pd.DataFrame(columns=results.SCHEMA)
    made = drawn(depth_figures.layers, depth_views.layers(*tables))
    assert all(line.get_ydata().min() > 0 for line in made.axes[0].lines), "a data set is drawn from its first table"
    assert [axis.get_title() for axis in made.axes] == ["digits", "digits", "CIFAR-10", "CIFAR-10"]
    plt.close(made)
    table = effects_table(dict.fromkeys(regularization_network.SETTINGS, 1.0))
    rows = regularization_views.effects(table, table.assign(model="resnet18", lam=5e-4))
    made = drawn(regularization_figures.effects, rows, metric="nc1")
    titles = [axis.get_title() for axis in made.axes]
    assert len(titles) == 4 and titles[-1] == "ResNet-18, CE, $\\lambda = 0.0005$"
    plt.close(made)
