"""Classes of a language model: hand-computed values, naive loops, rules that can fail, figures."""

import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F

from nclib import language_measures, results
from nclib.experiments.wu2024 import names, names_model, tokens_model
from nclib.experiments.wu2024 import tokens as study
from nclib.experiments.wu2024 import tokens_views as views
from nclib.models.gpt import GPT
from nclib.plotting import tokens as figures
from nclib.statistics import ClassStatistics

CONFIG = tokens_model.Config(
    corpus="", tokens=1, vocab=5, context=4, local=4, width=4, depth=1, heads=2, epochs=1, measured=(1,),
    weight_decay=0.0, batch=8, rate=1e-3, seed=3, floor=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The study at profile smoke on sentences of random words and names."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(100)] + 3 * ["Tim", "Anna", "Lily", "Ben", "Tom"]
    documents = [" ".join(["Once", *rng.choice(words, 30)]) + "." for _ in range(300)]
    (folder / "train.txt").write_text("\n<|endoftext|>\n".join(documents))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        return results.table(study, "smoke", corpus=str(folder), tokens=6000)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GPT(5, 4, 4, 1, 2)


def windows():
    return torch.tensor([[0, 1, 2, 1, 4], [4, 2, 0, 1, 1], [1, 0, 2, 4, 1]], dtype=torch.int32)


def verdicts(rows):
    return {row["id"].removeprefix("wu2024.tokens."): row["verdict"] for row in study.claims(rows)}


def named(rows):
    """A table of `names.runs` from one of `tokens.runs`."""
    parts = [
        names_model.of_classes(part).assign(experiment="wu2024.names_model", config=config, seed=part["seed"].iloc[0])
        for config, part in rows.groupby("config", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def named_verdicts(rows):
    return {row["id"].removeprefix("wu2024.tokens."): row["verdict"] for row in names.claims(named(rows))}


def test_law_names_come_back_from_their_rows(table):
    found, expected = names.names(named(table)), study.names(study.classes(table))
    order = ["seed", "token"]
    found, expected = (rows.sort_values(order).reset_index(drop=True) for rows in (found, expected))
    pd.testing.assert_frame_equal(found, expected[list(found)], check_dtype=False, check_exact=True)


def test_law_a_text_without_names_is_judged_on_the_archived_books():
    table = names.table("laptop")
    assert table["corpus"].unique().tolist() == ["books"] and set(table["seed"]) == {0, 1, 2}
    assert names.runs("laptop", corpus="tinystories")[0].corpus == "tinystories"
    assert names.names(table)["token"].nunique() >= 5


def test_value_measures_of_each_class():
    H = torch.tensor([[1.0, 0], [3, 0], [-3, 1], [-3, 3], [1, -2]])
    stats = ClassStatistics.from_features(H, torch.tensor([0, 0, 1, 1, 3]), 4)
    W = torch.tensor([[0.0, 2], [1, 0], [5, 5], [0, -1]])
    found = {name: values.tolist() for name, values in tokens_model.by_class(stats, W).items()}
    assert {name: math.isnan(values[2]) for name, values in found.items()} == dict.fromkeys(found, True)
    # Means (2, 0), (-3, 2), (1, -2), their mean 0; variances 1, 1, 0; squared distances 29 (0, 1), 5 (0, 3), 32 (1, 3).
    assert found["variance"][:2] == [1, 1] and found["variance"][3] == 0
    assert [found["norm"][k] ** 2 for k in (0, 1, 3)] == pytest.approx([4, 13, 5])
    assert found["cdnv"][0] == pytest.approx((2 / 58 + 1 / 10) / 2)
    assert found["cdnv2"][3] == pytest.approx((1 / 50 + 1 / 2048) / 2)
    cos = {(0, 1): -6 / math.sqrt(52), (0, 3): 2 / math.sqrt(20), (1, 3): -7 / math.sqrt(65)}
    assert found["interference"][0] == pytest.approx((cos[0, 1] + cos[0, 3]) / 2)
    assert found["log_distance"][1] == pytest.approx(-(math.log(2 - 2 * cos[0, 1]) + math.log(2 - 2 * cos[1, 3])) / 4)
    assert [found["duality"][k] for k in (0, 1, 3)] == pytest.approx([0, -3 / math.sqrt(13), 2 / math.sqrt(5)])


def test_value_largest_and_median_partner():
    H = torch.tensor([[0.0, 1], [0, -1], [2, 0], [2, 2], [5, 0], [9, 9]])
    stats = ClassStatistics.from_features(H, torch.tensor([0, 0, 1, 1, 3, 4]), 5)
    found = tokens_model.partners(stats)
    # Means (0, 0), (2, 1), (5, 0), (9, 9), variances 1, 1, 0, 0: class 0 with 1, 3, 4 has 2/2/5^2, 1/2/25^2, 1/2/162^2.
    assert found["cdnv2_largest"][0] == pytest.approx(1 / 25) and found["partner"][[0, 1, 3]].tolist() == [1, 0, 1]
    assert found["cdnv2_median"][0] == pytest.approx(1 / 1250) and found["cdnv2_median"][2].isnan()


def test_value_first_samples_of_each_class():
    y = torch.tensor([2, 0, 2, 1, 2, 0])
    assert tokens_model.first_of_each(y, torch.tensor([2, 1, 3]), 2).tolist() == [1, 5, 0, 2]


def test_oracle_predictions_of_each_token(model):
    found = tokens_model.predictions(model, windows(), CONFIG)
    each = {k: [] for k in range(5)}
    for row in windows().long():
        logits = model(row[None, :-1])[0].detach()
        for t in range(4):
            y = int(row[t + 1])
            each[y].append((float(F.cross_entropy(logits[t], row[t + 1])), int(logits[t].argmax()) == y))
    assert found["count"].tolist() == [len(each[k]) for k in range(5)] == [2, 5, 3, 0, 2]
    for k in (0, 1, 2, 4):
        loss, hits = np.mean(each[k], axis=0)
        assert (float(found["loss"][k]), float(found["accuracy"][k])) == pytest.approx((loss, hits), rel=1e-5)
    mean = float((found["loss"] * found["count"]).nansum() / 12)
    assert mean == pytest.approx(language_measures.cross_entropy(model, windows(), 8), rel=1e-6)


def test_law_controls_keep_counts_and_features(model):
    stats, _ = language_measures.statistics(model, windows(), 5, 8)
    permuted, equal = tokens_model.controls(model, windows(), stats.counts, CONFIG)
    assert permuted.counts.tolist() == [2, 5, 3, 0, 2] and equal.counts.tolist() == [2, 2, 2, 0, 2]
    assert torch.allclose(permuted.sample_mean, stats.sample_mean)
    assert not torch.allclose(permuted.means, stats.means)
    assert torch.allclose(equal.means[[0, 4]], stats.means[[0, 4]])  # all their samples are taken
    assert torch.allclose(equal.spread[[0, 4]], stats.spread[[0, 4]])
    assert equal.spread[1] < stats.spread[1]


def test_value_text_and_type_of_tokens():
    assert [tokens_model.shown(token) for token in (" the", "\n\n", "  x", "a\tb", "\\xe2", '"')] == [
        *("␣the", "↵↵", "␣␣x", "a\\tb", "\\xe2", '"')
    ]
    types = {0: ["␣the"], 1: ["␣Tim", "Once", "␣I"], 2: [",", "␣12", "↵↵", "␣"], 3: ["ing", "T", "\\xe2", "␣don't"]}
    assert {k: {study.kind(token) for token in part} for k, part in types.items()} == {
        k: {study.KINDS[k]} for k in types
    }
    assert study.kind("<|endoftext|>") == study.KINDS[3]


def frame(counts, cdnv2, interference, tokens):
    """A table as of `classes`, of one seed."""
    columns = {"count": counts, "cdnv2": cdnv2, "interference": interference, "token": tokens, "id": range(len(counts))}
    made = pd.DataFrame(columns).assign(seed=0, permuted_cdnv2=1.0, cdnv=cdnv2, equal_cdnv=cdnv2, partner=4)
    made = made.assign(cdnv2_median=made["cdnv2"] + made["id"], cdnv2_largest=4.0)
    return made.assign(name=made["token"].str[1:].isin(study.NAMES), common=made["count"] >= 10)


def test_value_names_against_average_and_matched(monkeypatch):
    monkeypatch.setattr(study, "MATCHES", 2)
    rows = frame([9, 20, 40, 100, 120, 240], [50.0, 8, 2, 1, 3, 6], [9.0, 1, 0, -1, 2, 3], [*"zab", "␣Tim", "c", "d"])
    found = study.names(rows).iloc[0]
    # Without the rare "z": mean CDNV 4, interference 1 on average with standard deviation sqrt(2).
    # The two tokens nearest in log frequency are c and d.
    assert found["token"] == "␣Tim" and found["cdnv_ratio"] == pytest.approx(1 / 4)
    assert found["interference_z"] == pytest.approx(-2 / math.sqrt(2))
    # Medians 9, 4, 4, 7, 11 have the mean 7; the class "c" is 4 of the sum 1 * 5 over five others.
    assert found["median_ratio"] == pytest.approx(4 / 7) and (found["partner"], found["share"]) == ("c", 0.8)
    assert found["matched_ratio"] == pytest.approx(1 / 4.5)
    assert found["matched_z"] == pytest.approx(-3.5 / math.sqrt(2))


def test_value_halves():
    rows = frame([9, 20, 30, 100, 40, 10], [50.0, 8, 2, 1, 3, 6], [0.0] * 6, list("zabcde"))
    found = study.halves(rows).set_index(["by", "half"])
    # 200 tokens in common classes: 100 and no more are half of them; by classes: 100, 40, 30 and 20, 10.
    assert found["classes"].tolist() == [1, 4, 3, 2]
    assert found["median"].tolist() == [1, 4.5, 2, 7]


def test_law_shuffled_labels_follow_the_prediction():
    torch.manual_seed(0)
    counts = torch.tensor([2, 5, 20, 100, 300])
    y = torch.arange(5).repeat_interleave(counts)
    stats = ClassStatistics.from_features(torch.randn(len(y), 20_000), y, 5)
    W = torch.ones(5, 20_000)
    n = counts.double().numpy()
    others = [[views.shuffled([n[k]], np.delete(n, k))[0] for k in range(5)], tokens_model.by_class(stats, W)["cdnv"]]
    assert others[0] == pytest.approx(others[1].tolist(), rel=0.03)
    assert others[0][0] == pytest.approx(np.mean([1 / (1 / 2 + 1 / m) for m in (5, 20, 100, 300)]) - 0.5)


def test_value_running_median():
    x, y = pd.Series([1.0, 1, 1, 100, 100, 100, 50]), pd.Series([3.0, 1, 2, 7, 9, 8, 1])
    assert views.running_median(x, y, bins=4, least=3) == [[1, 100], [2, 7.5]]


def test_law_table_is_whole(table):
    classes = study.classes(table)
    assert set(classes["seed"]) == {0, 1, 2} and (classes.groupby("seed").size() == 512).all()
    one = classes[classes["seed"] == 0]
    assert one["count"].sum() == 64 * (5999 // 64) and one.loc[one["count"] == 0, "cdnv"].isna().all()
    assert (one.loc[one["count"] == 1, "variance"] == 0).all() and one["equal_cdnv"].notna().equals(one["common"])
    assert set(one.loc[one["name"], "token"]) == {"␣Tim", "␣Anna", "␣Lily", "␣Ben", "␣Tom"}
    later = classes[classes["seed"] == 1]
    assert np.array_equal(one["count"], later["count"]) and not np.allclose(one["norm"], later["norm"], equal_nan=True)


def test_law_verdicts_need_scale_and_can_fail(table):
    assert set(verdicts(table).values()) == set(named_verdicts(table).values()) == {"not at this scale"}
    trained = table.assign(value=np.where(table["metric"] == "updates", 600, table["value"]))
    tokens = table["layer"].isin([f"␣{name}" for name in study.NAMES])
    cdnv = tokens & table["metric"].str.startswith("cdnv2[") & (table["split"] == "train")
    interference = tokens & table["metric"].str.startswith("interference[")
    moved = [trained.assign(value=np.where(cdnv, f * trained["value"], trained["value"])) for f in (1e-3, 1e3)]
    low, high = (
        named_verdicts(rows.assign(value=rows["value"] + s * interference))
        for rows, s in zip(moved, (-1, 1), strict=True)
    )
    named = ["names.cdnv", "names.interference", "names.each", "names.matched-cdnv", "names.matched-interference"]
    assert [low[name] for name in named] == ["holds"] * 5 and [high[name] for name in named] == ["fails"] * 5
    assert (low["names.anna"], high["names.anna"]) == ("fails", "not at this scale")  # above it with most others
    few = trained.assign(layer=trained["layer"].where(trained["layer"] == "␣Tim", trained["layer"].str.lower()))
    assert set(named_verdicts(few).values()) == {"not at this scale"}
    norm = trained["metric"].str.startswith("norm[")
    turned = trained.assign(value=np.where(norm, -trained["value"], trained["value"]))
    assert sorted([verdicts(trained)["story.norm"], verdicts(turned)["story.norm"]]) == ["fails", "holds"]


def test_law_figures_draw(table):
    classes = study.classes(table)
    found, none = study.names(classes), study.classes(results.archived(study))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = {"shown": figures.NAMES_SHOWN, "exceptions": figures.EXCEPTIONS}
        made = [
            drawn(figures.frequency, views.frequency(classes)),
            drawn(figures.shares, views.shares(classes)),
            drawn(figures.collapse, views.collapse(classes, classes)),
            drawn(figures.caution, views.caution(classes, study.halves(classes))),
            drawn(figures.names, views.names(found, **shown)),
            drawn(figures.collapse, views.collapse(classes, none)),
            drawn(figures.names, views.names(found[:0], **shown)),
            drawn(figures.correlations, views.correlations(study.correlations(classes), study.STORIES)),
        ]
        for figure in made:
            figure.draw_without_rendering()
    assert max(figure.get_figwidth() for figure in made) <= 7
    plt.close("all")


def test_law_runs_of_the_profiles():
    for profile in results.PROFILES:
        configs = study.runs(profile, seed=5, corpus="reference")
        assert [config.seed for config in configs] == [5, 6, 7] and {config.measured for config in configs} == {
            (configs[0].epochs,)
        }
        assert tokens_model.needs_gpu(configs[0]) == (profile == "paper")
    assert study.runs("smoke", width=32.0)[0].width == 32
    assert results.key(configs[0]) != results.key(configs[1])
