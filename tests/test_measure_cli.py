import json
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from test_cli import call

from nclib import ClassStatistics, metrics
from nclib.conventions import PRESETS, measure
from nclib.measuring import features
from nclib.measuring.passes import Checkpoint, Passes

K, D, N = 5, 6, 3000


def problem():
    g = np.random.default_rng(0)
    y = g.integers(0, K, N)
    means = g.normal(size=(K, D))
    H = (means[y] + 0.5 * g.normal(size=(N, D))).astype(np.float32)
    y[::7] = -100
    H[7] = np.nan  # an ignored sample
    return H, y, means + 0.1 * g.normal(size=(K, D)), g.normal(size=K)


H, Y, W, B = problem()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.savez(folder / "f.npz", features=H, labels=Y)
    np.savez_compressed(folder / "compressed.npz", H=np.asfortranarray(H), y=Y.astype(np.int16))
    np.save(folder / "H.npy", H)
    np.save(folder / "y.npy", Y)
    big_endian = H.astype(">f8").reshape(100, 30, D), Y.astype(">i4").reshape(100, 30)
    np.savez(folder / "shaped.npz", X=big_endian[0], y=big_endian[1])
    save_file({"H": torch.tensor(H), "labels": torch.tensor(Y)}, folder / "f.safetensors")
    np.savez(folder / "W.npz", weight=W, bias=B)
    np.save(folder / "W.npy", W)
    expected(stats=True).save(folder / "stats.safetensors")
    return folder


def expected(preset="textbook", stats=False, classifier=True):
    used = Y != -100
    found = ClassStatistics.from_features(torch.tensor(H[used]), torch.tensor(Y[used]), K)
    if stats:
        return found
    agreement = metrics.ncc_agreement(H[used], W, B, found.means, found.present)
    return measure(found, torch.tensor(W), preset=preset, agreement=agreement) if classifier else measure(found)


def as_json(capsys, *arguments):
    code, out, error = call(capsys, "measure", *map(str, arguments), "--json", "-")
    assert code == 0, error
    return json.loads(out)


def assert_close(found, wanted, rtol=1e-12):
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=rtol, nan_ok=True), key


@pytest.mark.parametrize("block", [4096, 100])
@pytest.mark.parametrize("name", ["f.npz", "compressed.npz", "shaped.npz", "H.npy", "f.safetensors"])
def test_oracle_every_format_gives_the_numbers_of_the_library(files, capsys, monkeypatch, name, block):
    monkeypatch.setattr(features, "_SAMPLES", block)
    labels = ["--labels", files / "y.npy"] if name == "H.npy" else []
    found = as_json(capsys, files / name, *labels, "--classifier", files / "W.npz")
    assert_close(found["values"], expected())
    assert_close(as_json(capsys, files / name, *labels)["values"], expected(classifier=False))


@pytest.mark.parametrize("preset", PRESETS)
def test_oracle_presets_and_saved_statistics(files, tmp_path, capsys, preset):
    saved = tmp_path / "s.safetensors"
    options = ["--classifier", files / "W.npz", "--preset", preset]
    assert_close(as_json(capsys, files / "f.npz", *options, "--save", saved)["values"], expected(preset))
    wanted = expected(preset)
    del wanted["ncc_agreement"]  # needs the features
    found = as_json(capsys, saved, *options)
    assert_close(found["values"], wanted)
    assert found["settings"]["preset"] == preset


def test_value_table_files_and_figure_say_the_same(files, tmp_path, capsys):
    csv, figure, data = tmp_path / "t.csv", tmp_path / "r.png", tmp_path / "d.json"
    options = ["--classifier", files / "W.npz", "--bootstrap", "100", "--null", "--csv", csv, "--figure", figure]
    code, out, error = call(capsys, "measure", *map(str, [files / "f.npz", *options, "--json", data]))
    assert code == 0 and error == ""
    found, table = json.loads(data.read_text()), pd.read_csv(csv).set_index("metric")
    wanted = expected()
    assert_close(found["values"], wanted)
    assert list(table.index) == list(wanted) and table["value"].to_list() == pytest.approx(list(wanted.values()))
    low, high = found["intervals"]["nc1_trace_ratio"]
    assert table.loc["nc1_trace_ratio", "low"] == low < wanted["nc1_trace_ratio"] < high
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert f"  {wanted['nc1']:.4g}  " in rows["nc1"] and "tr(Sigma_W Sigma_B^+)" in rows["nc1"]
    assert f"{low:.4g} .. {high:.4g}" in rows["nc1_trace_ratio"]
    assert "shuffled" in rows["metric"] and "unrelated" in rows["metric"]
    assert found["null"]["gnc2_mean"] == pytest.approx(table.loc["gnc2_mean", "null"])
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert " ".join(out.split()).endswith(" ".join(found["reading"].split())) and "(NC4)" in found["reading"]


