"""What a paper says, what we measured, and the verdict: computed by a rule in the code, never chosen.

A rule gives a region A: "==" is [reference - tolerance, reference + tolerance], "<=" all up to reference + tolerance,
">=" all from reference - tolerance on. Our values, one a seed, give an interval I:

    every run   I = [min, max]                    holds: I in A    fails: otherwise (one counterexample is enough)
    the mean    I = m -+ t_{0.95, n-1} s/sqrt(n)   holds: I in A    fails: I and A are disjoint    else undecided

m and s are mean and standard deviation (ddof 1); with `log` I is that of log v, exponentiated. Either error, "holds"
of what does not and "fails" of what does, then has at most 5%, for normal values, for each claim by itself. A single
value is an interval of one point. A spread excuses nothing: no wide one lets a claim hold.

What is not a finite number (for `log`: a positive one) fails, an infinity that would lie in A included: it is no
measurement. A claim is "not at this scale" only where the precondition that it declares is not met.
"""

import math
import statistics
from dataclasses import KW_ONLY, dataclass

import pandas as pd

from nclib import results
from nclib.evidence import ledger, report
from nclib.evidence.claims import COLUMNS, KINDS, SEEN, VERDICTS, Interval, interval_of, number, verdict_of  # noqa: F401
from nclib.evidence.seeds import by_seed, counted, farthest  # noqa: F401

RELATIONS = ("==", "<=", ">=")


@dataclass(frozen=True)
class Claim:
    """A statement of a paper with the rule that decides it.

    id: a dot-separated name, "dang2023..." and the like. source: where the paper says it, and whether that was read or
    derived here. paper_value: the number (or a few words) that the paper gives, None where it gives none. reference:
    what our value is held against. precondition: what must be true of a run before it can be judged, in words.

    kind: "paper" for what a paper says, "extension" for what we ask or derive beyond it, "check" for what our own code
    promises. seen: whether what it rests on was "read", "recalled", "derived" here, or computed from the "authors'
    data". every: it is about every run, not about the mean. log: its values are positive and vary by factors. settled:
    "before" the first run that it judged, or "after: " and why it was changed then.
    """

    id: str
    paper: str
    statement: str
    source: str
    relation: str
    reference: float
    tolerance: float
    paper_value: float | str | None = None
    precondition: str = ""
    _: KW_ONLY
    kind: str
    seen: str
    every: bool = False
    log: bool = False
    settled: str = "before"

    def __post_init__(self):
        for name, allowed in {"relation": RELATIONS, "kind": KINDS, "seen": SEEN}.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be one of {', '.join(allowed)}")
        if self.settled != "before" and not self.settled.startswith("after: "):
            raise ValueError(f"settled = {self.settled!r}: must be 'before', or 'after: ' and why the rule was changed")

    @property
    def region(self):
        """(low, high) of the values that agree with it."""
        low, high = self.reference - self.tolerance, self.reference + self.tolerance
        return {"==": (low, high), "<=": (-math.inf, high), ">=": (low, math.inf)}[self.relation]


def judge(claim, ours, *, met=True):
    """The verdict on a claim. ours: one value a seed, a number, or an `Interval`; met: whether its precondition is.

    Returns the row of the ledger: the claim's fields, `values`, `ours` (mean), `spread` (standard deviation, None for
    one value), `interval` ([low, high]) and `verdict`. Where a value is not finite, spread and interval are None.
    """
    given = ours if isinstance(ours, Interval) else None
    if given and given.low > given.high:
        raise ValueError(f"interval = [{given.low}, {given.high}]: claim {claim.id} needs low <= high")
    values = [float(value) for value in ([given.value] if given else ours if hasattr(ours, "__iter__") else [ours])]
    if not values:
        raise ValueError(f"ours = []: claim {claim.id} needs at least one value")
    spread = interval = None
    mean = sum(values) / len(values)
    if all(math.isfinite(number) and (number > 0 or not claim.log) for number in (*values, *(given or ()))):
        mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
        interval = [float(given.low), float(given.high)] if given else interval_of(values, claim.every, claim.log)
    row = {"ours": mean, "spread": spread, "interval": interval, "values": values}
    if claim.precondition and not met:
        return vars(claim) | row | {"verdict": "not at this scale"}
    return vars(claim) | row | {"verdict": verdict_of(claim.region, interval, claim.every and given is None)}


def record(judged, notebook, profile, beside=None):
    """Write a notebook's judged claims to `claims/<profile>/<notebook>.json` of the build folder, one file a
    notebook; return them as a DataFrame, each claim a headline of its own (see nclib.evidence).

    beside: {label: the same claims judged on archived runs of another scale}; those that are not among `judged` are
    left out.
    """
    results.choose(profile, dict.fromkeys(results.PROFILES))
    ids = [row["id"] for row in judged]
    duplicates = {name for name in ids if ids.count(name) > 1}
    if duplicates:
        raise ValueError(f"claims of {notebook}: ids must be unique, these are not: {', '.join(sorted(duplicates))}")
    rows = [row | _headline(row) | {"beside": ""} for row in judged]
    for label, others in (beside or {}).items():
        rows += [row | _headline(row) | {"beside": label} for row in others if row["id"] in ids]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    ledger.record(frame, notebook, profile)
    return frame


def _headline(row):
    tolerance = f" (tolerance {number(row['tolerance'], 2)})" if row["tolerance"] else ""
    return {
        "headline": row["id"],
        "heading": row["statement"],
        "of": f"{row['paper']}, {row['source']}",
        "note": "",
        "need": row["precondition"],
        "rule": f"{row['relation']} {number(row['reference'])}{tolerance}",
    }


def table(frame):
    """Recorded claims as HTML."""
    from IPython.display import HTML

    return HTML(report.html(frame))
