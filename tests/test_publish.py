import hashlib
import io
import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import toy

from nclib import plotting
from nclib.plotting import publish as provenance
from nclib.runs import manifest

matplotlib = pytest.importorskip("matplotlib")
DRAW = """
import sys; sys.path.insert(0, "tests")
import test_publish, toy
from nclib.plotting import publish as provenance
table = toy.STUDY.table("smoke")
rows = table.loc[table["metric"] == "base", ["step", "seed", "value"]]
provenance.publish(test_publish.band, rows, "fig-toy", "smoke", of=table, label="base")
"""


ARCHIVED = """
import sys; sys.path.insert(0, "tests")
import test_publish
from nclib.plotting import publish as provenance
from nclib.pages.deep_linear.study import STUDY
from nclib.runs import store
run = STUDY.named("paper")["direct, no bias"][0]
table, _ = store.find(run, archived_only=True)
rows = table.loc[(table["metric"] == "loss_gap") & (table["value"] > 0), ["step", "seed", "value"]]
of = table.assign(experiment=run.NAME, run=run.key())
provenance.publish(test_publish.band, rows, "fig-archived", "paper", of=of, label="loss")
"""


def band(rows, *, label):
    made, axes = plotting.figure()
    plotting.seed_band(axes[0, 0], rows, "step", label=label)
    return made


@pytest.fixture(scope="module")
def drawn_twice(tmp_path_factory):
    """{file: bytes} of both figures, drawn in one process and then, from the stored tables, in another."""
    folder = tmp_path_factory.mktemp("drawn")
    own = {f"NCLIB_{name.upper()}": str(folder / name) for name in ("build", "cache")}
    environment = {name: value for name, value in os.environ.items() if name != "NCLIB_RESULTS"} | own
    found = []
    for _ in range(2):
        command = [sys.executable, "-c", DRAW + ARCHIVED]
        subprocess.run(command, check=True, cwd=manifest.ROOT, capture_output=True, env=environment)
        found.append({path.name: path.read_bytes() for path in (folder / "build/figures").iterdir()})
    return found


@pytest.mark.parametrize("name", ["fig-toy", "fig-archived"])
def test_law_a_figure_rebuilt_from_its_table_or_the_archive_has_the_same_bytes(drawn_twice, name):
    first, again = ({file: data for file, data in one.items() if file.startswith(name)} for one in drawn_twice)
    files = {f"{name}{end}" for end in (".png", ".svg", "-narrow.png", ".csv")}
    assert first.keys() == files | {f"{name}.json"}
    assert [file for file in files if first[file] != again[file]] == []
    assert b"<dc:date>" not in first[f"{name}.svg"]


def test_the_manifest_of_a_figure_names_its_runs_and_the_hashes_of_its_files(drawn_twice):
    files = drawn_twice[0]
    found = json.loads(files["fig-toy.json"])
    assert {run["key"] for run in found["runs"]} == {run.key() for run in toy.runs("smoke")}
    for name, digest in found["outputs"].items():
        assert hashlib.sha256(files[name]).hexdigest() == digest
    assert all(found["run"].encode() in files[f"fig-toy{end}"] for end in (".png", ".svg", "-narrow.png"))
    assert found["meanings"] == {
        "step": found["meanings"]["step"],
        "seed": "random seed",
        "value": found["meanings"]["value"],
    }


def test_value_a_narrow_figure_has_its_panels_below_one_another():
    made, axes = plotting.figure(2, 2, height=5.0, sharey=True)
    axes[1, 0].set_ylabel("loss")
    axes[1, 1].set_xlabel("epoch")
    made.legend(
        [axes[0, 0].plot([1, 2], label=word)[0] for word in "abcd"], "abcd", loc="outside lower center", ncols=4
    )
    plotting.narrow(made)
    box = provenance.laid_out(made, provenance.NARROW_DPI)
    boxes = [axis.get_position() for axis in axes.flat]
    assert all(upper.y0 > lower.y1 and abs(upper.x0 - lower.x0) < 0.02 for upper, lower in itertools.pairwise(boxes))
    assert made.get_size_inches().tolist() == [4.6, 10.0] and axes[1, 1].get_ylabel() == "loss"
    assert [axis.get_xlabel() for axis in axes.flat] == ["", "epoch", "", "epoch"]
    assert box.width <= provenance.NARROW and len(made.legends[0].get_texts()) == 4


