import dataclasses
import importlib
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from nclib import claims, experiments, pages, results
from nclib.evidence import ledger
from nclib.evidence.claims import judge_all
from nclib.runs.study import Study

BAD = [
    *(math.nan, math.inf, -math.inf, [math.nan], [1.0, math.nan], [math.nan, 1.0, 1.0]),
    *([math.inf, -math.inf, 1.0], [1.0, -math.inf], [math.inf, math.inf]),
]


def claim(**changes):
    fields = {
        "id": "dang2023.test",
        "paper": "Dang et al. 2023",
        "statement": "a < b",
        "source": "Theorem 1, derived",
        "relation": "==",
        "reference": 1.0,
        "tolerance": 0.1,
        "kind": "paper",
        "seen": "derived",
    }
    return claims.Claim(**(fields | changes))


def verdict(ours, **changes):
    return claims.judge(claim(**changes), ours)["verdict"]


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize(
    ("relation", "ours", "expected"),
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
    ],
)
def test_value_one_value_is_a_point(relation, ours, expected, every):
    for given in (ours, [ours], np.float64(ours), [ours] * 3):
        row = claims.judge(claim(relation=relation, every=every), given)
        assert row["verdict"] == expected and row["interval"] == pytest.approx([ours, ours])


def test_value_the_interval_of_the_mean():
    """Seeds 1.3, 1.5, 1.7: mean 1.5, standard deviation 0.2; t_{0.95, 2} = 2.92 gives 1.5 -+ 0.33717."""
    row = claims.judge(claim(), [1.3, 1.5, 1.7])
    half = 2.9199855803 * 0.2 / math.sqrt(3)
    assert row["ours"] == pytest.approx(1.5) and row["spread"] == pytest.approx(0.2)
    assert row["interval"] == pytest.approx([1.5 - half, 1.5 + half], abs=1e-9) and row["values"] == [1.3, 1.5, 1.7]
    assert row["verdict"] == "fails"
    assert verdict([1.3, 1.5, 1.7], tolerance=0.163) == "undecided"
    assert verdict([1.3, 1.5, 1.7], tolerance=0.838) == "holds"
    assert verdict([1.3, 1.5, 1.7], tolerance=0.837) == "undecided"


@pytest.mark.parametrize(
    ("relation", "reference", "expected"),
    [
        *(("<=", 2.76, "holds"), ("<=", 2.75, "undecided"), ("<=", 1.25, "undecided"), ("<=", 1.24, "fails")),
        *((">=", 1.24, "holds"), (">=", 1.25, "undecided"), (">=", 2.75, "undecided"), (">=", 2.76, "fails")),
    ],
)
def test_value_five_seeds(relation, reference, expected):
    """1, 1.5, 2, 2.5, 3: standard deviation 0.79057, t_{0.95, 4} = 2.13185, so 2 -+ 0.75373."""
    values = [1.0, 1.5, 2.0, 2.5, 3.0]
    half = float(t.ppf(0.95, 4)) * np.std(values, ddof=1) / math.sqrt(5)
    assert claims.judge(claim(), values)["interval"] == pytest.approx([2 - half, 2 + half], abs=1e-9)
    assert verdict(values, relation=relation, reference=reference, tolerance=0.0) == expected


def test_law_a_spread_excuses_nothing():
    """One seed that goes wrong by far cannot make a claim hold, whatever the tolerance."""
    for tolerance in (0.0, 0.1, 1.0):
        assert verdict([1.0, 1.0, 40.0], tolerance=tolerance) == "undecided"
        assert verdict([1.0, 1.0, 40.0], tolerance=tolerance, relation="<=") == "undecided"


@pytest.mark.parametrize("n", [2, 3])
def test_law_up_to_three_values_the_interval_covers_them(n):
    for seed in range(50):
        values = np.random.default_rng(seed).normal(size=n)
        low, high = claims.judge(claim(), values)["interval"]
        assert low <= values.min() and values.max() <= high


