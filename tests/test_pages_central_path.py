"""Page 07, the central path: measurements against independent computations, claims that can fail, figures."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from tied import labels, normal, traces

from nclib.evidence.claims import judge_all
from nclib.pages.central_path import figures, step, study, views
from nclib.pages.central_path.claims import HEADLINES
from nclib.pages.central_path.flow import Flow
from nclib.pages.central_path.quoted import quoted
from nclib.pages.central_path.step import Step
from nclib.pages.central_path.study import STUDY
from nclib.runs.study import own_runs
from nclib.theory import perturbation

FLOW = Flow("random", 2, (0.0, 0.1, 0.3, 1.0), 3, 2, 3, seeds=(0,))
NAMES = ("monotone", "derivative", "step", "rising", "late")


@pytest.fixture(scope="module")
def table(smoke_table):
    """The runs of profile smoke."""
    return own_runs(smoke_table(STUDY))


def verdicts(table):
    return {
        row.id.split("central-path.")[1]: (row.verdict, row.ours) for row in judge_all(HEADLINES, table).itertuples()
    }


def test_oracle_traces():
    H, y = normal(6, 4, seed=1), labels(3, 2)
    assert step.traces(H, 3) == pytest.approx(traces(H, y), rel=1e-13)


def test_oracle_a_step_of_one_problem():
    """Quotients from `solve` and a loop over classes; the constant by hand."""
    table = Step(2, (0.5, 20.0), 3, 2, 3, seeds=(4,)).run()
    generator = torch.Generator().manual_seed(4)
    _, (H0, y, lam_W, lam_H) = (FLOW.problem(number, generator) for number in (0, 1))
    H = perturbation.features(perturbation.solve(H0, y, lam_W, lam_H, 20.0), H0, y, lam_H, 20.0)
    (within, between), (within0, between0) = traces(H, y), traces(H0, y)
    found = table[(table["problem"] == 1) & ~(table["beta"] == 0.5)].set_index("metric")["value"]
    assert found["fall"] == pytest.approx(within / between / (within0 / between0), rel=1e-9)
    assert found["within"] == pytest.approx(within / within0 * (1 + lam_H / 20) ** 2, rel=1e-9)
    assert found["between"] == pytest.approx(between / between0 * (1 + lam_H / 20) ** 2, rel=1e-9)
    assert found["constant"] == max(0.0, 1 / (2 * lam_W) - lam_H) and found["speed"] < 0


def test_value_the_start_at_which_nc1_rises():
    table = Flow("rising", 1, (0.0, 0.4, 1.2), **study.RISING, seeds=(0,)).run()
    values = {name: part["value"].to_numpy() for name, part in table.groupby("metric")}
    assert values["nc1"] == pytest.approx([0.00224684, 0.00259081, 0.00352083], rel=1e-5)
    assert (np.diff(values["nc1_trace_ratio"]) < 0).all()


def test_law_flow_of_the_samples_themselves():
    """Theorem 3.1's flow, with every sample, by small explicit steps."""
    H, y, lam_W, lam_H = FLOW.problem(1, torch.Generator().manual_seed(0))
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
    first, again = (FLOW.problem(1, torch.Generator().manual_seed(4))[0] for _ in range(2))
    other = FLOW.problem(1, torch.Generator().manual_seed(5))[0]
    assert torch.equal(first, again) and not torch.allclose(first, other)
    skewed = dataclasses.replace(FLOW, start="skewed", scale=1.0)
    assert skewed.problem(0, torch.Generator().manual_seed(0))[3] == 0


def test_value_late_rates_are_predicted():
    """s = sqrt(0.4), c = sqrt(0.1): 2 s, 2 lam_H for d > K, 4 lam_H (1 - c)."""
    table = Flow("near", 1, (0.0, 0.1), 3, 2, 4, lam_W=0.5, lam_H=0.2, seeds=(0,)).run()
    rates = table[table["metric"] == "rate"].set_index("of")["theory"]
    assert rates["nc1"] == pytest.approx(2 * math.sqrt(0.4)) and rates["nc1_trace_ratio"] == pytest.approx(0.4)
    assert rates["nc2"] == pytest.approx(0.8 * (1 - math.sqrt(0.1)))


def test_law_smoke_verdicts(table):
    found = verdicts(table)
    assert len(found) == 17
    assert {name for name, (verdict, _) in found.items() if verdict != "holds"} == {"nc1-example", "nc1-skewed"}
    assert found["nc1-example"][0] == "fails" and found["nc1-skewed"][0] == "not at this scale"


def scaled(table, factor, **where):
    """The table with some values multiplied."""
    hit = np.logical_and.reduce([table[name].isin([value]) for name, value in where.items()])
    assert hit.any()
    return table.assign(value=table["value"].where(~hit, factor * table["value"]))


