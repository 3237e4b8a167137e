"""Page 09, collapse against weight decay: networks."""

import dataclasses
import math
from itertools import product

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from published import drawn

from nclib import data, glued
from nclib.evidence.claims import judge_all
from nclib.models import MLP
from nclib.pages.regularization import figures, network, study, views
from nclib.pages.regularization.claims import HEADLINES
from nclib.pages.regularization.claims import SETTINGS as CLAIMED
from nclib.pages.regularization.network import SETTINGS, Network, measures
from nclib.pages.regularization.quoted import PARTS, quoted
from nclib.pages.regularization.study import STUDY
from nclib.runs.store import PROFILES

DECAY = Network("digits", 4, "mlp-bn", "mse", 1e-2, "baseline", epochs=6, drop=4, lr=0.05, seed=0)


def test_value_decays_of_a_setting():
    model = DECAY.build(torch.zeros(2, 1, 8, 8))
    groups = dataclasses.replace(DECAY, setting="2x features").decays(model)
    assert [group["weight_decay"] for group in groups] == [2e-2, 1e-2]
    count = sum(p.numel() for group in groups for p in list(group["params"]))
    assert count == sum(p.numel() for p in model.parameters())
    groups = dataclasses.replace(DECAY, setting="0 last layer").decays(model)
    assert [group["weight_decay"] for group in groups] == [1e-2, 0]
    assert list(groups[1]["params"]) == [model.head.weights[0]]


@pytest.mark.parametrize("model", ["mlp", "mlp-bn", "resnet18"])
@pytest.mark.parametrize("loss, biases", [("mse", 0), ("cross-entropy", 10)])
def test_value_only_cross_entropy_has_a_bias(model, loss, biases):
    net = dataclasses.replace(DECAY, model=model, loss=loss).build(torch.zeros(2, 3, 8, 8))
    assert (0 if net.head.bias is None else net.head.bias.numel()) == biases
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    assert bool(norms) == (model != "mlp")


def test_law_settings_start_alike_and_part():
    first, last = [], []
    for setting in SETTINGS:
        nc1 = dataclasses.replace(DECAY, setting=setting).run().query("metric == 'nc1'")
        first.append(nc1["value"].iloc[0])
        last.append(nc1["value"].iloc[-1])
    assert len(set(first)) == 1 and len(set(last)) == 5


def test_oracle_ratio_of_the_error():
    """Of an untrained network, from its logits."""
    model = DECAY.build(torch.zeros(2, 1, 8, 8))
    images = data.subset(data.load("digits"), (4,) * 10)
    with torch.no_grad():
        expected = float((model(images.x).argmax(1) != images.y).double().mean())
        assert float(measures(model, images.x, images.y)["error"]) == pytest.approx(expected)


def test_oracle_training_by_hand():
    """Two epochs of full-batch SGD with momentum, written out: NC2 of the trained features from their own means."""
    run = dataclasses.replace(DECAY, model="mlp", setting="2x features", lam=0.3, epochs=2, drop=9)
    torch.manual_seed(0)
    model = MLP(64, network.WIDTH, network.HIDDEN_LAYERS, 10, bias_last=False)
    images = data.subset(data.load("digits"), (4,) * 10)
    Y = torch.nn.functional.one_hot(images.y, 10).float()
    speed = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for _ in range(2):
        model.zero_grad()
        ((model(images.x) - Y).square().sum() / 80).backward()
        with torch.no_grad():
            for name, p in model.named_parameters():
                decay = 0.3 if name.startswith("head") else 0.6
                speed[name] = 0.9 * speed[name] + p.grad + decay * p
                p -= 0.05 * speed[name]
        H = model.features(images.x).detach().double()
    M = torch.stack([H[images.y == k].mean(0) for k in range(10)])
    M = M - M.mean(0)
    etf = torch.eye(10, dtype=torch.float64) - 0.1
    expected = torch.linalg.norm(M @ M.T / torch.linalg.norm(M @ M.T) - etf / torch.linalg.norm(etf))
    found = run.run().query("metric == 'nc2' and step == 2")["value"].item()
    assert found == pytest.approx(float(expected), rel=1e-3)


FIELDS = {name: study.DIGITS[name] for name in PARTS.values()}
ALL = tuple(FIELDS)


