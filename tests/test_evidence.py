"""Headlines, rules and verdicts: hand-computed intervals, laws over any values, what a ledger gives back."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from nclib.evidence import ledger, seeds
from nclib.evidence.claims import (
    COLUMNS,
    Claim,
    Headline,
    Interval,
    Need,
    at_least,
    at_most,
    family,
    judge,
    judge_all,
    near,
    worst,
)

LONG = Need("two steps", lambda table: table["step"].max() >= 2)


def values(table):
    """One value a seed: that of the last step."""
    return table.sort_values("step").groupby("seed")["value"].last()


def claim(rule=near(1.0, 0.1), ours=values, **more):  # noqa: B008
    return Claim("dang2023.test", "a = b", rule, ours, **more)


def headline(*claims, **more):
    fields = {"kind": "paper", "of": "Dang et al. 2023, Theorem 3.1", "seen": "read"}
    return Headline("dang2023.tests", "all is one", list(claims or [claim()]), **(fields | more))


def verdict(rule, ours, **more):
    every = more.pop("every", False)
    return judge(claim(rule, **more), ours, every=every)["verdict"]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("rule", "ours", "expected"),
    [
        (near(1, 0.1), 1.099, "holds"), (near(1, 0.1), 1.11, "fails"), (near(1, 0.1), 0.89, "fails"),
        (at_most(1, 0.1), 1.09, "holds"), (at_most(1), 1.01, "fails"), (at_most(1), -5.0, "holds"),
        (at_least(1, 0.1), 0.91, "holds"), (at_least(1), 0.99, "fails"), (at_least(1), 7.0, "holds"),
    ],
)  # fmt: skip
def test_value_one_value_is_a_point(rule, ours, expected, every):
    for given in (ours, [ours], np.float64(ours), [ours] * 3):
        assert verdict(rule, given, every=every) == expected


def test_value_the_interval_of_the_mean():
    """Seeds 1.3, 1.5, 1.7: mean 1.5, standard deviation 0.2; t_{0.95, 2} = 2.92 gives 1.5 -+ 0.33717."""
    half = 2.9199855803 * 0.2 / math.sqrt(3)
    judged = judge(claim(), [1.3, 1.5, 1.7])
    assert judged["interval"] == pytest.approx([1.5 - half, 1.5 + half], abs=1e-9)
    assert judged["ours"] == pytest.approx(1.5) and judged["verdict"] == "fails"
    found = [verdict(near(1, tolerance), [1.3, 1.5, 1.7]) for tolerance in (0.163, 0.837, 0.838)]
    assert found == ["undecided", "undecided", "holds"]


def test_value_every_run_and_logarithms():
    assert verdict(at_most(1), [0.1, 0.2, 1.01], every=True) == "fails"
    assert verdict(at_most(1), [0.1, 0.2, 1.01]) == "undecided"
    rates = [1.6e6, 1.3e7, 4.6e7]
    assert (verdict(at_least(1e3), rates), verdict(at_least(1e3), rates, log=True)) == ("undecided", "holds")
    low, high = judge(claim(log=True), rates)["interval"]
    assert judge(claim(log=True), rates)["ours"] == pytest.approx((low * high) ** 0.5)
    logs = np.log(rates)
    half = float(t.ppf(0.95, 2)) * logs.std(ddof=1) / math.sqrt(3)
    assert [low, high] == pytest.approx(np.exp([logs.mean() - half, logs.mean() + half]))


BAD = [math.nan, math.inf, -math.inf, [math.nan], [1.0, math.nan], [math.inf, -math.inf, 1.0], [1.0, -math.inf]]


@pytest.mark.parametrize("ours", BAD, ids=str)
@pytest.mark.parametrize("rule", [near(1, 0.1), at_most(1), at_least(1)], ids=str)
def test_law_what_is_not_finite_fails(ours, rule):
    for every, log in itertools.product((False, True), repeat=2):
        judged = judge(claim(rule, log=log), ours, every=every)
        assert judged["verdict"] == "fails" and judged["interval"] is None
        assert judge(claim(rule, log=log), ours, every=every, met=False)["verdict"] == "not at this scale"


def test_value_an_interval_is_its_own():
    assert [verdict(at_least(0), Interval(0.5, low, 0.9), every=True) for low in (0.1, -0.1)] == ["holds", "undecided"]
    assert verdict(at_least(1), Interval(0.5, 0.1, 0.9)) == "fails"
    with pytest.raises(ValueError, match="must have low <= high"):
        verdict(at_least(0), Interval(0.5, 0.9, 0.1))


def test_oracle_either_error_has_five_percent():
    """Normal values whose mean lies on the edge of the region: 5 % hold and 5 % fail."""
    draws = 1 + np.random.default_rng(0).normal(size=(4000, 4))
    found = [verdict(at_most(1), row) for row in draws]
    error = 4 * math.sqrt(0.05 * 0.95 / len(draws))
    assert found.count("holds") / len(draws) == pytest.approx(0.05, abs=error)
    assert found.count("fails") / len(draws) == pytest.approx(0.05, abs=error)


def table(*ours, beside="", steps=2):
    rows = [(seed, step, value) for seed, value in enumerate(ours) for step in (0, steps)]
    return pd.DataFrame(rows, columns=["seed", "step", "value"]).assign(beside=beside)


def test_value_a_headline_says_once_what_its_claims_share():
    own = claim(at_most(2, 0.5), seen="derived", every=False, settled="after: 2 for 1", paper_value=2.0)
    two = dataclasses.replace(own, id="dang2023.other", seen=None, every=None)
    judged = judge_all([headline(own, two, every=True, needs=LONG)], table(1.0, 1.0, 9.0))
    assert list(judged) == COLUMNS and judged["headline"].tolist() == ["dang2023.tests"] * 2
    assert judged["seen"].tolist() == ["derived", "read"] and judged["every"].tolist() == [False, True]
    assert judged["verdict"].tolist() == ["undecided", "fails"] and judged["rule"].iloc[0] == "<= 2 (tolerance 0.5)"
    assert worst(judged["verdict"]) == "fails" and worst(["holds", "undecided", "holds"]) == "undecided"
    assert worst(["not at this scale"]) == "not at this scale" and worst(["holds", "not at this scale"]) == "holds"


def test_law_needs_and_scales():
    one = headline(claim(needs=LONG))
    both = pd.concat([table(1.0, 1.0, steps=1), table(1.0, 1.0, 5.0, beside="paper scale")])
    judged = judge_all([one], both).set_index("beside")["verdict"]
    assert judged.to_dict() == {"": "not at this scale", "paper scale": "undecided"}
    assert judge_all([one], table(1.0)[:0])["verdict"].tolist() == ["not at this scale"]


def test_law_a_claim_on_the_same_values_again_is_left_out_beside():
    """Of a larger scale that holds the page's own runs the claims alone that rest on others; those without a verdict
    stay, as not judged there."""
    start, end = (lambda t: t[t["step"] == 0]["value"]), (lambda t: t[t["step"] == 2]["value"])
    one = headline(claim(at_most(2), start), dataclasses.replace(claim(at_most(2), end), id="dang2023.end"))
    large = table(1.0, 1.0, beside="large").assign(value=[1.0, 1.5, 1.0, 1.5])
    found = judge_all([one], pd.concat([table(1.0, 1.0), large])).set_index("id")["beside"]
    assert found["dang2023.end"].tolist() == ["", "large"] and found.drop("dang2023.end").tolist() == [""]
    both = pd.concat([table(1.0, 1.0), large])
    both.attrs["unjudged"] = ["large"]
    assert judge_all([one], both)["beside"].tolist() == ["", ""]


def test_law_a_family_is_judged_on_its_rows():
    rows = table(1.0, 1.0).assign(mode="a")
    rows = pd.concat([rows, rows.assign(mode="b", value=3.0)])
    two = [part for mode in "ab" for part in family(f"x.{mode}", mode.upper(), f"mode == '{mode}'", [claim()])]
    found = judge_all([headline(*two)], rows)
    assert found["id"].tolist() == ["x.a.dang2023.test", "x.b.dang2023.test"]
    assert found["verdict"].tolist() == ["holds", "fails"] and found["statement"].tolist() == ["A: a = b", "B: a = b"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: claim(settled="later"), "settled = 'later': must be 'before', or 'after: ' and why"),
        (lambda: headline(kind="own"), "kind = 'own': must be one of paper, extension, check"),
        (lambda: headline(claim(seen="heard")), "seen = 'heard': must be one of read, recalled, derived"),
        (lambda: Headline("x", "y", [], "paper", "z", "read"), "a headline needs at least one claim"),
        (lambda: judge_all([headline(), headline()], table(1.0)), "ids must be unique, these are not: dang2023.test"),
        (lambda: judge(claim(), []), r"ours = \[\], must be at least one value"),
    ],
)
def test_bad_input_is_one_line(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_law_the_ledger_gives_back_what_was_recorded(store):
    judged = judge_all([headline(claim(at_least(0)))], table(1.0, math.nan))
    ledger.record(judged, "01-x", "smoke")
    found = ledger.load(ledger.folder("smoke"))
    assert found[["id", "notebook", "profile", "verdict"]].iloc[0].tolist() == [
        "dang2023.test",
        "01-x",
        "smoke",
        "fails",
    ]
    assert json.loads((store / "build/claims/smoke/01-x.json").read_text())[0]["values"] == [1.0, None]
    (store / "build/claims/smoke/01-x.json").write_text("[[")
    with pytest.raises(ValueError, match=r"damaged .JSONDecodeError.; run its notebook again"):
        ledger.load(ledger.folder("smoke"))


def test_value_a_report_shows_each_headline_once_with_its_scales(store):
    """Two claims of one headline, one of which fails at the larger scale; recorded for both scales."""
    from nclib.evidence.report import report

    two = [
        Claim("x.a", "a < b", at_most(1), lambda table: table["value"]),
        Claim("x.b", "c", at_most(2), lambda table: table["value"]),
    ]
    headline = Headline("x.h", "A & B", two, "paper", "X 2020, Theorem 1", "read", every=True)
    table = pd.DataFrame(
        {"value": [0.5, 0.75, 1.5], "beside": ["", "", "CIFAR-10"], "profile": ["smoke", "smoke", "paper"]}
    )
    shown = report([headline], table, "01-x").data
    assert shown.count("<details") == 1 and shown.count("<tr id=") == 2 and 'id="claim-x.a"' in shown
    assert "A &amp; B" in shown and "2 of 2 claims hold" in shown and '<th scope="col">CIFAR-10</th>' in shown
    assert [part.split("<")[0] for part in shown.split("nc-verdict nc-")[1:]] == [
        'holds">holds',
        'fails">fails',
        'holds">holds',
        'fails">fails',
        'holds">holds',
        'holds">holds',
    ]
    said = {
        0: "None of the 3 runs of {} are archived. {} makes them.",
        1: "1 of the 3 runs of {} is archived. {} makes the others.",
    }
    for archived, words in said.items():
        command = "nclib run x --profile paper"
        shown_command = command.replace("--profile", '<span class="nc-keep">--profile</span>')
        table.attrs["lacking"] = {"runs": 3, "archived": archived, "command": command, "cost": "a < b"}
        assert report([headline], table, "01-x").data == shown + (
            f'<p class="nc-lacking">{words.format("profile <code>paper</code>", f"<code>{shown_command}</code>")} '
            "What all of them take: a &lt; b.</p>"
        )
    found = ledger.load(ledger.folder("smoke")).set_index(["id", "beside"])["verdict"].to_dict()
    assert found == {
        ("x.a", ""): "holds",
        ("x.a", "CIFAR-10"): "fails",
        ("x.b", ""): "holds",
        ("x.b", "CIFAR-10"): "holds",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    {
        "lam_H = lambda, beta_k >= 1e-05": "λ<sub>H</sub> = λ, β<sub>k</sub> ≥ 10<sup>−5</sup>",
        "|w_k|^2, (1 + s/beta)^(-2 l)": "|w<sub>k</sub>|<sup>2</sup>, (1 + s/β)<sup>−2 l</sup>",
        "at H0 = R0, |dH0|": "at H<sub>0</sub> = R<sub>0</sub>, |dH<sub>0</sub>|",
        "2^(2/(M+1)) < 3.5e+06": "2<sup>2/(M+1)</sup> &lt; 3.5·10<sup>6</sup>",
        "nc3_WH of GOF_Q in nclib.theory.beta, not lambdas": "nc3_WH of GOF_Q in nclib.theory.beta, not lambdas",
    }.items(),
)
def test_value_formulas_in_plain_text_are_typeset(text, shown):
    from nclib.evidence.report import typeset

    assert typeset(text) == shown


def test_value_the_short_form_links_each_headline_and_leaves_out_scales_without_a_verdict():
    from nclib.evidence.report import html, short

    both = pd.concat([table(1.0, 1.0), table(5.0, 5.0, beside="large"), table(1.0, steps=1, beside="tiny")])
    one = headline(claim(needs=LONG))
    shown = short([one], both).data
    assert shown.count("<li>") == 1 and '<a href="#headline-dang2023.tests">all is one</a>' in shown
    assert [part.split("<")[0] for part in shown.split("nc-verdict nc-")[1:]] == ['holds">holds', 'fails">fails']
    assert "large: " in shown and "tiny" not in shown
    full = html(judge_all([one], both))
    assert 'data-verdict="holds|fails"' in full and 'id="headline-dang2023.tests"' in full and "tiny" not in full


def test_value_a_headline_is_found_by_the_papers_of_its_claims():
    from nclib.evidence.report import html

    other = dataclasses.replace(claim(), id="fang2021.test")
    assert 'data-paper="dang2023|fang2021"' in html(judge_all([headline(claim(), other)], table(1.0)))


def test_law_a_page_judges_once_what_it_shows_twice_and_again_when_values_change():
    from nclib.evidence.report import short

    asked, one = [], table(1.0, 1.0)
    headlines = [headline(claim(ours=lambda given: asked.append(1) or values(given)))]
    for given, times in ((one, 1), (one, 1), (one.copy(), 1), (one.assign(value=9.0), 2), (one, 3)):
        shown = short(headlines, given).data
        assert len(asked) == times and ('"nc-verdict nc-holds"' in shown) == (times != 2)
    short(list(headlines), one)
    assert len(asked) == 4  # a list that was made anew may hold other claims


def test_by_seed_misses_nothing():
    """A seed without values and one with a NaN are NaN; the largest of the others would pass for all."""
    values = pd.Series([1.0, 3.0, 2.0, math.nan, 5.0], pd.Index([0, 0, 1, 1, 3], name="seed"))
    assert seeds.by_seed(values, [3, 0]) == [5.0, 3.0]
    assert seeds.by_seed(values, [0, 3], "mean") == [2.0, 5.0]
    assert seeds.by_seed(values, [0, 3], seeds.farthest(2.5)) == [1.0, 5.0]
    found = seeds.by_seed(values, [0, 1, 2, 3], "min")
    assert found == pytest.approx([1.0, math.nan, math.nan, 5.0], nan_ok=True)
    assert np.isnan(seeds.by_seed(values.iloc[:0], [0, 1])).all()
    assert seeds.counted(values > 1.5, values).tolist() == pytest.approx([0, 1, 1, math.nan, 1], nan_ok=True)


def test_no_claims_is_an_empty_frame_with_the_columns(store):
    found = ledger.load(ledger.folder("laptop"))
    assert list(found.columns) == ledger.RECORDED and found.empty


def test_a_run_at_another_profile_leaves_the_claims_alone(store):
    for profile, value in (("laptop", 1.0), ("smoke", 5.0)):
        ledger.record(judge_all([headline(claim(at_most(2.0)))], table(value)), "01-x", profile)
    assert ledger.load(ledger.folder("laptop"))["verdict"].tolist() == ["holds"]
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        ledger.folder("huge")