@pytest.mark.parametrize(
    ("where", "factor", "names"),
    [
        ({"metric": "nc1_trace_ratio", "t": 1.0}, 9.0, {"trace-ratio"}),
        ({"metric": "within", "t": 1.0}, 9.0, {"within"}),
        ({"metric": "between", "t": 1.0}, 1e-3, {"between"}),
        ({"metric": "between", "part": "steps"}, -1.0, {"bounds"}),
        ({"metric": "within", "beta": 1e4}, 1.1, {"bounds"}),
        ({"metric": "fall", "beta": 1e4}, 1.01, {"corollary-3-2", "euler"}),
        ({"metric": "fall", "beta": 0.01, "problem": 1}, 2e3, {"every-beta"}),
        ({"metric": "fall", "beta": 0.3}, 30.0, {"conjecture"}),
        ({"metric": "speed", "part": "random starts"}, 1.001, {"slope"}),
        ({"metric": "speed", "part": "steps"}, 1.1, {"euler"}),
        ({"metric": "mean_square", "part": "no feature decay"}, 1.2, {"unregularized.growth"}),
        ({"metric": "nc1_trace_ratio", "part": "no feature decay", "t": 3000.0}, 0.9, {"unregularized.power"}),
        ({"metric": "nc2", "part": "late, d > K", "t": 25.0}, 2.0, {"rate.nc2"}),
        ({"metric": "nc1_trace_ratio", "part": "late, d = K"}, float("nan"), {"rate.trace-ratio-tight"}),
    ],
)
def test_law_claims_can_fail(table, where, factor, names):
    with np.errstate(invalid="ignore"):
        found = verdicts(scaled(table, factor, **where))
    assert {name for name, (verdict, _) in found.items() if verdict == "fails"} == names | {"nc1-example"}


def test_value_every_step_is_judged_once(table):
    """Of 28 steps of two problems: those beyond the constant, certified ones up to it, and the rest."""
    past, sure = views.beyond(table).ravel(), (views.steps(table, "margin").stack() >= 0).to_numpy()
    assert len(past) == 28 and past.sum() and (~past & sure).sum() and (~past & ~sure).sum()
    all_sure = scaled(table, float("inf"), metric="margin").assign(value=lambda t: t["value"].abs())
    assert verdicts(all_sure)["conjecture"][0] == "not at this scale"


def test_value_share_of_skewed_flows_that_rise():
    """Of two seeds with 30 flows: one rises at the end, in the second seed; what is missing does not count."""
    t = np.arange(3.0)
    rows = [
        {"seed": seed, "flow": flow, "t": time, "value": 2.0**-time * (9.0 if (seed, flow, time) == (1, 7, 2) else 1)}
        for seed in (0, 1)
        for flow in range(30)
        for time in t
    ]
    skewed = pd.DataFrame(rows).assign(part="skewed starts", metric="nc1", beside="")
    others = skewed.assign(part="random starts")
    found = by_id(pd.concat([skewed, others]))
    assert found["verdict"] == "fails" and found["values"] == [0, pytest.approx(1 / 30)]
    gone = skewed.assign(value=skewed["value"].where((skewed["flow"] != 3) | (skewed["t"] != 1)))
    assert np.isnan(by_id(pd.concat([gone, others]))["values"]).all()


def by_id(table):
    """The judged claim on skewed starts, alone."""
    headline = next(one for one in HEADLINES if one.id.endswith("nc1"))
    only = dataclasses.replace(headline, claims=headline.claims[1:])
    return judge_all([only], table).iloc[0]


def test_law_every_figure_is_drawn_and_labelled(table):
    for name in NAMES:
        made = drawn(getattr(figures, name), getattr(views, name)(table))
        assert made.get_figwidth() <= 7
        for axis in made.axes:
            assert axis.get_xlabel() and (axis.get_ylabel() or axis.get_title())
            shown = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axis.lines])
            assert np.isfinite(shown).any() and not axis.texts
        plt.close(made)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("of", ["all", "nc1", "seed"])
def test_law_panels_without_a_value_say_so(table, name, of):
    """Of no metric, of one, or in one of two seeds alone."""
    other = table.assign(seed=1, value=math.nan)
    rows = {"all": other, "nc1": table.assign(value=table["value"].where(table["metric"] != "nc1"))}
    made = drawn(getattr(figures, name), getattr(views, name)(rows.get(of, pd.concat([table, other]))))
    made.canvas.draw()
    said = [text.get_text() for axis in made.axes for text in axis.texts]
    empty = len(made.axes) if of == "all" else {"monotone": 1, "rising": 1}.get(name, 0) if of == "nc1" else 0
    assert said == ["no value"] * empty
    plt.close(made)


def test_value_quoted(table):
    """The chosen start: 1.57 times NC1 at time 1.2, above its start until 2.5."""
    found = quoted(table)
    assert (found["excess"], found["peak"], found["above"]) == ("1.57", "1.2", "2.5")
    assert (found["flows"], found["skewed"], found["exceptions"]) == ("2", "1", "0")
    worse = quoted(scaled(table, 1e3, metric="fall", beta=1.0))
    assert int(worse["exceptions"]) == 1 and int(worse["open"]) == int(found["open"])


def test_law_profiles():
    assert {run.seeds for run in STUDY.runs("laptop", seed=7)} == {(7, 8, 9), (7,)}
    with pytest.raises(ValueError, match="must be one of smoke, laptop, paper"):
        STUDY.runs("large")


def test_law_late_flows_need_a_collapsed_minimizer():
    with pytest.raises(ValueError, match=r"lam_W \* lam_H = 1\.2: must be < 1"):
        STUDY.runs("smoke", lam_W=2.0, lam_H=0.6)
