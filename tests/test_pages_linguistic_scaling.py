"""Page 11, and the runs that pages on language models share: tables made up so that every answer is known, real runs
on a small text, and figures."""

import dataclasses
import hashlib
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from language_models import METRICS, models_of, run_of
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.nulls import uniform_directions
from nclib.pages._language_models import grid, language_model
from nclib.pages._language_models.language_model import LanguageModel
from nclib.pages._language_models.models import columns, interval, models
from nclib.pages.linguistic_scaling import figures, quoted, tables, views
from nclib.pages.linguistic_scaling.claims import DECAYED, HEADLINES, by_width, inner, largest, ranks
from nclib.pages.linguistic_scaling.study import STUDY
from nclib.runs import store as runs_store
from nclib.runs import work, workers


def loss_of(config):
    return 6 - 0.5 * math.log2(config.width) - 0.1 * config.depth - 0.2 * config.epochs


def made_up(profile="laptop", *, sign=1, risen=(), shapes=None, decayed=0.0, **more):
    """A grid whose measures are straight lines in the loss, rising with it for sign = 1; the spreads of angles are
    those of independent directions times such a line. risen: widths whose last validation loss is a nat too high.
    decayed: what the larger weight decay adds to NC1."""
    tables = []
    for config in grid.runs(profile, corpus="reference", **(shapes or {})):
        loss, d = loss_of(config), config.width
        line = 3 + sign * loss / 10
        null = uniform_directions(900, d)
        scaled = {name: line * null[name] for name in ("interference_std", "gnc2_std")} | {"gnc2_cv": -line}
        own = {
            "uniform_duality": line,
            "ncc_agreement": 0.5 - sign * loss / 20,
            "self_duality": config.epochs / 10 + config.depth / 1000,
        }
        textbook = scaled | own | {"cdnv_mean": 2.0, "norm_cv": config.depth % 3}
        october = {"cdnv_mean": math.exp(line + decayed * (config.weight_decay == 0.1))}
        losses = [loss + 0.1 * (config.epochs - e) for e in range(1, config.epochs + 1)]
        if d in risen and config.epochs > 1:
            losses = [*losses[:-1], loss + 1]
        metrics = {"textbook": textbook, "wu-papyan-2024-10": october, "wu-papyan-2024-05": textbook}
        tables.append(run_of(config, losses, metrics, profile=profile, **more))
    return models_of(*tables)


@pytest.fixture(scope="module")
def table():
    return made_up()


@pytest.fixture(scope="module")
def larger():
    """28 models of 4 of the shapes of profile paper."""
    shapes = {"widths": [32, 128], "depths": [2, 12]}
    return made_up("paper", shapes=shapes, beside="paper scale").assign(corpus="books")


def judged(models, beside=""):
    found = judge_all(HEADLINES, models)
    return {row.id.split(".", 2)[2]: row for row in found[found["beside"] == beside].itertuples()}


def verdicts(models, beside=""):
    return {name: row.verdict for name, row in judged(models, beside).items()}


def test_value_models_of_one_run():
    config = LanguageModel(
        corpus="reference", tokens=1, vocab=300, context=8, local=8, width=16, depth=2, heads=4, epochs=4,
        measured=(2, 4), weight_decay=0.1, batch=8, rate=1e-3, seed=7,
    )  # fmt: skip
    one = run_of(config, [5.0, 4.2, 4.0, 4.011], METRICS | {"cdnv_mean": math.e**3}, updates=44)
    frame = models_of(one)
    assert frame[["step", "seed", "width", "depth", "epochs", "updates"]].to_numpy().tolist() == [
        [2, 7, 16, 2, 4, 44],
        [4, 7, 16, 2, 4, 44],
    ]
    assert frame["validation"].tolist() == [4.2, 4.011] and frame["best"].tolist() == [4.2, 4.0]
    assert frame["rose"].tolist() == [False, True] and frame["loss"].tolist() == pytest.approx([4.1, 3.911])
    assert frame.loc[0, ["nc1", "gnc2", "unc3", "nc4"]].tolist() == pytest.approx([3, 0.4, 1.5, 0.75])
    assert frame.loc[0, "null_interference_std"] == 0.25 and frame.loc[0, "null_classes"] == 900
    # (300 + 8) 16 embeddings, two layers of 12 d^2 + 10 d, and the last LayerNorm.
    assert frame.loc[0, "parameters"] == 308 * 16 + 2 * (12 * 256 + 160) + 32
    assert frame["history"].tolist() == [[5.0, 4.2], [5.0, 4.2, 4.0, 4.011]]
    barely = run_of(config, [5.0, 4.2, 4.0, 4.009], METRICS)
    assert not models_of(barely)["rose"].any()


