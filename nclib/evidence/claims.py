"""What a paper says, what we measured, and the verdict, which a rule in the code computes.

A `Headline` is a theorem, figure or table of a paper, a question of our own, or a check of our code; it holds the
claims with which it stands or falls. The rule of a claim gives a region A of values. Our values, one for each seed,
give an interval I:

    every run   I = [min, max]                     holds: I in A    fails: otherwise (one counterexample is enough)
    the mean    I = m -+ t_{0.95, n-1} s/sqrt(n)    holds: I in A    fails: I and A are disjoint    else undecided

Here m and s are mean and standard deviation (ddof 1); with `log`, I is computed from log v and exponentiated. For
normal values, and for each claim by itself, the probability of either error is at most 5 %: of "holds" for what does
not hold, and of "fails" for what does. A single value is an interval of one point, and an `Interval` is taken as it is.
A wide spread excuses nothing: it can make a claim undecided, but never makes it hold.

A value that is not a finite number (with `log`: a positive one) makes the claim fail, even an infinity that would lie
in A, since it is no measurement. A claim is "not at this scale" only where the need that it declares is not met, or
where there is no run.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from scipy.special import stdtrit

VERDICTS = ("holds", "fails", "undecided", "not at this scale")
ORDER = ("fails", "undecided", "holds")  # a headline is the worst of its judged claims
KINDS = ("paper", "extension", "check")
SEEN = ("read", "recalled", "derived", "authors' data")
LEVEL = 0.95
COLUMNS = [
    *(
        "id",
        "headline",
        "heading",
        "kind",
        "of",
        "seen",
        "settled",
        "statement",
        "note",
        "need",
        "paper_value",
        "ours",
        "values",
    ),
    *("interval", "rule", "every", "log", "verdict", "beside"),
]


class Rule(NamedTuple):
    """A region of values: at most ("<="), at least (">=") or equal to ("==") `reference`, within `tolerance`."""

    relation: str
    reference: float
    tolerance: float = 0.0

    @property
    def region(self) -> tuple[float, float]:
        """The ends (low, high) of the region, which may be infinite."""
        low, high = self.reference - self.tolerance, self.reference + self.tolerance
        return {"==": (low, high), "<=": (-math.inf, high), ">=": (low, math.inf)}[self.relation]

    def __str__(self):
        within = f" (tolerance {number(self.tolerance, 2)})" if self.tolerance else ""
        return f"{self.relation} {number(self.reference)}{within}"


def at_most(reference, tolerance=0.0) -> Rule:
    """The rule that a value is at most reference + tolerance."""
    return Rule("<=", reference, tolerance)


def at_least(reference, tolerance=0.0) -> Rule:
    """The rule that a value is at least reference - tolerance."""
    return Rule(">=", reference, tolerance)


def near(reference, tolerance) -> Rule:
    """The rule that a value is within tolerance of reference."""
    return Rule("==", reference, tolerance)


class Need(NamedTuple):
    """What must be true of a table before a claim can be judged on it: in words, and as a function of the table."""

    words: str
    met: Callable


class Interval(NamedTuple):
    """A value with an interval that comes from elsewhere than seeds, such as a bootstrap over models."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Claim:
    """One statement and the rule that judges it.

    id           such as "dang2023..."; it never changes.
    ours         ours(table) gives our values: one for each seed, a single number, or an `Interval`.
    settled      "before" where the rule was fixed before the first run that it judged; else "after: " and why it was
                 changed then.
    log          whether the values are positive and vary by factors.
    paper_value  the number or the few words that the paper gives; None where it gives none.
    needs, seen, every
                 None where they are those of the headline.

    Raises ValueError for any other `settled`.
    """

    id: str
    statement: str
    rule: Rule
    ours: Callable
    settled: str = "before"
    log: bool = False
    paper_value: float | str | None = None
    needs: Need | None = None
    seen: str | None = None
    every: bool | None = None

    def __post_init__(self):
        if self.settled != "before" and not self.settled.startswith("after: "):
            raise ValueError(f"{self.id}: settled = {self.settled!r}: must be 'before', or 'after: ' and why")


@dataclass(frozen=True)
class Headline:
    """A theorem, figure, table, question or check, and the claims with which it stands or falls.

    of           its source, such as "Dang et al. 2023, Theorem 4.1".
    every        whether its claims are about every run, and not about the mean over seeds.
    needs, seen, every
                 hold for each claim that says nothing else.

    Raises ValueError for no claims, and for a `kind` or `seen` that is not one of `KINDS` or `SEEN`.
    """

    id: str
    statement: str
    claims: list
    kind: str
    of: str
    seen: str
    note: str = ""
    every: bool = False
    needs: Need | None = None

    def __post_init__(self):
        for name, value, allowed in (
            ("kind", self.kind, KINDS),
            *(("seen", claim.seen or self.seen, SEEN) for claim in self.claims),
        ):
            if value not in allowed:
                raise ValueError(f"{self.id}: {name} = {value!r}: must be one of {', '.join(allowed)}")
        if not self.claims:
            raise ValueError(f"{self.id}: a headline needs at least one claim")


