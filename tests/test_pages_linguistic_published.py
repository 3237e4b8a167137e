"""The re-analysis of 230 published models: on made-up files whose answers are known, and on the authors' own."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from published import drawn

from nclib.data import files
from nclib.evidence.claims import judge_all
from nclib.pages.linguistic_published import claims, figures, measurements, summaries, tables, views
from nclib.pages.linguistic_published import study as page
from nclib.pages.linguistic_published.measurements import MAY, OCTOBER
from nclib.pages.linguistic_published.points import Points
from nclib.pages.linguistic_published.quoted import quoted
from nclib.pages.linguistic_published.summaries import Summaries
from nclib.pages.linguistic_published.tables import DEPTHS, TABLE1, TOWARD, WIDTHS, trend, value
from nclib.runs.store import PROFILES

RUNS = ["01d@0", "01L@0", "03d@2", "10d@5", "10L@5", "10d@9", "10L@9"]
SHAPES = list(itertools.product(DEPTHS, WIDTHS))
NAMES = [f"{depth:02d}x{width:04d}_{run}" for depth, width in SHAPES for run in RUNS]
NAMES += [f"02x0768_01d{i:02d}@0" for i in range(20)]


def made_up(folder, seed=0):
    """The two files with made-up values: loss = 3 + log10(CDNV) / 2, the rest random; returns a reader of their paths.

    CDNV is 10^-2 / width, and half of that with the larger weight decay.
    """
    rng, n = np.random.default_rng(seed), len(NAMES)
    width = np.array([int(name[3:7]) for name in NAMES])
    cdnv = 0.01 / width * np.where(["L@" in name for name in NAMES], 0.5, 1.0) * np.exp(0.1 * rng.normal(size=n))
    loss = {"model": NAMES, "n_params": rng.integers(10**6, 10**8, n), "val_loss": 3 + np.log10(cdnv) / 2}

    def some(*names):
        return {name: rng.uniform(0.5, 1.0, n) for name in names}

    may = some("sims_mean", "sims_std", "norms_mean", "norms_std", "norms_log_mean", "norms_log_std", "misses")
    may |= some("matches", "interfere_mean", "interfere_std", "log_dist_mean", "log_dist_std") | {"cdnv_mean": cdnv}
    october = some("norms_mean", "norms_var", "interfere_mean", "log_kern_mean", "log_kern_var", "hits", "misses")
    october |= some("norms_log_mean", "norms_log_var", "simcos_mean", "simcos_var") | {"cdnv": cdnv}
    pd.DataFrame(loss | may).to_csv(folder / MAY)
    pd.DataFrame(loss | october).to_csv(folder / OCTOBER, index=False)
    return lambda name: folder / name


def missing(name):
    raise files.DataError(f"{name}: not here")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(models, table) of made-up files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "authors_measurements", made_up(tmp_path_factory.mktemp("made-up")))
        return measurements.read(), pd.concat(
            [Summaries(0, 2000).run().assign(part="summaries"), Points().run().assign(part="points")]
        )


@pytest.fixture(scope="module")
def models(world):
    return world[0]


@pytest.fixture(scope="module")
def table(world):
    return world[1]


@pytest.fixture(scope="module")
def authors():
    """The table of the authors' own files, and the files joined by this test; skips without them."""
    try:
        may, october = (pd.read_csv(files.authors_measurements(name)) for name in (MAY, OCTOBER))
    except files.DataError as reason:
        pytest.skip(str(reason))
    return Summaries(seed=0, draws=20_000).run(), may.set_index("model"), october.set_index("model")


