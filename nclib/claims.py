"""What a paper says, what we measured, and the verdict: computed by a rule written before the run, never chosen.

A claim compares our value, a mean over seeds with standard error se, to a reference. With margin = tolerance +
min(2 se, tolerance):

    "=="   holds if |ours - reference| <= margin
    "<="   holds if ours <= reference + margin
    ">="   holds if ours >= reference - margin

and fails otherwise (a NaN fails). The spread of the seeds can at most double the tolerance: without that bound, one
seed that goes wrong by far would widen the margin by more than it moves the mean, and excuse itself. A claim is "not
at this scale" only where the precondition that it declares is not met.
"""

import json
import math
import statistics
from dataclasses import dataclass

import pandas as pd

from nclib import results

VERDICTS = ("holds", "fails", "not at this scale")
COLUMNS = [
    *(
        "id",
        "paper",
        "statement",
        "source",
        "paper_value",
        "ours",
        "spread",
        "tolerance",
        "verdict",
        "notebook",
        "profile",
    ),
    *("relation", "reference", "precondition"),
]


@dataclass(frozen=True)
class Claim:
    """A statement of a paper with the rule that decides it.

    id: a dot-separated name, "dang2023..." and the like. source: where the paper says it, and whether that was read or
    derived here. paper_value: the number (or a few words) that the paper gives, None where it gives none. reference:
    what our value is held against. precondition: what must be true of a run before it can be judged, in words.
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

    def __post_init__(self):
        if self.relation not in ("==", "<=", ">="):
            raise ValueError(f"relation = {self.relation!r}: must be ==, <= or >=")


def judge(claim, ours, *, met=True):
    """The verdict on a claim. ours: one value a seed (or one number); met: whether its precondition is.

    Returns the row of the ledger: the claim's fields, `ours` (mean), `spread` (standard deviation over seeds, ddof 1,
    None for one value) and `verdict`.
    """
    values = [float(value) for value in (ours if hasattr(ours, "__iter__") else [ours])]
    if not values:
        raise ValueError(f"ours = []: claim {claim.id} needs at least one value")
    mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
    margin = claim.tolerance + min(2 * (spread or 0.0) / math.sqrt(len(values)), claim.tolerance)
    holds = {
        "==": lambda: abs(mean - claim.reference) <= margin,
        "<=": lambda: mean <= claim.reference + margin,
        ">=": lambda: mean >= claim.reference - margin,
    }[claim.relation]()
    if claim.precondition and not met:
        verdict = "not at this scale"
    else:
        verdict = "holds" if holds else "fails"
    return vars(claim) | {"ours": mean, "spread": spread, "verdict": verdict}


def record(judged, notebook, profile):
    """Write a notebook's judged claims to `claims/<notebook>.json` of the build folder; return them as a DataFrame."""
    rows = [row | {"notebook": notebook, "profile": profile} for row in judged]
    duplicates = {row["id"] for row in rows if sum(other["id"] == row["id"] for other in rows) > 1}
    if duplicates:
        raise ValueError(f"claims of {notebook}: ids must be unique, these are not: {', '.join(sorted(duplicates))}")
    rows = [{name: _finite(row[name]) for name in COLUMNS} for row in rows]
    text = json.dumps(rows, indent=1, allow_nan=False)
    results.write_atomic(results.build_folder() / "claims" / f"{notebook}.json", text.encode() + b"\n")
    return pd.DataFrame(rows, columns=COLUMNS)


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(folder=None):
    """Every claim that a run of the notebooks recorded (`claims/*.json` of the build folder), as one DataFrame."""
    folder = folder or results.build_folder() / "claims"
    rows = [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())]
    return pd.DataFrame(rows, columns=COLUMNS)


def number(value, digits=4):
    """A value for a reader: text as it is, a number with a few significant digits, a dash for none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def table(frame):
    """Claims as an HTML table: statement and source, the paper's value, the rule, ours with its spread, the verdict."""
    from html import escape

    from IPython.display import HTML

    lines = []
    for row in frame.itertuples():
        spread = "" if row.spread is None or pd.isna(row.spread) else f" ± {number(row.spread, 2)}"
        rule = f"{row.relation} {number(row.reference)}"
        rule += f" (tolerance {number(row.tolerance, 2)})" if row.tolerance else ""
        css = row.verdict.replace(" ", "-")
        condition = f"<br><small>Needs: {escape(row.precondition)}</small>" if row.precondition else ""
        lines.append(
            f'<tr id="claim-{escape(row.id)}"><td>{escape(row.statement)}{condition}<br>'
            f"<small><code>{escape(row.id)}</code> · {escape(row.source)}</small></td>"
            f"<td>{escape(number(row.paper_value))}</td><td>{escape(rule)}</td><td>{number(row.ours)}{spread}</td>"
            f'<td><span class="nc-verdict nc-{css}">{row.verdict}</span></td></tr>'
        )
    head = "<tr><th>Claim</th><th>Paper</th><th>Rule</th><th>Ours</th><th>Verdict</th></tr>"
    return HTML(f'<div class="nc-claims"><table><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>')
