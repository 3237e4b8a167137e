"""Our own seeds: tables made up so that every answer is known, and figures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from language_models import METRICS, run_of
from published import drawn

from nclib.experiments.wu2024 import seeds, seeds_table, seeds_views
from nclib.pages._language_models.models import models
from nclib.permutation import permutation_p
from nclib.plotting import seeds as plotting


@pytest.fixture(scope="module")
def twenty_one():
    """21 seeds: NC4 falls with the loss by a line, the mean CDNV is random."""
    rng, tables = np.random.default_rng(0), []
    for config in seeds.runs("laptop", corpus="reference"):
        loss = 4 + 0.1 * rng.normal()
        metrics = {"ncc_agreement": 0.6 - loss / 10} | {
            name: value * rng.uniform(0.9, 1.1) for name, value in METRICS.items() if name != "ncc_agreement"
        }
        tables.append(run_of(config, [loss], metrics))
    found = pd.concat(tables, ignore_index=True)
    return found.rename(columns={"run": "config"})


def verdicts(judged):
    return {row["id"].split(".", 2)[2]: row["verdict"] for row in judged}


def test_value_seeds_are_consecutive():
    configs = seeds.runs("laptop", seed=5, corpus="reference")
    assert [config.seed for config in configs] == list(range(5, 26))
    assert len({(config.width, config.depth, config.rate) for config in configs}) == 1
    assert len(seeds.runs("paper", count=3)) == 3


def test_oracle_relations_are_scipys(twenty_one):
    frames = seeds_table.frames(("laptop", twenty_one))
    ((label, points),) = frames.items()
    found = seeds_table.relations(points)
    judged = {row["id"]: row["ours"] for row in seeds.claims(twenty_one)}
    frame = models(twenty_one.rename(columns={"config": "run"}), "wu-papyan-2024-05")
    for name, (metric, *_) in seeds.PROPERTIES.items():
        r = scipy.stats.pearsonr(frame[metric], frame["validation"])
        assert found.loc[name, "r"] == pytest.approx(r.statistic)
        assert found.loc[name, "R²"] == pytest.approx(r.statistic**2)
        assert found.loc[name, "p"] == pytest.approx(r.pvalue, abs=0.03)
        assert found.loc[name, "r"] == pytest.approx(judged[seeds.CLAIMS[name].id])
    assert found.loc["NC4", "r"] == pytest.approx(-1) and found.loc["NC4", "p"] == 1 / 10_001
    assert float(seeds_table.table1(frames).loc["NC4", (label, "7 p")]) == pytest.approx(7 / 10_001, abs=5e-5)


def test_law_seed_claims_can_hold_and_fail(twenty_one):
    found = verdicts(seeds.claims(twenty_one))
    assert found["nc4"] == "holds" and found["nc1"] == "undecided"
    wrong = twenty_one["metric"] == "ncc_agreement"
    against = twenty_one.assign(value=np.where(wrong, -twenty_one["value"], twenty_one["value"]))
    assert verdicts(seeds.claims(against))["nc4"] == "fails"
    loss = twenty_one[(twenty_one["metric"] == "loss") & (twenty_one["split"] == "validation")]
    value = loss.set_index("config")["value"]
    same = twenty_one["metric"] == "uniform_duality"
    turned = twenty_one.assign(value=np.where(same, twenty_one["config"].map(value), twenty_one["value"]))
    assert verdicts(seeds.claims(turned))["unc3"] == "fails"
    few = twenty_one[twenty_one["seed"] < 20]
    assert set(verdicts(seeds.claims(few)).values()) == {"not at this scale"}


def test_law_an_agreement_of_zero_everywhere_has_no_correlation(twenty_one):
    flat = twenty_one.assign(value=np.where(twenty_one["metric"] == "ncc_agreement", 0.0, twenty_one["value"]))
    frames = seeds_table.frames(("laptop", flat))
    ((label, points),) = frames.items()
    assert math.isnan(seeds_table.relations(points).loc["NC4", "p"])
    assert seeds_table.table1(frames).loc["NC4", (label, "p")] == "–"
    made = [
        drawn(plotting.scatter, seeds_views.scatter(frames, plotting.LABELS)),
        drawn(plotting.permutations, seeds_views.permutations(seeds_table.permuted(points, draws=100), 21)),
    ]
    for figure in made:
        figure.draw_without_rendering()
    plt.close("all")


def test_value_table_1_stands_beside_the_papers(twenty_one):
    frames = seeds_table.frames(("laptop", twenty_one), ("laptop", twenty_one), ("paper", twenty_one[:0]))
    ((label, _),) = frames.items()
    assert label == "Python's manual, 21 seeds of 1 × 32, profile laptop"
    found = seeds_table.table1(frames)
    assert found.loc["NC3", seeds_table.PAPER].tolist() == ["0.322210", "−0.568", "0.0063", "0.0441"]
    assert found.loc["NC4", label].tolist() == ["1.000", "−1.000", "0.0001", "0.0007"]
    assert found.loc["GNC2, as defined", seeds_table.PAPER].tolist() == 4 * ["–"]
    assert found.loc["GNC2, as defined", (label, "7 p")] == "–"
    assert seeds_table.judged(twenty_one).loc["NC4"].tolist()[::3] == ["−1.00", "holds"]
    assert seeds_table.spread(frames).loc[label, "updates"] == "900"


def test_oracle_permuted_correlations_give_the_p_of_the_test(twenty_one):
    points = seeds_table.frames(("laptop", twenty_one)).popitem()[1]
    for name, (r, others) in seeds_table.permuted(points, draws=3000).items():
        assert len(others) == 3000 and abs(others.mean()) < 0.02
        hits = (np.abs(others) >= abs(r) - 1e-12).sum()
        assert (1 + hits) / 3001 == permutation_p(points[name], points["validation"], 3000)
        assert others.std() == pytest.approx(1 / math.sqrt(20), rel=0.05)


@pytest.mark.parametrize("r2", [0.19, 0.49])
def test_oracle_power_by_simulation(r2):
    rng, n, trials = np.random.default_rng(1), 21, 20_000
    x, e = rng.normal(size=(2, trials, n))
    y = math.sqrt(r2) * x + math.sqrt(1 - r2) * e
    x, y = (part - part.mean(1, keepdims=True) for part in (x, y))
    r = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    for level in (0.05, 0.05 / 7):
        t = scipy.stats.t.ppf(1 - level / 2, n - 2)
        share = (np.abs(r) >= t / math.sqrt(t**2 + n - 2)).mean()
        assert seeds_table.power(r2, n, level) == pytest.approx(share, abs=0.02)
    assert seeds_table.power(0.0, n, 0.05) == pytest.approx(0.05)


def test_value_chances_of_the_papers_relations():
    found = seeds_table.chances()
    assert found.loc["UNC3", "p ≤ 0.05"] == "5%" and found.loc["NC1", "p ≤ 0.05"] == "51%"


def test_law_seed_figures_draw_each_seed(twenty_one):
    frames = seeds_table.frames(("laptop", twenty_one))
    made = drawn(plotting.scatter, seeds_views.scatter(frames, plotting.LABELS))
    made.draw_without_rendering()
    (part,) = made.subfigs
    assert [len(axis.lines[0].get_xdata()) for axis in part.axes] == 8 * [21]
    assert part.axes[-1].get_title() == "$R^2$ = 1.000, $p$ = 0.0001"
    found = seeds_table.permuted(next(iter(frames.values())), draws=500)
    histogram = drawn(plotting.permutations, seeds_views.permutations(found, 21))
    histogram.draw_without_rendering()
    dashed = histogram.axes[0].lines[-1]
    area = np.trapezoid(dashed.get_ydata(), dashed.get_xdata())
    bars = sum(bar.get_height() * bar.get_width() for bar in histogram.axes[1].patches)
    assert area == pytest.approx(1, abs=1e-3) and bars == pytest.approx(1)
    plt.close("all")