def test_oracle_either_error_has_five_percent():
    """Normal values whose mean lies on the edge of the region: 5% hold and 5% fail."""
    draws = 1 + np.random.default_rng(0).normal(size=(4000, 4))
    found = [verdict(values, relation="<=", reference=1.0, tolerance=0.0) for values in draws]
    error = 4 * math.sqrt(0.05 * 0.95 / len(draws))
    assert found.count("holds") / len(draws) == pytest.approx(0.05, abs=error)
    assert found.count("fails") / len(draws) == pytest.approx(0.05, abs=error)


def test_value_one_counterexample_is_enough():
    """A share of counterexamples is undecided on average, and refutes what is said of every run."""
    never = {"relation": "<=", "reference": 0.0, "tolerance": 0.0}
    assert verdict([0.0, 0.1, 0.1], **never) == "undecided" and verdict([0.0, 0.1, 0.1], **never, every=True) == "fails"
    row = claims.judge(claim(every=True), [0.95, 1.05, 1.1 - 1e-12])
    assert row["verdict"] == "holds" and row["interval"] == [0.95, 1.1 - 1e-12]
    assert verdict([1.0, 1.2], every=True) == "fails"


def test_value_logarithms():
    """1.6e6, 1.3e7, 4.6e7 against 1e3: factors; the interval of the mean reaches below 0."""
    many = {"relation": ">=", "reference": 1e3, "tolerance": 0.0}
    assert verdict([1.6e6, 1.3e7, 4.6e7], **many) == "undecided"
    row = claims.judge(claim(**many, log=True), [1.6e6, 1.3e7, 4.6e7])
    logs = np.log([1.6e6, 1.3e7, 4.6e7])
    half = 2.9199855803 * logs.std(ddof=1) / math.sqrt(3)
    assert row["verdict"] == "holds"
    assert row["interval"] == pytest.approx([math.exp(logs.mean() - half), math.exp(logs.mean() + half)])
    assert row["ours"] == pytest.approx(np.mean([1.6e6, 1.3e7, 4.6e7]))
    assert claims.judge(claim(log=True), [1e-300, 1e300])["interval"][1] == math.inf
    for values in ([0.0, 1.0], [-1.0, 1.0, 1.0]):
        assert verdict(values, log=True, relation="<=") == "fails"


def test_value_an_interval_is_its_own():
    for every in (False, True):
        for interval, expected in {
            (1.0, 0.95, 1.05): "holds",
            (1.0, 0.8, 1.05): "undecided",
            (2, 1.5, 3): "fails",
        }.items():
            row = claims.judge(claim(every=every), claims.Interval(*interval))
            assert (
                row["verdict"] == expected and row["interval"] == list(interval[1:]) and row["values"] == [interval[0]]
            )
    row = claims.judge(claim(), claims.Interval(1.0, math.nan, 2.0))
    assert row["verdict"] == "fails" and row["interval"] is None


@pytest.mark.parametrize("relation", ["==", "<=", ">="])
@pytest.mark.parametrize("how", [{}, {"every": True}, {"log": True}, {"every": True, "log": True}])
@pytest.mark.parametrize("ours", BAD)
def test_what_is_not_finite_fails(store, relation, how, ours):
    """Also an infinity that would lie in the region: it is no measurement."""
    row = claims.judge(claim(relation=relation, **how), ours)
    assert (row["verdict"], row["spread"], row["interval"]) == ("fails", None, None)
    needs = claim(relation=relation, precondition="at least 600 steps", **how)
    assert claims.judge(needs, ours, met=True)["verdict"] == "fails"
    assert claims.judge(needs, ours, met=False)["verdict"] == "not at this scale"
    html = claims.table(claims.record([row], "01-x", "smoke")).data
    assert "[" not in html and "nc-fails" in html
    json.loads((store / "build/claims/smoke/01-x.json").read_text(), parse_constant=pytest.fail)


