"""Page 14, the theorem on mixup: the minimizers, the claims on tables made by hand, the figures."""

import math

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.frames import simplex_etf
from nclib.pages.mixup_theorem import claims, figures, views
from nclib.pages.mixup_theorem.attained import Attained, minimum, objective, turned
from nclib.pages.mixup_theorem.claims import HEADLINES
from nclib.pages.mixup_theorem.joint import Joint
from nclib.pages.mixup_theorem.laws import Plane
from nclib.pages.mixup_theorem.quoted import quoted
from nclib.pages.mixup_theorem.study import STUDY
from nclib.runs.study import own_runs

matplotlib.use("agg")


@pytest.fixture(scope="module")
def table(smoke_table):
    return own_runs(smoke_table(STUDY))


def test_oracle_newton_against_scipy():
    """One problem in four dimensions, for both losses, by Nelder and Mead's simplex, which uses no derivative."""
    from scipy.optimize import minimize

    generator = torch.Generator().manual_seed(1)
    W = 2 * turned(simplex_etf(4, 4), generator)
    Y = torch.tensor([[0.3, 0.7, 0.0, 0.0]], dtype=torch.float64)
    for loss in ("cross-entropy", "squared error"):
        found = minimum(W[None], Y[None], torch.tensor([0.2]).double(), loss, generator)[0, 0]

        def value(h, loss=loss):
            return float(objective(torch.as_tensor(h), W, Y[0], 0.2, loss))

        known = minimize(value, found.numpy() + 0.3, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
        assert abs(known.fun - value(found)) < 1e-10 and abs(torch.as_tensor(known.x) - found).max() < 1e-4
    Z = torch.tensor([1.0, 2.0, 0.0, 0.0]).double()
    half = objective(Z, torch.eye(4).double(), Y[0], 2.0, "squared error")
    assert float(half) == pytest.approx((0.7**2 + 1.3**2) / 2 + 5)


def test_value_bend_and_span_of_a_run():
    """K = 3, one setting: what the table says of an even mix, worked out from the closed form's scalars."""
    found = Attained(3, (1.0,), (0.05,), (0.5,), 4).run().set_index("metric")["value"]
    rows = Attained(3, (1.0,), (0.05,), (0.5,), 4).run()
    t, u = 3.0, 3.0
    for _ in range(60):
        t -= (t * (2 + math.exp(t)) - 90) / (2 + math.exp(t) * (1 + t))
        u -= (u * (1 + 2 * math.exp(u)) - 45) / (1 + 2 * math.exp(u) * (1 + u))
    assert found["amplification"] == pytest.approx(u / t, abs=1e-12) and found["margin"] == pytest.approx(u, abs=1e-10)
    bend = rows[rows["metric"] == "bend"].set_index("loss")["value"]
    assert bend["cross-entropy"] == pytest.approx(1 - t / (2 * u), abs=1e-10) and bend["squared error"] < 1e-12
    assert abs(found["gap"]) < 1e-10 and abs(found["outside"]) < 1e-12 and found["cosine"] == pytest.approx(1)


def test_value_plane_has_the_corners_where_they_belong():
    rows = Plane(3, 50.0, 2, 0).run()
    corner = rows[(rows["i"] == rows["j"])].groupby(["i", "metric"])["value"].mean().unstack()
    expected = [[-(0.75**0.5), -0.5], [0.75**0.5, -0.5], [0, 1]]
    assert corner[["x", "y"]].to_numpy() == pytest.approx(pd.DataFrame(expected).to_numpy(), abs=1e-9)


def test_attainment_joint_where_the_frame_is_known():
    """Two classes: W = (w, -w), and the sum of rows vanishes."""
    found = Joint(2, 1e-2, 1e-2, (0.2, 0.8), (0, 1)).run().pivot(index="seed", columns="metric", values="value")
    assert (found["angle"] < 1e-7).all() and (found["sum"] < 1e-6).all() and (found["error"] < 1e-4).all()
    assert found["length"].nunique() == 2 and found["length"].std() < 1e-5 and (found["length"] > 0.5).all()


def test_value_growth_and_limit_by_hand():
    at = {"part": "attained", "metric": "amplification", "num_classes": 3, "seed": 0, "beside": ""}
    table = pd.DataFrame(
        [at | {"length": 1.0, "lam_H": lam, "a": 1 / lam, "value": v} for lam, v in ((1, 0.5), (0.1, 0.8), (0.01, 0.7))]
    )
    assert claims.growth("amplification")(table) == pytest.approx([-0.1])
    assert claims.below_limit(table) == pytest.approx([0.8])
    odds = [at | {"metric": "gap", "a": 1e4, "mix": 0.9, "value": 2.0}, at | {"metric": "gap", "a": 10.0, "value": 9.0}]
    assert claims.off_odds(pd.DataFrame(odds)) == pytest.approx([math.log(9) - 2])


def test_law_runs_are_distinct():
    for profile, count in (("smoke", 2 + 3 + 1 + 3), ("laptop", 12 + 3 + 1 + 6), ("paper", 15 + 3 + 1 + 6)):
        runs = STUDY.runs(profile, seed=7)
        assert len({run.key() for run in runs}) == len(runs) == count and not any(run.needs_gpu() for run in runs)


def test_figures_and_claims_of_the_smoke_profile(table):
    judged = judge_all(HEADLINES, table)
    assert len(judged) == 13 and set(judged["verdict"]) == {"holds"}
    for name in ("plane", "channel", "amplification"):
        made = drawn(getattr(figures, name), getattr(views, name)(table))
        assert all(axis.get_xlabel() for axis in made.axes[: 2 if name != "amplification" else 1])
        plt.close(made)
    assert "–" not in quoted(table).values()
