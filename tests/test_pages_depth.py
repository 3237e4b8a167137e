"""Page 08, collapse against depth: networks, and the two exact models."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F

from nclib import data
from nclib.evidence.claims import judge_all
from nclib.models import MLP
from nclib.pages.depth import figures, network, views
from nclib.pages.depth.chain import Chain
from nclib.pages.depth.claims import HEADLINES, against_power, left
from nclib.pages.depth.network import Network
from nclib.pages.depth.quoted import quoted
from nclib.pages.depth.study import STUDY
from nclib.runs.store import PROFILES
from nclib.training import seed_everything

NET = Network("digits", 6, 3, 16, 1e-3, layerwise=True, epochs=25, lr=1e-2, seed=0)
CHAIN = Chain(3, 4, 5, 0.5, 0.2, beta=2.0, layers=4, noise=1e-3, coupling="chain", seeds=(0, 1))


@pytest.mark.parametrize("noise", [1e-3, None])
def test_law_a_chain_is_one_layer_and_a_straight_line(noise):
    table = dataclasses.replace(CHAIN, noise=noise).run()
    for metric in ("single_layer", "straight_line"):
        assert table[table["metric"] == metric]["value"].max() < 1e-6


def test_attainment_the_chain_is_stationary_in_the_objective_as_written():
    run = dataclasses.replace(CHAIN, noise=None)
    y = torch.arange(3).repeat_interleave(4)
    starts = torch.stack([run.start(seed) for seed in run.seeds])
    path = run.chain(starts, y)[1]
    Y = F.one_hot(y, 3).double()

    def value(H):
        last = H[-1]
        W = torch.linalg.solve(last.T @ last + 4 * run.lam_W * torch.eye(5, dtype=H.dtype), last.T @ Y).T
        ties = torch.cat([path[:1], H]).diff(dim=0).square().sum()
        fit = (last @ W.T - Y).square().sum() + 4 * run.lam_W * W.square().sum()
        return (fit + run.lam_H * last.square().sum() + run.beta * ties) / 24

    H = path[1:].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(H), H)
    assert gradient.abs().max() < 1e-9 and value(H) < 0.95 * value(path[:1].expand(4, -1, -1))


def test_value_attenuation_in_depth():
    """r = s/beta = sqrt(0.4)/2: (1 + r)^-2l layer by layer; the chain halfway is ((1 + e)/2)^2 with e = 1/(1 + 4 r)."""
    r = math.sqrt(0.2 / 0.5) / 2
    layerwise = dataclasses.replace(CHAIN, coupling="layerwise")
    assert layerwise.attenuation(3) == pytest.approx((1 + r) ** -6)
    assert CHAIN.attenuation(4) == pytest.approx((1 + 4 * r) ** -2)
    assert CHAIN.attenuation(2) == pytest.approx(((1 + 1 / (1 + 4 * r)) / 2) ** 2)


@pytest.mark.parametrize("coupling", ["layerwise", "chain"])
def test_law_nc1_in_depth_near_collapse(coupling):
    table = dataclasses.replace(CHAIN, coupling=coupling).run().query("metric == 'nc1'")
    assert len(table) == 10
    np.testing.assert_allclose(table["value"], table["theory"], rtol=1e-3)
    assert (np.abs(views.successive(table.assign(run="one"))["value"] - 1) > 0.05).all()


@pytest.mark.parametrize("layerwise", [True, False])
def test_oracle_collapse_of_each_layer(layerwise):
    """The trace ratio of every layer from a forward pass written out, for a network trained for one epoch."""
    run = dataclasses.replace(NET, layerwise=layerwise, epochs=1)
    measured = run.run().query("metric == 'nc1_trace_ratio'")
    assert measured["layer"].tolist() == [0, 1, 2, 3]
    generator = seed_everything(0)
    images = data.subset(data.load("digits"), (6,) * 10)
    x, y, expected = images.x.flatten(1), images.y, []
    if layerwise:
        for _ in range(3):
            model = MLP(x.shape[1], 16, 1, 10)
            run.fit(model, x, y, generator)
            expected.append(x)
            x = (x @ model.backbone[1].weight.T + model.backbone[1].bias).relu().detach()
    else:
        model = MLP(64, 16, 3, 10)
        run.fit(model, x, y, generator)
        for layer in (1, 3, 5):
            expected.append(x)
            x = (x @ model.backbone[layer].weight.T + model.backbone[layer].bias).relu().detach()
    for H, value in zip([*expected, x], measured["value"], strict=True):
        means = torch.stack([H[y == k].double().mean(0) for k in range(10)])
        between = (means - means.mean(0)).square().sum() / 10
        assert value == pytest.approx(float((H - means[y]).square().sum() / len(y) / between), rel=1e-4)


def test_a_layer_is_trained_on_frozen_ones_and_learns():
    table = dataclasses.replace(NET, width=64, epochs=200).run()
    errors = table[table["metric"] == "error"]
    assert errors["layer"].tolist() == [1, 2, 3] and errors["value"].max() <= 0.05
    assert NET.run().equals(NET.run())
    assert not NET.run().equals(dataclasses.replace(NET, seed=1).run())


@pytest.mark.parametrize("profile", PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs) == len(STUDY.named(profile)) + 2 * 2 * (profile != "smoke")
    seeds = {s for run in runs for s in (run.seeds if isinstance(run, Chain) else (run.seed,))}
    assert seeds == ({5} if profile == "smoke" else {5, 6, 7}) and "paper" in STUDY.cost
    assert {run.needs_gpu() for run in runs if isinstance(run, Network)} == {profile == "paper"}


def test_value_overrides():
    assert {run.data for run in STUDY.runs("laptop", data="fashion-mnist")[:6]} == {"fashion-mnist"}
    net, *_, model = STUDY.runs("smoke", layers=4, lam=0.1, beta=9.0)
    assert (net.layers, net.lam, net.data, model.beta) == (4, 0.1, "digits", 9.0)
    for given, message in {
        ("smoke", "layers", 2): "^layers = 2: must be at least 3",
        ("laptop", "data", "mnist"): "^data = 'mnist': must be one of digits, fashion-mnist",
    }.items():
        with pytest.raises(ValueError, match=message):
            STUDY.runs(given[0], **{given[1]: given[2]})


@pytest.mark.data
def test_the_paper_profile_runs(monkeypatch, few_images):
    """The first run of the paper's setting on real CIFAR-10, with few images and one epoch."""
    monkeypatch.setattr(network, "load", lambda *_: few_images)
    run = dataclasses.replace(STUDY.runs("paper")[0], samples=2, epochs=1, batch_size=10, width=24, layers=2)
    found = run.run()
    assert found["value"].notna().all() and {"nc1", "nc1_trace_ratio", "error"} <= set(found["metric"])


