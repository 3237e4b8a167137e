"""Our own grid and seeds: tables made up so that every answer is known, one real run, and figures."""

import dataclasses
import hashlib
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from published import drawn

from nclib import results
from nclib.conventions import PRESETS
from nclib.experiments.wu2024 import (
    grid,
    grid_table,
    grid_views,
    language_model,
    seeds,
    seeds_table,
    seeds_views,
)
from nclib.nulls import uniform_directions
from nclib.permutation import permutation_p
from nclib.plotting import scaling
from nclib.plotting import seeds as plotting

METRICS = {"classes": 900, "samples": 5000, "cdnv_mean": 2.0, "norm_cv": 0.5, "norm_log_cv": 0.1}
METRICS |= {"interference_std": 0.3, "interference_cv": 40.0, "gnc2_std": 0.1, "gnc2_cv": -0.4, "self_duality": 0.2}
METRICS |= {"duality_std": 0.3, "uniform_duality": 1.5, "ncc_agreement": 0.25}


def run_of(config, losses, metrics, updates=900):
    """The table of one run. losses: validation after each epoch; metrics: {convention: {metric: value}} or one dict."""
    found = [results.rows({"loss": v}, split="validation", step=e + 1) for e, v in enumerate(losses)]
    for step in config.measured:
        found.append(results.rows({"loss": losses[step - 1] - 0.1}, step=step))
        for preset in PRESETS:
            found.append(results.rows(METRICS | metrics.get(preset, metrics), layer=preset, step=step))
        found.append(results.rows(uniform_directions(900, config.width), source="theory", step=step))
    sizes = {"updates": updates, "parameters": language_model.parameters(config)}
    found = pd.concat([*found, results.rows(sizes, step=config.epochs)], ignore_index=True)
    found = found.assign(experiment="wu2024.language_model", config=results.key(config), seed=config.seed)
    return results._with_fields(found[results.SCHEMA], config)


def loss_of(config):
    return 6 - 0.5 * math.log2(config.width) - 0.1 * config.depth - 0.2 * config.epochs


def made_up(profile="laptop", *, sign=1, risen=(), shapes=None, **more):
    """A grid whose measures are straight lines in the loss, rising with it for sign = 1; the spreads of angles are
    those of independent directions times such a line. risen: widths whose last validation loss is a nat too high."""
    tables = []
    for config in grid.runs(profile, corpus="reference", **(shapes or {})):
        loss, d = loss_of(config), config.width
        line = 3 + sign * loss / 10
        null = uniform_directions(900, d)
        scaled = {name: line * null[name] for name in ("interference_std", "gnc2_std")} | {"gnc2_cv": -line}
        own = {"uniform_duality": line, "ncc_agreement": 0.5 - sign * loss / 20, "self_duality": config.epochs / 10}
        textbook = scaled | own | {"cdnv_mean": 2.0, "norm_cv": config.depth % 3}
        october = {"cdnv_mean": math.exp(line)}
        losses = [loss + 0.1 * (config.epochs - e) for e in range(1, config.epochs + 1)]
        if d in risen and config.epochs > 1:
            losses = [*losses[:-1], loss + 1]
        metrics = {"textbook": textbook, "wu-papyan-2024-10": october, "wu-papyan-2024-05": textbook}
        tables.append(run_of(config, losses, metrics, **more))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def table():
    return made_up()


@pytest.fixture(scope="module")
def larger():
    """28 models of 4 of the shapes of profile paper."""
    return made_up("paper", shapes={"widths": [32, 128], "depths": [2, 12]}).assign(corpus="books")


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
    return pd.concat(tables, ignore_index=True)


def verdicts(judged):
    return {row["id"].split(".", 2)[2]: row["verdict"] for row in judged}


def test_value_models_of_one_run():
    config = language_model.Config(
        corpus="reference", tokens=1, vocab=300, context=8, local=8, width=16, depth=2, heads=4, epochs=4,
        measured=(2, 4), weight_decay=0.1, batch=8, rate=1e-3, seed=7,
    )  # fmt: skip
    one = run_of(config, [5.0, 4.2, 4.0, 4.011], METRICS | {"cdnv_mean": math.e**3}, updates=44)
    frame = grid.models(one)
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
    barely = run_of(config, [5.0, 4.2, 4.0, 4.009], METRICS)
    assert not grid.models(barely)["rose"].any()


