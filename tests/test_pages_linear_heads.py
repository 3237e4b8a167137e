"""What pages 02 to 04 share: direct optimization, networks, and their errors against the closed form."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from nclib import data
from nclib.pages._linear_heads import direct, prediction, rules
from nclib.pages._linear_heads.direct import Direct
from nclib.pages._linear_heads.network import Network
from nclib.statistics import ClassStatistics
from nclib.theory.deep_linear import mse_minimizer

TINY = Direct((8, 4, 2), width=6, depth=2, bias=False, lam=1e-3, steps=5000, std=0.35, seeds=(0, 1))
NET = Network("digits", tuple(range(2, 12)), 2, False, 1e-3, epochs=3, drop=2, lr=3e-3, width=12, seed=0)


def table(run):
    """The rows of one run with what a study adds that the rules need."""
    fields = {"lam": run.lam, "lr": run.lr, "steps": run.steps, "momentum": getattr(run, "momentum", math.nan)}
    fields |= {"seed": run.seed} if isinstance(run, Network) else {}
    return run.run().assign(experiment=run.NAME, run=run.key(), beside="", **fields)


@pytest.fixture(scope="module")
def tiny():
    return table(TINY)


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
    assert max(rules.geometry(tiny)) < 2e-3
    assert max(rules.worst("nc2_W", "nc2_H", "nc3", inner=True)(tiny)) < 2e-3
    assert max(rules.excess(tiny)) < 2e-3
    for metric, rate in {"nc1": 6, "nc2_W": 2, "nc2_H": 2, "nc3": 2, "nc3_WH": 4, "loss_gap": 2}.items():
        assert rules.rate(rate, metric)(tiny) == pytest.approx([rate] * 2, rel=0.1), metric


def test_attainment_the_bias_is_the_slowest_at_its_predicted_rate():
    rates = table(dataclasses.replace(TINY, counts=(5, 5, 5), bias=True)).query("metric == 'rate_bias_error'")
    assert len(rates) == 2 and (rates["theory"] < TINY.lam).all()
    assert (rates["value"] / rates["theory"]).tolist() == pytest.approx([1, 1], abs=0.03)


def test_law_what_is_predicted_is_measured_in_the_same_row(tiny):
    """But for the minimal loss of direct optimization. Rates that no window of 4 <= 2 lam t <= 10 fits are theory."""
    for found in (tiny, table(dataclasses.replace(NET, scale="authors-imbalanced", lam=1e-4))):
        assert set(found.loc[found["value"].isna(), "metric"]) <= {"loss"}
        assert {"gram_W", "length_h", "cos_wh", "singular_value"} <= set(found.loc[found["theory"].notna(), "metric"])
    assert found.query("metric == 'authors_nc3_WH'")["theory"].notna().tolist()[-1:] == [True]
    short = table(dataclasses.replace(TINY, steps=100)).query("metric == 'rate_nc1'")
    assert short["value"].isna().all() and short["theory"].tolist() == pytest.approx([6e-3] * 2)


def test_law_a_wrong_length_angle_or_singular_value_fails_the_geometry(tiny):
    """Each by 10%, or a cosine off by 0.1, in one entry of the second seed."""
    for metric in ("length_w", "length_h", "singular_value", "cos_w", "cos_h"):
        at = (tiny["metric"] == metric) & (tiny["seed"] == 1) & ~(tiny["i"] == tiny["j"]).fillna(False)
        one = tiny.index == tiny[at & (tiny["step"] == TINY.steps)].index[0]
        off = tiny.assign(value=tiny["value"] * np.where(one, 1.1, 1) + 0.1 * (one & metric.startswith("cos")))
        right, found = rules.geometry(off)
        assert right < 2e-3 and found == pytest.approx(0.1, abs=0.01), metric
    assert not rules.done(tiny.assign(steps=10)) and rules.done(tiny) and not rules.trained(tiny)


def test_value_rules_take_the_worst_of_a_seed_and_a_missing_one_does_not_pass(tiny):
    """Two runs of one seed: the second ends with nc1 = 0.5 after 0.1 on the way, the first with 0.3 at other layers."""
    at = {"metric": "nc1", "seed": 0, "layer": "", "i": pd.NA, "j": pd.NA}
    rows = pd.DataFrame(
        [at | {"run": run, "step": step, "value": value} for run, step, value in (("a", 1, 0.2), ("b", 1, 9.0))]
        + [at | {"run": "b", "step": 2, "value": 0.5}, at | {"run": "a", "step": 1, "value": 0.3, "layer": "W2"}]
    )
    assert rules.worst("nc1")(rows) == [0.5] and rules.worst("nc1", inner=True)(rows) == [0.3]
    assert np.isnan(rules.worst("nc2_W")(rows)[0])
    assert np.isnan(rules.geometry(tiny[tiny["metric"] != "cos_h"])).all()


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
    run = dataclasses.replace(NET, scale=scale, batch_size=batch)
    assert run.decays() == pytest.approx(expected)


def test_law_scaling_the_objective_changes_no_minimizer():
    """Gradients of the authors' objective at lam/K are 1/K times those of the paper's at lam: plain descent agrees."""
    x, y = torch.randn(20, 64, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
    gradients = []
    for scale, lam in (("paper", 1e-2), ("authors-imbalanced", 1e-3)):
        torch.manual_seed(0)
        model = NET.build(64)
        run = dataclasses.replace(NET, scale=scale, lam=lam, epochs=1)
        run.fit(model, x, y, None, None, ())
        gradients.append([p.grad * (10 if scale != "paper" else 1) for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_networks_are_seeded_and_stay_on_their_images():
    first, again = NET.run(), NET.run()
    assert first.equals(again)
    assert not first.equals(dataclasses.replace(NET, seed=1).run())
    assert NET.reads() == data.load("digits").sha256
