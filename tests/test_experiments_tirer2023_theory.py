"""Near collapse and the central path: measurements against independent matrices, claims that can fail, figures."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from published import drawn
from tied import equation_5, labels, normal, objective, theorem_4_1, traces

from nclib import results
from nclib.experiments.tirer2023 import (
    central_path,
    central_path_flow,
    central_path_step,
    central_path_views,
    near_collapse,
    near_collapse_attenuation,
    near_collapse_certificate,
    near_collapse_minimizer,
    near_collapse_response,
    near_collapse_views,
)
from nclib.plotting import central_path as path_figures
from nclib.plotting import near_collapse as near_figures
from nclib.theory import perturbation

PROBLEM = perturbation.Problem(3, 2, 4, 0.7, 0.3, 5.0)
FLOW = central_path_flow.Config("random", 2, (0.0, 0.1, 0.3, 1.0), 3, 2, 3, seeds=(0,))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of both studies at profile smoke."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {study: results.table(study, "smoke") for study in (near_collapse, central_path)}


def verdicts(study, table):
    return {row["id"].split(".", 2)[2]: row["verdict"] for row in study.claims(table)}


def scaled(table, pattern, factor, source="measured"):
    """The table with some measured values multiplied."""
    hit = table["metric"].str.match(pattern) & (table["source"] == source)
    assert hit.any()
    return table.assign(value=np.where(hit, factor * table["value"], table["value"]))


def test_oracle_response_matrices():
    y = labels(3, 2)
    W, H = PROBLEM.collapsed()
    exact = theorem_4_1(W, H, H, y, PROBLEM.lam_W, PROBLEM.lam_H, PROBLEM.beta)
    assert torch.allclose(near_collapse_response.exact(PROBLEM, y), exact, atol=1e-12)
    first = equation_5(W, H, y, PROBLEM.lam_W, PROBLEM.lam_H, PROBLEM.beta)
    assert torch.allclose(near_collapse_response.first_order(PROBLEM, y), first, atol=1e-12)


def test_oracle_objective_and_traces():
    W, H, H0, y = normal(3, 4), normal(6, 4, seed=1), normal(6, 4, seed=2), labels(3, 2)
    ours = near_collapse_minimizer.objective(W[None], H[None], H0, y, 0.7, 0.3, 5.0)
    assert float(ours) == pytest.approx(float(objective(W, H, H0, y, 0.7, 0.3, 5.0)), rel=1e-13)
    assert central_path_step.traces(H, 3) == pytest.approx(traces(H, y), rel=1e-13)


def test_attainment_descent_finds_the_collapsed_minimizer_and_zero():
    config = near_collapse_minimizer.Config(1.0, (0.25, 1.2), 0.0, 3, 2, 4, starts=2, seeds=(5,))
    found = near_collapse_minimizer.run(config)
    found = found[found["source"] == "measured"].set_index("metric")["value"]
    assert found["loss[0]"] == pytest.approx(0.375, abs=1e-10) and found["loss[1]"] == pytest.approx(0.5, abs=1e-10)
    assert found["norm[0]"] == pytest.approx(1.0, abs=1e-7) and found["norm[1]"] < 1e-12
    assert max(found[f"{name}[0]"] for name in ("within", "gram", "duality")) < 1e-7


@pytest.mark.parametrize("skew", [1.0, 10.0])
def test_law_attenuation_near_collapse_and_not_far(skew):
    config = near_collapse_attenuation.Config(0.5, 0.2, 10.0, skew, 3, 4, 5, sizes=(1e-4, 1.0), seeds=(3,))
    table = near_collapse_attenuation.run(config).set_index("metric")["value"]
    for metric in ("nc1", "nc1_trace_ratio", "nc2"):
        assert table[f"{metric}[0]"] == pytest.approx(table[metric], abs=1e-4)
        assert abs(table[f"{metric}[1]"] - table[metric]) > 1e-3
    assert table["nc1"] == pytest.approx((10 / (10 + 0.4**0.5)) ** 2, rel=1e-14)


def test_law_random_problems_hold_certified_minimizers():
    config = near_collapse_certificate.Config(3, 2, 2, 2, 6, seeds=(1,))
    table = near_collapse_certificate.run(config)
    values = {name: results.indexed(table, name)["value"] for name in ("margin", "gap", "fall")}
    assert (values["margin"] > -1e-9).all(), "d > N + K: every global minimizer is certified"
    assert (values["gap"] > -1e-9).all() and (values["fall"] < 1).all()


def test_value_the_start_at_which_nc1_rises():
    config = central_path_flow.Config("rising", 1, (0.0, 0.4, 1.2), **central_path.RISING, seeds=(0,))
    table = central_path_flow.run(config)
    nc1 = results.indexed(table, "nc1")["value"].to_numpy()
    assert nc1 == pytest.approx([0.00224684, 0.00259081, 0.00352083], rel=1e-5)
    assert (np.diff(results.indexed(table, "nc1_trace_ratio")["value"]) < 0).all()


def test_law_flow_of_the_samples_themselves():
    """Theorem 3.1's flow, with every sample, by small explicit steps."""
    H, y, lam_W, lam_H = central_path_flow.problem(FLOW, 1, torch.Generator().manual_seed(0))
    Y, n, steps = torch.eye(3, dtype=torch.float64)[y], 2, 4000
    path = perturbation.central_path(H, y, lam_W, lam_H, [0.0, 0.3])

    def velocity(H):
        W = torch.linalg.solve(H.T @ H + n * lam_W * torch.eye(3, dtype=H.dtype), H.T @ Y).T
        return (Y - H @ W.T) @ W - lam_H * H

    for _ in range(steps):
        middle = H + 0.15 / steps * velocity(H)
        H = H + 0.3 / steps * velocity(middle)
    within, between = traces(H, y)
    assert path["nc1_trace_ratio"].iloc[1] == pytest.approx(within / between, rel=1e-6)