def test_value_nc1_has_the_extra_power():
    config = grid.runs("smoke", corpus="reference")[0]
    powers = {"textbook": {"cdnv_mean": 5.0}, "wu-papyan-2024-10": {"cdnv_mean": 7.0}}
    one = run_of(config, [4.0], powers | {"wu-papyan-2024-05": {"cdnv_mean": 9.0}})
    assert grid.models(one)["nc1"].item() == pytest.approx(math.log(7))
    assert grid.models(one)["cdnv_mean"].item() == 5
    assert grid.models(one, "wu-papyan-2024-05")["cdnv_mean"].item() == 9
    (frame,) = grid_table.frames(("smoke", one)).values()
    assert frame["nc1_scaled"].item() == pytest.approx(math.log(5))


def test_oracle_parameters_are_the_models():
    for config in (grid.runs("smoke", corpus="reference")[-1], grid.runs("laptop", corpus="reference")[3]):
        model = language_model.model(config)
        assert language_model.parameters(config) == sum(p.numel() for p in model.parameters())


def test_value_signed_r2():
    assert grid.signed_r2([1, 2, 3], [1, 3, 2]) == pytest.approx(0.25)
    assert grid.signed_r2([1, 2, 3], [2, 3, 1]) == pytest.approx(-0.25)


def test_value_within_width_sees_what_pooling_hides():
    # Within widths loss = m, or -m/..: +1 (three models), 1/4 (three), and a width of two models, which does not count.
    frame = pd.DataFrame({"width": 3 * [8] + 3 * [16] + 2 * [32], "m": [1, 2, 3, 11, 12, 13, 5, 6.0]})
    frame["validation"] = [9.0, 10, 11, 1, 3, 2, 7, 1]
    assert grid.within_width(frame, "m") == pytest.approx((1 + 0.25) / 2)
    assert grid.signed_r2(frame["m"], frame["validation"]) < -0.5
    assert math.isnan(grid.within_width(frame[frame["width"] == 32], "m"))


def test_value_sizes_of_the_grids():
    counts = {}
    for profile in results.PROFILES:
        configs = grid.runs(profile, corpus="reference", seed=3)
        counts[profile] = (len(configs), sum(len(config.measured) for config in configs))
        assert {config.seed for config in configs} == {3} and not any(c.width % c.heads for c in configs)
        sizes = [config.width**2 * config.depth for config in configs]
        assert sizes == sorted(sizes) and len({results.key(config) for config in configs}) == len(configs)
    assert counts == {"smoke": (4, 4), "laptop": (18, 18), "paper": (150, 210)}
    assert len(grid.runs("laptop", corpus="reference", widths=[16], depths=[1, 3])) == 4


