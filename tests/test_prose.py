"""Prose cannot contradict its figure: a number typed in it is a setting or a citation and is declared as such in
prose_numbers.yml; what a run gives is glued.

Numbers in digits are found, not number words, orders or signs: those are the writer's to glue (`nclib.glued.word`).
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from smoke_book import account, book  # noqa: F401

from nclib import glued

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
DECLARED = yaml.safe_load((ROOT / "tests" / "prose_numbers.yml").read_text())

# What is not prose: theorems and proofs, displayed formulas, code and roles, targets of links, options and opening
# lines of directives, numbers of list items, and names of a paper's parts.
NOT_PROSE = re.compile(
    r"^```\{prf:.*?^```|\$\$.*?\$\$|```\{code.*?^```|^```(?:python|console)$.*?^```|(?:\{[\w:]+\})?`[^`\n]+`|\]\([^)]*\)|https?://\S+|^:\w+:[^\n]*$|^```[^\n]*$"
    r"|^\s*\d+\.\s|\b(?:Figures?|Fig\.|Tables?|Theorems?|Corollary|Proposition|Lemma|Eqs?\.|Sections?|[Pp]arts?) "
    r"\d+(?:\.\d+)*(?:(?:,| to| and|, and) \d+(?:\.\d+)*)*",
    re.M | re.S,
)
MATH = re.compile(r"\$[^$]+\$")
NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)\d+(?:[.,]\d+)*")
# In a formula the digits of exponents, indices and fractions are no results; these may be.
MATH_NUMBER = re.compile(r"\d+(?:\{,\}\d+)*\.\d+|10\^\{?-?\d+|(?<==)\s*-?\d[\d{},]*(?:\.\d+)?|(?<=approx)\s*\d[\d{},]*")


def cells(page):
    """The text of a page's Markdown cells."""
    notebook = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def blank(pattern, text):
    """The text with spaces for what a pattern finds, so that places stay."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def typed(text):
    """Spans (start, end) of the numbers typed in the prose of a cell, in order."""
    text = blank(NOT_PROSE, text)
    spans = [found.span() for found in NUMBER.finditer(blank(MATH, text))]
    for formula in MATH.finditer(text):
        spans += [
            (formula.start() + a, formula.start() + b) for a, b in map(re.Match.span, MATH_NUMBER.finditer(formula[0]))
        ]
    return sorted(spans)


def covered(text, phrases):
    """Spans of all places of the phrases in a text."""
    return [found.span() for phrase in phrases for found in re.finditer(re.escape(phrase), text)]


def sentence(text, at):
    """The sentence around a place, on one line."""
    start = max(
        text.rfind(mark, 0, at) + len(mark)
        for mark in (". ", ": ", "\n")
        if text.rfind(mark, 0, at) >= 0 or mark == "\n"
    )
    ends = [end for mark in (". ", ": ", "\n") if (end := text.find(mark, at)) >= 0]
    return text[start : min(ends, default=len(text)) + 1].strip()


def undeclared(page, texts, phrases):
    """A line for each typed number that no phrase covers: page, number, sentence."""
    lines = []
    for text in texts:
        places = covered(text, phrases)
        lines += [
            f"{page}: {text[a:b].strip()} is neither glued nor declared, in: {sentence(text, a)}"
            for a, b in typed(text)
            if not any(start <= a and b <= end for start, end in places)
        ]
    return lines


@pytest.mark.parametrize("page", PAGES)
def test_law_typed_numbers_are_settings_or_citations(page):
    assert undeclared(page, cells(page), DECLARED[page]) == []


@pytest.mark.parametrize("page", PAGES)
def test_law_every_declaration_is_used_and_says_what_it_is(page):
    texts = cells(page)
    for phrase, kind in DECLARED[page].items():
        assert re.fullmatch(r"setting|cited: .{4,}", kind), f"{page}: {phrase!r} is declared as {kind!r}"
        assert not NUMBER.fullmatch(phrase), (
            f"{page}: {phrase!r} would cover that number everywhere: give words with it"
        )
        spans = [(a, b, text) for text in texts for a, b in covered(text, [phrase])]
        assert spans, f"{page}: {phrase!r} is not in its prose"
        numbers = [1 for a, b, text in spans for c, d in typed(text) if a <= c and d <= b]
        assert numbers, f"{page}: {phrase!r} holds no number that needs declaring"


def test_law_lists_of_pages_name_pages():
    assert set(DECLARED) == set(PAGES)
    assert all((ROOT / "notebooks" / f"{page}.ipynb").exists() for page in PAGES)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_law_glued_text_is_formatted_where_it_is_made(path):
    """A format in the sentence fails for a value that a small run lacks, and a notebook that names keys glues some."""
    used = [key for text in cells(path.stem) for key in re.findall(r"\{glue:?\w*\}`([^`]*)`", text)]
    assert [key for key in used if not re.fullmatch(r"[a-z0-9-]+", key)] == []
    assert not used or "glued.glue(" in path.read_text()


@pytest.mark.parametrize("page", PAGES)
def test_law_every_key_of_the_prose_is_glued_at_smoke(page, book):  # noqa: F811
    done = json.loads((book / "executed" / page / "notebook.ipynb").read_text())
    outputs = [
        out for cell in done["cells"] for out in cell.get("outputs", []) if "scrapbook" in out.get("metadata", {})
    ]
    kept = {out["metadata"]["scrapbook"]["name"] for out in outputs}
    used = {key for text in cells(page) for key in re.findall(r"\{glue:text\}`([^`]*)`", text)}
    assert used - kept == set() and (used or page == "01-geometry")
    assert kept - used == set(), "glued, but no sentence says it"


SAMPLE = """## A page

