"""What the site keeps of style sheets: rules that a page needs, and of the icons' font what they show."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "book" / "_ext"))
import nc_styles

SHEET = """/* a } in a comment */ @charset "utf-8";
.here, .gone:hover , #top > .here.gone{color:red}
.gone{background:url(data:image/svg+xml;a{b})}
.here:not(.gone):is(.x, .y)::before{content:"}"}
@media (max-width:9px){ .gone{a:b} p.col-1\\/2{c:d} }
@media print{.gone{a:b}}
@font-face{font-family:x}
[data-gone=".gone"] td{e:f}"""


def test_value_rules_of_a_style_sheet():
    names = {"here", "top", "col-1/2"}
    kept = """@charset "utf-8";.here{color:red}.here:not(.gone):is(.x, .y)::before{content:"}"}"""
    kept += """@media (max-width:9px){p.col-1\\/2{c:d}}@font-face{font-family:x}[data-gone=".gone"] td{e:f}"""
    assert nc_styles.used(SHEET, names.__contains__) == kept


@pytest.mark.parametrize(
    ("selector", "names"),
    {
        "a.x#y > .z": {"x", "y", "z"},
        ".x:not(.y:has(.z))": {"x"},
        '[href=".x"] ul': set(),
        ".sd-col-1\\/2": {"sd-col-1/2"},
    }.items(),
)
def test_value_names_in_a_selector(selector, names):
    assert nc_styles.names(selector) == names


def test_value_names_in_pages_and_scripts(tmp_path):
    (tmp_path / "_static" / "mathjax").mkdir(parents=True)
    (tmp_path / "page.html").write_text('<p class="one two" id="three">word <script>add("four")</script></p>')
    (tmp_path / "_static" / "a.js").write_text("box.className = `tip-${side} five`")
    (tmp_path / "_static" / "mathjax" / "b.js").write_text("six")
    there = nc_styles.vocabulary(tmp_path)
    assert [there(name) for name in ("one", "two", "three", "four", "five", "tip-left")] == [True] * 6
    assert [there(name) for name in ("word", "six", "left")] == [False] * 3


def test_value_characters_of_the_icons():
    css = """a{content:"\\f0c9"}:root{--x:'\\2212 ';--y:"text";--z:"\uf0f3"}"""
    assert nc_styles.characters(css) == {0xF0C9, 0x2212, 0xF0F3}
