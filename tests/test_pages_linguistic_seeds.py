"""Page 12, models that differ by their seed alone: tables made up so that every answer is known, and figures."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from language_models import METRICS, run_of
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.evidence.permutation import permutation_p
from nclib.pages._language_models.models import models
from nclib.pages.linguistic_seeds import figures, quoted, tables, views
from nclib.pages.linguistic_seeds.claims import HEADLINES, key
from nclib.pages.linguistic_seeds.study import STUDY


@pytest.fixture(scope="module")
def twenty_one():
    """21 seeds: NC4 falls with the loss by a line, the mean CDNV is random."""
    rng, tables = np.random.default_rng(0), []
    for config in STUDY.runs("laptop", corpus="reference"):
        loss = 4 + 0.1 * rng.normal()
        metrics = {"ncc_agreement": 0.6 - loss / 10} | {
            name: value * rng.uniform(0.9, 1.1) for name, value in METRICS.items() if name != "ncc_agreement"
        }
        tables.append(run_of(config, [loss], metrics))
    return pd.concat(tables, ignore_index=True)


def judged(table):
    found = judge_all(HEADLINES, views.points(table))
    return {row.id.removeprefix("wu2024.seeds."): row for row in found[found["beside"] == ""].itertuples()}


def verdicts(table):
    return {name: row.verdict for name, row in judged(table).items()}


def test_value_seeds_are_consecutive():
    configs = STUDY.runs("laptop", seed=5, corpus="reference")
    assert [config.seed for config in configs] == list(range(5, 26))
    for profile in ("laptop", "paper"):
        updates = [math.ceil(config.tokens // config.context / (config.batch // config.context)) for config in configs]
        assert min(updates) >= 600 and {run.needs_gpu() for run in STUDY.runs(profile)} == {profile == "paper"}
    assert len({(config.width, config.depth, config.rate) for config in configs}) == 1
    assert len(STUDY.runs("paper", count=3)) == 3


def test_oracle_relations_are_scipys(twenty_one):
    points = views.points(twenty_one)
    ((label, frame),) = views.frames(points).items()
    found, claimed = views.relations(frame), judged(twenty_one)
    frame = models(twenty_one, "wu-papyan-2024-05")
    for name, (metric, *_) in views.PROPERTIES.items():
        r = scipy.stats.pearsonr(frame[metric], frame["validation"])
        assert found.loc[name, "r"] == pytest.approx(r.statistic)
        assert found.loc[name, "R²"] == pytest.approx(r.statistic**2)
        assert found.loc[name, "p"] == pytest.approx(r.pvalue, abs=0.03)
        assert found.loc[name, "r"] == pytest.approx(claimed[key(name)].ours)
    assert found.loc["NC4", "r"] == pytest.approx(-1) and found.loc["NC4", "p"] == 1 / 10_001
    assert float(tables.table1(points).loc["NC4", (label, "7 p")]) == pytest.approx(7 / 10_001, abs=5e-5)


def test_law_seed_claims_can_hold_and_fail(twenty_one):
    found = verdicts(twenty_one)
    assert found["nc4"] == "holds" and found["nc1"] == "undecided"
    wrong = twenty_one["metric"] == "ncc_agreement"
    against = twenty_one.assign(value=np.where(wrong, -twenty_one["value"], twenty_one["value"]))
    assert verdicts(against)["nc4"] == "fails"
    loss = twenty_one[(twenty_one["metric"] == "loss") & (twenty_one["split"] == "validation")]
    value = loss.set_index("run")["value"]
    same = twenty_one["metric"] == "uniform_duality"
    turned = twenty_one.assign(value=np.where(same, twenty_one["run"].map(value), twenty_one["value"]))
    assert verdicts(turned)["unc3"] == "fails"
    few = twenty_one[twenty_one["seed"] < 20]
    assert set(verdicts(few).values()) == {"not at this scale"}


def test_law_an_agreement_of_zero_everywhere_has_no_correlation(twenty_one):
    flat = twenty_one.assign(value=np.where(twenty_one["metric"] == "ncc_agreement", 0.0, twenty_one["value"]))
    points = views.points(flat)
    ((label, frame),) = views.frames(points).items()
    assert math.isnan(views.relations(frame).loc["NC4", "p"])
    assert tables.table1(points).loc["NC4", (label, "p")] == "–"
    made = [
        drawn(figures.scatter, views.scatter(points)),
        drawn(figures.permutations, views.permutations(points, draws=100)),
    ]
    for figure in made:
        figure.draw_without_rendering()
    plt.close("all")


def test_value_table_1_stands_beside_the_papers(twenty_one):
    points = views.points(
        pd.concat([twenty_one, twenty_one.assign(run=twenty_one["run"] + "b", beside="paper scale", corpus="books")])
    )
    archived, label = views.frames(points)
    assert label == "reference, 21 seeds of 1 × 32, profile laptop"
    assert archived == "books, 21 seeds of 1 × 32, paper scale"
    found = tables.table1(points)
    assert found.loc["NC3", tables.PAPER].tolist() == ["0.322", "−0.568", "0.0063", "0.0441"]
    assert found.loc["NC4", label].tolist() == ["1.000", "−1.000", "0.0001", "0.0007"]
    assert found.loc["GNC2, as defined", tables.PAPER].tolist() == 4 * ["–"]
    assert found.loc["GNC2, as defined", (label, "7 p")] == "–"
    assert tables.spread(points).loc[label, "updates"] == "900"


def test_oracle_permuted_correlations_give_the_p_of_the_test(twenty_one):
    points = views.points(twenty_one)
    for name, (r, others) in views.permuted(points, draws=3000).items():
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
        assert tables.power(r2, n, level) == pytest.approx(share, abs=0.02)
    assert tables.power(0.0, n, 0.05) == pytest.approx(0.05)


def test_value_chances_of_the_papers_relations():
    found = tables.chances()
    assert found.loc["UNC3", "p ≤ 0.05"] == "5%" and found.loc["NC1", "p ≤ 0.05"] == "51%"


def test_law_seed_figures_draw_each_seed(twenty_one):
    points = views.points(twenty_one)
    made = drawn(figures.scatter, views.scatter(points))
    made.draw_without_rendering()
    (part,) = made.subfigs
    assert [len(axis.lines[0].get_xdata()) for axis in part.axes] == 8 * [21]
    assert part.axes[-1].get_title() == "$R^2$ = 1.000, $p$ = 0.0001"
    histogram = drawn(figures.permutations, views.permutations(points, draws=500))
    histogram.draw_without_rendering()
    dashed = histogram.axes[0].lines[-1]
    area = np.trapezoid(dashed.get_ydata(), dashed.get_xdata())
    bars = sum(bar.get_height() * bar.get_width() for bar in histogram.axes[1].patches)
    assert area == pytest.approx(1, abs=1e-3) and bars == pytest.approx(1)
    plt.close("all")


def test_value_order_of_strength():
    """R^2 of GNC2 and NC4 is 1, that of NC3 0.25, of the others 0; and with NC1 at 1 neither leads."""
    loss = np.tile([1.0, 2, 3], 7)
    points = pd.DataFrame({name: np.tile([1.0, 0, 1], 7) for name in views.PROPERTIES})
    points = points.assign(validation=loss, GNC2=-loss, NC4=2 * loss, NC3=np.tile([1.0, 3, 2], 7), updates=900)

    def found(points):
        judged = judge_all(HEADLINES, points.assign(beside="")).set_index("id")
        return {name: (judged.at[f"wu2024.seeds.order.{name}", "ours"]) for name in ("gnc2", "nc4")}

    assert found(points) == pytest.approx({"gnc2": 0.75, "nc4": 0.75})
    assert found(points.assign(NC1=loss, GNC2=points["NC3"])) == pytest.approx({"gnc2": -0.75, "nc4": 0})


def test_value_paper_values_of_the_order():
    claims = {claim.id: claim.paper_value for headline in HEADLINES for claim in headline.claims}
    assert claims["wu2024.seeds.order.gnc2"] == pytest.approx(0.165725)
    assert claims["wu2024.seeds.gnc2"] == pytest.approx(-0.698524, abs=1e-6) and claims["wu2024.seeds.nc1"] > 0


def test_value_quoted_numbers(twenty_one):
    points = views.points(twenty_one)
    found = quoted.of_points(points)
    assert found["sd"] == points["validation"].std(ddof=1) and found["nc4"] == pytest.approx(-1)
    assert found["strongest"].startswith("NC4 and ")
    said = quoted.quoted(points)
    assert said["paper-nc1"] == said["paper-strongest"] == "–" and said["here-gnc2"] == f"{found['gnc2']:+.2f}"


def test_law_the_archive_has_what_the_page_shows_beside():
    points = views.points(STUDY.table("paper"))
    assert len(points) == 21 and set(points["beside"]) == {""} and points["width"].unique().tolist() == [256]
    assert quoted.of_points(points)["strongest"] == "NC4 and NC1"