As in Figure 2 and {cite:p}`wu2024`, NC1 of ResNet-18 falls by 0.40 decades; see [it](x-3.html) and `n = 7`. With
$\\lambda = 5\\cdot10^{-4}$ it is 3,000 times $\\frac12\\beta^2$, and 12% of {glue:text}`loss-2`.

```{prf:theorem} With 3 parts
:label: thm-2
$x = 4$, and 5.
```
1. $$y = 6.5$$
```{note}
:class: n-9
The first 70 runs.
```
"""


def test_value_numbers_of_a_sample_page():
    assert [SAMPLE[a:b].strip() for a, b in typed(SAMPLE)] == ["0.40", "5", "10^{-4", "3,000", "12", "70"]


def test_value_an_undeclared_number_is_named_with_its_page_and_sentence():
    phrases = {"$\\lambda = 5\\cdot10^{-4}$": "setting", "3,000 times": "cited: there"}
    lines = undeclared("sample", [SAMPLE], phrases)
    assert [line.split(" is neither")[0] for line in lines] == ["sample: 0.40", "sample: 12", "sample: 70"]
    assert lines[0].endswith("NC1 of ResNet-18 falls by 0.40 decades; see [it](x-3.html) and `n = 7`.")
    assert (
        undeclared(
            "sample", [SAMPLE], phrases | {"by 0.40 decades": "setting", "12%": "setting", "first 70": "setting"}
        )
        == []
    )


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.4567, ".2f", "0.46"), (0.5, ".0%", "50%"), (3, ".0f", "3"), (float("nan"), ".2f", "–"), (None, ".0%", "–"),
        (float("-inf"), ".1f", "–"), (-3.14e-16, ".1e", "−3.1×10⁻¹⁶"), (1.04e12, ".0e", "10¹²"), (1e-7, ".6g", "10⁻⁷"),
        (1.04, ".0e", "1"), (0.0, ".0e", "0"), (-0.004, ".2f", "0.00"), (0.004, "+.2f", "0.00"), (-0.4, ".0%", "−40%"),
    ],
)  # fmt: skip
def test_value_number(value, spec, text):
    assert glued.number(value, spec) == text


@pytest.mark.parametrize(
    ("change", "text"), [(-1e-9, "falls"), (2, "rises"), (0.0, "goes"), (None, "goes"), (float("nan"), "goes")]
)
def test_value_word(change, text):
    assert glued.word(change, "falls", "rises", "goes") == text


def test_value_glue_keeps_text_and_shows_nothing(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    glued.glue({"loss": "2.08", "gain": float("nan"), "n": 12})
    assert [data for data, _ in shown] == [
        {"application/papermill.record/text/plain": text} for text in ("'2.08'", "'–'", "'12'")
    ]
    assert [more["metadata"]["scrapbook"]["name"] for _, more in shown] == ["loss", "gain", "n"]


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        (
            pd.DataFrame({"a": [1.23456, float("nan")], "n": [1, 2]}, pd.Index(["x", "y"], name="k")),
            ["kan", "x1.2351", "y–2"],
        ),
        (pd.DataFrame({"a": [2e-7], "b": ["u"]}).rename_axis(columns="metric"), ["ab", "2×10⁻⁷u"]),
        (pd.DataFrame({"8": [0.5]}, ["loss"]).rename_axis(columns="width"), ["width8", "loss0.5"]),
    ],
)
def test_value_a_table_has_one_line_of_names_and_four_digits(frame, rows):
    found = re.findall(r"<tr.*?</tr>", glued.table(frame).data, re.S)
    assert ["".join(re.sub("<[^>]+>", "", row).split()) for row in found] == rows


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"Loss:x": "1"}, ValueError, "key = 'Loss:x'"), ({"loss": " "}, ValueError, "loss is empty"),
        ({"loss": [1.0]}, TypeError, r"loss = \[1.0\]"), ({"ok": "1", "loss": True}, TypeError, "loss = True"),
    ],
)  # fmt: skip
def test_law_bad_values_to_glue(values, error, message):
    with pytest.raises(error, match=message):
        glued.glue(values)