def test_oracle_shuffled_labels_are_those_of_the_library(files, capsys):
    from nclib.nulls import permuted_labels

    found = as_json(capsys, files / "f.npz", "--null")["shuffled"]
    assert_close(found, measure(permuted_labels(torch.tensor(H), torch.tensor(Y), K, 0)))


def test_law_merge_of_shards_is_the_whole(files, tmp_path, capsys):
    parts = []
    for i, rows in enumerate([slice(0, 100), slice(100, 101), slice(101, N)]):
        np.savez(tmp_path / "part.npz", H=H[rows], y=Y[rows])
        parts.append(str(tmp_path / f"{i}.safetensors"))
        as_json(capsys, tmp_path / "part.npz", "--num-classes", K, "--save", parts[-1]) if i != 1 else expected_part(
            rows
        ).save(parts[-1])
    code, out, _ = call(capsys, "merge", *parts, "--output", str(tmp_path / "all.safetensors"))
    assert code == 0 and f"{(Y != -100).sum()} samples of {K} classes, dimension {D}" in out
    assert_close(as_json(capsys, tmp_path / "all.safetensors")["values"], expected(classifier=False))


def expected_part(rows):
    return ClassStatistics.from_features(torch.tensor(H[rows]), torch.tensor(Y[rows]), K)


def test_value_inf_and_nan_are_json(tmp_path, capsys):
    np.savez(tmp_path / "same.npz", H=np.array([[1.0, 2], [1, 2], [1, 2]]), y=np.array([0, 1, 1]))
    values = as_json(capsys, tmp_path / "same.npz")["values"]
    assert values["nc1_trace_ratio"] == "inf" and values["interference_mean"] is None


def test_value_one_dimension_has_no_null(tmp_path, capsys):
    np.savez(tmp_path / "line.npz", H=np.array([[0.0], [2], [5], [7]]), y=np.array([0, 0, 1, 1]))
    found = as_json(capsys, tmp_path / "line.npz")
    assert found["values"]["nc1_trace_ratio"] == pytest.approx(1 / 6.25) and found["null"] == {}


KILLED = """  # while the checkpoint is written for the 20th time
import os, signal, sys
from nclib import cli
sync, calls = os.fsync, []
def fsync(file):
    calls.append(file)
    os.kill(os.getpid(), signal.SIGKILL) if len(calls) == 20 else sync(file)
os.fsync = fsync
cli.main()
"""


def test_law_killed_and_resumed_is_the_same(tmp_path, capsys, monkeypatch):
    g, kept = np.random.default_rng(1), tmp_path / "c.checkpoint"
    y = g.integers(0, 50, 4096 * 100)
    np.savez(tmp_path / "big.npz", H=(g.normal(size=(50, 3))[y] + 1e3).astype(np.float16), y=y.astype(np.int8))
    np.savez(tmp_path / "W.npz", weight=g.normal(size=(50, 3)))
    options = ["measure", tmp_path / "big.npz", "--classifier", tmp_path / "W.npz"]
    options = [str(option) for option in [*options, "--checkpoint", kept, "--checkpoint-every", "0", "--device", "cpu"]]
    done = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True)
    assert done.returncode == -signal.SIGKILL and kept.exists()
    blocks, block = [], features.Samples.block
    monkeypatch.setattr(features.Samples, "block", lambda self, i: blocks.append(i) or block(self, i))
    resumed = as_json(capsys, *options[1:], "--checkpoint-every", 1)
    assert blocks[0] == 19 and len(blocks) == 200 - 19 and not kept.exists()
    whole = as_json(capsys, *options[1:4])
    assert resumed["values"] == whole["values"]  # to the last bit


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3, 5, 8, 11, 14])
def test_law_stopped_in_any_pass_and_resumed_is_the_same(files, tmp_path, capsys, monkeypatch, stop):
    monkeypatch.setattr(features, "_SAMPLES", 700)  # 5 blocks; statistics, agreement, shuffled labels
    options = [files / "f.npz", "--classifier", files / "W.npz", "--null"]
    whole, block, seen = as_json(capsys, *options), features.Samples.block, []

    def stopping(self, i):
        seen.append(i)
        if len(seen) == stop:
            raise Stopped
        return block(self, i)

    resumable = [*options, "--checkpoint", tmp_path / "c", "--checkpoint-every", 0]
    monkeypatch.setattr(features.Samples, "block", stopping)
    with pytest.raises(Stopped):
        as_json(capsys, *resumable)
    capsys.readouterr()
    monkeypatch.setattr(features.Samples, "block", lambda self, i: seen.append(i) or block(self, i))
    seen.clear()
    assert as_json(capsys, *resumable) == whole
    assert len(seen) == 15 - (stop - 1) and not (tmp_path / "c").exists()