def test_value_statistics_of_one_model():
    both = {"cdnv_mean": 1e-3, "norms_mean": 3.0, "norms_var": 1.0, "norms_mean_may": 10.0, "norms_std": 4.0}
    both |= {"norms_log_mean_may": 2.0, "norms_log_std": 0.5, "interfere_mean_may": 0.01, "interfere_std": 0.25}
    both |= {"log_kern_mean": -0.3, "log_kern_var": 0.09, "log_dist_mean": -0.2, "log_dist_std": 0.1}
    both |= {"sims_mean": 0.4, "sims_std": 0.2, "matches": 30, "misses_may": 70}
    found = measurements.statistics(pd.DataFrame([both]), pd.Series([64])).iloc[0]
    expected = {
        **{"cdnv": 1e-3, "cdnv_log10": -3, "cdnv_scaled": 0.02, "cdnv_scaled_log10": np.log10(0.02)},
        **{"norm_log_mean": 1.0, "norm_cv": 1 / 3, "norm_squared_cv": 0.4, "norm_log_cv": 0.25, "norm_log_std": 0.25},
        **{"interference_mean": 0.01, "interference_std": 0.25, "interference_cv": 25.0, "interference_excess": 2.0},
        **{"gnc2_mean": -0.3, "gnc2_std": 0.3, "gnc2_cv": -1.0, "gnc2_excess": 4.8},
        **{"gnc2_uncentered_mean": -0.2, "gnc2_uncentered_std": 0.1, "gnc2_uncentered_cv": -0.5},
        **{"self_duality": 0.4, "uniform_duality": 0.5, "duality_std": 0.2, "agreement": 0.3, "null": 0.125},
    }
    assert list(found.index) == list(TOWARD) == list(expected)
    np.testing.assert_allclose(found.to_numpy(), list(expected.values()), rtol=1e-12)


def test_value_null_of_independent_directions():
    d, rng = 64, np.random.default_rng(0)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 60_000, d)))
    cosines = (u * v).sum(1)
    assert np.std(cosines) * np.sqrt(d) == pytest.approx(1, rel=0.015)
    assert np.std(-np.log(2 - 2 * cosines) / 2) * 2 * np.sqrt(d) == pytest.approx(1, rel=0.04)


def test_value_names_of_models_are_read(models):
    assert len(models) == 230 and models["depth"].dtype.kind == "i"
    row = models[models["model"] == "12x1024_10L@5"].iloc[0]
    assert (row.depth, row.width, row.epochs, row.measured, row.decay, row.shuffle) == (12, 1024, 10, 6, 0.1, "")
    sizes = {name: len(part) for name, part in tables.subsets(models).items()}
    assert sizes == {"all": 230, "grid": 210, "seeds": 21} | {f"width {d}": 35 for d in WIDTHS} | {
        "epochs 1": 60,
        "epochs 3": 30,
        "epochs 10": 120,
    }
    assert [len(part) for part in measurements.settings(models).values()] == [30] * 7


def test_value_lines_trends_and_shares_of_a_known_law(table):
    for split in ("all", "seeds"):
        found = views.pick(table, "cdnv_log10", split)
        assert [found["r"], found["slope"], found["intercept"]] == pytest.approx([1, 0.5, 3], abs=1e-9)
    assert value(table, "cdnv_log10", "within width") == pytest.approx(1)
    by = trend(table, "cdnv_log10", "10 epochs, 0.1", "width")
    np.testing.assert_allclose(by, np.log10(0.005 / np.array(WIDTHS)), atol=0.1)
    np.testing.assert_allclose(trend(table, "loss", "10 epochs, 0.1", "width"), 3 + by / 2, rtol=1e-9)
    assert value(table, "cdnv_log10", "10 epochs", "improved") == 1.0
    assert 0.1 < value(table, "uniform_duality", "10 epochs", "improved") < 0.9
    assert value(table, "cdnv", "seeds", "p") == 1 / 2001 and value(table, "cdnv", "seeds", "p_10000") == 1 / 10_001
    assert 0.7 < value(table, "loss", "grid", "between_widths") < 1


def test_oracle_between_widths_is_the_best_fit_by_a_factor(models, table):
    grid = tables.subsets(models)["grid"]
    factor = pd.get_dummies(grid["width"]).to_numpy(float)
    fitted = factor @ np.linalg.lstsq(factor, grid["loss"], rcond=None)[0]
    expected = np.corrcoef(fitted, grid["loss"])[0, 1] ** 2
    assert value(table, "loss", "grid", "between_widths") == pytest.approx(expected, rel=1e-9)
    assert value(table, "null", "grid") ** 2 < expected


def test_oracle_resampled_r2_is_that_of_the_repeated_rows():
    rng = np.random.default_rng(1)
    x, y, counts = rng.normal(size=9), rng.normal(size=9), np.array([0, 2, 1, 3, 0, 1, 1, 0, 2])
    expected = np.corrcoef(np.repeat(x, counts), np.repeat(y, counts))[0, 1] ** 2
    assert summaries.weighted_r2(x, y, counts[None])[0] == pytest.approx(expected, rel=1e-12)


