"""Page A3: its data sets against kept values of another author, one conversion by hand, and what its views show."""

import json
import math
from pathlib import Path

import pytest
import torch

from nclib.evidence.claims import judge_all
from nclib.pages.rosetta import claims, figures, quoted, sets, tables, views
from nclib.pages.rosetta.conversions import CONVERSIONS
from nclib.pages.rosetta.study import STUDY
from nclib.pages.rosetta.values import Values
from nclib.plotting import plt
from nclib.rosetta import CODES, described
from nclib.rosetta.formulas import Measured
from nclib.statistics import ClassStatistics

KEPT = json.loads(Path(__file__).with_name("rosetta.json").read_text())
LETTERS = {"A": "balanced", "B": "imbalanced"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield STUDY.table("smoke", "cpu")


@pytest.mark.parametrize("letter", LETTERS)
def test_oracle_seed_zero_is_the_kept_data_and_its_values(table, letter):
    kept, (H, y, W, b) = KEPT[letter], sets.features(LETTERS[letter])
    assert W.tolist() == kept["W"] and b.tolist() == kept["b"]
    rows = sorted(zip(y.tolist(), H.tolist(), strict=True))
    assert rows == sorted(zip(kept["y"], kept["H"], strict=True))
    found = table[(table["data"] == LETTERS[letter]) & (table["source"] == "measured")].set_index("metric")["value"]
    assert found["nc1.colab"] == pytest.approx(kept["values"]["nc1.colab"], rel=1e-11)
    assert found.to_dict() == pytest.approx({name: kept["values"][name] for name in found.index}, rel=1e-10)


def test_value_conversions_by_hand():
    """Two classes of 1 and 3 samples on a line: means 0 and 4, so mu_C = 2, mu_S = 3; Sb_C = 4, Sb_S = (9 + 1)/2 = 5.

    Sw = (1 + 0 + 1)/4 = 1/2: NC1 is 1/16 with center mu_C and 1/20 with mu_S, and the share (1/2) / (1/2 + 5) = 1/11.
    """
    H, y = torch.tensor([[0.0], [3.0], [4.0], [5.0]]).double(), torch.tensor([0, 1, 1, 1])
    m = Measured(ClassStatistics.from_features(H, y, 2, scatter=True))
    v = {"nc1": 1 / 16, "nc1_trace_ratio": 1 / 8}
    assert CONVERSIONS["nc1.sample_center"].converted(v, m) == pytest.approx(1 / 20, rel=1e-12)
    assert CONVERSIONS["nc1t.share"].converted(v, m) == pytest.approx(1 / 11, rel=1e-12)
    assert CONVERSIONS["nc1.colab"].converted(v, m) == 1 / 8
    assert math.isnan(CONVERSIONS["cdnv.ddof1"].converted({"cdnv_mean": 1.0}, m))  # sizes differ
    assert math.isnan(CONVERSIONS["nc1.vci"].converted(v, m))  # has no rule


def test_value_another_data_set_is_refused():
    with pytest.raises(ValueError, match=r"data = 'mnist'.*balanced") as refused:
        Values("mnist", 0)
    assert "\n" not in str(refused.value)


def test_law_every_formula_of_a_codebase_is_here_and_described():
    assert {name for code in CODES.values() for name in code.formulas} == set(CONVERSIONS)
    assert {rule.kind for rule in CONVERSIONS.values()} == set(views.KINDS) and views.SETS == tuple(sets.SETS)
    assert all(described(name) and bool(rule.text) == bool(rule.value) for name, rule in CONVERSIONS.items())


def test_law_claims_hold_and_a_wrong_value_fails(table):
    judged = judge_all(claims.HEADLINES, table).set_index("id")["verdict"]
    assert len(judged) == 11 and set(judged) == {"holds"}
    for name, claim in {"nc1.colab": "nc1", "nc1.sample_center": "center", "nc3.squared": "nc3"}.items():
        wrong = table.assign(value=table["value"].mask(table["metric"] == name, table["value"] * (1 + 1e-7)))
        found = judge_all(claims.HEADLINES, wrong).set_index("id")["verdict"]
        assert found[f"wu2024.measure.rosetta.{claim}"] == "fails"


def test_value_views_and_quotes(table):
    shown = views.values(table)
    assert set(shown["family"]) == set(views.SHOWN) and len(shown) == 3 * shown["metric"].nunique()
    assert "papyan-2020-code: colab" in set(shown["code"]) and "zhu-2021 + 5: sample_center" in set(shown["code"])
    ratio = views.ratios(table).set_index(["metric", "data"])
    assert ratio.loc[("nc1.colab", "near collapse"), "before"] == pytest.approx(10)
    assert ratio["after"].dropna().to_numpy() == pytest.approx(1, rel=1e-5) and ratio["after"].isna().any()
    assert tables.rules(table).query("codebases == 'papyan-2020-code'")["rule"].iloc[0] == "times K"
    assert list(tables.sources().index) == list(CODES)
    found = quoted.quoted(table)
    assert (found["orders"], found["where"], found["codes"]) == ("1.3", "imbalanced", "19")
    assert (found["factor-balanced"], found["factor-imbalanced"]) == ("7", "22")


def test_law_figures_draw_every_row(table):
    made = figures.ratios(views.ratios(table))
    assert sum(len(axis.get_yticks()) for axis in made.axes) == views.ratios(table)["metric"].nunique()
    assert [axis.get_xlabel() for axis in figures.values(views.values(table)).axes] == [
        f"|value| called {name}" for name in views.SHOWN
    ]
    plt.close("all")
