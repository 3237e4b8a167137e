"""House rules of the notebooks, and what each one leaves when papermill runs it at profile smoke."""

import ast
import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest
from smoke_book import account, book  # noqa: F401

from nclib.evidence import claims, ledger

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KEYS = set(re.findall(r"^@\w+\{(\S+),", (ROOT / "book" / "references.bib").read_text(), re.M))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def figure_cells(path):
    return [cell for cell in code(path) if "figure" in cell.metadata.get("mystnb", {})]


def test_law_every_notebook_is_in_the_table_of_contents():
    named = re.findall(r"file: notebooks/(\S+)", (ROOT / "_toc.yml").read_text())
    assert named == [path.stem for path in NOTEBOOKS] and named


@each
def test_law_notebook_is_valid_and_stripped(path):
    nbformat.validate(read(path))
    assert read(path).metadata.kernelspec.name == "python3"
    assert [(cell.outputs, cell.execution_count) for cell in code(path)] == [([], None)] * len(code(path))


@each
def test_law_notebook_holds_no_logic(path):
    cells = [cell.source for cell in code(path)]
    lines = [
        line for source in cells for line in source.splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 60
    nodes = [node for source in cells for node in ast.walk(ast.parse(source))]
    logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda)
    assert not [ast.unparse(node)[:60] for node in nodes if isinstance(node, logic)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in texts if re.search(r"/|\.(csv|png|json)$", text)], "a path in a notebook"


@each
def test_law_parameters_are_typed_and_explained(path):
    tagged = [cell for cell in code(path) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert [
        line for line in tagged[0].source.splitlines() if not re.fullmatch(r"\w+: [\w\[\], |]+ = .+  # .{8,}", line)
    ] == []
    declared = papermill.inspect_notebook(str(path))
    assert list(declared)[:3] == ["profile", "seed", "device"]
    assert declared["profile"]["default"] == '"laptop"' and declared["device"]["default"] == '"auto"'
    assert [name for name, p in declared.items() if not p["help"] or p["inferred_type_name"] == "None"] == []


@each
def test_law_figures_are_named_captioned_and_described(path):
    assert figure_cells(path)
    for cell in figure_cells(path):
        figure, image = cell.metadata.mystnb.figure, cell.metadata.mystnb.image
        assert re.fullmatch(r"fig-[a-z0-9]+-[a-z0-9-]+", figure.name) and f'"{figure.name}"' in cell.source
        assert len(figure.caption) > 30 and len(image.alt) > 30
        assert figure.name not in image.alt


def test_law_names_of_figures_and_theorems_are_unique():
    names = [cell.metadata.mystnb.figure.name for path in NOTEBOOKS for cell in figure_cells(path)]
    names += [
        label for path in NOTEBOOKS for cell in read(path).cells for label in re.findall(r":label: (\S+)", cell.source)
    ]
    assert len(names) == len(set(names))


@each
def test_law_prose_opens_with_a_title_and_cites_what_exists(path):
    prose = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    assert prose[0].startswith("# ")
    cited = {key for text in prose for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text) for key in keys.split(",")}
    assert cited and {key.strip() for key in cited} <= KEYS


@each
def test_law_executed_notebook_is_whole(path, book):  # noqa: F811
    done = read(book / "executed" / path.stem / "notebook.ipynb")
    assert not done.metadata.papermill.exception and done.metadata.papermill.parameters == {"profile": "smoke"}
    shown = [cell for cell in done.cells if "figure" in cell.metadata.get("mystnb", {})]
    assert [any("image/png" in out.get("data", {}) for out in cell.outputs) for cell in shown] == [True] * len(shown)
    assert "nc-claims" in done.cells[-1].outputs[-1]["data"]["text/html"]


@each
def test_law_notebook_records_judged_claims(path, book):  # noqa: F811
    rows = json.loads((book / "claims" / "smoke" / f"{path.stem}.json").read_text())
    assert rows and {row["verdict"] for row in rows} <= set(claims.VERDICTS)
    assert {(row["notebook"], row["profile"]) for row in rows} == {(path.stem, "smoke")}
    assert [row["id"] for row in rows if not re.match(r"[a-z]+\d{4}|collapses\.", row["id"]) or not row["of"]] == []


def test_law_claims_are_unique_over_the_book(book):  # noqa: F811
    found = ledger.load(book / "claims" / "smoke")
    assert not found.duplicated(["id", "beside"]).any()


def test_law_killed_build_keeps_its_finished_runs(account):  # noqa: F811
    assert account["killed"] and account["before"]
    assert account["code"] == 0, account["output"]
    assert "kernel" not in account["output"]  # which it would say of one that is started by hand
    assert {run: account["after"].get(run) for run in account["before"]} == account["before"]
    assert len(account["after"]) > len(account["before"])
