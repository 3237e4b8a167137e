"""Batched L-BFGS, and the studies of minority collapse behind notebook 04."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from nclib.experiments.dang2023 import (
    layer_peeled,
    minority,
    minority_cross_entropy,
    minority_landscape,
    minority_network,
    minority_phase,
    seli,
)

from nclib import results
from nclib.theory import deep_linear
from nclib.training.lbfgs import minimize

STUDIES = [
    layer_peeled,
    minority,
    minority_cross_entropy,
    minority_landscape,
    minority_network,
    minority_phase,
    seli,
]


def test_value_minimize_quadratics_of_different_scale():
    scale = torch.tensor([[1.0, 2.0], [1e-3, 5.0], [100.0, 0.1]], dtype=torch.float64)
    center = torch.tensor([[3.0, -1.0], [2.0, 4.0], [-5.0, 7.0]], dtype=torch.float64)

    def loss(x, which):
        return (scale[which] * (x - center[which]) ** 2).sum(1) + which

    x, f, g = minimize(loss, torch.zeros_like(center))
    torch.testing.assert_close(x, center, atol=1e-5, rtol=0)
    torch.testing.assert_close(f, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64), atol=1e-12, rtol=0)
    assert g.max() <= 1e-9


def test_value_minimize_holds_bounds():
    center = torch.tensor([[-2.0, -3.0, 4.0]], dtype=torch.float64)
    bound = torch.tensor([True, False, True])
    x, f, _ = minimize(lambda x, which: ((x - center) ** 2).sum(1), torch.full_like(center, 1.5), nonnegative=bound)
    torch.testing.assert_close(x, torch.tensor([[0.0, -3.0, 4.0]], dtype=torch.float64), atol=1e-9, rtol=0)
    assert f.item() == pytest.approx(4)


def test_oracle_minimize_rosenbrock_against_scipy():
    from scipy.optimize import minimize as scipy_minimize
    from scipy.optimize import rosen

    starts = torch.tensor([[-1.2, 1.0, 0.5], [2.0, -1.0, 1.5]], dtype=torch.float64)

    def loss(x, which):
        return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)

    x, f, _ = minimize(loss, starts)
    for start, found, value in zip(starts, x, f, strict=True):
        best = scipy_minimize(rosen, start.numpy())
        assert value <= best.fun + 1e-9
        np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_law_minimize_problems_do_not_see_each_other():
    starts = torch.tensor([[-1.2, 1.0], [30.0, -7.0]], dtype=torch.float64)

    def loss(x, which):
        return 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2

    together = minimize(loss, starts, iterations=30)[0]
    alone = torch.cat([minimize(loss, starts[i : i + 1], iterations=30)[0] for i in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


def test_value_beta_and_its_inverse():
    # M = 1: N^2 lam^2 / n = 100 * 0.04 / 8; M = 2: 2 (10/8) sqrt(10 * 0.008) / thr(2), thr(2) = 1/2.
    assert minority.beta((8, 2), 0.2, 1)[0].item() == pytest.approx(0.5)
    assert minority.beta((8, 2), 0.2, 2)[0].item() == pytest.approx(5 * math.sqrt(0.08))
    for M in (1, 2, 3, 6):
        assert minority.beta((8, 2), minority.lambda_at(0.7, 2, 10, M), M)[1].item() == pytest.approx(0.7)


@pytest.mark.parametrize("M", [1, 2, 3])
def test_value_objective_at_the_minimizer(M):
    counts, lam = (4, 2), 0.03
    exact = deep_linear.mse_minimizer(counts, (lam,) * M, lam)
    s = deep_linear.layer_singular_values(counts, (lam,) * M, lam)[0]
    Y, K = minority.targets(counts), 2
    n = torch.tensor(counts, dtype=torch.float64)
    H = (s / n.sqrt()).diag() @ Y
    theta = torch.cat([s.diag().flatten()] * M + [H.flatten()])[None]
    assert exact.survives.all()
    assert minority.objective(theta, Y, torch.tensor([lam]).double(), K, M).item() == pytest.approx(exact.loss)
    q = minority.overlaps(theta, Y, K, M)[0]
    torch.testing.assert_close(q, exact.logits.diagonal(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("M", [1, 2])
def test_attainment_sweep_reaches_the_closed_form(M):
    lambdas = tuple(minority.lambda_at(r, 2, 8, M) for r in (0.5, 1.5))
    config = minority.Config(counts=(6, 2), depth=M, lambdas=lambdas, starts=(0.9, 1.1, 2.4, 3.0), seeds=(0,), dim=8)
    found = minority.overlap_table(as_table(config))
    np.testing.assert_allclose(found["q"], found["theory"], atol=1e-6)
    dead = found[(found["size"] == 2) & (found["beta"] > 1)]
    assert len(dead) == 1 and abs(dead["q"].item()) < 1e-6 and (found["q"] > 0.2).sum() == 3


def test_value_contrast():
    logits = torch.tensor([[9.0, 1, 1], [1, 5, 2], [1, 1, 4]]).double()
    assert minority_cross_entropy.contrast(logits, 2).item() == pytest.approx((5 - 1 + 4 - 2) / 2)


def test_attainment_cross_entropy_thresholds():
    for nonnegative in (False, True):
        config = minority_cross_entropy.Config(
            sizes=(3, 7), nonnegative=nonnegative, total=30, collapse_size=3.6, starts=3, seeds=(0,)
        )
        found = minority_cross_entropy.contrasts(as_table(config))
        np.testing.assert_allclose(found["value"], found["theory"], atol=1e-4)
        assert found["value"].iloc[0] < 1e-4 < 0.1 < found["value"].iloc[1]


def test_value_seli_distance():
    eye = torch.eye(2, dtype=torch.float64)
    assert seli.distance(eye, 3 * eye).item() == pytest.approx(0)
    assert seli.distance(eye, torch.ones(2, 2).double()).item() == pytest.approx(1 - 1 / math.sqrt(2))


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.__name__.rpartition(".")[2])
def test_law_runs_are_distinct_and_profiles_checked(study):
    for profile in results.PROFILES:
        keys = [results.key(config) for config in study.runs(profile)]
        assert len(set(keys)) == len(keys) > 0
    with pytest.raises(ValueError, match="huge"):
        study.runs("huge")


def test_law_claims_fail_on_wrong_measurements():
    configs = [dataclasses.replace(config, iterations=1) for config in minority.runs("smoke")]
    verdicts = {row["id"]: row["verdict"] for row in minority.claims(results.pd.concat(map(as_table, configs)))}
    for name in ("loss", "overlap-M1", "overlap-deep", "order", "jump-M2", "jump-M3"):
        assert verdicts[f"dang2023.minority.{name}"] == "fails", name


def as_table(config):
    """What the store gives for one run, without the store."""
    module, name = results.experiment(config)
    table = module.run(config).assign(experiment=name, config=results.key(config))
    return results._with_fields(table[results.SCHEMA], config)


def test_law_network_has_classes_on_both_sides_at_every_profile():
    """Each claim needs classes: some with beta <= 1/4, some beyond the threshold."""
    for profile in results.PROFILES:
        sizes = [config.lam**2 * sum(config.counts) ** 2 for config in minority_network.runs(profile)]
        assert any(size <= max(minority_network.COUNTS) / 4 * (1 + 1e-9) for size in sizes)
        assert any(size >= min(minority_network.COUNTS) for size in sizes)
