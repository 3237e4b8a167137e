"""Page 04, minority collapse: squared error through its threshold, its landscape, cross-entropy, limits, networks."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages._linear_heads.network import Network
from nclib.pages.minority_collapse import claims, figures, groups, seli, study, sweep, views
from nclib.pages.minority_collapse.branches import Branches
from nclib.pages.minority_collapse.claims import HEADLINES
from nclib.pages.minority_collapse.groups import Groups
from nclib.pages.minority_collapse.quoted import quoted
from nclib.pages.minority_collapse.seli import Vanishing
from nclib.pages.minority_collapse.study import STUDY
from nclib.pages.minority_collapse.sweep import Sweep
from nclib.runs.store import PROFILES
from nclib.runs.study import own_runs
from nclib.theory import deep_linear


def test_value_beta_and_its_inverse():
    # M = 1: N^2 lam^2 / n = 100 * 0.04 / 8; M = 2: 2 (10/8) sqrt(10 * 0.008) / thr(2), thr(2) = 1/2.
    assert sweep.beta((8, 2), 0.2, 1)[0].item() == pytest.approx(0.5)
    assert sweep.beta((8, 2), 0.2, 2)[0].item() == pytest.approx(5 * math.sqrt(0.08))
    for M in (1, 2, 3, 6):
        assert sweep.beta((8, 2), sweep.lambda_at(0.7, 2, 10, M), M)[1].item() == pytest.approx(0.7)


@pytest.mark.parametrize("M", [1, 2, 3])
def test_value_objective_at_the_minimizer(M):
    counts, lam = (4, 2), 0.03
    exact = deep_linear.mse_minimizer(counts, (lam,) * M, lam)
    s = deep_linear.layer_singular_values(counts, (lam,) * M, lam)[0]
    Y, K = sweep.targets(counts), 2
    n = torch.tensor(counts, dtype=torch.float64)
    H = (s / n.sqrt()).diag() @ Y
    theta = torch.cat([s.diag().flatten()] * M + [H.flatten()])[None]
    assert exact.survives.all()
    assert sweep.objective(theta, Y, torch.tensor([lam]).double(), K, M).item() == pytest.approx(exact.loss)
    q = sweep.overlaps(theta, Y, K, M)[0]
    torch.testing.assert_close(q, exact.logits.diagonal(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("M", [1, 2])
def test_attainment_sweep_reaches_the_closed_form(M):
    lambdas = tuple(sweep.lambda_at(r, 2, 8, M) for r in (0.5, 1.5))
    table = Sweep((6, 2), M, lambdas, (0.9, 1.1, 2.4, 3.0), seeds=(0,), dim=8).run()
    found = views.overlap(table.assign(part="sweep", depth=M, q=math.nan))
    np.testing.assert_allclose(found["q"], found["theory"], atol=1e-6)
    assert found["lam"].tolist() == [lambdas[0]] * 2 + [lambdas[1]] * 2 and found["size"].tolist() == [6, 2] * 2
    assert found["beta"].tolist() == pytest.approx([0.5 / 3, 0.5, 0.5, 1.5])
    dead = found[(found["size"] == 2) & (found["beta"] > 1)]
    assert len(dead) == 1 and abs(dead["q"].item()) < 1e-6 and (found["q"] > 0.2).sum() == 3
    kept = table[table["metric"] == "kept"]
    assert kept["start"].tolist() == [0.9, 1.1, 2.4, 3.0] * 2 and kept["theory"].tolist() == [2] * 4 + [1] * 4
    assert (kept["value"] <= kept["theory"]).all() and kept["value"].max() == 2


def test_oracle_spinodals_are_those_of_the_theory():
    for M, ratio in views.SPINODAL.items():
        assert ratio == pytest.approx(deep_linear.spinodal(M) / deep_linear.collapse_threshold(M), rel=1e-12)


def test_oracle_where_the_phase_diagram_turns():
    """From lam and beta alone: the lambda at which beta is 1, and that at which it is the spinodal's."""
    lam, M = 0.04, 2
    at = {"part": "phase", "metric": "q", "depth": M, "seed": 0, "value": 0.5, "theory": 0.5, "q": math.nan}
    rows = [
        at | {"lam": lam, "i": i, "size": n, "beta": float(sweep.beta((28, 4), lam, M)[i])}
        for i, n in ((0, 28), (1, 4))
    ]
    found = views.phase(pd.DataFrame(rows))
    assert found["critical"].tolist() == pytest.approx([sweep.lambda_at(1, 4, 32, M)])
    assert found["spinodal"].tolist() == pytest.approx([sweep.lambda_at(views.SPINODAL[M], 4, 32, M)])


def test_value_branches_of_the_scalar_loss():
    """M = 2 at 0.9 and 1.1 of the threshold: the survivor lives on, the dead stay dead; at 1.4 it is gone."""
    table = Branches(2, (0.9, 1.1, 1.4), (1.0,), seeds=(0,)).run()
    found = views.branches(table.assign(part="branches", depth=2))
    assert found["up"].tolist() == pytest.approx(found["local"].tolist(), abs=1e-4) and found["down"].max() < 1e-6
    assert found["local"].tolist()[:2] > [0.4, 0.4] and found["local"].tolist()[2] == 0 == found["q"].tolist()[2]
    curve = table[table["metric"] == "landscape"]
    assert curve["value"].isna().all() and len(curve) == 101 and curve["q"].iloc[-1] == 1
    assert curve["theory"].iloc[0] == pytest.approx(0.5), "the loss of a class that is 0, over n_k/N"


