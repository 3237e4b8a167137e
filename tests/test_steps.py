"""The steps between a notebook and its page: what fails is refused and named, what is published is whole."""

import hashlib
import json
import sys
from pathlib import Path

import nbformat
import pytest

from nclib.evidence import ledger
from nclib.runs import seal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
import imports  # noqa: E402
import lock  # noqa: E402
import pages  # noqa: E402
import steps  # noqa: E402

LABEL = "fig-dang2023-x"
RUN = {
    "experiment": "dang2023.x",
    "key": "k1",
    "hardware": "Some CPU",
    "device": "cpu",
    "wall_seconds": 2.5,
    "data": {"a.gz": "ab12"},
    "made by": "other code",
    "commit": "d" * 40,
    "dirty": False,
}


def executed(folder, **metadata):
    """An executed notebook as `execute` leaves it: one figure, one claim, warnings on stderr."""
    new = nbformat.v4
    image = new.new_output("display_data", {"image/png": "aGk="})
    noise = new.new_output("stream", name="stderr", text="warning")
    figure = {"mystnb": {"figure": {"name": LABEL, "caption": "c"}, "image": {"alt": "a"}}}
    cells = [
        new.new_code_cell('profile: str = "laptop"  # size of the runs', metadata={"tags": ["parameters"]}),
        new.new_code_cell('profile = "smoke"', metadata={"tags": ["injected-parameters"]}),
        new.new_code_cell("draw()", outputs=[noise, image], metadata=figure),
        new.new_code_cell("claims"),
    ]
    papermill = {
        "exception": None,
        "start_time": "2026-01-01T10:00:00.5",
        "end_time": "2026-01-01T10:00:02",
        "duration": 1.5,
    }
    papermill |= {
        "parameters": {"profile": "smoke"},
        "input_path": "/home/x/a.ipynb",
        "output_path": "/home/x/b.ipynb",
    } | metadata
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = new.new_notebook(cells=cells, metadata={"papermill": papermill, "kernelspec": kernel})
    (folder / "figures").mkdir(parents=True)
    (folder / "claims" / "smoke").mkdir(parents=True)
    nbformat.write(book, folder / "notebook.ipynb")
    row = dict.fromkeys(ledger.RECORDED) | {"id": "dang2023.x", "notebook": folder.name, "profile": "smoke"}
    (folder / "claims" / "smoke" / f"{folder.name}.json").write_text(json.dumps([row | {"seal": seal.digest([row])}]))
    for suffix in ("png", "csv"):
        (folder / "figures" / f"{LABEL}.{suffix}").write_text(suffix)
    sums = {f"{LABEL}.{suffix}": hashlib.sha256(suffix.encode()).hexdigest() for suffix in ("png", "csv")}
    manifest = {
        "figure": LABEL,
        "profile": "smoke",
        "meanings": {"a<b": "a & b"},
        "wall_seconds": 5.0,
        "runs": [RUN, RUN | {"key": "k2", "commit": "e" * 40, "dirty": True}],
        "commit": "c" * 40,
        "dirty": True,
        "versions": {"torch": "2"},
        "outputs": sums,
    }
    (folder / "figures" / f"{LABEL}.json").write_bytes(seal.sealed(manifest))
    return folder


def promote(folder, tmp_path):
    steps.promote(folder, tmp_path / "site", tmp_path / "claims" / "smoke")
    return nbformat.read(tmp_path / "site" / "notebooks" / f"{folder.name}.ipynb", as_version=4)


def test_value_page_has_downloads_provenance_and_no_noise(tmp_path):
    page = promote(executed(tmp_path / "01-x"), tmp_path)
    tags = [cell.metadata.get("tags", []) for cell in page.cells[:2]]
    assert all("remove-cell" in found for found in tags)
    assert [out.output_type for out in page.cells[2].outputs] == ["display_data"]
    line = page.cells[3].source
    assert line.count("{download}") == 3 and f"/figures/01-x/{LABEL}.csv" in line and "SVG" not in line
    for text in (
        "<code>a&lt;b</code></th><td>a &amp; b</td>",
        f"@misc{{{LABEL},",
        "notebooks/01-x.ipynb, profile smoke, commit cccccccccccc",
        "<pre>papermill notebooks/01-x.ipynb out.ipynb -p profile smoke</pre><p>2 s here for the page, and 5 s of",
    ):
        assert text in line
    panel = page.cells[-1].source
    for text in (
        "papermill notebooks/01-x.ipynb out.ipynb -p profile smoke",
        "`cccccccccccc`, with uncommitted changes",
        "`dddddddddddd`, `eeeeeeeeeeee`, with uncommitted changes",
        "5.0 s",
    ):
        assert text in panel
    for text in (
        "a.gz, sha256 `ab12`",
        "Some CPU (cpu)",
        ": 2 by other code",
        "torch 2",
        "`'smoke'`",
        "size of the runs",
        "executed in 1.5 s",
    ):
        assert text in panel
    assert "/home/x" not in nbformat.writes(page)
    assert [row["id"] for row in ledger.rows(tmp_path / "claims" / "smoke" / "01-x.json")] == ["dang2023.x"]
    assert (tmp_path / "site" / "figures" / "01-x" / f"{LABEL}.png").read_text() == "png"


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda folder: (folder / "figures" / f"{LABEL}.json").unlink(), "published no figure of that name"),
        (lambda folder: (folder / "figures" / f"{LABEL}.csv").write_text("other"), "is not what its manifest says"),
        (lambda folder: (folder / "claims" / "smoke").rename(folder / "claims" / "laptop"), "recorded no claims at"),
    ],
)
def test_value_figure_without_its_files_is_refused(tmp_path, break_it, reason):
    folder = executed(tmp_path / "01-x")
    break_it(folder)
    with pytest.raises(steps.Refused, match=reason):
        promote(folder, tmp_path)
    assert not (tmp_path / "site" / "notebooks").exists()


