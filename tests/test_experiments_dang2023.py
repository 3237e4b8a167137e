"""The studies of deep linear heads: one code for balanced and imbalanced classes, measured beside predicted."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from published import drawn

from nclib import data, results
from nclib.experiments.dang2023 import (
    balanced,
    balanced_views,
    direct,
    imbalanced,
    imbalanced_views,
    narrow,
    network,
    prediction,
    verdicts,
)
from nclib.plotting import imbalanced as imbalanced_figures
from nclib.plotting import linear
from nclib.statistics import ClassStatistics
from nclib.theory.deep_linear import mse_minimizer

STUDIES = [balanced, imbalanced]
TINY = direct.Config((8, 4, 2), width=6, depth=2, bias=False, lam=1e-3, steps=5000, std=0.35, seeds=(0, 1))
NET = network.Config("digits", tuple(range(2, 12)), 2, False, 1e-3, epochs=3, drop=2, lr=3e-3, width=12, seed=0)


def table(config, module):
    """What the store makes of one run."""
    found = module.run(config, "cpu")
    seed = {"seed": config.seed} if hasattr(config, "seed") else {}
    found = found.assign(experiment=module.__name__.removeprefix("nclib.experiments."), config="run", **seed)
    return results._with_fields(found[results.SCHEMA], config)


@pytest.fixture(scope="module")
def tiny():
    return table(TINY, direct)


def collapsed(counts, depth=1, lam=1e-3, bias=False):
    """(statistics, P, minimizer) of exactly collapsed features that attain the closed form, in a random basis."""
    target = mse_minimizer(counts, [lam] * depth, lam, bias=bias)
    K, d = len(counts), len(counts) + 3
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q[:K]
    values, V = torch.linalg.eigh(target.gram_H)
    means = V @ torch.diag(values.clamp(min=0).sqrt()) @ V.T @ Q
    y = torch.repeat_interleave(torch.arange(K), torch.tensor(counts))
    return ClassStatistics.from_features(means[y], y, K), prediction.row_ratio(target)[:, None] * means, target


def test_value_distance_of_two_matrices():
    assert prediction.distance(torch.diag(torch.tensor([1.0, 0])), torch.eye(2)) == pytest.approx(math.sqrt(2 - 2**0.5))


def test_value_ratio_of_rows_for_one_layer():
    """w_k = sqrt(n_k lam_H / lam_W) hbar_k: 6 and 4 for 9 and 4 samples and lam_H = 4 lam_W. A vanished class has 0."""
    ratio = prediction.row_ratio(mse_minimizer([9, 4], [1e-4], 4e-4))
    torch.testing.assert_close(ratio, torch.tensor([6.0, 4.0], dtype=torch.float64))
    assert prediction.row_ratio(mse_minimizer([400, 1], [3e-3], 3e-3))[1] == 0


def test_value_geometry():
    gram_W, gram_H = torch.tensor([[4.0, 3], [3, 9]]), torch.tensor([[16.0, 0], [0, 0.25]])
    found = prediction.geometry(gram_W, gram_H, torch.tensor([[8.0, 0], [0, 0.75]]))
    assert found["length_w"].tolist() == [2, 3] and found["length_h"].tolist() == [4, 0.5]
    assert found["cos_w"].tolist() == [[1, 0.5], [0.5, 1]] and found["cos_wh"].tolist() == [1, 0.5]
    assert found["ratio"].tolist() == [0.5, 6]


@pytest.mark.parametrize("counts, depth, bias", [((9, 5, 2), 1, False), ((9, 5, 2), 3, False), ((4, 4, 4), 2, True)])
def test_law_all_errors_vanish_at_the_minimizer(counts, depth, bias):
    stats, P, target = collapsed(counts, depth, bias=bias)
    assert max(prediction.errors(stats, P, target).values()) < 1e-7
    for name, value in prediction.measured_geometry(stats, P, target).items():
        torch.testing.assert_close(value, prediction.predicted_geometry(target)[name], rtol=1e-6, atol=1e-9)


def test_oracle_floors_are_the_errors_of_the_minimizer_against_the_other_target():
    stats, P, _ = collapsed((30, 10, 5), 3, lam=1e-3)
    authors = mse_minimizer((30, 10, 5), [1e-4] * 3, 1e-4)
    floors = prediction.floors(authors, mse_minimizer((30, 10, 5), [1e-3] * 3, 1e-3))
    errors = prediction.errors(stats, P, authors)
    assert floors == pytest.approx({name: errors[name] for name in floors}, rel=1e-6)
    assert min(floors.values()) > 1e-3


def test_value_one_layer_has_no_floor_in_nc3():
    floors = prediction.floors(mse_minimizer((30, 5), [1e-4], 1e-4), mse_minimizer((30, 5), [1e-3], 1e-3))
    assert floors["nc3"] < 1e-12 < 1e-3 < floors["nc2_W"]


def test_value_slope():
    t = np.arange(10.0)
    assert direct.slope(t, 3 * np.exp(-0.25 * t)) == pytest.approx(0.25)


def test_value_loss():
    W, H, y = [torch.tensor([[2.0], [0.0]])], torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1])
    b = torch.tensor([0.0, 1.0])
    fit = ((2 - 1) ** 2 + 1 + 6**2 + 0) / 4
    assert direct.loss(W, H, b, y, 0.5) == pytest.approx(fit + 0.25 * (4 + 1 + 9))


def test_attainment_direct_optimization_reaches_the_closed_form_at_the_predicted_rates(tiny):
    assert max(verdicts.error(tiny, "length_w", "length_h", "singular_value")) < 2e-3
    assert max(verdicts.worst(tiny, "nc2_W", "nc2_H", "nc3", inner=True)) < 2e-3
    assert max(verdicts.relative_gap(tiny)) < 2e-3
    for metric, rate in {"nc1": 6, "nc2_W": 2, "nc2_H": 2, "nc3": 2, "nc3_WH": 4, "loss_gap": 2}.items():
        assert verdicts.farthest(tiny, rate, metric) == pytest.approx([rate] * 2, rel=0.1), metric


def test_attainment_the_bias_is_the_slowest_at_its_predicted_rate():
    rates = verdicts.paired(table(dataclasses.replace(TINY, counts=(5, 5, 5), bias=True), direct), "rate_bias_error")
    assert len(rates) == 2 and (rates["theory"] < TINY.lam).all()
    assert (rates["measured"] / rates["theory"]).tolist() == pytest.approx([1, 1], abs=0.03)


def test_law_what_is_predicted_is_measured_under_the_same_name(tiny):
    for found in (tiny, table(dataclasses.replace(NET, scale="authors-imbalanced", lam=1e-4), network)):
        names = {
            source: set(zip(part["layer"], part["metric"], strict=True)) for source, part in found.groupby("source")
        }
        assert {pair for pair in names["theory"] if pair != ("", "loss")} <= names["measured"]
        assert found["value"].notna().all()


def test_law_a_wrong_length_fails_its_claim(tiny):
    claims = {"lengths": imbalanced.DEEP["lengths"]}
    wrong = tiny["metric"].str.startswith("length_w") & (tiny["source"] == "measured")
    off = tiny.assign(value=tiny["value"].where(~wrong, 1.1 * tiny["value"]))
    assert verdicts.direct(claims, off)[0]["verdict"] == "fails"
    assert verdicts.direct(claims, off)[0]["ours"] == pytest.approx(0.1, abs=0.01)
    short = tiny.assign(steps=10)
    assert verdicts.direct(claims, short)[0]["verdict"] == "not at this scale"


def test_value_order(tiny):
    lengths = mse_minimizer(TINY.counts, [TINY.lam] * 2, TINY.lam).gram_W.diagonal().sqrt()
    smallest = float(min(lengths[0] / lengths[1], lengths[1] / lengths[2]))
    assert verdicts.order(tiny, "length_w", 1) == pytest.approx([smallest] * 2, rel=1e-3)
    assert verdicts.order(tiny, "length_w", -1) == pytest.approx([float(lengths[2] / lengths[0])] * 2, rel=1e-3)


@pytest.mark.parametrize(
    "scale, batch, expected",
    [
        ("paper", None, (1e-3, 1e-3)),
        ("paper", 11, (1e-3, 1e-3)),
        ("authors-imbalanced", None, (1e-2, 1e-2)),
        ("authors-balanced", 11, (5e-3, 5e-3 * 11 / 65)),
    ],
)
def test_value_effective_decays(scale, batch, expected):
    config = dataclasses.replace(NET, scale=scale, batch_size=batch)
    assert network.effective_decays(config) == pytest.approx(expected)


def test_law_scaling_the_objective_changes_no_minimizer():
    """Gradients of the authors' objective at lam/K are 1/K times those of the paper's at lam: plain descent agrees."""
    x, y = torch.randn(20, 64, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
    gradients = []
    for scale, lam in (("paper", 1e-2), ("authors-imbalanced", 1e-3)):
        torch.manual_seed(0)
        model = network.build(NET, 64)
        config = dataclasses.replace(NET, scale=scale, lam=lam, epochs=1)
        network.fit(config, model, x, y, None, None, ())
        gradients.append([p.grad * (10 if scale != "paper" else 1) for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_networks_are_seeded_and_stay_on_their_images():
    first, again = network.run(NET), network.run(NET)
    assert first.equals(again)
    assert not first.equals(network.run(dataclasses.replace(NET, seed=1)))
    assert network.data(NET) == data.load("digits").sha256


def paper_networks():
    kinds = {}
    for study in STUDIES:
        for config in study.runs("paper"):
            if isinstance(config, network.Config):
                kinds.setdefault((study.__name__, config.model, config.bias), config)
    return list(kinds.values())


@pytest.mark.data
@pytest.mark.parametrize("config", paper_networks(), ids=lambda c: f"{c.model}-{c.scale}-bias={c.bias}")
def test_the_paper_profile_runs(config, monkeypatch):
    """The paper's networks on real CIFAR-10, with few images and steps."""
    try:
        images = data.subset(data.load("cifar10", "test"), [4] * 10)
    except data.DataError as error:
        pytest.skip(f"no CIFAR-10: {error}")
    monkeypatch.setattr(network, "load", lambda name, split="train": images)
    assert network.needs_gpu(config) and config.counts[0] >= 100 and config.epochs >= 200
    counts = (2,) * 10 if config.batch_size else (1, 1, 2, 2, 2, 3, 3, 4, 4, 4)
    small = {"width": config.width if config.model == "resnet18" else 24, "batch_size": config.batch_size and 10}
    found = network.run(dataclasses.replace(config, counts=counts, epochs=2, drop=1, **small))
    errors = found[(found["source"] == "measured") & (found["metric"] == "nc2_W")]
    assert found["value"].notna().all() and errors["value"].between(0, 2).all()
    assert errors["step"].max() == (4 if config.batch_size else 2)


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("profile", results.PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(study, profile):
    configs = study.runs(profile, seed=5)
    assert len({results.key(config) for config in configs}) == len(configs)
    seeds = {s for c in configs for s in (c.seeds if isinstance(c, direct.Config) else (c.seed,))}
    assert seeds == ({5} if profile == "smoke" else {5, 6, 7})
    assert "paper" in study.COST
    gpu = {network.needs_gpu(c) for c in configs if isinstance(c, network.Config)}
    assert gpu == {profile == "paper"}


@pytest.mark.parametrize("study", STUDIES)
def test_an_unknown_profile_is_refused(study):
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        study.runs("huge")


def test_value_overrides():
    configs = imbalanced.runs("smoke", depths=[2], counts=[5, 3], lam=1e-2, network_lam=1e-4)
    assert configs[0] == direct.Config((5, 3), 16, 2, False, 1e-2, 400, 0.2, seeds=(0,))
    assert [(c.depth, c.lam, c.scale) for c in configs[1:]] == [
        (2, 1e-4, "paper"),
        (2, pytest.approx(1e-5), "authors-imbalanced"),
    ]
    assert balanced.runs("smoke", samples=7, num_classes=3)[0].counts == (7, 7, 7)


FIGURES = {
    balanced: [
        (linear.direct_curves, balanced_views.direct_curves, {}),
        (linear.direct_curves, balanced_views.direct_curves, {"bias": True}),
        (linear.rates, balanced_views.rates, {}),
        (linear.network_curves, balanced_views.network_curves, {"bias": True}),
        (linear.gram_matrices, balanced_views.gram_matrices, {"bias": True}),
    ],
    imbalanced: [
        (imbalanced_figures.lengths, imbalanced_views.lengths, {}),
        (imbalanced_figures.lengths, imbalanced_views.lengths, {"experiment": "network"}),
        (imbalanced_figures.layers, imbalanced_views.layers, {}),
        (imbalanced_figures.floor, imbalanced_views.floor, {}),
        (linear.gram_matrices, balanced_views.gram_matrices, {"experiment": "direct"}),
    ],
}


@pytest.mark.parametrize("study", STUDIES)
def test_figures_and_claims_of_the_smoke_profile(study, store):
    rows = results.table(study, "smoke")
    judged = study.claims(rows)
    assert len({row["id"] for row in judged}) == len(judged) > 20
    assert {row["verdict"] for row in judged} == {"not at this scale"}
    for draw, view, options in FIGURES[study]:
        made = drawn(draw, view(rows, **options))
        assert all(axis.get_xlabel() for axis in made.axes[:2])
        plt.close(made)
    archived = rows[rows["experiment"] == "dang2023.direct"].dropna(axis=1)
    both = drawn(linear.direct_curves, balanced_views.direct_curves(rows, archived))
    assert [axis.get_title() for axis in both.axes] == [""] * 4 + ["paper scale"] * 4
    assert len(drawn(linear.network_curves, balanced_views.network_curves(rows, archived)).axes) == 4
    plt.close("all")


def test_value_narrow_layers_keep_the_largest_class():
    """One dimension, classes of 8, 4, 2, 2 samples: |w|^2 = sqrt(n lam_H / lam_W) - N lam_H of the largest alone."""
    config = direct.Config((8, 4, 2, 2), width=1, depth=1, bias=False, lam=5e-3, steps=4000, std=0.8, seeds=(0, 1))
    ends = results.indexed(table(config, direct).query("step == 4000 and source == 'measured'"), "length_w")
    lengths = ends.pivot_table(index="i", columns="seed", values="value").to_numpy()
    assert lengths[0] == pytest.approx([(8**0.5 - 16 * 5e-3) ** 0.5] * 2, rel=1e-4)
    assert (lengths[1:] < 1e-4).all()


def test_law_narrow_study_judges_both_geometries_and_both_frames(store):
    judged = narrow.claims(results.table(narrow, "smoke"))
    assert [row["id"].split(".")[1:3] for row in judged] == [["imbalanced", "narrow"]] * 2 + [
        ["balanced", frame] for frame in ("of", "of", "etf", "etf")
    ]
    assert {row["verdict"] for row in judged} == {"not at this scale"}