def test_value_contrast():
    logits = torch.tensor([[9.0, 1, 1], [1, 5, 2], [1, 1, 4]]).double()
    assert groups.contrast(logits, 2).item() == pytest.approx((5 - 1 + 4 - 2) / 2)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_attainment_cross_entropy_thresholds(nonnegative):
    run = Groups((3, 7), nonnegative, total=30, collapse_size=3.6, starts=3, seeds=(0,))
    found = run.run().query("metric == 'contrast'")
    np.testing.assert_allclose(found["value"], found["theory"], atol=1e-4)
    assert found["value"].iloc[0] < 1e-4 < 0.1 < found["value"].iloc[1] and found["size"].tolist() == [3, 7]
    assert set(found["threshold"]) == {3.6 * (4 / 3 if nonnegative else 1)}
    assert run.class_counts(3) == (12, 12, 3, 3)


def test_value_seli_distance():
    eye = torch.eye(2, dtype=torch.float64)
    assert seli.distance(eye, 3 * eye).item() == pytest.approx(0)
    assert seli.distance(eye, torch.ones(2, 2).double()).item() == pytest.approx(1 - 1 / math.sqrt(2))


def test_attainment_the_certificate_is_one_and_the_limit_comes_nearer():
    table = Vanishing((8, 4), (1e-2, 1e-3), seeds=(0,), dim=3).run().assign(part="SELI")
    assert claims.certificate(table).max() < 1e-4
    assert claims.approach(table)[0] < 1 and claims.shapes(table)[0] < 0.1


@pytest.mark.parametrize("profile", PROFILES)
def test_law_runs_are_distinct(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs) == len({*runs})
    assert {s for run in runs for s in ((run.seed,) if isinstance(run, Network) else run.seeds)} >= {5}
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")
    assert {run.dim for run in STUDY.named(profile, dim=7)["sweep"]} == {7}


def test_law_network_has_classes_on_both_sides_at_every_profile():
    """Each claim needs classes: some with beta <= 1/4, some beyond the threshold."""
    for profile in PROFILES:
        sizes = [run.lam**2 * sum(run.counts) ** 2 for run in STUDY.named(profile)["network"]]
        assert any(size <= max(study.COUNTS) / 4 * (1 + 1e-9) for size in sizes)
        assert any(size >= min(study.COUNTS) for size in sizes)


def test_value_classes_of_images_at_exactly_a_quarter_and_the_whole_of_the_threshold():
    """N^2 lambda^2 = 5 and 25 of N = 550: classes of 20 and 100 images have beta = 1/4 and count."""
    at = {"part": "network", "metric": "gram_WH", "counts": " ".join(map(str, study.COUNTS)), "seed": 0}
    rows = [at | {"lam": n**0.5 / 550, "i": i, "j": i, "value": 0.0, "theory": 1.0} for n, i in ((5, 1), (25, 9))]
    found = views.network(pd.DataFrame(rows))
    assert found["beta"].tolist() == pytest.approx([0.25, 0.25]) and (found["beta"] <= 0.25).all()


@pytest.fixture(scope="module")
def smoke(smoke_table):
    return own_runs(smoke_table(STUDY))


UNREACHED = {"thrampoulidis2022.seli.limit", "thrampoulidis2022.seli.geometry", "thrampoulidis2022.seli.rate"}
UNTRAINED = {"dang2023.minority.network-overlap", "dang2023.minority.network-collapse"}


def test_figures_and_claims_of_the_smoke_profile(smoke):
    judged = judge_all(HEADLINES, smoke).set_index("id")["verdict"]
    assert set(judged.index[judged == "not at this scale"]) == UNREACHED | UNTRAINED and len(judged) == 21
    assert set(judged.drop([*UNREACHED, *UNTRAINED])) == {"holds"}
    for name in ("overlap", "landscape", "hysteresis", "phase", "cross_entropy", "limits", "network"):
        made = drawn(getattr(figures, name), getattr(views, name)(smoke))
        assert made.axes[0].get_xlabel()
        plt.close(made)
    assert all(quoted(smoke).values())


def test_law_claims_fail_on_wrong_measurements(smoke):
    """Sweeps that stop after one step; and, in good ones, a missing number."""
    runs = [dataclasses.replace(run, iterations=1) for run in STUDY.named("smoke")["sweep"]]
    wrong = [run.run().assign(part="sweep", depth=run.depth, beside="", q=math.nan) for run in runs]
    rest = smoke[smoke["part"] != "sweep"]
    judged = judge_all(HEADLINES, pd.concat([*wrong, rest], ignore_index=True)).set_index("id")["verdict"]
    for name in ("loss", "overlap-M1", "overlap-deep"):
        assert judged[f"dang2023.minority.{name}"] == "fails", name
    hole = smoke.assign(value=smoke["value"].where(~smoke["metric"].isin(["q", "up", "contrast", "kept"])))
    judged = judge_all(HEADLINES, hole).set_index("id")["verdict"]
    assert set(judged[judged == "holds"].index) == {
        *("dang2023.minority.loss", "dang2023.minority.hysteresis", "hong2023.convexity.certificate"),
    }