def test_not_at_this_scale_needs_a_declared_precondition():
    assert claims.judge(claim(), 5.0, met=False)["verdict"] == "fails"
    declared = claim(precondition="at least 600 steps")
    assert claims.judge(declared, 5.0, met=False)["verdict"] == "not at this scale"
    assert claims.judge(declared, 5.0, met=True)["verdict"] == "fails"


def test_by_seed_misses_nothing():
    """A seed without values and one with a NaN are NaN; the largest of the others would pass for all."""
    values = pd.Series([1.0, 3.0, 2.0, math.nan, 5.0], pd.Index([0, 0, 1, 1, 3], name="seed"))
    assert claims.by_seed(values, [3, 0]) == [5.0, 3.0]
    assert claims.by_seed(values, [0, 3], "mean") == [2.0, 5.0]
    assert claims.by_seed(values, [0, 3], claims.farthest(2.5)) == [1.0, 5.0]
    found = claims.by_seed(values, [0, 1, 2, 3], "min")
    assert found == pytest.approx([1.0, math.nan, math.nan, 5.0], nan_ok=True)
    assert np.isnan(claims.by_seed(values.iloc[:0], [0, 1])).all()
    assert claims.counted(values > 1.5, values).tolist() == pytest.approx([0, 1, 1, math.nan, 1], nan_ok=True)


def test_recorded_claims_are_loaded_with_every_column(store):
    made = [
        claims.judge(claim(), [1.0, 1.2]),
        claims.judge(claim(id="b", settled="after: x < y", every=True), math.nan),
    ]
    frame = claims.record(made, "01-x", "smoke")
    loaded = ledger.load(ledger.folder("smoke"))
    assert list(loaded.columns) == ledger.RECORDED and loaded["verdict"].tolist() == ["undecided", "fails"]
    assert loaded["ours"].iloc[0] == pytest.approx(1.1) and set(loaded["profile"]) == {"smoke"}
    assert loaded["values"].tolist() == [[1.0, 1.2], [None]] and loaded["interval"].iloc[1] is None
    assert loaded["interval"].iloc[0] == pytest.approx([1.1 - 6.3137515 * 0.1, 1.1 + 6.3137515 * 0.1])
    json.loads((store / "build/claims/smoke/01-x.json").read_text(), parse_constant=pytest.fail)
    html = claims.table(frame).data
    assert "a &lt; b" in html and "nc-undecided" in html and "1.1<br><small>[0.469, 1.73]</small>" in html
    assert "Rule settled after: x &lt; y" in html and "= 1 (tolerance 0.1), every run" in html
    assert html.count("settled") == 1 and html.count("every run") == 1 and html.count("<details") == 2


def test_no_claims_is_an_empty_frame_with_the_columns(store):
    found = ledger.load(ledger.folder("laptop"))
    assert list(found.columns) == ledger.RECORDED and found.empty