NC1 = {  # layers 0 to 11: from layer 1 on geometric; with an upper half that decays log(4/3)/log(2) times as much
    "layer by layer": [100.0, *(2.0**-layer for layer in range(11))],
    "all at once": [100.0, 32, 16, 8, 4, 2, 1, *(0.75**layer for layer in range(1, 6))],
}


def table_of(nc1, beside=""):
    """Rows of a network for each way of training; the trace ratio is the square of NC1."""
    rows = [
        {"part": part, "run": part, "metric": metric, "layer": layer, "value": value**power, "theory": math.nan}
        for part, values in nc1.items()
        for layer, value in enumerate(values)
        for metric, power in {"nc1": 1, "nc1_trace_ratio": 2}.items()
    ]
    at = {"experiment": views.NETWORK, "layers": 11, "coupling": "", "seed": 0, "data": "digits"}
    return pd.DataFrame(rows).assign(**at, beside=beside, noise=math.nan)


def verdicts(table, beside=""):
    judged = judge_all(HEADLINES, table)
    assert len(judged) == 11 * table["beside"].nunique()
    found = judged[judged["beside"] == beside]
    return {row.id.split(".", 2)[2]: (row.verdict, row.ours) for row in found.itertuples()}


def test_value_claims_on_networks():
    found = verdicts(table_of(NC1))
    assert found["layerwise.nc1"] == ("holds", 0.5) and found["layerwise.trace-ratio"] == ("holds", 0.25)
    assert found["layerwise.geometric"] == ("holds", pytest.approx(-1))  # of 2^-l a straight line leaves nothing
    assert found["layerwise.even"] == ("holds", pytest.approx(1))
    assert found["end-to-end.even"] == ("fails", pytest.approx(math.log(4 / 3) / math.log(2)))
    assert found["end-to-end.geometric"][0] == "fails"  # slower in its upper half, as a power law is
    rises = [*NC1["layer by layer"][:6], 0.07, *NC1["layer by layer"][7:]]
    found = verdicts(table_of(NC1 | {"layer by layer": rises}))
    assert found["layerwise.nc1"] == ("fails", pytest.approx(0.07 * 16))
    falls = {"layerwise.nc1", "layerwise.trace-ratio", "layerwise.even", "end-to-end.even", "end-to-end.geometric"}
    assert {name for name, (verdict, _) in found.items() if verdict == "fails"} == falls


