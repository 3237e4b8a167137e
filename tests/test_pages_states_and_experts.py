"""Page 22: recurrent states that are overfull, and routed experts."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.collapses.averages import permuted
from nclib.collapses.recurrence import readout_error, readout_ratio
from nclib.evidence.claims import judge_all
from nclib.pages._collapses.classifier import digits
from nclib.pages.states_and_experts import claims, figures, routing, views
from nclib.pages.states_and_experts.quoted import quoted
from nclib.pages.states_and_experts.recall import Recall
from nclib.pages.states_and_experts.study import STUDY
from nclib.runs.study import own_runs


def recall(**more):
    given = {"dim": 6, "values": 4, "lengths": (6,), "steps": 60, "tokens": 256, "lr": 0.1, "start": 1e-3}
    return Recall(**given | {"loads": (1,), "contexts": 600, "seed": 0} | more)


@pytest.mark.parametrize(("gate", "load"), [(1.0, 1), (1.0, 4), (0.9, 4)])
def test_law_the_read_out_has_the_derived_trace_ratio_and_errors(gate, load):
    measured = recall().test(gate, load, torch.Generator().manual_seed(1))
    ratio = readout_ratio(gate, 6, 4, 6 * load, 6)
    assert measured["trace_ratio"] == pytest.approx(ratio, rel=0.1)
    assert measured["error"] == pytest.approx(readout_error(ratio, 4), abs=0.03)


def test_law_it_learns_to_forget_beyond_its_capacity_and_not_below():
    one = recall(dim=2, values=8, tokens=512)
    gates = [one.learn(length, torch.Generator().manual_seed(0)) for length in (2, 64)]
    assert gates[0] ** 2 > 0.9 and gates[1] ** 64 < 0.5


def model(seed=0, top=1):
    torch.manual_seed(seed)
    return routing.Routed(5, 3, 4, top).requires_grad_(False)


@pytest.mark.parametrize("top", [1, 2])
def test_oracle_a_sample_has_its_most_probable_experts(top):
    net, x = model(top=top), torch.randn(7, 64)
    for one, found in zip(x, net.features(x), strict=True):
        h = net.below(one).relu()
        p = net.router(h).softmax(0)
        expected = h.clone()
        for e in p.argsort(descending=True)[:top]:
            expected += p[e] * (net.V[e] @ (net.U[e] @ h + net.u[e]).relu())
        assert torch.allclose(found, expected, atol=1e-6)


def test_law_groups_of_one_stay_and_twins_merge_without_loss_only_if_aligned():
    net, x = model(), torch.randn(40, 64)
    alone = routing.merged(net, [[0], [1], [2]], torch.tensor([0.0, 1.0, 2.0]), False)
    assert torch.equal(alone(x), net(x))
    twin = permuted([net.U[0], net.V[0]], [net.u[0], torch.zeros(5)], [torch.tensor([2, 0, 3, 1])])
    (net.U[1], net.V[1]), (net.u[1], _) = twin
    aligned, plain = (routing.merged(net, [[0, 1], [2]], torch.ones(3), way) for way in (True, False))
    assert torch.allclose(aligned(x), net(x), atol=1e-5) and not torch.allclose(plain(x), net(x), atol=1e-2)
    used = routing.merged(net, [[0, 1], [2]], torch.tensor([3.0, 0.0, 1.0]), False)
    assert torch.equal(used.U[1], net.U[0]) and torch.equal(used.V[1], net.V[0])
    assert routing.ranks(aligned, [0]) == pytest.approx(routing.ranks(net, [0]))


def test_value_collapse_by_expert_where_one_has_all():
    net, data = model(), digits(3)
    found = routing.routed_collapse(net, data)
    assert found["nc1-inputs"] > 0 and 1 < found["in-use"] <= 3
    net.router.weight[1:] = -100.0
    net.router.weight[0] = 100.0
    found = routing.routed_collapse(net, data)
    assert found["in-use"] == 1 and np.isnan(found["nc1-inputs"]) and found["nc1-digits"] > 0


def planted(power, kept=3.0):
    """States of four sizes whose half-life over the training length is (threshold / length)^2."""
    rows = [
        ("states", "half-life", (kept * dim**power / length) ** 2, dim, dim * load, 0)
        for dim in (4, 8, 16, 32)
        for load in (0.5, 1, 2, 4, 8, 256)
        for length in [dim * load]
    ]
    return pd.DataFrame(rows, columns=["part", "metric", "value", "dim", "length", "seed"])


@pytest.mark.parametrize("power", [1, 2])
def test_value_threshold_and_its_exponent(power):
    table = planted(power)
    assert views.thresholds(table)["value"].tolist() == pytest.approx([3 * d**power for d in (4, 8, 16, 32)])
    assert claims.power(table) == pytest.approx([power])
    line = claims.linear(table)[0]
    assert line == pytest.approx(1.0) if power == 1 else line < 0.99


def test_law_without_a_crossing_there_is_no_threshold():
    table = planted(1, kept=1e6)
    assert views.thresholds(table)["value"].isna().all() and np.isnan(claims.power(table)).all()
    twice = planted(1)
    twice.loc[twice["length"] == twice["dim"] * 256, "value"] = 2.0
    assert views.thresholds(twice)["value"].isna().all()


def test_figures_and_claims_of_the_smoke_profile(smoke_table):
    table = own_runs(smoke_table(STUDY))
    judged = judge_all(claims.HEADLINES, table).set_index("id")
    assert len(judged) == 18 and all(name.startswith("collapses.") for name in judged.index)
    scale = {name for name in judged.index if judged["verdict"][name] == "not at this scale"}
    assert {"collapses.states.linear", "collapses.states.power", "collapses.experts.balanced"} <= scale
    assert judged["verdict"]["collapses.states.keeps"] == "holds"
    assert all(quoted(table).values())
    shown = {
        figures.half_lives: (views.half_lives, 1), figures.tested: (views.tested, 2),
        figures.merging: (views.merging, 4), figures.collapse: (views.collapse, 3),
    }  # fmt: skip
    for draw, (view, panels) in shown.items():
        made = drawn(draw, view(table))
        assert len(made.axes) == panels and all(axis.lines for axis in made.axes)
        plt.close(made)
    made = drawn(figures.thresholds, views.thresholds(table))
    assert made.axes[0].collections
    plt.close(made)


def test_value_gains_are_of_the_paper_s_way_over_the_uniform_one(smoke_table):
    """Accuracies planted by way of merging."""
    table = own_runs(smoke_table(STUDY))
    planted = {"frequency, aligned": 0.9, "frequency": 0.8, "uniform, aligned": 0.7, "uniform": 0.5}
    on = (table["metric"] == "accuracy") & table["merged"].notna()
    table = table.assign(
        value=table["value"].where(~on, table["way"].map(planted)), theory=table["theory"].where(~on, 1.0)
    )
    assert claims.gain(views.OURS, views.PLAIN)(table) == pytest.approx([0.4])
    assert claims.alignment(table) == pytest.approx([0.15]) and claims.uniform_loses(table)
    assert claims.halved(table) == pytest.approx([0.1])
    nothing = table.assign(theory=table["theory"].where(~on, 0.51))
    assert not claims.uniform_loses(nothing)


def test_law_runs_are_distinct_and_seeds_consecutive():
    for profile, count in {"smoke": 6, "laptop": 24, "paper": 80}.items():
        runs = STUDY.runs(profile, seed=5)
        assert len({run.key() for run in runs}) == len(runs) == count
        assert min(run.seed for run in runs) == 5 and not any(run.needs_gpu() for run in runs)