def test_law_starts_are_reproducible_and_differ():
    first, again = (central_path_flow.problem(FLOW, 1, torch.Generator().manual_seed(4))[0] for _ in range(2))
    other = central_path_flow.problem(FLOW, 1, torch.Generator().manual_seed(5))[0]
    assert torch.equal(first, again) and not torch.allclose(first, other)
    skewed = dataclasses.replace(FLOW, start="skewed", scale=1.0)
    assert central_path_flow.problem(skewed, 0, torch.Generator().manual_seed(0))[3] == 0


def test_law_smoke_verdicts(tables):
    near, path = (verdicts(study, table) for study, table in tables.items())
    assert {name for name, verdict in near.items() if verdict != "holds"} == {"none-rises"}
    assert {name for name, verdict in path.items() if verdict == "fails"} == {"nc1-example"}
    assert path["nc1-skewed"] == "not at this scale"


@pytest.mark.parametrize(
    ("study", "pattern", "factor", "name"),
    [
        (near_collapse, r"cross\[", 1.01, "theorem-4-2"),
        (near_collapse, r"sigma\[", 1 - 1e-9, "spectrum"),
        (near_collapse, r"loss\[", 1.001, "loss"),
        (near_collapse, r"nc1\[", 1.01, "attenuation.nc1"),
        (near_collapse, r"nc2\[", float("nan"), "attenuation.nc2"),
        (central_path, r"between\[", -1.0, "bounds"),
        (central_path, r"fall\[", 1e3, "conjecture"),
        (central_path, r"slope\[", 1.001, "slope"),
        (central_path, r"rate\[", 1.1, "euler"),
        (central_path, r"mean_square\[", 1.2, "unregularized.growth"),
    ],
)
def test_law_claims_can_fail(tables, study, pattern, factor, name):
    with np.errstate(invalid="ignore"):
        assert verdicts(study, scaled(tables[study], pattern, factor))[name] == "fails"


def test_law_quadratic_claim_needs_the_exact_response(tables):
    table = tables[near_collapse]
    swapped = table.assign(layer=table["layer"].replace({"exact": "first-order", "first-order": "exact"}))
    assert verdicts(near_collapse, swapped)["quadratic"] == "fails"


def test_law_every_figure_is_drawn_and_labelled(tables):
    near, path = tables[near_collapse], tables[central_path]
    rows = {
        name: getattr(near_collapse_views, name)(near) for name in ("minimizer", "families", "validity", "residuals")
    }
    rows |= {"attenuation": near_collapse_views.attenuation(near)}
    rows |= {"spectrum": near_collapse_views.spectrum(near, lam_H=near_collapse.figure_1(2**0.5))}
    figures = [drawn(getattr(near_figures, name), part) for name, part in rows.items()]
    rows = {
        name: getattr(central_path_views, name)(path) for name in ("monotone", "derivative", "step", "rising", "late")
    }
    figures += [drawn(getattr(path_figures, name), part) for name, part in rows.items()]
    for made in figures:
        assert made.get_figwidth() <= 7
        for axis in made.axes:
            assert axis.get_xlabel() and (axis.get_ylabel() or axis.get_title())
            shown = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
            assert np.isfinite(shown).any()
        plt.close(made)


@pytest.mark.parametrize("study", [near_collapse, central_path])
def test_law_profiles(study):
    laptop = study.runs("laptop", seed=7)
    assert {config.seeds for config in laptop} <= {(7, 8, 9), (7,)}
    with pytest.raises(ValueError, match="must be one of smoke, laptop, paper"):
        study.runs("large")


def test_law_late_flows_need_a_collapsed_minimizer():
    with pytest.raises(ValueError, match=r"lam_W \* lam_H = 1\.2: must be < 1"):
        central_path.runs("smoke", lam_W=2.0, lam_H=0.6)