def test_value_a_figure_that_is_laid_out_is_drawn_once_a_file(monkeypatch):
    """Three files, three drawings, and nothing is cut: the box holds what `bbox_inches="tight"` keeps."""
    drawn = []
    draw = matplotlib.figure.Figure.draw
    monkeypatch.setattr(matplotlib.figure.Figure, "draw", lambda self, how: (drawn.append(1), draw(self, how)))
    rows = pd.DataFrame({"step": [1, 2], "value": [1.0, 2.0]})
    assert len(provenance.drawn(band, rows, {"label": "x"}, "r")) == len(drawn) == 3


def test_oracle_a_laid_out_image_has_the_pixels_of_a_tight_one():
    from PIL import Image

    def pixels(box):
        made = band(pd.DataFrame({"step": [1, 2], "value": [1.0, 2.0]}), label="x")
        buffer = io.BytesIO()
        made.savefig(buffer, dpi=200, bbox_inches=provenance.laid_out(made) if box else "tight")
        return np.asarray(Image.open(buffer))

    assert np.array_equal(pixels(True), pixels(False))


@pytest.mark.parametrize(
    ("scale", "limits", "labels"),
    [
        (("log", {}), (1e-12, 10), {"10⁻¹²", "10⁰"}),
        (("log", {}), (2e-3, 5e-3), {"2×10⁻³", "3×10⁻³"}),
        (("log", {}), (0.3, 4), {"0.4", "0.6", "1", "3"}),
        (("log", {}), (0.3, 40), {"10⁰", "10¹"}),
        (("log", {"base": 2}), (1, 64), {"2⁰", "2⁵"}),
        (("symlog", {"linthresh": 1}), (-1e3, 1e3), {"−10²", "0", "10²"}),
        (("linear", {}), (-1, 1), {"−0.25", "0.00"}),
    ],
)
def test_value_ticks_of_logarithmic_axes_are_plain_characters(scale, limits, labels):
    made, axes = plotting.figure(sharey=True)
    name, options = scale
    axes[0, 0].set_yscale(name, **options)
    axes[0, 0].set_ylim(*limits)
    plotting.plain_powers(made)
    shown = {tick.get_text() for minor in (False, True) for tick in axes[0, 0].get_yticklabels(minor=minor)}
    assert labels <= shown and not any("$" in text for text in shown)


def test_value_a_heavy_svg_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "HEAVY", 1000)
    rows = pd.DataFrame({"step": [1, 2], "value": [1.0, 2.0]})
    assert provenance.drawn(band, rows, {"label": "x"}, "r").keys() == {".png", "-narrow.png"}


ROWS = pd.DataFrame(
    {
        "text": ["", "nan", 'a, "b"\n'],
        "value": [0.1 + 0.2, math.nan, -math.inf],
        "count": [2**53 + 1, 0, -1],
        "maybe": pd.array([2**53 + 1, None, 3], dtype="Int64"),
        "flag": [True, False, True],
        "known": pd.array([True, None, False], dtype="boolean"),
    },
    index=[5, 3, 4],
)


def test_law_rows_come_back_from_their_csv_exactly():
    data, kinds = provenance.written("fig-x", ROWS)
    pd.testing.assert_frame_equal(provenance.read(data, kinds), ROWS.reset_index(drop=True), check_exact=True)
    assert list(kinds.values()) == list(provenance.KINDS)
    none = provenance.written("fig-x", ROWS[:0])
    pd.testing.assert_frame_equal(provenance.read(*none), ROWS[:0].reset_index(drop=True))


