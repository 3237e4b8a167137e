"""Models held against an exact distribution: the theorem on a small text, hand-computed values, rules that can fail."""

import dataclasses
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib import ClassStatistics, metrics
from nclib.data.grammar import Grammar
from nclib.evidence.claims import judge_all
from nclib.pages.grammar import figures, tables, views
from nclib.pages.grammar import model as grammar_model
from nclib.pages.grammar.claims import HEADLINES
from nclib.pages.grammar.model import Truth
from nclib.pages.grammar.study import STUDY
from nclib.runs.study import own_runs


@pytest.fixture(scope="module")
def table(smoke_table):
    """The study at profile smoke, on less text."""
    return smoke_table(STUDY, tokens=4000, fresh=4000)


@pytest.fixture(scope="module")
def true():
    return grammar_model.truth(6000, 64)


def small(P):
    """A `Truth` of given distributions."""
    P = torch.tensor(P, dtype=torch.float64)
    more = grammar_model.groups(P), *grammar_model.resampling(P), grammar_model.interchangeable(P)
    return Truth(None, None, P, P.argmax(1), P.amax(1) == 1, *more)


def verdicts(rows):
    judged = judge_all(HEADLINES, rows)
    return {row.id.removeprefix("wu2024.grammar."): row.verdict for row in judged.itertuples()}


def test_value_decomposition_by_hand():
    # Contexts (1, 0), (1/2, 1/2) with f = 0, 4: E P = (3/4, 1/4), class means 4/3 and 4, variance 4, between 4/3.
    true = small([[1.0, 0], [0.5, 0.5]])
    found = grammar_model.decompose(torch.tensor([[0.0], [4]], dtype=torch.float64), true)
    assert found == pytest.approx({"between": 4 / 3, "ambiguity": 8 / 3, "rest": 0, "total": 4}, abs=1e-12)
    # The chain is [[5/6, 1/6], [1/2, 1/2]], whose second eigenvalue is 1/3: NC1 of every f is 1/(1/3) - 1 = 2.
    assert true.modes.tolist() == pytest.approx([1, 1 / 3])
    # Two contexts of one P with f = 3 and 5, and the other with 0: 4 +- 1 is not a function of P.
    true = small([[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]])
    found = grammar_model.decompose(torch.tensor([[3.0], [5], [0], [0]], dtype=torch.float64), true)
    assert found == pytest.approx({"between": 4 / 3, "ambiguity": 8 / 3, "rest": 1 / 2, "total": 9 / 2}, abs=1e-12)


def test_oracle_decomposition_is_that_of_class_statistics(true):
    P, f = true.P, torch.randn(len(true.P), 5, generator=torch.Generator().manual_seed(1)).double()
    f[:, :2] += 10 * P[:, :2] + (3 * P[:, 4:6]).sqrt()
    found = grammar_model.decompose(f, true)
    seen = P.sum(0) > 0
    means = (P.mT @ f)[seen] / P.sum(0)[seen, None]
    weights = P.mean(0)[seen]
    within = sum((P[:, k] @ (f - mu).square().sum(1)) for k, mu in zip(seen.nonzero()[:, 0], means, strict=True))
    residual = f - P @ torch.linalg.pinv(P, rtol=1e-9) @ f
    assert found["between"] == pytest.approx(float(weights @ (means - f.mean(0)).square().sum(1)), rel=1e-9)
    assert found["ambiguity"] + found["rest"] == pytest.approx(float(within) / len(P), rel=1e-9)
    assert found["rest"] == pytest.approx(float(residual.square().sum(1).mean()), rel=1e-5)
    assert ((P.mT @ residual)[seen] / P.sum(0)[seen, None]).abs().max() < 1e-6  # every class mean of the rest is 0
    assert sum(found[name] for name in ("between", "ambiguity", "rest")) == pytest.approx(found["total"])