def test_law_checkpoint_is_not_saved_more_often_than_asked(tmp_path):
    kept = Checkpoint(tmp_path / "c", {}, every=1000)
    Passes(kept, quiet=True).total("x", 50, lambda i: torch.ones(1), 1, "cpu")
    assert not kept.path.exists()


def test_value_importing_the_command_is_light():
    heavy = {"transformers", "torchmetrics", "pandas", "matplotlib", "seaborn", "sklearn", "datasets"}
    code = f"import sys, nclib.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def write(folder, name, **arrays):
    np.savez(folder / name, **arrays)
    return folder / name


def bad(files, folder):
    """{name: (arguments, what the message must say)}."""
    good, W_file, stats, out = files / "f.npz", files / "W.npz", files / "stats.safetensors", folder / "out.csv"
    three, two = np.zeros((3, 2), np.float32), np.array([0, 1, 1])
    nan = np.array([[0, 1], [np.nan, 1], [1, 1]])
    other = folder / "other.safetensors"
    small, merged = folder / "small.safetensors", ["--output", folder / "m.safetensors"]
    expected_part(slice(0, 9)).save(small)
    ClassStatistics.from_features(torch.eye(3), torch.arange(3), 3).save(other)
    ClassStatistics.from_features(torch.randn(9, D), torch.arange(9) % K, K, scatter=False).save(
        folder / "bare.safetensors"
    )
    (folder / "text.npz").write_text("no archive")
    (folder / "text.npy").write_text("no array")
    (folder / "text.safetensors").write_text("no tensors")
    (folder / "short.npz").write_bytes(good.read_bytes()[:-2000])
    (folder / "checkpoint").write_text("no checkpoint")
    Checkpoint(folder / "foreign", {"files": {}}).save({})
    np.save(folder / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(folder / "number.npy", np.array(3.0))
    save_file({"H": torch.eye(3)}, folder / "bare_features.safetensors")

    def npz(name, **arrays):
        return write(folder, name, **arrays)

    return {
        "missing file": ([folder / "none.npz"], "none.npz: no such file"),
        "kind of file": ([folder / "f.txt"], "f.txt: must be a file .npz, .npy, .safetensors"),
        "no archive": ([folder / "text.npz"], "not a whole .npz file"),
        "no array": ([folder / "text.npy", "--labels", files / "y.npy"], "not a whole .npy file"),
        "no tensors": ([folder / "text.safetensors"], "not a whole .safetensors file"),
        "truncated": ([folder / "short.npz"], "not a whole .npz file"),
        "no features": ([npz("a.npz", z=three, y=two)], "holds z, y, must hold one of features, H, X"),
        "features twice": ([npz("b.npz", H=three, X=three, y=two)], "holds H and X, must hold one of"),
        "no labels": ([npz("c.npz", H=three)], "holds no labels or y, name a file of labels with --labels"),
        "no labels, npy": ([files / "H.npy"], "holds no labels or y, name a file"),
        "no labels, tensors": ([folder / "bare_features.safetensors"], "holds no labels or y"),
        "labels twice": ([good, "--labels", files / "y.npy"], "f.npz: holds labels, and --labels names others"),
        "labels missing": ([files / "H.npy", "--labels", folder / "no.npy"], "no.npy: no such file"),
        "label floats": ([npz("d.npz", H=three, y=two * 1.0)], "labels are torch.float64, must be integers"),
        "label booleans": ([npz("e.npz", H=three, y=two > 0)], "labels are torch.bool, must be integers"),
        "label count": ([npz("f.npz", H=three, y=two[:2])], "labels have shape (2,), must be (3,)"),
        "label shape": ([npz("g.npz", H=three, y=two[:, None])], "labels have shape (3, 1), must be (3,)"),
        "label negative": ([npz("h.npz", H=three, y=two - 1)], "label -1 of sample [0], must be 0..0, or -100"),
        "label too large": ([good, "--num-classes", 3], "of sample [1], must be 0..2"),
        "label ignored": ([npz("i.npz", H=three, y=two * 0 - 100)], "no sample has a label other than -100"),
        "label number": ([npz("j.npz", H=three, y=np.array(1))], "labels is a single number"),
        "feature integers": ([npz("k.npz", H=three.astype(int), y=two)], "features are int64, must be float16"),
        "feature complex": ([npz("l.npz", H=three * 1j, y=two)], "features are complex64, must be float16"),
        "feature vector": ([npz("m.npz", H=three[:, 0], y=two)], "features have shape (3,), must be (N, d)"),
        "feature empty": ([npz("n.npz", H=three[:0], y=two[:0])], "features have shape (0, 2), must be (N, d)"),
        "feature number": ([folder / "number.npy", "--labels", files / "y.npy"], "features have shape ()"),
        "feature objects": ([folder / "objects.npy", "--labels", files / "y.npy"], "not a whole .npy file of numbers"),
        "feature nan": ([npz("o.npz", H=nan, y=two)], "o.npz: features of sample [1] hold NaN or inf"),
        "feature inf": ([npz("p.npz", H=three + np.inf, y=two)], "features of sample [0] hold NaN or inf"),
        "one class": ([npz("q.npz", H=three, y=two * 0)], "1 present classes (count > 0), at least 2 are needed"),
        "no classes": ([good, "--num-classes", 0], "--num-classes 0: must be at least 1"),
        "preset": ([good, "--preset", "vogue"], "preset='vogue', must be one of textbook, wu-papyan-2024-05"),
        "bootstrap": ([good, "--bootstrap", 10], "--bootstrap 10: must be 0 or at least 100 draws"),
        "device": ([good, "--device", "tpu9"], "device='tpu9', must be a torch device"),
        "W missing": ([good, "--classifier", folder / "no.npz"], "no.npz: no such file"),
        "W keys": ([good, "--classifier", good], "must hold one of weight, W"),
        "W shape": ([good, "--classifier", npz("r.npz", W=W[0])], "weight is torch.float64 (6,), must be floating"),
        "W width": ([good, "--classifier", npz("s.npz", W=W[:, :4])], "weight is (5, 4), must be (K, 6)"),
        "W rows": ([good, "--classifier", W_file, "--num-classes", 7], "weight is (5, 6), must be (7, 6)"),
        "W too few rows": ([good, "--classifier", npz("t.npz", W=W[:3])], "must be 0..2"),
        "W nan": ([good, "--classifier", npz("u.npz", W=W * np.nan)], "weight holds NaN or inf"),
        "b shape": ([good, "--classifier", npz("v.npz", W=W, b=B[:3])], "bias is torch.float64 (3,), must be"),
        "out folder": ([good, "--csv", folder / "no" / "t.csv"], "cannot be written, it must be a file in a folder"),
        "out is folder": ([good, "--json", folder], "cannot be written"),
        "out below file": ([good, "--save", W_file / "x.safetensors"], "cannot be written"),
        "out is input": ([good, "--csv", good], "f.npz: is an input, name another file"),
        "out twice": ([good, "--csv", out, "--json", out], "two of them name the same file"),
        "figure kind": ([good, "--figure", folder / "x.gif"], "x.gif: a figure must end in .png, .svg, .pdf"),
        "save kind": ([good, "--save", folder / "x.pt"], "x.pt: statistics must be saved in a file that ends in"),
        "checkpoint damaged": ([good, "--checkpoint", folder / "checkpoint"], "not a whole checkpoint, remove it"),
        "checkpoint foreign": ([good, "--checkpoint", folder / "foreign"], "checkpoint of another measurement, with"),
        "statistics classes": ([stats, "--num-classes", 9], "holds statistics of 5 classes, not of --num-classes 9"),
        "statistics null": ([stats, "--null"], "holds statistics, so --null has no use"),
        "statistics checkpoint": ([stats, "--checkpoint", folder / "new"], "so --checkpoint has no use"),
        "statistics labels": ([stats, "--labels", files / "y.npy"], "so --labels has no use"),
        "statistics W": ([other, "--classifier", W_file], "weight (5, 6), must be (3, 3)"),
        "merge one": (["merge", stats, "--output", out], "one file alone, name at least two"),
        "merge K, d": (
            ["merge", stats, other, *merged],
            "means are (3, 3), must be (5, 6)",
        ),
        "merge scatter": (
            ["merge", stats, folder / "bare.safetensors", *merged],
            "scatter",
        ),
        "merge features": (["merge", stats, good, *merged], "holds no statistics"),
        "merge missing": (
            ["merge", stats, folder / "x.safetensors", *merged],
            "no such file",
        ),
        "merge twice": (["merge", stats, stats, *merged], "one file is named twice"),
        "merge onto input": (["merge", stats, small, "--output", stats], "is an input"),
        "merge kind": (
            ["merge", stats, small, "--output", folder / "m.npz"],
            "must be saved in",
        ),
    }


@pytest.fixture(scope="module")
def bad_cases(files, tmp_path_factory):
    return bad(files, tmp_path_factory.mktemp("bad"))


NAMES = """missing file|kind of file|no archive|no array|no tensors|truncated|no features|features twice|no labels
no labels, npy|no labels, tensors|labels twice|labels missing|label floats|label booleans|label count|label shape
label negative|label too large|label ignored|label number|feature integers|feature complex|feature vector|feature empty
feature number|feature objects|feature nan|feature inf|one class|no classes|preset|bootstrap|device|W missing|W keys
W shape|W width|W rows|W too few rows|W nan|b shape|out folder|out is folder|out below file|out is input|out twice
figure kind|save kind|checkpoint damaged|checkpoint foreign|statistics classes|statistics null|statistics checkpoint
statistics labels|statistics W|merge one|merge K, d|merge scatter|merge features|merge missing|merge twice
merge onto input|merge kind""".replace("\n", "|").split("|")


def test_law_every_bad_case_is_run(bad_cases):
    assert sorted(bad_cases) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_bad_input_is_one_line_and_nothing_written(files, bad_cases, tmp_path, capsys, name):
    arguments, message = bad_cases[name]
    if arguments[0] != "merge":
        arguments = ["measure", *arguments]
        if "--json" not in arguments:
            arguments += ["--json", tmp_path / "values.json"]
    before = {path: path.stat().st_mtime_ns for path in files.parent.rglob("*")}
    code, out, error = call(capsys, *map(str, arguments))
    assert code == 2 and out == "" and message in error and len(error.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in files.parent.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []


def test_oracle_a_sample_of_pairs(files, tmp_path, capsys):
    """--pairs sample: standard errors beside the numbers of a sample, no interval for them, said in the settings."""
    csv = tmp_path / "t.csv"
    options = ["--pairs", "sample", "--bootstrap", "100", "--csv", csv, "--figure", tmp_path / "f.png"]
    found, exact = as_json(capsys, files / "f.npz", *options), as_json(capsys, files / "f.npz", "--pairs", "exact")
    assert_close(found["values"], measure(expected(stats=True), pairs="sample"))
    assert_close(exact["values"], expected(classifier=False))
    assert found["settings"]["pairs"] == "a sample of 1,048,576" and "pairs" not in exact["settings"]
    assert "Pairs of classes are a sample" in found["reading"] and "a sample" not in exact["reading"]
    assert "norm_mean" in found["intervals"] and not {"cdnv_mean", "gnc2_mean"} & set(found["intervals"])
    table = pd.read_csv(csv).set_index("metric")
    assert "standard error of cdnv_mean" in table.loc["cdnv_mean_error", "meaning"]
    for wrong, words in {"some": "--pairs some: must be auto, exact or sample", "sample": "visits all pairs"}.items():
        preset = ["--preset", "all"] if wrong == "sample" else []
        code, _, error = call(capsys, "measure", str(files / "f.npz"), "--pairs", wrong, *preset)
        assert code == 2 and words in error
