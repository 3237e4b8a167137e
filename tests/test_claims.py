import json
import math

import pytest

from nclib import claims


def claim(**changes):
    fields = {
        "id": "dang2023.test",
        "paper": "Dang et al. 2023",
        "statement": "a < b",
        "source": "Theorem 1, derived",
        "relation": "==",
        "reference": 1.0,
        "tolerance": 0.1,
    }
    return claims.Claim(**(fields | changes))


@pytest.mark.parametrize(
    ("relation", "ours", "verdict"),
    [
        ("==", 1.1 - 1e-12, "holds"),
        ("==", 1.11, "fails"),
        ("==", 0.89, "fails"),
        ("<=", 1.09, "holds"),
        ("<=", 1.11, "fails"),
        ("<=", -5.0, "holds"),
        (">=", 0.91, "holds"),
        (">=", 0.89, "fails"),
        (">=", 7.0, "holds"),
        ("==", math.nan, "fails"),
        ("<=", math.nan, "fails"),
        (">=", math.nan, "fails"),
    ],
)
def test_value_the_rule_decides(relation, ours, verdict):
    assert claims.judge(claim(relation=relation), ours)["verdict"] == verdict


def test_value_two_standard_errors_are_added_to_the_tolerance():
    """Seeds 1.3, 1.5, 1.7: mean 1.5, standard deviation 0.2, standard error 0.1155; off by 0.5."""
    row = claims.judge(claim(), [1.3, 1.5, 1.7])
    assert row["verdict"] == "fails" and row["ours"] == pytest.approx(1.5) and row["spread"] == pytest.approx(0.2)
    assert claims.judge(claim(tolerance=0.27), [1.3, 1.5, 1.7])["verdict"] == "holds"
    assert claims.judge(claim(tolerance=0.26), [1.3, 1.5, 1.7])["verdict"] == "fails"


def test_value_the_spread_can_at_most_double_the_tolerance():
    """Seeds 1, 1, 4: mean 2, standard error 1, which alone would excuse anything; the margin is twice the tolerance."""
    assert claims.judge(claim(tolerance=0.51), [1.0, 1.0, 4.0])["verdict"] == "holds"
    assert claims.judge(claim(tolerance=0.49), [1.0, 1.0, 4.0])["verdict"] == "fails"
    assert claims.judge(claim(relation="<=", tolerance=0.0), [0.1, 0.1, 1e4])["verdict"] == "fails"


def test_not_at_this_scale_needs_a_declared_precondition():
    assert claims.judge(claim(), 5.0, met=False)["verdict"] == "fails"
    declared = claim(precondition="at least 600 steps")
    assert claims.judge(declared, 5.0, met=False)["verdict"] == "not at this scale"
    assert claims.judge(declared, 5.0, met=True)["verdict"] == "fails"


def test_recorded_claims_are_loaded_with_every_column(store):
    frame = claims.record([claims.judge(claim(), [1.0, 1.2]), claims.judge(claim(id="b"), math.nan)], "01-x", "smoke")
    loaded = claims.load()
    assert list(loaded.columns) == claims.COLUMNS and loaded["verdict"].tolist() == ["holds", "fails"]
    assert loaded["ours"].iloc[0] == pytest.approx(1.1) and set(loaded["profile"]) == {"smoke"}
    json.loads((store / "build/claims/01-x.json").read_text(), parse_constant=pytest.fail)
    html = claims.table(frame).data
    assert "a &lt; b" in html and "nc-holds" in html and "1.1 ± 0.14" in html


def test_no_claims_is_an_empty_frame_with_the_columns(store):
    assert list(claims.load().columns) == claims.COLUMNS and claims.load().empty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claim(relation="<"), "relation = '<': must be"),
        (lambda: claims.judge(claim(), []), r"ours = \[\]"),
        (lambda: claims.record([claims.judge(claim(), 1.0)] * 2, "n", "smoke"), "ids must be unique"),
    ],
)
def test_bad_input_is_one_line(store, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