def table_of(changes, parts=ALL, seeds=3, error=0.0, beside=""):
    """Final NC1, NC2 and errors of groups: the seed's number times a factor for each setting, or a value a seed."""
    rows = [
        FIELDS[part]
        | {"part": part}
        | {"setting": name, "seed": s, "metric": metric, "step": 100, "samples": 25, "beside": beside}
        | {"value": error if metric == "error" else factor[s] if isinstance(factor, tuple) else (s + 1) * factor}
        for part, (name, factor), s, metric in product(parts, changes.items(), range(seeds), ("nc1", "nc2", "error"))
    ]
    return pd.DataFrame(rows)


def verdicts(table, beside=""):
    judged = judge_all(HEADLINES, table)
    assert judged["id"].nunique() == 25
    found = judged[judged["beside"] == beside]
    return {row.id.split(".", 2)[2]: (row.verdict, row.ours) for row in found.itertuples()}


AGREE = {"baseline": 1.0, "2x last layer": 0.9, "2x features": 0.5, "0 last layer": 1.1, "0 features": 3.0}


def test_value_claims_on_effects():
    """The baseline's seed cancels: |log 0.5| - |log 0.9| and so on; a change of sign fails its claim and no other."""
    found = verdicts(table_of(AGREE))
    assert {verdict for verdict, _ in found.values()} == {"holds"}
    assert found["bn.mse.nc1.double-matters"][1] == pytest.approx(math.log(2) - math.log(1 / 0.9))
    assert found["bn.mse.nc1.zero-matters"][1] == pytest.approx(math.log(3) - math.log(1.1))
    assert found["bn.ce.nc2.zero-raises"][1] == pytest.approx(math.log(3))
    assert found["bn.ce.nc1.last-helps"][1] == pytest.approx(math.log(0.9))
    turned = verdicts(table_of(AGREE | {"2x features": 2.0}))
    assert {name for name, (verdict, _) in turned.items() if verdict == "fails"} == {
        *(f"bn.{loss}.{metric}.double-lowers" for loss in ("mse", "ce") for metric in ("nc1", "nc2")),
        *(f"{group}.mse.nc1.double-lowers" for group in ("plain", "strong")),
    }
    small = verdicts(table_of(AGREE | {"0 features": 1.05}))
    assert {name.split(".")[-1] for name, (verdict, _) in small.items() if verdict == "fails"} == {
        "zero-matters",
        "zero-raises",
    }


def test_value_a_group_is_judged_by_its_own_rows():
    """Squared error with batch norm turns, the other three groups agree."""
    others = table_of(AGREE, ALL[1:])
    found = verdicts(pd.concat([table_of(AGREE | {"2x features": 2.0}, ("batch norm, MSE",)), others]))
    assert {name for name, (verdict, _) in found.items() if verdict == "fails"} == {
        "bn.mse.nc1.double-lowers",
        "bn.mse.nc2.double-lowers",
    }


@pytest.mark.parametrize("change", [{"error": 0.02}, {"steps": 99}, {"missing": "0 last layer"}])
def test_law_a_group_that_is_not_whole_or_fitted_is_not_judged(change):
    table = table_of({name: v for name, v in AGREE.items() if name != change.get("missing")}, error=0.0)
    table = table.assign(step=change.get("steps", 100))
    table = table.assign(value=table["value"].where(table["metric"] != "error", change.get("error", 0.0)))
    assert {verdict for verdict, _ in verdicts(table).values()} == {"not at this scale"}


def test_law_a_missing_seed_does_not_pass():
    table = table_of(AGREE)
    found = verdicts(table[(table["seed"] != 1) | (table["setting"] != "2x features") | (table["metric"] != "nc1")])
    assert {name for name, (verdict, _) in found.items() if verdict == "fails"} == {
        f"{group}.nc1.{rule}"
        for group in ("bn.mse", "bn.ce", "plain.mse", "strong.mse")
        for rule in ("double-matters", "double-lowers")
    }


def test_law_archived_networks_are_judged_beside():
    both = pd.concat(
        [table_of(AGREE, error=0.5), table_of(AGREE, ("batch norm, MSE",), seeds=1, beside="ResNet-18 on CIFAR-10")]
    )
    assert {verdict for verdict, _ in verdicts(both).values()} == {"not at this scale"}
    beside = verdicts(both, "ResNet-18 on CIFAR-10")
    judged = {name for name, (verdict, _) in beside.items() if verdict == "holds"}
    assert len(judged) == 8 and all(name.startswith("bn.mse.") for name in judged)