def family(prefix, where, query, claims) -> list[Claim]:
    """Return the same claims about the rows that a DataFrame.query selects.

    Their ids begin with the prefix, their statements with "where: ".
    """
    return [
        dataclasses.replace(
            claim,
            id=f"{prefix}.{claim.id}",
            statement=f"{where}: {claim.statement}",
            ours=lambda table, claim=claim: claim.ours(table.query(query)),
        )
        for claim in claims
    ]


def judge(claim, ours, *, every=False, met=True) -> dict:
    """Return {"ours": mean, "values": list, "interval": [low, high] or None, "verdict": text} of a claim.

    The mean is geometric where the interval is that of logarithms. ours: what the function of the claim returned.
    every: whether it is about every run. met: whether its need is met.
    """
    given = ours if isinstance(ours, Interval) else None
    if given and given.low > given.high:
        raise ValueError(f"{claim.id}: interval = [{given.low}, {given.high}], must have low <= high")
    values = [float(value) for value in ([given.value] if given else ours if hasattr(ours, "__iter__") else [ours])]
    if not values:
        raise ValueError(f"{claim.id}: ours = [], must be at least one value")
    finite = all(math.isfinite(v) and (v > 0 or not claim.log) for v in (*values, *(given or ())))
    interval = None
    if finite:
        interval = [float(given.low), float(given.high)] if given else interval_of(values, every, claim.log)
    verdict = verdict_of(claim.rule.region, interval, every and not given) if met else "not at this scale"
    mean = math.exp(statistics.fmean(map(math.log, values))) if claim.log and finite else sum(values) / len(values)
    return {"ours": mean, "values": values, "interval": interval, "verdict": verdict}


def interval_of(values, every, log) -> list[float]:
    """Return [low, high] of one value for each seed, by the rule at the top of this module."""
    if every or len(values) == 1:
        return [min(values), max(values)]
    scaled = [math.log(value) for value in values] if log else values
    half = float(stdtrit(len(values) - 1, LEVEL)) * statistics.stdev(scaled) / math.sqrt(len(values))
    ends = [statistics.fmean(scaled) - half, statistics.fmean(scaled) + half]
    return [math.exp(end) if end < 709 else math.inf for end in ends] if log else ends


def verdict_of(region, interval, every) -> str:
    """Return the verdict on an interval [low, high], or None, for a region, by the rule at the top of this module."""
    if interval is None:
        return "fails"
    (low, high), (first, last) = interval, region
    if first <= low and high <= last:
        return "holds"
    return "fails" if every or high < first or last < low else "undecided"


def judge_all(headlines, table) -> pd.DataFrame:
    """Judge all claims of headlines on a table of runs: a row with `COLUMNS` for each claim and scale.

    The scales are the table's own profile (`beside` "") and those that are shown beside it, but for those that are
    `unjudged` by `Study.table`; there a claim is left out that rests on the same values again. Raises ValueError where
    two claims have the same id.
    """
    ids = [claim.id for headline in headlines for claim in headline.claims]
    if duplicates := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"ids must be unique, these are not: {', '.join(duplicates)}")
    scales, rows = {"": table.iloc[:0]}, []
    for beside, part in table.groupby("beside") if len(table) else ():
        if beside not in table.attrs.get("unjudged", ()):
            scales[beside] = part.drop(columns="beside")
    for headline in headlines:
        for claim in headline.claims:
            own, *others = (_row(headline, claim, part, beside) for beside, part in scales.items())
            rows += [own, *(row for row in others if _differs(row, own))]
    return pd.DataFrame(rows, columns=COLUMNS)


def _differs(row, own):
    """Whether a claim has other values than at the page's own scale."""
    return row["verdict"] == "not at this scale" or row["values"] != own["values"]


def _row(headline, claim, table, beside):
    need = claim.needs or headline.needs
    every = headline.every if claim.every is None else claim.every
    met = bool(len(table)) and (need is None or bool(need.met(table)))
    judged = judge(claim, claim.ours(table) if met else math.nan, every=every, met=met)
    return judged | {
        **{name: getattr(claim, name) for name in ("id", "settled", "statement", "paper_value", "log")},
        **{
            "headline": headline.id,
            "heading": headline.statement,
            "kind": headline.kind,
            "of": headline.of,
            "seen": claim.seen or headline.seen,
        },
        **{"note": headline.note, "need": need.words if need else "", "rule": str(claim.rule), "every": every},
        "beside": beside,
    }


def worst(verdicts) -> str:
    """Return the verdict of a headline: the worst of its judged claims, or "not at this scale" where none is judged."""
    return next((verdict for verdict in ORDER if verdict in set(verdicts)), "not at this scale")


def number(value, digits=4) -> str:
    """Return a value as a reader sees it: text as it is, a number with a few significant digits, a dash for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return value if isinstance(value, str) else f"{value + 0.0:.{digits}g}"  # -0.0 has no sign for a reader
