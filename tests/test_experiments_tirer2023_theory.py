"""The central path: measurements against independent computations, claims that can fail, figures."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from published import drawn
from tied import labels, normal, traces

from nclib import results
from nclib.experiments.tirer2023 import (
    central_path,
    central_path_flow,
    central_path_step,
    central_path_views,
)
from nclib.plotting import central_path as path_figures
from nclib.theory import perturbation

FLOW = central_path_flow.Config("random", 2, (0.0, 0.1, 0.3, 1.0), 3, 2, 3, seeds=(0,))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of both studies at profile smoke."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {study: results.table(study, "smoke") for study in (central_path,)}


def verdicts(study, table):
    return {row["id"].split(".", 2)[2]: row["verdict"] for row in study.claims(table)}


def scaled(table, pattern, factor, source="measured"):
    """The table with some measured values multiplied."""
    hit = table["metric"].str.match(pattern) & (table["source"] == source)
    assert hit.any()
    return table.assign(value=np.where(hit, factor * table["value"], table["value"]))


def test_oracle_traces():
    H, y = normal(6, 4, seed=1), labels(3, 2)
    assert central_path_step.traces(H, 3) == pytest.approx(traces(H, y), rel=1e-13)


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
    path = verdicts(central_path, tables[central_path])
    assert {name for name, verdict in path.items() if verdict == "fails"} == {"nc1-example"}
    assert path["nc1-skewed"] == "not at this scale"


@pytest.mark.parametrize(
    ("study", "pattern", "factor", "name"),
    [
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


def test_law_every_figure_is_drawn_and_labelled(tables):
    path = tables[central_path]
    rows = {
        name: getattr(central_path_views, name)(path) for name in ("monotone", "derivative", "step", "rising", "late")
    }
    figures = [drawn(getattr(path_figures, name), part) for name, part in rows.items()]
    for made in figures:
        assert made.get_figwidth() <= 7
        for axis in made.axes:
            assert axis.get_xlabel() and (axis.get_ylabel() or axis.get_title())
            shown = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
            assert np.isfinite(shown).any()
        plt.close(made)


@pytest.mark.parametrize("study", [central_path])
def test_law_profiles(study):
    laptop = study.runs("laptop", seed=7)
    assert {config.seeds for config in laptop} <= {(7, 8, 9), (7,)}
    with pytest.raises(ValueError, match="must be one of smoke, laptop, paper"):
        study.runs("large")


def test_law_late_flows_need_a_collapsed_minimizer():
    with pytest.raises(ValueError, match=r"lam_W \* lam_H = 1\.2: must be < 1"):
        central_path.runs("smoke", lam_W=2.0, lam_H=0.6)