def test_law_claims_know_the_settings():
    assert set(SETTINGS) == CLAIMED == set(figures.SETTINGS)


@pytest.mark.parametrize("profile", PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs) and "paper" in STUDY.cost
    assert {run.seed for run in runs} == ({5} if profile == "smoke" else {5, 6, 7})
    assert {run.needs_gpu() for run in runs} == {profile == "paper"}
    assert set(STUDY.named(profile)) <= set(PARTS.values())


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")


def test_value_overrides():
    short = STUDY.runs("laptop", epochs=350, samples=3)[0]
    assert (short.epochs, short.drop, short.samples) == (350, 280, 3)


@pytest.mark.data
def test_the_paper_profile_runs(monkeypatch, few_images):
    """The first run of the paper's setting on real CIFAR-10, with few images and one epoch."""
    monkeypatch.setattr(network, "load", lambda *_: few_images)
    network.images.cache_clear()
    run = dataclasses.replace(STUDY.runs("paper")[0], samples=2, epochs=1, batch_size=10, drop=1)
    found = run.run()
    network.images.cache_clear()
    assert found["value"].notna().all() and {"nc1", "nc1_trace_ratio", "error"} <= set(found["metric"])


def test_figures_and_claims_of_the_smoke_profile(store):
    table = STUDY.table("smoke")
    judged = judge_all(HEADLINES, table)
    assert judged["id"].is_unique and len(judged) == 25 and set(judged["verdict"]) == {"not at this scale"}
    for draw, rows, options in (
        (figures.curves, views.curves(table), {}),
        (figures.effects, views.effects(table), {"metric": "nc1"}),
        (figures.effects, views.effects(table, metric="nc2"), {"metric": "nc2"}),
    ):
        made = drawn(draw, rows, **options)
        assert all(axis.get_xlabel() for axis in made.axes[-2:])
        plt.close(made)


def test_archived_runs_get_panels_of_their_own():
    """The group without all settings is left out of the effects."""
    table = table_of(dict.fromkeys(SETTINGS, 1.0))
    archived = table[table["part"] == "batch norm, MSE"].assign(model="resnet18", lam=5e-4, beside="CIFAR-10")
    rows = views.effects(pd.concat([table, archived]))
    made = drawn(figures.effects, rows, metric="nc1")
    titles = [axis.get_title() for axis in made.axes if axis.get_visible()]
    assert len(titles) == 5 and titles[-1] == "ResNet-18, MSE, $\\lambda = 0.0005$"
    plt.close(made)
    few = pd.concat([table, archived[archived["setting"] != "0 features"]])
    assert set(views.effects(few)["model"]) == {"mlp", "mlp-bn"}
    assert set(views.curves(few)["model"]) == {"resnet18", "mlp-bn"}


def test_law_the_archive_has_what_the_page_shows_beside():
    table = STUDY.table("smoke")
    assert table.groupby("beside")["run"].nunique().to_dict() == {"": 20, "ResNet-18 on CIFAR-10": 2}


def test_value_words_follow_the_run():
    """The paper's picture, and one in which doubling hurts and the seeds disagree about no decay."""
    lasts = {"baseline": (1.0, 1.0), "2x last layer": (0.9, 0.9), "0 last layer": (1.1, 1.5)}
    for features, word, decided, signs in (
        ({"2x features": (0.5, 0.32), "0 features": (2.0, 2.0)}, "lowers", "agree", "4"),
        ({"2x features": (2.0, 2.0), "0 features": (1.2, 1.2)}, "raises", "disagree", "2"),
    ):
        found = quoted(table_of(lasts | features, ("plain, MSE", "strong decay, MSE"), seeds=2, error=0.008))
        assert (found["strong-double"], found["gap-decided"], found["signs"]) == (word, decided, signs)
        assert found["comparisons"] == "4" and found["images"] == "250" and found["wrong"] == "2"
    assert found["nc1-plain-double-features"] == "2.00" and found["nc1-bn-double-features"] == glued.MISSING