def test_law_an_interval_holds_its_value_and_differences_are_of_the_same_models(table):
    for name in ("agreement", "uniform_duality less self_duality"):
        low, middle, high = (value(table, name, "all", metric) for metric in ("r2_low", "r2", "r2_high"))
        assert low < middle < high
    assert value(table, "agreement", "all", "r2") == pytest.approx(value(table, "agreement", "all") ** 2, rel=1e-9)


def test_oracle_within_widths_is_the_correlation_of_residuals(models, table):
    grid = tables.subsets(models)["grid"]
    factor = pd.get_dummies(grid["width"]).to_numpy(float)
    both = grid[["uniform_duality", "loss"]].to_numpy(float)
    residuals = both - factor @ np.linalg.lstsq(factor, both, rcond=None)[0]
    expected = scipy.stats.pearsonr(*residuals.T).statistic
    assert value(table, "uniform_duality", "within width") == pytest.approx(expected, rel=1e-9)


def test_oracle_trend_by_depth_is_a_mean_over_widths(models, table):
    chosen = models[(models["epochs"] == 3) & (models["depth"] == 8)]
    assert len(chosen) == 6
    found = trend(table, "agreement", "3 epochs, 0.0005", "depth")
    assert found[DEPTHS.index(8)] == pytest.approx(sum(chosen["agreement"]) / 6, rel=1e-12)


def test_value_points_are_the_models_to_five_digits(models, table):
    points = views.models(table).set_index("model")
    expected = models.set_index("model").loc[points.index]
    assert len(points) == 230 and set(tables.SHOWN) < set(points)
    for name in ("loss", "parameters", *tables.SHOWN):
        np.testing.assert_allclose(points[name], expected[name], rtol=5e-5)
    assert points["loss"].tolist() == [float(f"{x:.5g}") for x in expected["loss"]] != expected["loss"].tolist()
    assert (points[["width", "shuffle", "measured"]] == expected[["width", "shuffle", "measured"]]).all(axis=None)


def test_law_without_files_a_run_says_so(monkeypatch):
    monkeypatch.setattr(files, "authors_measurements", missing)
    for run in (Summaries(seed=0, draws=10), Points()):
        with pytest.raises(files.DataError, match="not here"):
            run.run()


@pytest.mark.parametrize("profile", PROFILES)
def test_law_archived_run_serves_every_profile_without_files(store, tmp_path, monkeypatch, profile):
    made = tmp_path / "files"
    made.mkdir()
    monkeypatch.setattr(files, "authors_measurements", made_up(made))
    monkeypatch.setattr(page, "DRAWS", dict.fromkeys(PROFILES, 500))
    first = page.STUDY.table("paper")
    assert (store / "results" / "wu2024.published").is_dir()
    monkeypatch.setattr(files, "authors_measurements", missing)
    found = page.STUDY.table(profile)
    pd.testing.assert_frame_equal(found.drop(columns="profile"), first.drop(columns="profile"))


def test_law_figures_show_every_model(table):
    main = ["cdnv_log10", "gnc2_cv", "uniform_duality", "agreement"]
    for rows, draw, models in (
        (views.loss(table, statistics=main), figures.loss, 230),
        (views.duality(table), figures.duality, 230),
        (views.null(table), figures.null, 210),
        (views.loss(table, statistics=["gnc2_uncentered_cv", "gnc2_cv"], split="seeds"), figures.loss, 21),
    ):
        made = drawn(draw, rows)
        shown = [sum(len(c.get_offsets()) for c in axis.collections) for axis in made.axes if axis.get_title()]
        assert set(shown) == {models} and all(axis.lines for axis in made.axes if axis.get_title())
        plt.close(made)


def test_value_figure_titles_hold_r2(table):
    made = drawn(figures.loss, views.loss(table, statistics=["cdnv_log10", "agreement"]))
    assert "1.000" in made.axes[0].get_title()
    assert f"{value(table, 'agreement', 'all') ** 2:.3f}" in made.axes[1].get_title()
    plt.close(made)


