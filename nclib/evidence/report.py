"""The claims of a page as HTML: judged, recorded in the ledger, and shown with a line for each headline that opens."""

import re
from html import escape
from typing import TYPE_CHECKING

from nclib.evidence import ledger
from nclib.evidence.claims import judge_all, number, worst

if TYPE_CHECKING:
    from IPython.display import HTML


def report(headlines, table, notebook) -> "HTML":
    """Judge headlines on a table of runs, record the verdicts in the ledger, and return them as HTML.

    Below them stands what the archive lacks of the paper's own scale, where the table has it from `Study.table`.
    """
    from IPython.display import HTML

    judged = _judged(headlines, table)
    ledger.record(judged, notebook, table.loc[table["beside"] == "", "profile"].iloc[0])
    return HTML(html(judged) + lacking(table.attrs.get("lacking")))


def lacking(found) -> str:
    """Return what the archive lacks, as `Study.lacking` has it, as an HTML paragraph; "" for nothing."""
    if not found:
        return ""
    archived = found["archived"]
    those = f"{archived or 'None'} of the {found['runs']} runs of profile <code>paper</code>"
    those += " is archived" if archived == 1 else " are archived"
    command = re.sub(r"(--\S+)", r'<span class="nc-keep">\1</span>', escape(found["command"]))
    makes = f"<code>{command}</code> makes {'the others' if archived else 'them'}"
    cost = f"What all of them take: {escape(found['cost'])}."
    return f'<p class="nc-lacking">{those}. {makes}. {cost}</p>'


def html(judged) -> str:
    """Return judged claims as HTML: a line for each headline, which opens to the table of its claims.

    Each scale that is shown beside the page's own has a column of its own.
    """
    parts = [_headline(name, part) for name, part in judged.groupby("headline", sort=False)]
    return f'<div class="nc-claims">{"".join(parts)}</div>'


def short(headlines, table) -> "HTML":
    """Return the findings for the top of a page as HTML: a line for each headline, linked to its place in `report`."""
    from IPython.display import HTML

    lines = []
    for name, part in _judged(headlines, table).groupby("headline", sort=False):
        link = f'<a href="#headline-{escape(name)}">{typeset(part.iloc[0].heading)}</a>'
        lines.append(f"<li>{link} {chip_at(part, '')} {_beside(part, scales_of(part))}</li>")
    return HTML(f'<div class="nc-claims nc-short"><ul>{"".join(lines)}</ul></div>')


_LAST = []  # (headlines, a copy of the table, its verdicts) of the last call


def _judged(headlines, table):
    """`judge_all`, once where a page asks again about the same values: its bootstraps take up to six seconds."""
    if not (_LAST and _LAST[0] is headlines and _LAST[1].equals(table)):
        _LAST[:] = headlines, table.copy(), judge_all(headlines, table)
    return _LAST[2]


def scales_of(part) -> list[str]:
    """The labels of the scales, other than the page's own, at which a headline has a verdict."""
    return [scale for scale in part.loc[part["verdict"] != UNJUDGED, "beside"].unique() if scale]


def _beside(part, scales):
    """The verdicts of a headline at other scales than the page's own, by their names."""
    return " ".join(f'<span class="nc-at">{escape(scale)}: {chip_at(part, scale)}</span>' for scale in scales)


def chip_at(part, scale) -> str:
    """The verdict of a headline at one scale, as HTML."""
    return chip(worst(part.loc[part["beside"] == scale, "verdict"]))


def _headline(name, part):
    own, first, scales = part[part["beside"] == ""], part.iloc[0], scales_of(part)
    judged, free = worst(own["verdict"]) != UNJUDGED, (own["verdict"] == UNJUDGED).sum()
    hold = f" · {_held(own)} claims hold" if len(own) > 1 and judged else ""
    hold += f", {free} not at this scale" if hold and free else ""
    if hold:
        hold += "".join(f"; {escape(scale)}: {_held(part[part['beside'] == scale])}" for scale in scales)
    about = f"<small>{first.kind}&nbsp;· {typeset(first.of)}{hold}</small>"
    shown = part[part["beside"].isin(["", *scales])]
    papers, verdicts = part["id"].str.split(".").str[0], shown["verdict"]
    facts = {"paper": "|".join(papers.unique()), "kind": first.kind, "verdict": "|".join(verdicts.unique())}
    facts["scale"] = "|".join(["the page's own", *scales])
    data = "".join(f' data-{fact}="{escape(value)}"' for fact, value in facts.items())
    head = ["Claim", "Paper", "Rule", "Ours", "Verdict", *scales]
    rows = "".join(_claim(row, {scale: _at(part, row.id, scale) for scale in scales}) for row in own.itertuples())
    heads = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    return (
        f'<details class="nc-headline" id="headline-{escape(name)}"{data}>'
        f"<summary>{chip_at(part, '')} {typeset(first.heading)} {_beside(part, scales)} {about}"
        f'</summary><div class="nc-scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</details>"
    )


