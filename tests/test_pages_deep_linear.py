"""Page 02, balanced classes: direct optimization and networks, the balance of layers, and the scale of a script."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib import data
from nclib.evidence.claims import judge_all
from nclib.pages._linear_heads import figures as heads
from nclib.pages._linear_heads import network
from nclib.pages._linear_heads import views as curves
from nclib.pages._linear_heads.direct import Direct
from nclib.pages._linear_heads.network import Network
from nclib.pages.deep_linear import balance, figures, views
from nclib.pages.deep_linear.balance import Balance
from nclib.pages.deep_linear.claims import HEADLINES
from nclib.pages.deep_linear.quoted import quoted
from nclib.pages.deep_linear.scale import Scale
from nclib.pages.deep_linear.study import STUDY
from nclib.runs.store import PROFILES
from nclib.runs.study import own_runs
from nclib.theory.deep_linear import mse_minimizer

DESCENT = Balance((3, 2), 3, (0.1, 0.1, 0.1), False, "mse", "descent", lr=0.5, steps=30, std=0.5, seeds=(0, 1))


def test_value_imbalance_of_two_factors():
    """A = [[2]], B = [[3]], lam_A = 0.5, lam_B = 0.1: 0.5 4 - 0.1 9 = 1.1. Gradients 1 and 2: 2 1 - 2 3 = -4, so the
    identity is off by 5.1 over 2 + 6 + 2 + 0.9."""
    A, B, one = torch.tensor([[[2.0]]]), torch.tensor([[[3.0]]]), torch.tensor([[[1.0]]])
    found = balance.imbalance([B, A], [2 * one, one], [0.1, 0.5])
    assert found["imbalance"].item() == pytest.approx(1.1)
    assert found["identity"].item() == pytest.approx(5.1 / 10.9)


@pytest.mark.parametrize("optimizer, decays", [("descent", (0.1,) * 3), ("adam", (0.1, 0.05, 0.2))])
@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_law_layers_are_balanced_up_to_the_gradient(optimizer, decays, loss):
    run = dataclasses.replace(DESCENT, optimizer=optimizer, decays=decays, loss=loss, bias=True)
    table = run.run()
    assert table.query("metric == 'identity'")["value"].max() < 1e-14
    assert ("recursion" in set(table["metric"])) == (optimizer == "descent")
    if optimizer == "descent":
        assert table.query("metric == 'recursion'")["value"].max() < 1e-12


def test_law_the_identity_sees_a_wrong_decay(monkeypatch):
    """The decay of the features, and of nothing else, is 0.1% larger in the objective than in the law."""
    real = Balance.objective
    monkeypatch.setattr(Balance, "objective", lambda run, W, H, b: real(run, W, H, b) + 5e-5 * H.square().sum())
    assert DESCENT.run().query("metric == 'identity'")["value"].max() > 1e-6


def test_oracle_the_descent_is_that_of_gradients_written_out():
    """Two steps for one layer: dH = W^T R + lam H, dW = R H^T + lam W with R = (W H - Y)/N."""
    run = dataclasses.replace(DESCENT, decays=(0.1, 0.1), steps=2, seeds=(3,))
    W, H, _ = (x[0].detach().numpy() for x in run.start())
    Y = np.repeat(np.eye(2), [3, 2], axis=1)
    norms = []
    for _ in range(3):
        norms.append(0.1 * np.linalg.norm(W.T @ W - H @ H.T))
        R = (W @ H - Y) / 5
        W, H = W - 0.5 * (R @ H.T + 0.1 * W), H - 0.5 * (W.T @ R + 0.1 * H)
    found = run.run().query("metric == 'imbalance'")
    assert found["value"].tolist() == pytest.approx(norms, rel=1e-12)
    assert found["theory"].tolist() == pytest.approx([norms[0] * 0.95 ** (2 * step) for step in range(3)])


def test_attainment_the_script_solves_the_problem_of_another_lambda():
    table = Scale(3, 2, 2, 0.01, seeds=(5,)).run().set_index("metric")
    assert table.loc["loss", "value"] == pytest.approx(2 / 3 * mse_minimizer((2,) * 3, [0.015] * 2, 0.015).loss)
    assert table.loc["gram", "value"] < 1e-8 < 1e-2 < table.loc["gram_lam", "value"]
    right, wrong = (mse_minimizer((2,) * 3, [lam] * 2, lam).gram_W[0, 0] for lam in (0.015, 0.01))
    assert table.loc["gram_lam", "value"] == pytest.approx(float(1 - right / wrong))


@pytest.mark.parametrize("profile", PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs)
    seeds = {s for run in runs for s in ((run.seed,) if isinstance(run, Network) else run.seeds)}
    assert seeds == ({5} if profile == "smoke" else {5, 6, 7}) and "paper" in STUDY.cost
    assert {run.needs_gpu() for run in runs if isinstance(run, Network)} == {profile == "paper"}


def test_value_overrides():
    runs = STUDY.runs("smoke", samples=7, num_classes=3, depths=[2], lam=1e-2, network_lam=1e-4)
    assert runs[0] == Direct((7, 7, 7), 16, 2, False, 1e-2, 400, 0.2, seeds=(0,))
    assert [(run.depth, run.lam, run.bias) for run in runs if isinstance(run, Network)] == [
        (2, 1e-4, False),
        (2, 1e-4, True),
    ]
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")


@pytest.mark.data
@pytest.mark.parametrize("part", ["network, no bias", "network, bias", "ResNet-18"])
def test_the_paper_profile_runs(part, monkeypatch, few_images):
    """The paper's networks on real CIFAR-10, with few images and steps."""
    run = STUDY.named("paper")[part][0]
    assert run.needs_gpu() and run.counts[0] == 5000 and run.epochs == 200
    monkeypatch.setattr(network, "load", lambda *_: few_images)
    small = {"width": run.width if run.model == "resnet18" else 24, "batch_size": 10}
    found = dataclasses.replace(run, counts=(2,) * 10, epochs=2, drop=1, **small).run()
    errors = found[found["metric"] == "nc2_W"]
    assert found["value"].notna().all() and errors["value"].between(0, 2).all() and errors["step"].max() == 4