def test_value_noise_between_contexts_of_one_distribution(true):
    f = torch.tensor([[1.0, 0], [3, 0], [9, 9], [4, 1], [4, 4], [4, 4]]).double()
    # Unbiased variances 2 (of two), none, and 3 (of three, squares 4 + 1 + 1): (2 * 2 + 3 * 3) / 6.
    assert grammar_model.noise(f, torch.tensor([0, 0, 1, 2, 2, 2])) == pytest.approx(13 / 6)
    P = torch.tensor([[0.5, 0.5], [0.5, 0.5 + 1e-12], [1, 0], [0.5 - 1e-6, 0.5 + 1e-6], [1, 0]]).double()
    first, second, third, other, last = grammar_model.groups(P).tolist()
    assert first == second and third == last and len({first, third, other}) == 3
    assert grammar_model.noise(true.P, true.group) < 1e-12
    assert len(true.group[true.determined].unique()) == len(true.y[true.determined].unique())


def test_law_perfect_predictions_have_no_rest_and_the_spectrum_is_their_nc1(true):
    found = grammar_model.decompose(true.P, true)
    assert abs(found["rest"]) < 1e-12 and found["ambiguity"] > 0.05
    scale = torch.where(true.P.mean(0) > 0, true.P.mean(0).rsqrt(), 0)
    A = scale[:, None] * (true.P.mT @ true.P / len(true.P)) * scale
    assert torch.allclose(A @ true.vectors, true.vectors * true.modes)
    f = true.P @ (scale[:, None] * true.vectors / true.modes.sqrt())  # one coordinate a mode, of variance 1
    spread, noise = (grammar_model.decompose(f[:, [i]], true) for i in (30, len(true.modes) - 1))
    for i, parts in {30: spread, len(true.modes) - 1: noise}.items():
        assert parts["ambiguity"] / parts["between"] == pytest.approx(float(1 / true.modes[i] - 1), rel=1e-6, abs=1e-9)


def test_law_interchangeable_words_have_one_mean_whatever_the_features():
    true, grammar = grammar_model.truth(30_000, 128), Grammar()
    words, classes = grammar.vocabulary, {k: v.split() for k, v in grammar.classes.items()}
    pairs = grammar_model.interchangeable(true.P)
    kinds = {tuple(next((name for name, some in classes.items() if words[k] in some), "") for k in p) for p in pairs}
    recalled = {name for names in grammar.recalled.values() for name in names}
    assert len(pairs) > 100 and all(a == b and a not in recalled for a, b in kinds)
    first = {tuple(words[k] for k in p) for p in pairs if not any(words[p[0]] in some for some in classes.values())}
    assert first == {("Then", "In"), ("I", "Give"), ("I", "It"), ("Give", "It"), ("At", "Now")}  # of sentences
    f = torch.randn(len(true.P), 3, generator=torch.Generator().manual_seed(0)).double()
    means = (true.P.mT @ f) / true.P.sum(0)[:, None]
    a, b = pairs.mT
    assert torch.allclose(means[a], means[b], atol=1e-9) and means[a].std() > 0.001
    ratio = true.P[:, a] * true.P[:, b].sum(0) - true.P[:, b] * true.P[:, a].sum(0)
    assert ratio.abs().max() < 1e-9 and (true.P[:, a] * true.P[:, b].sum(0)).amax(0).min() > 1e-3


def test_value_excess_by_hand():
    P, q = torch.tensor([[0.5, 0.5], [1, 0]]).double(), torch.tensor([[0.25, 0.75], [0.5, 0.5]]).double().log()
    splits = {"all": torch.tensor([True, True]), "second": torch.tensor([False, True])}
    found = grammar_model.excess(q, P, torch.tensor([0, 0]), splits)
    assert found["second"] == pytest.approx(
        dict.fromkeys(("loss", "excess", "kl"), math.log(2)) | {"error": 0, "positions": 1}
    )
    found = found["all"]
    kl = math.log(2) / 2 + math.log(2 / 3) / 2
    assert found["loss"] == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert found["excess"] == pytest.approx(math.log(2)) and found["kl"] == pytest.approx((kl + math.log(2)) / 2)
    assert found["error"] == pytest.approx(math.log(3) / 2 / 2) and found["positions"] == 2