@pytest.mark.parametrize("corpus", ["documentation", "tinystories"])
def test_law_laptop_runs_have_updates_enough(corpus):
    for config in (*grid.runs("laptop", corpus=corpus), *seeds.runs("laptop", corpus=corpus)):
        windows = config.tokens // config.context
        assert config.epochs * math.ceil(windows / (config.batch // config.context)) >= 600
        assert not language_model.needs_gpu(config)


def test_law_claims_hold_on_collapse_with_the_loss_and_fail_on_the_reverse(table):
    up, down = verdicts(grid.claims(table)), verdicts(grid.claims(made_up(sign=-1)))
    linear = [f"{metric}.{kind}" for metric in grid.NAMES for kind in ("loss", "within-width")]
    linear += ["interference_std.beyond-null", "gnc2_std.beyond-null"]
    assert {up[name] for name in linear} == {"holds"} and {down[name] for name in linear} == {"fails"}
    assert up["nc1.width"] == "holds" and down["nc1.width"] == "fails"
    assert up["validation.depth"] == down["validation.depth"] == "undecided"  # the widths differ by more
    assert up["self-duality.epochs"] == "holds" and up["norm-cv.weaker"] == "holds"


def test_value_beyond_null_is_one_where_the_excess_is_a_line(table):
    found = {row["id"]: row["ours"] for row in grid.claims(table)}
    assert found["wu2024.grid.gnc2_std.beyond-null"] == pytest.approx(1)
    assert found["wu2024.grid.interference_std.beyond-null"] == pytest.approx(1)
    frame = grid.models(table)
    assert grid.signed_r2(frame["interference_std"], frame["validation"]) < 0.9


def test_law_risen_models_are_left_out_of_claims_but_not_of_models(table):
    risen = made_up(risen=(64,))
    frame = grid.models(risen)
    assert frame["rose"].sum() == 3 and len(frame) == 18
    for row in grid.claims(risen):
        if row["id"] in ("wu2024.grid.nc1.loss", "wu2024.grid.nc4.loss"):
            assert row["ours"] == pytest.approx(1) and row["verdict"] == "holds"
    assert grid.signed_r2(frame["nc1"], frame["validation"]) < 0.9


def test_law_no_verdict_below_scale(table):
    assert set(verdicts(grid.claims(made_up("smoke"))).values()) == {"not at this scale"}
    assert set(verdicts(grid.claims(made_up(updates=599))).values()) == {"not at this scale"}
    assert set(verdicts(grid.claims(made_up(risen=(16, 32, 64)))).values()) > {"holds"}


def test_law_frames_keep_each_grid_once(table, larger):
    found = grid_table.frames(("laptop", table), ("paper", larger), ("laptop", table), ("laptop", table[:0]))
    assert list(found) == ["Python's manual, 18 models, profile laptop", "books, 28 models, profile paper"]
    frame = found["books, 28 models, profile paper"]
    assert frame.loc[frame["step"] == 6, "history"].map(len).eq(6).all()
    assert (frame["history"].map(lambda losses: losses[-1]) == frame["validation"]).all()
    assert frame["null"].pow(-2).round().eq(frame["width"]).all()
    lines = grid_table.setup(found)["books, 28 models, profile paper"]
    assert lines["measured after epochs"] == "1, 3, 6 of 10, 10" and lines["layers"] == "2, 12"
    own = grid_table.frames(("laptop", table.assign(corpus="somewhere")))
    assert list(own) == ["a folder, 18 models, profile laptop"]


def test_oracle_relations_leave_risen_models_out():
    frames = grid_table.frames(("laptop", made_up(risen=(64,))))
    ((label, frame),) = frames.items()
    found = grid_table.relations(frames)[label]
    kept = frame[~frame["rose"]]
    r = scipy.stats.pearsonr(kept["gnc2_std"], kept["validation"]).statistic
    assert found.loc["gnc2_std", "pooled"] == pytest.approx(r * abs(r)) and len(kept) == 15
    assert found.loc["nc4", "within widths"] == pytest.approx(1) and math.isnan(found.loc["null", "within widths"])
    once, thrice = (kept[kept["epochs"] == epochs] for epochs in (1, 3))
    r2 = [scipy.stats.pearsonr(part["null"], part["validation"]).statistic ** 2 for part in (once, thrice)]
    assert found.loc["null", "within trainings"] == pytest.approx(np.mean(r2)) and len(thrice) == 6
    assert math.isnan(found.loc["nc1_scaled", "pooled"])  # it does not vary
    assert grid_table.named(grid_table.relations(frames)).loc["NC4: 1 − agreement"].tolist() == 3 * ["+1.00"]


def test_value_shares_of_variance_of_a_sum(table):
    # Loss = 6 - 0.5 log2 width - 0.1 depth - 0.2 epochs, balanced: the variances of 0.5 {0, 1, 2}, 0.1 {1, 2, 4} and
    # 0.2 {1, 3} are 1/6, 0.14/9 and 0.04.
    found = grid_table.shares(grid_table.frames(("laptop", table))).iloc[:, 0]
    total = 1 / 6 + 0.14 / 9 + 0.04
    assert found.to_dict() == {
        "widths": f"{1 / 6 / total:.1%}",
        "depths": f"{0.14 / 9 / total:.1%}",
        "trainings": f"{0.04 / total:.1%}",
    }


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
    assert len({language_model.together(config) for config in configs}) == 1
    assert language_model.together(first) != language_model.together(dataclasses.replace(first, epochs=4))
    assert language_model.together(dataclasses.replace(first, width=512, depth=8)) is None
    alone = []
    for config in configs:
        alone.append(language_model.run(config, "cpu"))
        language_model.forget([config])
    made = language_model.run_together(configs, "cpu")
    language_model.forget(configs)
    for found, expected in zip(made, alone, strict=True):
        names = ["step", "layer", "split", "source", "metric"]
        pd.testing.assert_frame_equal(found[names], expected[names])
        np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-2, atol=1e-4)
    losses = [table.loc[table["metric"] == "loss", "value"].to_numpy() for table in alone]
    assert np.abs(losses[0] - losses[1]).max() > 1e-2 and np.abs(losses[1] - losses[2]).max() > 1e-2
    assert not list((results.cache_folder() / "checkpoints").iterdir())


def test_law_a_table_that_cannot_be_stored_costs_no_training(words, monkeypatch):
    """The place is tried before the run, and what it keeps to go on from goes only after the table is stored."""
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    with pytest.raises(OSError):
        results.run([first], "cpu", "/proc/nowhere")
    assert not (results.cache_folder() / "checkpoints").exists()
    save = results._save

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(results, "_save", full)
    with pytest.raises(OSError, match="No space"):
        results.get(first)
    assert len(list((results.cache_folder() / "checkpoints").iterdir())) == 2
    monkeypatch.setattr(results, "_save", save)
    monkeypatch.setattr(language_model.GPT, "loss", pytest.fail)  # nothing is trained again
    assert len(results.get(first)) and not list((results.cache_folder() / "checkpoints").iterdir())


def test_law_a_batch_of_runs_goes_on_after_a_kill(words, monkeypatch):
    (first,) = grid.runs("smoke", corpus=str(words), widths=[8], depths=[1], tokens=5000)
    first = dataclasses.replace(first, epochs=2, measured=(1, 2), rate=0.03)
    configs = [dataclasses.replace(first, seed=seed) for seed in (1, 2)]
    expected = language_model.run_together(configs, "cpu")
    language_model.forget(configs)
    measured, measure = [], language_model.measure

    def killed(net, windows, config):
        measured.append(config)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return measure(net, windows, config)

    monkeypatch.setattr(language_model, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        language_model.run_together(configs, "cpu")
    for found, table in zip(language_model.run_together(configs, "cpu"), expected, strict=True):
        pd.testing.assert_frame_equal(found.reset_index(drop=True), table)
    assert len(measured) == 6  # both after the first epoch and the second, of which the kill left one to do again


def test_law_a_run_is_whole_and_its_text_is_named(words):
    folder = words
    small = {"corpus": str(folder), "widths": [8], "depths": [1], "tokens": 5000}
    made = results.table(grid, "smoke", "cpu", **small)
    frame = grid.models(made)
    assert len(frame) == 1 and frame["validation"].item() < math.log(512) and frame["updates"].item() == 9
    assert 0 < frame["unc3"].abs().item() < 100 and 0 <= frame["nc4"].item() <= 1
    lines = grid_table.texts(grid_table.frames(("smoke", made)))
    assert lines["sha256"].tolist() == [hashlib.sha256((folder / "train.txt").read_bytes()).hexdigest()]
    assert lines["tokens"].item() == "4,992" and "not named" in lines["training documents"].item()
    assert lines["sha256"].item() in grid_table.dropdown(lines, "x").data


def test_value_titles_are_counted_and_shortened():
    assert grid_table._titles(["Emma", "one two three " * 5]) == "2: Emma; one two three one two three one two…"
    assert grid_table._titles([]) == "not named"


def open_markers(made):
    lines = [line for part in made.subfigs for axis in part.axes for line in axis.lines]
    return sum(len(line.get_xdata()) for line in lines if line.get_markerfacecolor() == "white")


def test_law_figures_show_every_grid_and_risen_models_open(table, larger):
    one = grid_table.frames(("laptop", made_up(risen=(64,))))
    two = grid_table.frames(("laptop", table), ("paper", larger))
    relations = grid_table.relations(one)
    made = [
        drawn(scaling.loss, grid_views.loss(one, relations)),
        drawn(scaling.trends, grid_views.trends(one)),
        drawn(scaling.null, grid_views.null(one, relations)),
        drawn(scaling.losses, grid_views.losses(one)),
        drawn(scaling.loss, grid_views.loss(two, grid_table.relations(two))),
    ]
    for figure in made:
        figure.draw_without_rendering()
    assert [open_markers(figure) for figure in made[:5]] == [12, 24, 12, 3, 0]
    assert [len(part.axes) for part in made[4].subfigs] == [4, 4]
    titles = [axis.get_title() for axis in made[0].subfigs[0].axes]
    assert all("1.00, within widths 1.00" in titles[i] for i in (0, 3))
    dots = [len(line.get_xdata()) for line in made[4].subfigs[1].axes[0].lines if line.get_linestyle() == "None"]
    assert sum(dots) == 28
    plt.close("all")


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
    frame = grid.models(twenty_one, "wu-papyan-2024-05")
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