@pytest.mark.parametrize("metadata", [{"exception": True}, {"end_time": None}])
def test_value_failed_or_unfinished_notebook_is_refused(tmp_path, metadata):
    with pytest.raises(steps.Refused, match=r"notebooks/01-x.ipynb: it did not run to its end"):
        promote(executed(tmp_path / "01-x", **metadata), tmp_path)


def test_value_failing_cell_is_named_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NCLIB_BUILD", "unused")
    notebook = tmp_path / "notebooks" / "09-bad.ipynb"
    notebook.parent.mkdir()
    cells = [nbformat.v4.new_code_cell(source) for source in ("x = 1", "x / 0")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), notebook)
    folder = tmp_path / "executed" / "09-bad"
    assert steps.main(["execute", str(notebook), str(folder), "--profile", "smoke"]) == 1
    note = folder.with_suffix(".failed").read_text()
    assert "notebooks/09-bad.ipynb: cell" in note and "ZeroDivisionError: division by zero" in note and "x / 0" in note
    assert note.strip() in capsys.readouterr().err and len(note.splitlines()) < 6
    assert [path.name for path in folder.parent.iterdir()] == ["09-bad.failed"]


def test_law_leftovers_of_a_killed_step_are_removed(tmp_path):
    left = tmp_path / ".01-x.123.part"
    left.mkdir()
    part = steps.partial(tmp_path / "01-x")
    (part / "new").touch()
    steps.swap(part, tmp_path / "01-x")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["01-x", "01-x/new"]


def test_law_library_of_a_notebook_is_the_closure_of_its_imports(tmp_path):
    package = tmp_path / "nclib"
    (package / "plotting").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "a.py": "from nclib import b\nimport torch",
        "b.py": "def f():\n    import nclib.c",
        "c.py": "",
        "d.py": "",
    }
    for name, text in (files | {"plotting/__init__.py": "", "plotting/e.py": ""}).items():
        (package / name).write_text(text)
    notebook = tmp_path / "x.ipynb"
    cells = [{"cell_type": "code", "source": ["from nclib import a\n", "from nclib.plotting import e as drawing"]}]
    notebook.write_text(json.dumps({"cells": cells}))
    found = [str(path.relative_to(package)) for path in imports.of_notebook(notebook, tmp_path)]
    assert found == ["__init__.py", "a.py", "b.py", "c.py", "plotting/__init__.py", "plotting/e.py"]


def test_value_lock_lines_name_no_build_host_or_path():
    frozen = [
        "torch==2.13.0+cpu",
        "-e /somewhere/nclib",
        "# comment",
        "b @ file:///x.whl",
        "pip==26",
        "A-b.c==1.0",
        "nclib==1",
    ]
    assert lock.pins(frozen) == ["A-b.c==1.0", "torch==2.13.0"]


def test_value_addresses_switch_the_buttons(monkeypatch):
    monkeypatch.delenv("NC_REPOSITORY_URL", raising=False)
    assert pages.settings()["branch"] == "main"
    monkeypatch.setenv("NC_REPOSITORY_URL", "https://example.org/o/r/")
    monkeypatch.setenv("NC_SITE_URL", "https://example.org/site")
    chosen = pages.settings()
    plain = {"html": {}, "launch_buttons": {"thebe": False}, "sphinx": {"extra_extensions": [], "config": {}}}
    made = pages.configure(plain, chosen)
    assert made["repository"] == {"url": "https://example.org/o/r", "branch": "main", "path_to_book": ""}
    assert made["launch_buttons"]["binderhub_url"] and made["sphinx"]["extra_extensions"] == ["sphinxext.opengraph"]