def test_law_excess_differs_from_kl_by_its_error(true):
    generator = torch.Generator().manual_seed(0)
    q = (true.P + 0.3 * torch.rand(true.P.shape, generator=generator).double()).log().log_softmax(1)
    draws = [true.P.multinomial(1, generator=generator)[:, 0] for _ in range(40)]
    found = [grammar_model.excess(q, true.P, y, {"": y >= 0})[""] for y in draws]
    z = np.array([(one["excess"] - one["kl"]) / one["error"] for one in found])
    assert abs(z.mean()) < 4 / math.sqrt(40) and 0.7 < z.std() < 1.4


def test_oracle_known_positions_and_their_distributions(true):
    grammar = Grammar()
    text = grammar.sample(6000, grammar_model.FRESH)
    P, expected = grammar.next_distribution(text), []
    for start in range(0, len(text) - 64, 64):
        ends = np.flatnonzero(text[start : start + 64] == 0)
        expected += list(range(start + ends[0], start + 64)) if len(ends) else []
    assert torch.equal(true.P, torch.from_numpy(P[expected]))
    assert true.y.tolist() == text[np.array(expected) + 1].tolist()
    assert (
        true.determined.tolist() == [P[t].max() > 1 - 1e-9 for t in expected] and 0.5 < true.determined.double().mean()
    )
    assert grammar_model.bayes_loss(true.P, true.y) == pytest.approx(
        -np.mean(np.log([P[t, text[t + 1]] for t in expected]))
    )


def test_value_first_of_each():
    y = torch.tensor([2, 0, 2, 1, 2, 0])
    found = grammar_model.first_of_each(y, torch.tensor([4, 5, 3, 2, 1, 0]), torch.tensor([1, 0, 2]))
    assert found.tolist() == [5, 4, 2]


def test_value_collapse_and_parts_of_equal_size():
    y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 2])
    determined = torch.tensor([1, 1, 0, 0, 1, 1, 1, 0, 0, 1]).bool()
    H = torch.tensor([[0.0], [0], [1], [3], [5], [5], [9], [4], [8], [7]]).double()
    true = Truth(None, None, torch.zeros(10, 3), y, determined, None, None, None, None)
    config = dataclasses.replace(STUDY.runs("smoke")[0], floor=2)
    found = grammar_model.apart(H, true, config)
    # Determined 0, 0 | 5, 5 (the third of class 1 is left out); ambiguous 1, 3 | 4, 8, variances 1 and 4, means 2, 6.
    assert found["matched-determined"] == {"nc1_trace_ratio": 0, "cdnv_mean": 0, "cdnv_median": 0, "classes": 2}
    assert found["matched-ambiguous"] == pytest.approx(
        {"nc1_trace_ratio": 2.5 / 4, "cdnv_mean": 5 / 32, "cdnv_median": 5 / 32, "classes": 2}
    )
    assert found["shuffled-determined"]["classes"] == found["shuffled-ambiguous"]["classes"] == 2


def test_law_growth_of_merged_pairs(true):
    f = 30 * true.P[:, 20:] + torch.randn(len(true.P), 344, generator=torch.Generator().manual_seed(0)).double()
    found = grammar_model.growth(f, true)
    n = [found[f"first 1/{part}"]["samples"] for part in tables.GROWING]
    assert n[-1] == len(true.P) and n[0] == n[-1] // 8
    merged = [found[f"first 1/{part}"]["merged"] for part in tables.GROWING]
    assert np.polyfit(np.log(n), merged, 1)[0] == pytest.approx(1, abs=0.3)
    last = found["first 1/1"]
    assert float(last["merged"]) == pytest.approx(float(last["sampled"]), abs=0.3) and last["others"] < last["merged"]
    often = torch.bincount(true.y[: n[0]], minlength=true.P.shape[1]) > 1
    stats = ClassStatistics.from_features(f, true.y, true.P.shape[1], mask=often[true.y], scatter=True)
    assert last["nc1"] == pytest.approx(metrics.nc1(stats)) and last["classes"] == int(often.sum())