def _held(rows):
    """How many claims hold, of those that are judged at a scale beside, or of all at the page's own."""
    rows = rows[(rows["verdict"] != UNJUDGED) | (rows["beside"] == "")]
    return f"{(rows['verdict'] == 'holds').sum()} of {len(rows)}"


UNJUDGED = "not at this scale"  # a scale beside at which a headline has no other verdict is not shown with it


def _at(part, name, scale):
    """The row of a claim at a scale, None where it was not judged there."""
    return next(part[(part["id"] == name) & (part["beside"] == scale)].itertuples(), None)


def _claim(row, beside):
    notes = [row.note, f"Needs: {row.need}" if row.need else ""]
    notes.append("" if row.settled == "before" else f"Rule settled {row.settled}")
    said = "".join(f"<br><small>{typeset(note)}</small>" for note in notes if note)
    cells = [number(row.paper_value), rule(row)]
    shown = "".join(f"<td>{typeset(cell)}</td>" for cell in cells)
    shown += f"<td>{ours(row)}</td><td>{chip(row.verdict)}</td>"
    for scale, at in beside.items():
        shown += f'<td data-scale="{escape(scale)}">{f"{chip(at.verdict)}<br>{ours(at)}" if at else ""}</td>'
    name = escape(row.id)
    link = f'<small><a href="#claim-{name}"><code>{name}</code></a> · {escape(row.seen)}</small>'
    return f'<tr id="claim-{name}"><td>{typeset(row.statement)}{said}<br>{link}</td>{shown}</tr>'


LETTERS = {
    **{"lambda": "λ", "lam": "λ", "beta": "β", "alpha": "α", "rho": "ρ", "mu": "μ", "sigma": "σ", "Sigma": "Σ"},
    **{"tau": "τ", "pi": "π", "Delta": "Δ", "delta": "δ", "hbar": "h̄", "Hbar": "H̄"},
}
SIGNS = {"&lt;=": "≤", "&gt;=": "≥", "-&gt;": "→", "==": "=", "sqrt": "√"}
NAME = "|".join(LETTERS)
POWER = re.compile(r"\^(?:\(((?:[^()]|\([^()]*\))*)\)|(-?\w+))")  # ^2, ^-1, ^(...), with one pair of parentheses inside


def typeset(text) -> str:
    """Return plain text with formulas such as lam_H, |w_k|^2, 1e-6 as HTML with Greek letters, indices and powers."""
    text = escape(" ".join(text.split()))
    text = re.sub(r"\b(\d+(?:\.\d+)?)e([+-]?)0*(\d+)\b", _power_of_ten, text)
    text = re.sub(rf"(?<![\w.])({NAME}|[A-Za-z])_(\w+)", r"\1<sub>\2</sub>", text)
    text = re.sub(r"\b(d?[A-Z])0\b", r"\1<sub>0</sub>", text)
    text = POWER.sub(lambda found: f"<sup>{_minus(found[1] or found[2])}</sup>", text)
    text = re.sub(rf"(?<![\w.-])({NAME})(?=<su|\b)(?![\w.]*\.\w)", lambda found: LETTERS[found[1]], text)
    return re.sub("|".join(map(re.escape, SIGNS)), lambda found: SIGNS[found[0]], text)


def _power_of_ten(found):
    factor = "" if found[1] == "1" else f"{found[1]}·"
    return f"{factor}10<sup>{_minus(found[2].lstrip('+'))}{found[3]}</sup>"


def _minus(text):
    return text.replace("-", "−")


def chip(verdict) -> str:
    """A verdict as HTML: a word with a color."""
    return f'<span class="nc-verdict nc-{escape(verdict.replace(" ", "-"))}">{escape(verdict)}</span>'


def rule(row) -> str:
    """The rule of a claim, a row of `judge_all`, in a few words."""
    return row.rule + ", every run" * bool(row.every) + ", logarithms" * bool(row.log)


def ours(row, plain=False) -> str:
    """Our value as text, followed by the interval that the rule judges, where that is not a point."""
    shown = number if plain else lambda *value: typeset(number(*value))
    text = shown(row.ours)
    if not isinstance(row.interval, list) or row.interval[0] == row.interval[1]:
        return text
    low, high = (shown(end) for end in row.interval)
    return f"{text} [{low}, {high}]" if plain else f"{text}<br><small>[{low}, {high}]</small>"