def test_law_a_figure_is_drawn_from_what_its_csv_gives_back(store, monkeypatch):
    """With a CSV of few digits the figure has few digits too: nothing but the CSV reaches it."""
    seen = []

    def draw(rows):
        seen.append(rows)
        return plotting.figure()[0]

    rows = pd.DataFrame({"value": [1.2345]})
    provenance.publish(draw, rows, "fig-x")
    assert seen[0] is not rows and seen[0]["value"].tolist() == [1.2345]
    monkeypatch.setattr(provenance.store, "csv_bytes", lambda table: table.round(1).to_csv(index=False).encode())
    with pytest.raises(ValueError, match="fig-y: the CSV does not give back the rows"):
        provenance.publish(draw, rows, "fig-y")
    assert len(seen) == 1 and not (store / "build/figures/fig-y.csv").exists()


BAD = {
    "column 'counts' of the rows holds object": pd.DataFrame({"counts": [(1, 2)]}),
    "column 'kind' of the rows holds category": pd.DataFrame({"kind": pd.Categorical(["a"])}),
    "column 'word' of the rows holds missing text": pd.DataFrame({"word": pd.Series(["a", None], dtype="str")}),
    "column 'x' of the rows holds float32": pd.DataFrame({"x": pd.Series([1], dtype="float32")}),
    "two columns": pd.DataFrame([[1, 2]], columns=["a", "a"]),
}


@pytest.mark.parametrize("message", list(BAD))
def test_rows_that_a_csv_cannot_hold_are_refused(message):
    with pytest.raises(ValueError, match=f"fig-x: {message}"):
        provenance.written("fig-x", BAD[message])


def test_an_option_that_is_a_table_is_refused():
    with pytest.raises(ValueError, match="fig-x: option 'law' is a DataFrame: must be text, a number or a list"):
        provenance.publish(band, ROWS, "fig-x", law=ROWS)


def test_runs_behind_a_figure_come_from_its_rows_or_from_the_tables_it_is_of(store):
    table = toy.STUDY.table("smoke")
    first = table[table["seed"] == 0]
    count = {"one": first, "both": (first, table), "none": ROWS}
    assert {name: len(provenance.run_manifests(of)) for name, of in count.items()} == {"one": 1, "both": 3, "none": 0}


def test_the_commit_is_that_of_the_project():
    head, dirty = manifest.commit()
    if head is None:
        pytest.skip("not a git checkout")
    assert len(head) == 40 and isinstance(dirty, bool)


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    assert manifest.commit() == (None, None)


def test_value_results_do_not_make_a_checkout_differ_from_its_commit(tmp_path, monkeypatch):
    """The table of one run is no reason to mark the next."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "table.csv").write_text("1")
    assert manifest.commit()[1] is False
    (tmp_path / "code.py").write_text("1")
    assert manifest.commit()[1] is True


def test_value_few_colors_keep_an_image_that_has_few():
    from PIL import Image

    pixels = np.zeros((4, 5, 3), dtype=np.uint8)
    pixels[1, 2], pixels[3, 4] = (10, 20, 30), (255, 0, 7)
    assert (np.asarray(provenance.few_colors(Image.fromarray(pixels)).convert("RGB")) == pixels).all()


def test_law_few_colors_keep_the_frequent_ones_and_come_near_all_others():
    """Of 3,000 colors each once, and 64 each a hundred times: these stay, and no pixel moves far."""
    from PIL import Image

    rng = np.random.default_rng(0)
    codes = rng.choice(2**24, 3064, replace=False)
    pixels = np.concatenate([np.repeat(codes[:64], 100), codes[64:]])
    pixels = np.stack([pixels >> 16, pixels >> 8 & 255, pixels & 255], axis=-1).astype(np.uint8)[None]
    few = np.asarray(provenance.few_colors(Image.fromarray(pixels)).convert("RGB")).astype(int)
    far = np.abs(few - pixels).max(axis=-1)[0]
    assert (far[:6400] == 0).all() and far.max() <= 64
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 256
