"""The default text: docstrings of the locked packages, byte for byte."""

import json
import re
import warnings
from pathlib import Path

import pytest

from nclib import data
from nclib.data import corpora, documentation

ROOT = Path(__file__).resolve().parents[1]
LONG = "A line of words. " * 15
CODE = f'''"""Module: {LONG}"""
class A:
    r"""Class \\d: {LONG}

        indented   \n    """
    def f(self):
        "{LONG}"
    async def g(self): 'short'
    def h(self): return """{LONG} no docstring"""
'''


@pytest.fixture
def packages(tmp_path, monkeypatch, store):
    """Two small packages as the only ones."""
    for name, files in {
        "one": {"b.py": f'"""b {LONG}"""', "a/z.py": f'"""z {LONG}"""', "tests/c.py": f'"""c {LONG}"""'},
        "two": {"__init__.py": f'"""z {LONG}"""', "d.py": f'"""d {LONG} \\d"""', "test_e.py": f'"""e {LONG}"""'},
    }.items():
        for file, code in files.items():
            path = tmp_path / "site" / f"pkg_{name}" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(documentation, "PACKAGES", {"pkg_one": ("numpy", "2.4.6"), "pkg_two": ("torch", "9.9")})
    documentation.documents.cache_clear()
    yield tmp_path / "site"
    documentation.documents.cache_clear()


def test_value_docstrings_of_a_file():
    found = list(documentation.docstrings(CODE.encode()))
    assert found == [f"Module: {LONG}".strip(), f"Class \\d: {LONG}".strip() + "\n\nindented", LONG.strip()]


def test_value_documents_in_order_each_once_without_tests(packages):
    assert [text[0] for text in documentation.documents()] == ["z", "b", "d"]
    assert not documentation.locked()
    (name,) = documentation.source()
    assert name.startswith("docstrings of numpy ") and ", torch " in name and "+" not in name


def test_law_kept_documents_are_read_and_damage_is_repaired(packages, store):
    found = documentation.documents()
    (path,) = (store / "cache" / "texts").glob("*.json")
    whole = path.read_bytes()
    for damaged in (whole[:-9], b"[]", whole.replace(b"A line", b"A lime", 1)):
        path.write_bytes(damaged)
        documentation.documents.cache_clear()
        with pytest.warns(UserWarning, match="damaged; it is made again"):
            assert documentation.documents() == found
        assert path.read_bytes() == whole


def test_law_a_missing_package_is_named(packages, monkeypatch):
    monkeypatch.setitem(documentation.PACKAGES, "pkg_three", ("three", "1"))
    for call in (lambda: data.tokens("documentation", 300), lambda: corpora.read("documentation")):
        with pytest.raises(data.DataError, match=r"^corpus = 'documentation': three is not installed; install require"):
            documentation.documents.cache_clear()
            call()


def test_law_the_pinned_versions_are_those_of_the_lock():
    lock = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.M))
    assert all(lock[distribution] == version for distribution, version in documentation.PACKAGES.values())


@pytest.fixture(scope="module")
def installed():
    if documentation.versions() != dict(documentation.PACKAGES.values()):
        pytest.skip("other versions than those of requirements.lock are installed")
    with warnings.catch_warnings(action="ignore"):
        return documentation.documents()


def test_value_the_text_of_the_lock_is_the_pinned_one(installed):
    assert documentation.locked() and len(installed) == 15_695
    assert 18e6 < sum(len(text.encode()) for text in installed) < 19e6
    assert len(set(installed)) == len(installed)


def test_law_validation_is_a_twentieth_of_all_packages(installed):
    train, validation = documentation.split()
    assert sorted(train + validation) == sorted(installed) and len(validation) == len(installed) // 20
    number = {text: i for i, text in enumerate(installed)}
    for part in (train[:700], validation):  # numbers 0 to 15,694 evenly: a fair sample of all packages
        assert sum(number[text] for text in part) / len(part) == pytest.approx(len(installed) / 2, rel=0.06)


def test_law_the_documentation_is_there_without_any_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path / "none"))
    assert data.available("documentation") and json.dumps(corpora.sources("documentation"))