@pytest.mark.parametrize("by", ["width", "depth"])
def test_value_trend_figures_draw_the_means(table, by):
    rows = views.trends(table, by=by, statistics=["loss", "gnc2_std"], splits=figures.SETTINGS)
    made = drawn(figures.trends, rows, by=by)
    np.testing.assert_allclose(made.axes[0].lines[0].get_ydata(), trend(table, "loss", "1 epoch, 0.0005", by))
    assert len(made.axes[1].lines) == (5 if by == "width" else 4)
    plt.close(made)


def test_value_summary_figure_ranks_fourteen_statistics(table):
    made = drawn(figures.within, views.within(table, statistics=figures.RANKED))
    assert len(made.axes[0].get_yticks()) == 14 == len(figures.RANKED)
    plt.close(made)


def test_value_error_of_a_printed_p():
    # One hit in 10^4: the Poisson mean m with e^-m (1 + m) = 0.00135 is 8.90; many hits: three standard errors.
    assert claims.printed_error(1e-4) == pytest.approx(8.90e-4 - 1e-4, rel=0.01)
    assert claims.printed_error(0.5) == pytest.approx(3 * 0.005, rel=0.01)


def test_law_claims_judge_and_can_fail(table):
    found = judge_all(claims.HEADLINES, table.assign(beside="")).set_index("id")
    judged = {name.removeprefix("wu2024.published."): row.verdict for name, row in found.iterrows()}
    assert judged["table1.gnc2.r2"] == "fails" and judged["fig1.nc1"] == "holds" and judged["fig1.unc3"] == "fails"
    assert judged["width.nc1"] == "holds" and judged["decay.nc1"] == "holds" and judged["decay.unc3"] == "fails"
    assert judged["beyond-scale.nc1"] == "holds"


@pytest.mark.data
def test_oracle_authors_table_1_to_its_digits(authors):
    table, *_ = authors
    lines = tables.table1(table)
    printed = lines.loc[list(TABLE1)]
    assert printed["R²"].tolist() == printed["R² (paper)"].tolist()
    assert lines.loc["GNC2, as defined", "R²"].startswith("0.262")
    assert lines.loc["GNC2", "7 p"] < "0.05" < lines.loc["GNC2, as defined", "7 p"]


@pytest.mark.data
def test_oracle_authors_correlations_are_scipys(authors):
    table, may, october = authors
    both = october[["log_kern_mean", "log_kern_var"]].join(may)
    columns = {"cdnv_log10": np.log10(both["cdnv_mean"]), "self_duality": both["sims_mean"]}
    columns["gnc2_cv"] = both["log_kern_var"] ** 0.5 / both["log_kern_mean"]
    columns["interference_excess"] = both["interfere_std"] * both.index.str[3:7].astype(float) ** 0.5
    for layer, column in columns.items():
        for split, chosen in {"all": "", "width 256": "x0256_"}.items():
            part = both.index.str.contains(chosen)
            expected = scipy.stats.linregress(column[part].to_numpy(), both["val_loss"][part].to_numpy())
            assert value(table, layer, split) == pytest.approx(expected.rvalue, rel=1e-9)
            if split == "all":
                assert value(table, layer, split, "slope") == pytest.approx(expected.slope, rel=1e-9)


@pytest.mark.data
def test_value_authors_headline_numbers(authors):
    table, *_ = authors
    r2 = {name: round(value(table, name, "all") ** 2, 3) for name in ("cdnv_log10", "cdnv", "interference_std")}
    assert r2 == {"cdnv_log10": 0.916, "cdnv": 0.315, "interference_std": 0.875}
    assert round(value(table, "interference_excess", "all") ** 2, 3) == 0.098
    assert tables.medians(table).loc["10 epochs, 0.1"].tolist()[:2] == [1.615, -3.36]
    assert tables.relations(table).loc["null: 1/√d", "all 230"] == "0.471"


def test_value_words_of_the_archived_summaries():
    found = quoted(page.STUDY.table("laptop"))
    assert found["r2-gnc2-uncentered-seeds"] == "0.488" and found["remaining"] == "GNC2 and NC4"
    assert (found["nc3-goes"], found["unc3-goes"], found["improved-nc1"]) == ("falls", "rises", "30")