@pytest.fixture(scope="module")
def smoke(smoke_table):
    return smoke_table(STUDY)


def test_figures_and_claims_of_the_smoke_profile(smoke):
    judged = judge_all(HEADLINES, smoke)
    own = judged[judged["beside"] == ""].set_index("id")["verdict"]
    checked = own.index.str.startswith(("dang2023.balance.", "dang2023.balanced.scale."))
    assert set(own[~checked]) == {"not at this scale"} and set(own[checked]) == {"holds"}
    for draw, rows in (
        (heads.direct_curves, curves.direct_curves(smoke)),
        (heads.direct_curves, curves.direct_curves(smoke, bias=True, metrics=("nc1", "nc2_W", "nc3", "bias_error"))),
        (figures.rates, views.rates(smoke)),
        (figures.balance, views.balance(smoke)),
        (heads.network_curves, curves.network_curves(smoke, bias=True)),
        (heads.gram_matrices, curves.gram_matrices(smoke, bias=True)),
    ):
        made = drawn(draw, rows)
        assert all(axis.get_xlabel() for axis in made.axes[:1])
        plt.close(made)
    assert all(quoted(smoke).values())


def test_law_archived_runs_are_judged_and_drawn_beside(smoke):
    """The direct optimizations are; the networks are not archived."""
    beside = judge_all(HEADLINES, smoke).query("beside == 'paper scale'").set_index("id")["verdict"]
    judged = beside[beside != "not at this scale"]
    assert len(judged) == 17 and (judged == "holds").sum() == 16
    assert judged["dang2023.balanced.etf.rate-nc2"] == "undecided"
    made = drawn(heads.direct_curves, curves.direct_curves(smoke))
    assert [axis.get_title() for axis in made.axes] == [""] * 4 + ["paper scale"] * 4
    assert len(drawn(heads.network_curves, curves.network_curves(smoke)).axes) == 4
    plt.close("all")


def test_value_the_rate_of_the_bias_is_one_value_a_seed(smoke):
    """Rates 1.2 and 0.9 over the law at depths 1 and 3 are 1.05 on average, of one seed."""
    own = own_runs(smoke)
    rates = own["metric"] == "rate_bias_error"
    factor = own["depth"].map({1: 1.2, 3: 0.9})
    table = own.assign(value=own["value"].where(~rates, own["theory"] * factor.astype(float)), steps=30_000)
    found = judge_all(HEADLINES, table).set_index("id").loc["dang2023.balanced.etf.rate-bias"]
    assert found["values"] == pytest.approx([1.05]) and found["verdict"] in ("holds", "fails")


def test_value_balance_is_drawn_relative_to_the_start():
    """Pairs 3 and 4 make 5 at the start, 0.3 and 0.4 make 0.5 later; where nothing is predicted nothing is drawn."""
    at = {"experiment": "dang2023.balance", "metric": "imbalance", "seed": 0, "part": "a", "theory": math.nan}
    rows = pd.DataFrame(
        [at | {"step": s, "m": m, "value": (3.0, 4.0)[m] / (1 + 9 * s)} for s in (0, 1) for m in (0, 1)]
    )
    found = views.balance(rows)
    assert found["value"].tolist() == pytest.approx([1, 0.1]) and found["theory"].isna().all()


def test_networks_read_the_digits():
    run = STUDY.named("smoke")["network, bias"][0]
    assert run.reads() == data.load("digits").sha256