def test_value_nc1_has_the_extra_power():
    config = grid.runs("smoke", corpus="reference")[0]
    powers = {"textbook": {"cdnv_mean": 5.0}, "wu-papyan-2024-10": {"cdnv_mean": 7.0}}
    one = run_of(config, [4.0], powers | {"wu-papyan-2024-05": {"cdnv_mean": 9.0}})
    assert models_of(one)["nc1"].item() == pytest.approx(math.log(7))
    assert models_of(one)["cdnv_mean"].item() == 5
    assert models(one, "wu-papyan-2024-05")["cdnv_mean"].item() == 9
    (frame,) = views.frames(models_of(one)).values()
    assert frame["nc1_scaled"].item() == pytest.approx(math.log(5))


def test_oracle_parameters_are_the_models():
    for config in (grid.runs("smoke", corpus="reference")[-1], grid.runs("laptop", corpus="reference")[3]):
        model = language_model.model(config)
        assert language_model.parameters(config) == sum(p.numel() for p in model.parameters())


def test_value_signed_r2():
    assert views.signed_r2([1, 2, 3], [1, 3, 2]) == pytest.approx(0.25)
    assert views.signed_r2([1, 2, 3], [2, 3, 1]) == pytest.approx(-0.25)


def test_value_within_width_sees_what_pooling_hides():
    # Within widths loss = m, or -m/..: +1 (three models), 1/4 (three), and a width of two models, which does not count.
    frame = pd.DataFrame({"width": 3 * [8] + 3 * [16] + 2 * [32], "m": [1, 2, 3, 11, 12, 13, 5, 6.0]})
    frame["validation"] = [9.0, 10, 11, 1, 3, 2, 7, 1]
    assert views.within_width(frame, "m") == pytest.approx((1 + 0.25) / 2)
    assert views.signed_r2(frame["m"], frame["validation"]) < -0.5
    assert math.isnan(views.within_width(frame[frame["width"] == 32], "m"))


def test_value_sizes_of_the_grids():
    counts = {}
    for profile in runs_store.PROFILES:
        configs = grid.runs(profile, corpus="reference", seed=3)
        counts[profile] = (len(configs), sum(len(config.measured) for config in configs))
        assert {config.seed for config in configs} == {3} and not any(c.width % c.heads for c in configs)
        sizes = [config.width**2 * config.depth for config in configs]
        assert sizes == sorted(sizes) and len({config.key() for config in configs}) == len(configs)
    assert counts == {"smoke": (4, 4), "laptop": (18, 18), "paper": (150, 210)}
    assert len(STUDY.runs("laptop", corpus="reference", widths=[16], depths=[1, 3])) == 4
    assert len(STUDY.runs("paper", corpus="reference", widths=[64, 32])) == 50