def test_value_words_that_came_in_the_examples():
    found = grammar_model.story()
    assert found.groupby("position")["came"].first().tolist() == ["Mia", "ball", "ball", "ball"]
    recalled = found[found["position"] == grammar_model.EXAMPLES[2]]
    assert recalled["p"].tolist() == pytest.approx([1]) and recalled["entropy"].iloc[0] == pytest.approx(0, abs=1e-12)
    two = found[found["position"] == grammar_model.EXAMPLES[3]].set_index("word")["p"]
    assert two.to_dict() == pytest.approx({"ball": 2 / 3, "fox": 1 / 3})


def test_law_table_is_whole(table):
    kl, excess = tables.pick(table, "kl"), tables.pick(table, "excess")
    assert kl.shape == (3, 2) and (kl > 0).all(axis=None) and kl.nunique().tolist() == [3, 3]
    assert ((excess - kl).abs() < 4 * tables.pick(table, "error")).all(axis=None)
    parts = {split: tables.pick(table, "kl", split=split) for split in ("determined", "ambiguous")}
    number = {split: tables.pick(table, "positions", split=split) for split in parts}
    whole = sum(parts[split] * number[split] for split in parts) / tables.pick(table, "positions")
    assert np.allclose(whole, kl)
    assert np.allclose(sum(tables.parts(table, "features").values()), tables.pick(table, "total", layer="features"))
    distance, rest = (tables.pick(table, name, layer="predictions") for name in ("distance", "rest"))
    noise = tables.pick(table, "noise", layer="predictions")
    assert (
        (distance >= rest).all(axis=None) and (0 < noise).all(axis=None) and (noise < 1.05 * rest).all(axis=None)
    )  # |p - P|^2 is |B'P - P|^2 + |p - B'P|^2 on average
    summary = tables.summary(table)
    untrained = tables.parts(table, "features", trained=False)
    share = untrained["rest"] / sum(untrained.values())
    assert summary.loc["16, untrained", "features: rest"] == pytest.approx(share[16].mean(), abs=1e-3) and (
        share > 0.5
    ).all(axis=None)
    assert (
        summary.index.tolist() == ["8", "16", "16, 3 × words", "16, untrained", "perfect"]
        and summary.loc["perfect", "KL"] == 0
    )
    assert summary.loc["perfect", [f"predictions: {name}" for name in figures.PARTS]].sum() == pytest.approx(
        1, abs=2e-3
    )
    assert tables.chain(table).loc["modes that are 1", "value"] > 10 and len(tables.merging(table)) == 4


