"""Page 06, near collapse: measurements against independent matrices, claims that can fail, figures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from tied import equation_5, labels, normal, objective, theorem_4_1

from nclib.evidence.claims import judge_all
from nclib.pages.near_collapse import figures, minimizer, response, views
from nclib.pages.near_collapse.attenuation import Attenuation, share_inside
from nclib.pages.near_collapse.certificate import Certificate
from nclib.pages.near_collapse.claims import HEADLINES
from nclib.pages.near_collapse.decays import Decays
from nclib.pages.near_collapse.general import General
from nclib.pages.near_collapse.minimizer import Minimizer
from nclib.pages.near_collapse.quoted import quoted
from nclib.pages.near_collapse.study import STUDY
from nclib.theory import perturbation

PROBLEM = perturbation.Problem(3, 2, 4, 0.7, 0.3, 5.0)
FOLLOWS = Decays(0.5, 0.2, 2.0, "follows", 1e-5, 1e-3, 3, 4, 5, seeds=(3,))
FOLLOW = "H0 follows"
NAMES = ("minimizer", "spectrum", "families", "validity", "residuals", "attenuation", "decays")


@pytest.fixture(scope="module")
def table(smoke_table):
    """The runs of profile smoke."""
    return smoke_table(STUDY)


def verdicts(table):
    return {
        row.id.split("near-collapse.")[1]: (row.verdict, row.ours) for row in judge_all(HEADLINES, table).itertuples()
    }


def test_oracle_response_matrices():
    y = labels(3, 2)
    W, H = PROBLEM.collapsed()
    exact = theorem_4_1(W, H, H, y, PROBLEM.lam_W, PROBLEM.lam_H, PROBLEM.beta)
    assert torch.allclose(response.exact(PROBLEM, y), exact, atol=1e-12)
    for W, H in (PROBLEM.collapsed(), (normal(3, 4), normal(6, 4, seed=1))):
        first = equation_5(W, H, y, PROBLEM.lam_W, PROBLEM.lam_H, PROBLEM.beta)
        assert torch.allclose(response.first_order(W, H, y, 0.7, 0.3, 5.0), first, atol=1e-12)


def test_oracle_objective():
    W, H, H0, y = normal(3, 4), normal(6, 4, seed=1), normal(6, 4, seed=2), labels(3, 2)
    ours = minimizer.objective(W[None], H[None], H0, y, 0.7, 0.3, 5.0)
    assert float(ours) == pytest.approx(float(objective(W, H, H0, y, 0.7, 0.3, 5.0)), rel=1e-13)


def test_attainment_descent_finds_the_collapsed_minimizer_and_zero():
    found = Minimizer(1.0, (0.25, 1.2), 0.0, 3, 2, 4, starts=2, seeds=(5,)).run()
    values = found.pivot(index="c", columns="metric", values="value")
    assert values["loss"].tolist() == pytest.approx([0.375, 0.5], abs=1e-10)
    assert values["norm"].iloc[0] == pytest.approx(1.0, abs=1e-7) and values["norm"].iloc[1] < 1e-12
    assert values.iloc[0][["within", "gram", "duality"]].max() < 1e-7
    assert found.query("metric == 'loss'")["theory"].tolist() == pytest.approx([0.375, 0.5], rel=1e-14)


@pytest.mark.parametrize("skew", [1.0, 10.0])
def test_law_attenuation_near_collapse_and_not_far(skew):
    table = Attenuation(0.5, 0.2, 10.0, skew, 3, 4, 5, sizes=(1e-4, 1.0), seeds=(3,)).run()
    error = (table["value"] - table["theory"]).abs()
    assert error[table["size"] == 1e-4].max() < 1e-4 and error[table["size"] == 1].min() > 1e-3
    law = table.loc[table["metric"] == "nc1", "theory"]
    assert law.tolist() == pytest.approx([(10 / (10 + 0.4**0.5)) ** 2] * 2, rel=1e-14)


def test_law_random_problems_hold_certified_minimizers():
    table = Certificate(3, 2, 2, 2, 6, seeds=(1,)).run()
    values = {name: part["value"] for name, part in table.groupby("metric")}
    assert (values["margin"] > -1e-9).all(), "d > N + K: every global minimizer is certified"
    assert (values["gap"] > -1e-9).all() and (values["fall"] < 1).all()


def test_oracle_theorem_4_1_at_general_features():
    """Matrices by another Hessian; the rotations that leave rank-1 features alone, of a 3-frame in 4 dimensions."""
    run = General(0.4, 0.2, (3.0,), (1e-2, 1e-3), (300.0, 3000.0), (0, 1, 2), 3, 2, 4, seeds=(1,))
    table, y = run.run(), labels(3, 2)
    H0, D = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    W, H, gradient = run.minimizer(H0, y, 3.0)
    assert gradient < 1e-15
    D = D / D.norm()
    move = theorem_4_1(W, H, H0, y, 0.4, 0.2, 3.0) @ D.flatten()
    up, down = (run.minimizer(H0 + sign * 1e-2 * D, y, 3.0)[1] for sign in (1, -1))
    expected = float(((up - down).flatten() / 2e-2 - move).norm())
    errors = table[table["metric"] == "error"].set_index(["of", "step"])["value"]
    assert errors["H", 1e-2] == pytest.approx(expected, rel=1e-6)
    for of in "WH":
        assert errors[of, 1e-2] / errors[of, 1e-3] == pytest.approx(100, rel=0.05) and errors[of, 1e-2] > 1e-9
    zeros = table[table["metric"] == "zeros"]
    assert zeros["value"].tolist() == zeros["theory"].tolist() == [6, 3, 1]
    fall = table[table["metric"] == "truncation"].pivot(index="of", columns="beta", values="value")
    assert (fall[300.0] / fall[3000.0]).tolist() == pytest.approx([100, 100], rel=0.02)


def test_oracle_elasticities_where_features_follow_and_where_they_are_fixed():
    """A direct difference of the trace ratio, from `solve`; and that lam_H hardly matters for fixed features."""
    table = FOLLOWS.run().set_index(["metric", "of"])
    D = torch.randn(12, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y, logs = labels(3, 4), []
    for lam_H in (0.2 * math.exp(1e-3), 0.2 * math.exp(-1e-3)):
        p = perturbation.Problem(3, 4, 5, 0.5, lam_H, 2.0)
        H0 = p.collapsed()[1] + 1e-5 * math.sqrt(p.rho) * D
        H = perturbation.features(perturbation.solve(H0, y, 0.5, lam_H, 2.0), H0, y, lam_H, 2.0)
        within, between = zip(*(trace_pair(X) for X in (H, H0)), strict=True)
        logs.append(math.log(within[0] / between[0] / (within[1] / between[1])))
    expected = (logs[0] - logs[1]) / 2e-3
    found = table.loc["nc1_trace_ratio", "lam_H"]
    assert found["value"] == pytest.approx(expected, rel=1e-6) == pytest.approx(found["theory"], abs=5e-5)
    fixed = Decays(0.5, 0.2, 200.0, "near", 1e-3, 0.02, 3, 4, 5, seeds=(3,)).run().set_index(["metric", "of"])["value"]
    assert fixed["nc1", "lam_W"] == pytest.approx(2 * 0.2 / 200, rel=0.01)
    assert abs(fixed["nc1", "lam_H"]) < 0.01 * fixed["nc1", "lam_W"]


def trace_pair(H):
    means = H.reshape(3, 4, -1).mean(1)
    return float((H - means.repeat_interleave(4, 0)).square().sum()) / 12, float(
        (means - means.mean(0)).square().sum() / 3
    )


def test_value_share_of_noise_in_the_span():
    """Two classes of two samples; the class mean of the first is no noise."""
    D = torch.tensor([[5.0, 0, 1], [5.0, 0, -1], [0, 1.0, 0], [0, -1.0, 0]]).double()
    assert share_inside(D, 2) == pytest.approx(0.5)


def test_law_smoke_verdicts(table):
    found = verdicts(table)
    assert len(found) == 25
    assert {name for name, (verdict, _) in found.items() if verdict != "holds"} == {"none-rises"}
    assert found["almost-all"][1] == 0.9 and found["none-rises"][1] == 4


def scaled(table, factor, column="value", **where):
    """The table with some values multiplied."""
    hit = np.logical_and.reduce([table[name].isin(np.atleast_1d(value)) for name, value in where.items()])
    assert hit.any()
    return table.assign(**{column: table[column].where(~hit, factor * table[column])})


@pytest.mark.parametrize(
    ("where", "factor", "names"),
    [
        ({"metric": "cross"}, 1.01, {"theorem-4-2", "spectrum"}),
        ({"metric": "cross", "layer": "first-order"}, 1.01, {"theorem-4-2"}),
        ({"metric": "cross", "layer": "first-order"}, 100, {"theorem-4-2", "dominance"}),
        ({"metric": "sigma", "layer": "exact"}, 1 - 1e-9, {"spectrum"}),
        ({"metric": "cross", "layer": "exact"}, 0.1, {"spectrum"}),
        ({"metric": "gram", "part": "free"}, 1e6, {"minimizer"}),
        ({"metric": "distance", "part": "tied"}, 1e6, {"tied"}),
        ({"metric": "nc1", "part": "over c"}, 1.01, {"attenuation.nc1"}),
        ({"metric": "nc2", "part": "over c"}, float("nan"), {"attenuation.nc2"}),
        ({"metric": "error", "of": "H"}, 1e5, {"general.H"}),
        ({"metric": "error", "of": "W", "step": 1e-2}, 3.0, {"general.order"}),
        ({"metric": "truncation", "of": "W", "beta": 3000.0}, 3.0, {"general.truncation"}),
        ({"metric": "gradient"}, 1e5, {"general.H", "general.W", "general.order"}),
        ({"metric": "zeros", "rank": 1}, 2.0, {"general.degenerate"}),
        ({"metric": "nc1", "of": "lam_H", "part": FOLLOW}, 1.01, {"matters.laws"}),
        ({"metric": "nc1_trace_ratio", "of": "lam_W", "part": FOLLOW}, 9.0, {"matters.laws"}),
        ({"metric": "nc2", "of": "lam_H", "part": FOLLOW}, 0.0, {"matters.laws"}),
        ({"of": "lam_H", "part": "H0 fixed, near", "beta": 1000.0}, 1.1, {"fixed.orders"}),
        ({"of": "lam_H", "part": "H0 fixed, near", "beta": [100.0, 1000.0]}, 100.0, {"fixed.turns"}),
        ({"metric": "gap"}, float("nan"), {"certificate"}),
    ],
)  # fmt: skip
def test_law_claims_can_fail(table, where, factor, names):
    with np.errstate(invalid="ignore"):
        found = verdicts(scaled(table, factor, **where))
    assert {name for name, (verdict, _) in found.items() if verdict == "fails"} == names | {"none-rises"}


def test_law_quadratic_claim_needs_the_exact_response(table):
    swapped = table.assign(layer=table["layer"].replace({"exact": "first-order", "first-order": "exact"}))
    assert verdicts(swapped)["quadratic"][0] == "fails"


def test_law_every_figure_is_drawn_and_labelled(table):
    for name in NAMES:
        made = drawn(getattr(figures, name), getattr(views, name)(table))
        assert made.get_figwidth() <= 7
        for axis in made.axes:
            assert axis.get_xlabel() and (axis.get_ylabel() or axis.get_title())
            shown = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
            assert np.isfinite(shown).any()
        plt.close(made)


def test_value_figure_of_the_decays_has_one_beta_and_one_shape(table):
    rows = views.decays(table)
    follows = rows[rows["panel"] == "follows"]
    assert not follows.duplicated(["metric", "of", "seed", "x"]).any() and follows["theory"].notna().all()
    assert set(rows.loc[rows["panel"] == "fixed", "metric"]) == {"nc1"} and (rows["value"] >= 0).all()


def test_value_quoted(table):
    """Problems: margins of 1 and -1; a random start ended below the certified one."""
    rows = table[table["part"] == "random problems"]
    value = rows["value"].where(
        rows["metric"] != "margin", pd.Series([1.0, -1.0] * len(rows)).iloc[: len(rows)].tolist()
    )
    value = value.where(rows["metric"] != "gap", -1.0)
    found = quoted(pd.concat([table[table["part"] != "random problems"], rows.assign(value=value)]))
    assert (found["problems"], found["certified"], found["below"]) == ("2", "1", "1")
    assert (found["falling"], found["rising"], found["flat-zero"], found["flat-one"]) == ("90%", "4", "6", "3")


def test_law_profiles():
    assert {run.seeds for run in STUDY.runs("laptop", seed=7) if hasattr(run, "seeds")} == {(7, 8, 9)}
    with pytest.raises(ValueError, match="must be one of smoke, laptop, paper"):
        STUDY.runs("large")