@pytest.mark.parametrize("corpus", ["documentation", "tinystories"])
def test_law_laptop_runs_have_updates_enough(corpus):
    for config in STUDY.runs("laptop", corpus=corpus):
        windows = config.tokens // config.context
        assert config.epochs * math.ceil(windows / (config.batch // config.context)) >= 600
        assert not config.needs_gpu()


def test_law_claims_hold_on_collapse_with_the_loss_and_fail_on_the_reverse(table):
    up, down = verdicts(table), verdicts(made_up(sign=-1))
    linear = [f"{metric}.{kind}" for metric in views.FOUR for kind in ("loss", "within-width")]
    linear += ["interference_std.beyond-null", "gnc2_std.beyond-null"]
    assert {up[name] for name in linear} == {"holds"} and {down[name] for name in linear} == {"fails"}
    assert up["nc1.width"] == "holds" and down["nc1.width"] == "fails"
    assert up["validation.depth"] == down["validation.depth"] == "undecided"  # the widths differ by more
    assert up["self-duality.epochs"] == "holds" and up["norm-cv.weaker"] == "holds"


def test_value_beyond_null_is_one_where_the_excess_is_a_line(table):
    found = judged(table)
    assert found["gnc2_std.beyond-null"].ours == pytest.approx(1)
    assert found["interference_std.beyond-null"].ours == pytest.approx(1)
    frame = table
    assert views.signed_r2(frame["interference_std"], frame["validation"]) < 0.9


def test_law_risen_models_are_left_out_of_claims_but_not_of_models(table):
    risen = made_up(risen=(64,))
    frame, found = risen, judged(risen)
    assert frame["rose"].sum() == 3 and len(frame) == 18
    for name in ("nc1.loss", "nc4.loss"):
        assert found[name].ours == pytest.approx(1) and found[name].verdict == "holds"
    assert views.signed_r2(frame["nc1"], frame["validation"]) < 0.9


def test_oracle_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for row in (*rng.integers(0, 6, (20, 12)).astype(float), *rng.normal(size=(3, 40)), np.array([1, math.nan, 2])):
        np.testing.assert_array_equal(ranks(row), scipy.stats.rankdata(row))


def test_law_no_verdict_below_scale(table):
    assert set(verdicts(made_up("smoke")).values()) == {"not at this scale"}
    assert set(verdicts(made_up(updates=599)).values()) == {"not at this scale"}
    assert set(verdicts(made_up(risen=(16, 32, 64))).values()) > {"holds"}
    own = verdicts(made_up())
    assert {name for name, verdict in own.items() if verdict == "not at this scale"} == {
        f"decay.{name.replace('_', '-')}" for name in ("once", *DECAYED)
    }


def test_law_archived_models_are_judged_beside(table, larger):
    found = verdicts(pd.concat([table, larger]), "paper scale")
    assert found["nc1.loss"] == "holds" and found["self-duality.peak"] == "not at this scale"
    assert found["decay.once"] == "holds", "these decays change nothing"


def test_value_what_a_larger_weight_decay_does():
    """It adds 0.3 to log NC1 of 4 shapes and nothing to anything else; NC1 is 3 + loss/10 of them."""
    shapes = {"widths": [32, 128], "depths": [2, 12]}
    found = judged(made_up("paper", shapes=shapes, decayed=0.3))
    losses = [6 - 0.5 * math.log2(d) - 0.1 * L - 0.2 for d in (32, 128) for L in (2, 12)]
    assert found["decay.once"].ours == pytest.approx(0.3 / (np.std(losses, ddof=1) / 10))
    assert found["decay.once"].verdict == "fails"
    assert found["decay.nc1"].ours == pytest.approx(0.3) and found["decay.nc1"].verdict == "fails"
    assert verdicts(made_up("paper", shapes=shapes, decayed=-0.3))["decay.nc1"] == "holds"
    assert found["decay.gnc2-std"].ours == 0 and found["decay.gnc2-std"].verdict == "holds"


def test_value_the_peak_of_nc3_is_inside_the_range():
    """Means over depths of widths 16, 32, 64: 3, 5, 4; so 1. With the last at 6: -1."""
    assert inner(np.array([[2.0, 4, 3], [4, 6, 5]])) == 1
    assert inner(np.array([[2.0, 4, 5], [4, 6, 7]])) == -1
    rows = [
        {"width": d, "depth": L, "epochs": epochs, "weight_decay": decay, "self_duality": 10 * d + L + epochs + decay}
        for d in (1, 2) for L in (1, 2) for epochs in (1, 3) for decay in (0.0, 0.5)
    ]  # fmt: skip
    assert by_width(pd.DataFrame(rows)).to_numpy().tolist() == [[14, 24], [15, 25]]
    gap = [row for row in rows if (row["width"], row["depth"]) != (2, 2)]
    assert by_width(pd.DataFrame(gap)).index.tolist() == [1]


def test_value_the_largest_effect_is_in_standard_deviations_over_shapes():
    light, heavy = np.array([1.0, 2, 3]), np.array([1.0, 2.5, 2])  # |changes| 0, 0.5, 1; SD 1
    values = np.stack([[light, light, light], [light, heavy, light]]).transpose(2, 0, 1)  # (shapes, decays, measures)
    assert largest(values) == pytest.approx(0.5)


def test_oracle_the_interval_of_a_mean_over_models():
    """For 200 models the bootstrap of a mean is m -+ 1.645 s / sqrt(200)."""
    x = np.random.default_rng(0).normal(size=200)
    found = interval(columns(pd.DataFrame({"x": x, "word": "a"})), lambda rows: rows["x"].mean())
    assert found.value == x.mean()
    half = 1.645 * x.std(ddof=1) / math.sqrt(200)
    assert [found.value - found.low, found.high - found.value] == pytest.approx([half, half], rel=0.15)


def test_law_frames_keep_each_grid_once(table, larger):
    found = views.frames(pd.concat([table, larger, larger.assign(beside="books, on a processor")]))
    assert list(found) == ["books, 28 models, paper scale", "reference, 18 models, profile laptop"]
    frame = found["books, 28 models, paper scale"]
    assert frame.loc[frame["step"] == 6, "history"].map(len).eq(6).all()
    assert (frame["history"].map(lambda losses: losses[-1]) == frame["validation"]).all()
    assert frame["null"].pow(-2).round().eq(frame["width"]).all()
    lines = tables.setup(pd.concat([table, larger]))["books, 28 models, paper scale"]
    assert lines["measured after epochs"] == "1, 3, 6 of 10, 10" and lines["layers"] == "2, 12"
    own = views.frames(table.assign(corpus="/home/reader/texts"))
    assert list(own) == ["a folder, 18 models, profile laptop"]


def test_oracle_relations_leave_risen_models_out():
    (frame,) = views.frames(made_up(risen=(64,))).values()
    found = views.relations(frame)
    kept = frame[~frame["rose"]]
    r = scipy.stats.pearsonr(kept["gnc2_std"], kept["validation"]).statistic
    assert found.loc["gnc2_std", "pooled"] == pytest.approx(r * abs(r)) and len(kept) == 15
    assert found.loc["nc4", "within widths"] == pytest.approx(1) and math.isnan(found.loc["null", "within widths"])
    once, thrice = (kept[kept["epochs"] == epochs] for epochs in (1, 3))
    r2 = [scipy.stats.pearsonr(part["null"], part["validation"]).statistic ** 2 for part in (once, thrice)]
    assert found.loc["null", "within trainings"] == pytest.approx(np.mean(r2)) and len(thrice) == 6
    assert math.isnan(found.loc["nc1_scaled", "pooled"])  # it does not vary
    assert tables.relations(frame).loc["NC4: 1 − agreement"].tolist() == 3 * ["+1.00"]


def test_value_shares_of_variance_of_a_sum(table):
    # Loss = 6 - 0.5 log2 width - 0.1 depth - 0.2 epochs, balanced: the variances of 0.5 {0, 1, 2}, 0.1 {1, 2, 4} and
    # 0.2 {1, 3} are 1/6, 0.14/9 and 0.04.
    found = tables.shares(table).iloc[:, 0]
    total = 1 / 6 + 0.14 / 9 + 0.04
    assert found.to_dict() == {
        "widths": f"{1 / 6 / total:.1%}",
        "depths": f"{0.14 / 9 / total:.1%}",
        "trainings": f"{0.04 / total:.1%}",
    }


def forget(runs):
    for run in runs:
        run.forget()


@pytest.fixture
def words(store):
    """A folder with a text of made-up words."""
    folder, rng = store / "text", np.random.default_rng(0)
    folder.mkdir()
    words = ["".join(rng.choice(list("abcdefg"), 4)) for _ in range(150)]
    (folder / "train.txt").write_text("\n<|endoftext|>\n".join(" ".join(rng.choice(words, 40)) for _ in range(150)))
    return folder


def test_law_runs_as_one_batch_are_those_of_runs_alone(words):
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    first = dataclasses.replace(first, epochs=3, measured=(1, 3), rate=0.03)
    configs = [
        dataclasses.replace(first, seed=seed, weight_decay=decay) for seed, decay in [(1, 0.1), (2, 0.0), (2, 5)]
    ]
    assert len({config.together() for config in configs}) == 1
    assert first.together() != dataclasses.replace(first, epochs=4).together()
    assert dataclasses.replace(first, width=512, depth=8).together() is None
    alone = []
    for config in configs:
        alone.append(config.run())
        config.forget()
    made = LanguageModel.run_together(configs, "cpu")
    forget(configs)
    for found, expected in zip(made, alone, strict=True):
        names = [*language_model.AT, "metric", "theory"]
        pd.testing.assert_frame_equal(found[names], expected[names])
        np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-2, atol=1e-4)
    losses = [table.loc[table["metric"] == "loss", "value"].to_numpy() for table in alone]
    assert np.abs(losses[0] - losses[1]).max() > 1e-2 and np.abs(losses[1] - losses[2]).max() > 1e-2
    assert not list((runs_store.cache_folder() / "checkpoints").iterdir())


def test_law_a_table_that_cannot_be_stored_costs_no_training(words, monkeypatch):
    """The place is tried before the run, and what it keeps to go on from goes only after the table is stored."""
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    with pytest.raises(OSError):
        work.do([first], "cpu", "/proc/nowhere")
    assert not (runs_store.cache_folder() / "checkpoints").exists()
    save = runs_store.save

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(runs_store, "save", full)
    with pytest.raises(OSError, match="No space"):
        work.get(first)
    assert len(list((runs_store.cache_folder() / "checkpoints").iterdir())) == 2
    monkeypatch.setattr(runs_store, "save", save)
    monkeypatch.setattr(language_model.GPT, "loss", pytest.fail)  # nothing is trained again
    assert len(work.get(first)) and not list((runs_store.cache_folder() / "checkpoints").iterdir())


def test_law_a_batch_of_runs_goes_on_after_a_kill(words, monkeypatch):
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    first = dataclasses.replace(first, epochs=2, measured=(1, 2), rate=0.03)
    configs = [dataclasses.replace(first, seed=seed) for seed in (1, 2)]
    expected = LanguageModel.run_together(configs, "cpu")
    forget(configs)
    measured, measure = [], language_model.losses_and_collapse

    def killed(net, windows, config):
        measured.append(config)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return measure(net, windows, config)

    monkeypatch.setattr(language_model, "losses_and_collapse", killed)
    with pytest.raises(KeyboardInterrupt):
        LanguageModel.run_together(configs, "cpu")
    for found, table in zip(LanguageModel.run_together(configs, "cpu"), expected, strict=True):
        pd.testing.assert_frame_equal(found.reset_index(drop=True), table)
    assert len(measured) == 6  # both after the first epoch and the second, of which the kill left one to do again


def test_law_a_model_that_diverges_in_a_stack_fails_alone(words):
    """A rate that is far too large, of the second of three: the others get the tables that they have alone."""
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    configs = [dataclasses.replace(first, seed=seed, rate=rate) for seed, rate in ((1, 0.03), (2, 1e30), (3, 0.03))]
    assert len({config.together() for config in configs}) == 1
    alone = configs[0].run()
    forget(configs)
    with pytest.raises(FloatingPointError, match="training diverged: the loss is nan at step"):
        LanguageModel.run_together(configs, "cpu")
    tables = workers._in_batches(configs, "cpu", None)
    pd.testing.assert_frame_equal(next(tables), alone, check_exact=True)
    with pytest.raises(FloatingPointError, match="training diverged: the loss is nan at step"):
        next(tables)
    (other,) = workers._in_batches(configs[2:], "cpu", None)
    assert np.isfinite(other.loc[other["metric"] == "loss", "value"]).all()
    assert [runs_store.find(config) is not None for config in configs] == [True, False, True]


def test_law_a_run_is_whole_and_its_text_is_named(words):
    folder = words
    small = {"corpus": str(folder), "widths": [8], "depths": [1], "tokens": 5000}
    frame = models(STUDY.table("smoke", "cpu", **small))
    assert len(frame) == 1 and frame["validation"].item() < math.log(512) and frame["updates"].item() == 9
    assert 0 < frame["unc3"].abs().item() < 100 and 0 <= frame["nc4"].item() <= 1
    lines = tables.texts(frame)
    assert lines["sha256"].tolist() == [hashlib.sha256((folder / "train.txt").read_bytes()).hexdigest()]
    assert lines["tokens"].item() == "4,992" and "not named" in lines["training documents"].item()
    assert lines["sha256"].item() in tables.dropdown(lines, "x").data


def test_value_titles_are_counted_and_shortened():
    assert tables._titles(["Emma", "one two three " * 5]) == "2: Emma; one two three one two three one two…"
    assert tables._titles([]) == "not named"


def open_markers(made):
    lines = [line for part in made.subfigs for axis in part.axes for line in axis.lines]
    return sum(len(line.get_xdata()) for line in lines if line.get_markerfacecolor() == "white")


def test_law_figures_show_every_grid_and_risen_models_open(table, larger):
    one, two = made_up(risen=(64,)), pd.concat([table, larger])
    made = [
        drawn(figures.loss, views.loss(one)),
        drawn(figures.trends, views.trends(one)),
        drawn(figures.null, views.null(one)),
        drawn(figures.losses, views.losses(one)),
        drawn(figures.loss, views.loss(two)),
    ]
    for figure in made:
        figure.draw_without_rendering()
    assert [open_markers(figure) for figure in made[:5]] == [12, 24, 12, 3, 0]
    assert [len(part.axes) for part in made[4].subfigs] == [4, 4]
    titles = [axis.get_title() for axis in made[0].subfigs[0].axes]
    assert all("+1.00, within widths +1.00" in titles[i] for i in (0, 3))
    dots = [len(line.get_xdata()) for line in made[4].subfigs[0].axes[0].lines if line.get_linestyle() == "None"]
    assert sum(dots) == 28
    plt.close("all")


def test_law_the_archive_has_what_the_page_shows_beside(words, monkeypatch):
    monkeypatch.delenv("NCLIB_RESULTS")
    found = models(STUDY.table("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000))
    assert found.groupby("beside").size().to_dict() == {"": 1, "books, on a processor": 18, "paper scale": 42}
    said = quoted.quoted(found)
    assert said["paper-models"] == "42" and said["paper-peak-best"] == "128" and said["here-nc1-pooled"] == "–"


def test_value_quoted_numbers_of_a_grid(table):
    found = quoted.of_grid(next(iter(views.frames(table).values())))
    assert found["models"] == 18 and found["steps-width"] == found["steps-depth"] == found["steps-epochs"] == 100
    assert found["nc1-pooled"] == pytest.approx(1) and found["peak-best"] == 32 and "decay-nc1" not in found
    worse = table.assign(validation=table["validation"].where(table["depth"] < 4, 9.0), rose=False)
    assert quoted.steps(worse, "depth") == 0.5  # of 1, 2, 4 layers the last step goes up
    assert (
        found["nc3-epochs"] == 100 and quoted.steps(table, "depth", "self_duality") == 0
    )  # epochs / 10 + depth / 1000
