import hashlib
import json
import subprocess
import sys

import pytest
import toy

from nclib import results
from nclib.runs import manifest

matplotlib = pytest.importorskip("matplotlib")
DRAW = """
import sys; sys.path.insert(0, "tests")
import toy
from nclib import plotting, provenance, results
table = results.table(toy.module, "smoke")
figure, axes = plotting.figure()
plotting.seed_band(axes[0, 0], table.query("metric == 'base'"), "step", label="base")
provenance.publish(figure, table, "fig-toy", "smoke")
"""


ARCHIVED = """
from nclib import provenance, results
from nclib.experiments.dang2023 import imbalanced
from nclib.plotting import linear
table = results.archived(imbalanced)
provenance.publish(linear.direct_curves(table), table, "fig-archived", "paper")
"""


def draw(store, code=DRAW):
    subprocess.run([sys.executable, "-c", code], check=True, cwd=results.ROOT, capture_output=True)
    return {path.name: path.read_bytes() for path in (store / "build/figures").iterdir()}


def test_law_a_figure_rebuilt_from_its_table_has_the_same_bytes(store):
    first, again = draw(store), draw(store)
    assert first.keys() == {"fig-toy.png", "fig-toy.csv", "fig-toy.json"}
    assert first["fig-toy.png"] == again["fig-toy.png"] and first["fig-toy.csv"] == again["fig-toy.csv"]


def test_law_a_figure_rebuilt_from_the_archive_has_the_same_bytes(store, monkeypatch):
    monkeypatch.delenv("NCLIB_RESULTS")
    assert not results.archived(results.study("dang2023.imbalanced")).empty
    first, again = draw(store, ARCHIVED), draw(store, ARCHIVED)
    assert (
        first["fig-archived.png"] == again["fig-archived.png"]
        and first["fig-archived.csv"] == again["fig-archived.csv"]
    )


def test_the_manifest_of_a_figure_names_its_runs_and_the_hashes_of_its_files(store):
    files = draw(store)
    found = json.loads(files["fig-toy.json"])
    assert {run["key"] for run in found["runs"]} == {results.key(config) for config in toy.runs("smoke")}
    for name, digest in found["outputs"].items():
        assert hashlib.sha256(files[name]).hexdigest() == digest
    assert found["run"].encode() in files["fig-toy.png"]


def test_the_commit_is_that_of_the_project():
    head, dirty = manifest.commit()
    if head is None:
        pytest.skip("not a git checkout")
    assert len(head) == 40 and isinstance(dirty, bool)


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    assert manifest.commit() == (None, None)