def test_law_archived_networks_are_judged_beside_and_few_layers_are_not():
    both = pd.concat([table_of(NC1).assign(layers=9), table_of(NC1, "CIFAR-10")])
    assert {verdict for verdict, _ in verdicts(both).values()} == {"not at this scale"}
    beside = verdicts(both, "CIFAR-10")
    assert {name for name, (verdict, _) in beside.items() if verdict != "not at this scale"} == {
        *(f"layerwise.{name}" for name in ("nc1", "trace-ratio", "geometric", "even")),
        *(f"end-to-end.{name}" for name in ("geometric", "even")),
    }


def test_value_the_laws_of_a_model_are_held_against_each_layer():
    """Factors 1.1 and 1.2 over the law in one layer each, from a random start; the chain ends 2 over its law."""
    law = pd.DataFrame({"layer": range(11), "theory": 0.5 ** np.arange(11.0)}).assign(metric="nc1", seed=0, layers=10)
    factors = np.cumprod([1.0, 1.1, *[1.0] * 8, 1.2])
    table = pd.concat(
        [
            law.assign(value=law["theory"] * factors, part=part, run=part, coupling=coupling)
            for part, coupling in {"near collapse": "layerwise", "random start": "layerwise"}.items()
        ]
        + [law.assign(value=law["theory"] * 2, part="chain, near collapse", run="c", coupling="chain")]
    ).assign(experiment=views.CHAIN, beside="", data="", noise=1.0)
    found = verdicts(table)
    assert found["model.law"] == ("fails", pytest.approx(0.2)) and found["model.random"] == (
        "holds",
        pytest.approx(1.1),
    )
    assert found["model.late"] == ("fails", pytest.approx(1.2)) and found["chain.law"] == ("fails", pytest.approx(1.0))
    assert found["chain.single-layer"][0] == "fails"  # no such rows: a missing number does not pass


def test_figures_and_claims_of_the_smoke_profile(store):
    table = STUDY.table("smoke")
    judged = judge_all(HEADLINES, table)
    assert judged["id"].is_unique and set(judged["verdict"]) == {"not at this scale"}
    for name in ("layers", "ratios", "models"):
        made = drawn(getattr(figures, name), getattr(views, name)(table))
        assert all(axis.get_xlabel() for axis in made.axes[-2:])
        plt.close(made)
    rows = views.models(table)
    assert rows.loc[rows["layer"] == 0, "value"].tolist() == [1.0, 1.0] and rows["layer"].max() == 4
    assert views.ratios(table).groupby("line")["theory"].count().to_dict() == {
        "all at once": 0, "layer by layer": 0, "near collapse": 4, "random start": 0,
    }  # fmt: skip


def test_archived_runs_get_panels_of_their_own():
    rows = pd.concat([table_of(NC1), table_of(NC1, "CIFAR-10").assign(data="cifar10")])
    made = drawn(figures.layers, views.layers(rows))
    assert [axis.get_title() for axis in made.axes] == ["digits", "digits", "CIFAR-10", "CIFAR-10"]
    plt.close(made)
    assert len(views.ratios(rows)) == 2 * 11, "the factors are those of the page's own networks"


def test_law_the_archive_has_what_the_page_shows_beside():
    table = STUDY.table("smoke")
    assert table.groupby("beside")["run"].nunique().to_dict() == {"": 6, "CIFAR-10": 6, "Fashion-MNIST": 6}


def test_value_prose_quotes_the_networks_and_the_archive():
    """What stands beside is archived, and the same on every machine; of the smoke runs only the form is known."""
    table = STUDY.table("smoke", "cpu")
    found = quoted(table)
    hard = table[(table["beside"] == "Fashion-MNIST") & (table["part"] == "layer by layer")]
    first = hard[(hard["layer"] == 1) & (hard["metric"] == "error")]["value"]
    assert found["hard-first"] == f"{100 * sum(first) / len(first):.0f}%" == "15%"
    assert found["hard-nc1"] == "0.18 to 0.38"
    assert 0 < float(found["even-layerwise"]) and -1 <= float(found["correlation-together"]) <= 1


def test_oracle_squares_left_by_a_line():
    x, y = np.array([1.0, 2, 4, 7]), np.array([[3.0, 1, 4, 1], [0.0, 2, 4, 7]])
    expected = [np.polyfit(x, row, 1, full=True)[1].item() for row in y]
    assert left(x, y).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("law", "expected"), [(lambda layer: 0.5**layer, -1), (lambda layer: layer**-2.0, 1)])
def test_value_a_geometric_law_and_a_power_law_are_told_apart(law, expected):
    """The correlation of the second's logarithm with the layer is -0.95 as well."""
    rows = pd.DataFrame({"metric": "nc1", "seed": 0, "layer": range(1, 11), "value": law(np.arange(1.0, 11))})
    assert against_power(rows)[0] == pytest.approx(expected)
