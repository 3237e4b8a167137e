"""README.md: short, and its table is that of the last `make book`, verdict for verdict."""

import json
import sys
from pathlib import Path

import pytest

from nclib.evidence import ledger

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import pages  # noqa: E402

README = (ROOT / "README.md").read_text()
NAMES = pages.notebooks()
COMMITTED = json.loads((ROOT / pages.COMMITTED).read_text())


def last_book():
    """The claims of the last `make book` at laptop in this checkout."""
    found = ledger.load(ROOT / "build" / "claims" / "laptop")
    found = found[found["beside"] == ""]
    if set(found["notebook"]) != set(NAMES):
        pytest.skip("build/claims/laptop does not hold every notebook: make book")
    return found


def test_law_readme_is_short():
    assert len(README.encode()) <= 12_000


def test_law_readme_counts_the_committed_verdicts():
    table = README.split(pages.MARKERS[0])[1].split(pages.MARKERS[1])[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    verdicts = COMMITTED["verdicts"]
    assert [row[0].partition("](notebooks/")[2].removesuffix(".ipynb)") for row in rows] == NAMES
    for verdict, counts in zip(pages.VERDICTS, list(zip(*rows, strict=True))[1:-1], strict=True):
        assert sum(map(int, counts)) == list(verdicts.values()).count(verdict)
    named = {name.strip("` ") for row in rows for name in row[-1].split(",") if name}
    assert named == {name for name, verdict in verdicts.items() if verdict == "fails"}


def test_law_the_committed_verdicts_are_those_of_the_last_book():
    """Those of every claim on the processor that README.md was made on; elsewhere those that no seed decides alone."""
    found, committed = last_book().set_index("id"), COMMITTED["verdicts"]
    assert set(found.index) == set(committed), "make readme"
    other = {name for name, verdict in found["verdict"].items() if verdict != committed[name]}
    if pages.processor() != COMMITTED["processor"]:
        other -= {name for name in other if "undecided" in (found["verdict"][name], committed[name])}
    assert other == set(), "make readme"
