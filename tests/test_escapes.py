"""Texts of others at each boundary: a shell, a page, HTML, a label of a figure. None leaves its place."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from nclib import plotting
from nclib.evidence import ledger, report
from nclib.evidence.claims import Claim, Headline, at_least, judge_all

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import pages  # noqa: E402
import steps  # noqa: E402

import book  # noqa: E402

HARD = "a\n```\n````\n:::\n<script>alert(1)</script> $$ `x` | [y](z)"


def recorded(store):
    """The claims of a page whose every text is hard."""
    headline = Headline(
        "x.head", HARD, [Claim("x.y", HARD, at_least(1.0), lambda table: 2.0)], "check", HARD, "derived", HARD
    )
    ledger.record(judge_all([headline], pd.DataFrame({"beside": [""]})), "01-x", "smoke")
    return ledger.load(ledger.folder("smoke"))


def fences(text):
    return [token for token in MarkdownIt().parse(text) if token.type != "fence"], [
        token.content.rstrip("\n") for token in MarkdownIt().parse(text) if token.type == "fence"
    ]


@pytest.mark.parametrize("text", [HARD, "plain", "`", "```", "\n```\n", "`" * 9])
def test_law_html_stays_in_its_block(text):
    outside, inside = fences(pages.raw(text))
    assert outside == [] and inside == [text.rstrip("\n")]


def test_law_claims_and_titles_are_text_in_the_ledger(store):
    claims = recorded(store)
    for shown in (pages.ledger(claims, {"01-x": HARD}), pages.raw(pages.glance(claims, {"01-x": HARD}))):
        outside, inside = fences(shown)
        assert outside == [] and "alert(1)" in "".join(inside)
        assert "<script>" not in shown
    assert "\n" not in report.html(claims) and "<script>" not in report.html(claims)


def test_value_a_title_in_a_table_of_markdown(store):
    row = pages.readme_table(recorded(store), {"01-x": "a | [b](c) `d` <e>"}).splitlines()[2]
    assert row.startswith(r"| [a \| \[b\](c) \`d\` \<e>](notebooks/01-x.ipynb) |")


def test_value_a_line_of_the_provenance_is_one_line():
    assert steps.line("a\n\n:::\n```\nb") == "a : : : ` ` ` b"
    assert steps.definitions([("a\nb", None)]) == "a b\n: not explained"


@pytest.mark.parametrize("text", ["$$", "$", "a $x^ b", "price: 3$"])
def test_law_a_dollar_of_a_token_is_drawn(text):
    made, axes = plotting.figure()
    axes[0, 0].set_yticks([0, 1], [plotting.literal(text), "b"])
    axes[0, 0].set_title(plotting.literal(text))
    made.draw_without_rendering()
    assert axes[0, 0].title._get_layout(made.canvas.get_renderer())[0].width > 0


def test_law_a_page_that_was_cut_off_is_made_again_and_the_last_site_kept(tmp_path, capsys):
    site = tmp_path / "site"
    (site / "notebooks").mkdir(parents=True)
    (site / "_build" / "html").mkdir(parents=True)
    (site / "_build" / "html" / "index.html").write_text("last")
    (site / "built").touch()
    good, bad = (site / "notebooks" / name for name in ("01-x.ipynb", "02-y.ipynb"))
    text = pages.seal(json.dumps({"metadata": {}, "cells": []}))
    good.write_text(text), bad.write_text(text[:-9])
    book.forget_damaged(tmp_path)
    said = capsys.readouterr().err
    assert good.exists() and not bad.exists() and (site / "built").exists()
    assert said.startswith(f"{bad}: damaged (") and len(said.splitlines()) == 1
    (site / "_build" / "html" / "index.html").unlink()
    book.forget_damaged(tmp_path)
    assert not (site / "built").exists()


def test_law_a_site_that_cannot_be_staged_says_why_and_takes_nothing(tmp_path, monkeypatch, capsys):
    html = tmp_path / "site" / "_build" / "html"
    html.mkdir(parents=True)
    (html / "index.html").write_text("last")
    monkeypatch.setattr(pages, "notebooks", lambda root: ["01-x"])
    assert pages.build_site(tmp_path, "smoke") == 1
    note = (tmp_path / "site" / "book.failed").read_text()
    assert "01-x.ipynb: damaged (FileNotFoundError)" in note and note in capsys.readouterr().err
    assert (html / "index.html").read_text() == "last" and not (tmp_path / "site" / "built").exists()


def test_law_a_new_site_takes_the_place_of_the_last(tmp_path):
    new, html = tmp_path / "new", tmp_path / "html"
    for folder, text in ((new, "new"), (html, "last")):
        folder.mkdir()
        (folder / "index.html").write_text(text)
    pages.publish(new, html)
    assert (html / "index.html").read_text() == "new" and [path.name for path in tmp_path.iterdir()] == ["html"]