def test_a_run_at_another_profile_leaves_the_claims_alone(store):
    for profile, value in (("laptop", 1.0), ("smoke", 5.0)):
        claims.record([claims.judge(claim(), value)], "01-x", profile)
    assert ledger.load(ledger.folder("laptop"))["verdict"].tolist() == ["holds"]
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        ledger.folder("huge")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claim(relation="<"), "relation = '<': must be one of ==, <=, >="),
        (lambda: claim(kind="ours"), "kind = 'ours': must be one of paper, extension, check"),
        (lambda: claim(seen="heard"), "seen = 'heard': must be one of read, recalled, derived, authors' data"),
        (lambda: claim(settled="later"), "settled = 'later': must be 'before', or 'after: ' and why"),
        (lambda: claims.judge(claim(), []), r"ours = \[\]: claim dang2023.test needs at least one value"),
        (lambda: claims.judge(claim(), claims.Interval(1, 3, 2)), r"interval = \[3, 2\]: claim dang2023.test"),
        (lambda: claims.record([claims.judge(claim(), 1.0)] * 2, "n", "smoke"), "ids must be unique"),
    ],
)
def test_bad_input_is_one_line(store, call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


# Pages with a language model on a corpus have tests of their own; the published measurements are one archived run.
ELSEWHERE = ("wu2024.grid", "wu2024.seeds", "wu2024.tokens", "wu2024.published", "measure.measuring")
STUDIES = [name for name in experiments.studies() if name not in ELSEWHERE]
BROKEN = 1


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """{study: its runs at smoke from seeds 0 and 1}, each made once."""
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def table(name):
        if name in pages.studies():
            two = {part: [run for one in runs for run in from_two_seeds(one)] for part, runs in parts(name).items()}
            made.setdefault(name, Study(name, lambda profile: two).table("smoke"))
        if name not in made:
            configs = results.configs(results.study(name), "smoke")
            if len({config.seed for config in configs if hasattr(config, "seed")}) < 2:
                configs = [config for one in configs for config in from_two_seeds(one)]
            found = [results._with_fields(results.get(config, root=folder / "cache"), config) for config in configs]
            made[name] = pd.concat(found, ignore_index=True)
        return made[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_CACHE", str(folder / "cache"))
        yield table


def parts(name):
    """{part: runs} of a page at smoke, those of the first seed alone."""
    named = pages.studies()[name].named("smoke")
    return {part: [run for run in runs if getattr(run, "seed", 0) == 0] for part, runs in named.items()}


def judged_on(name, table):
    """The rows of a study's or page's claims on a table, at whatever scale."""
    if name not in pages.studies():
        return results.study(name).claims(table)
    headlines = importlib.import_module(f"nclib.pages.{name}.claims").HEADLINES
    free = [[dataclasses.replace(claim, needs=None) for claim in headline.claims] for headline in headlines]
    headlines = [dataclasses.replace(old, claims=new, needs=None) for old, new in zip(headlines, free, strict=True)]
    return judge_all(headlines, table).to_dict("records")


def from_two_seeds(config):
    if hasattr(config, "seeds"):
        return [dataclasses.replace(config, seeds=(0, BROKEN))]
    return [dataclasses.replace(config, seed=seed) for seed in (0, BROKEN)]


@pytest.mark.parametrize("name", STUDIES)
def test_an_empty_class_in_one_seed_never_passes(tables, name):
    """Class (or problem) 0 gone or without a number, the whole seed without one, or half of its numbers missing: always
    a verdict, and none that holds by leaving something out."""
    table = tables(name)
    own = (table["seed"] == BROKEN) & (table.get("source", "measured") == "measured")
    first = own & (table["metric"].str.contains(r"\[0[,\]]") | (table.get("class", -1) == 0))
    half = np.random.default_rng(0).random(len(table)) < 0.5
    judged = {"gone": judged_on(name, table[~first])}
    for what, lost in {
        "nothing": own & ~own,
        "first": first,
        "all": own,
        "half": own & half,
        "rest": own & ~half,
    }.items():
        judged[what] = judged_on(name, table.assign(value=table["value"].mask(lost)))
    for rows in judged.values():
        assert {row["verdict"] for row in rows} <= set(claims.VERDICTS)
        assert all(len(row["values"]) <= table["seed"].nunique() for row in rows)
    if not own.any():
        return
    by_id = {what: {row["id"]: row["interval"] for row in rows} for what, rows in judged.items()}
    seeded = [row["id"] for row in judged["nothing"] if len(row["values"]) > 1]
    assert seeded and not [claim for claim in seeded if by_id["all"][claim]]
    # What a value rests on is in one half, in the other, or in both: with each half gone in turn it cannot stand twice.
    assert not [claim for claim in seeded if by_id["half"][claim] and by_id["rest"][claim]]