def test_law_verdicts_need_scale_and_can_fail(table):
    found = verdicts(table)
    free = {"excess.kl", "merged.trace"}
    assert {name for name, verdict in found.items() if verdict != "not at this scale"} == free
    table = table[table["metric"] != "modes"]
    trained = table.assign(value=np.where(table["metric"] == "updates", 600, table["value"]))

    def scaled(factor, power=0, **fields):
        rows = np.logical_and.reduce([trained[name] == value for name, value in fields.items()])
        factors = factor * (trained["width"] / 8.0) ** power
        return verdicts(trained.assign(value=np.where(rows, factors * trained["value"], trained["value"])))

    kl = {"metric": "kl", "split": "fresh"}
    assert [scaled(1, power, **kl)["excess.width"] for power in (-9, 9)] == ["holds", "fails"]
    assert scaled(2, **kl)["excess.kl"] == "fails" and found["excess.kl"] == "holds"
    rest = {"metric": "rest", "layer": "predictions", "source": "measured"}
    assert [scaled(f, **rest)["predictions.most"] for f in (1e-3, 1e3)] == ["holds", "fails"]
    assert [scaled(1, p, **rest)["predictions.rest"] for p in (-9, 9)] == ["holds", "fails"]
    assert scaled(1e3, **rest)["predictions.within"] == "fails"
    assert scaled(1e3, **rest | {"tokens": 12_000})["predictions.longer"] == "fails"
    rest["layer"] = "features"
    assert [scaled(f, **rest)["features.most"] for f in (1e-3, 1e3)] == ["holds", "fails"]
    for metric, name in {"nc1_trace_ratio": "trace", "cdnv_median": "cdnv"}.items():
        side = {"metric": metric, "split": "matched-determined"}
        assert [scaled(f, **side)[f"determined.{name}"] for f in (1e-3, 1e3)] == ["holds", "fails"]
    side["metric"] = "nc1_trace_ratio"
    assert [scaled(1, p, **side)["determined.width"] for p in (-9, 9)] == ["holds", "fails"]
    side = {"metric": "ncc_agreement", "split": "determined"}
    sure = trained["metric"].eq("ncc_agreement") & trained["split"].eq("determined")
    agreed = verdicts(trained.assign(value=trained["value"].mask(sure, 1.1)))
    assert [agreed["determined.agreement"], scaled(0, **side)["determined.agreement"]] == ["holds", "fails"]
    for metric, name in {"merged": "grows", "others": "others"}.items():
        assert scaled(1e3, metric=metric)[f"merged.{name}"] == "fails"
    end = {"metric": "nc1_trace_ratio", "split": "first 1/1", "source": "theory"}
    assert scaled(0.1, **end)["merged.trace"] == "fails"


def rows_of(figure, table):
    """What a figure draws of a table; two of them draw every scale."""
    view = getattr(views, figure)
    return views.panels(table, view) if figure in ("excess", "determined") else view(table)


def test_law_archived_runs_are_judged_and_drawn_beside(table):
    """Here the same runs, whose KL is 10 times as large at the other scale."""
    larger = table.assign(beside="paper scale", value=table["value"].mask(table["metric"] == "kl", 10 * table["value"]))
    both = pd.concat([table, larger], ignore_index=True)
    assert own_runs(both).equals(table)
    kl = views.panels(both, views.excess).query("metric == 'kl'").groupby("panel")["value"].sum()
    assert kl["paper scale"] == pytest.approx(10 * kl[""])
    made = drawn(figures.excess, views.panels(both, views.excess))
    assert [axis.get_title(loc="left") for axis in made.axes] == ["", "", "paper scale", ""]
    assert len(drawn(figures.determined, views.panels(both, views.determined)).axes) == 4
    found = judge_all(HEADLINES, both).set_index(["id", "beside"])["verdict"]
    assert found["wu2024.grammar.excess.kl"].to_dict() == {"": "holds", "paper scale": "fails"}
    plt.close("all")


def test_law_figures_draw(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = [drawn(figures.story, grammar_model.story())]
        names = ("excess", "shares", "determined", "merged")
        made += [drawn(getattr(figures, name), rows_of(name, table)) for name in names]
        for figure in made:
            figure.draw_without_rendering()
    assert max(figure.get_figwidth() for figure in made) <= 7
    plt.close("all")


def test_law_runs_of_the_profiles():
    for profile, number in {"smoke": 7, "laptop": 13, "paper": 19}.items():
        configs = STUDY.runs(profile, seed=5)
        assert len(configs) == number and [config.seed for config in configs[:3]] == [5, 6, 7]
        updates = [(config.tokens - 1) // config.context // (config.batch // config.context) for config in configs]
        assert profile == "smoke" or min(updates) >= 600
        assert configs[-1].needs_gpu() == (profile == "paper")
    assert [config.width for config in STUDY.runs("smoke", widths=[32.0, 8])] == [8, 8, 8, 32, 32, 32, 32]
