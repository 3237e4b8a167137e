"""Files that were measured as something else, or ended in a traceback: the number, or one line."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_cli import call

from nclib import cli, metrics
from nclib.statistics import ClassStatistics

K, D, N = 4, 4, 60
G = np.random.default_rng(0)
H = G.normal(size=(N, D))
Y = np.arange(N) % K


def values(capsys, path, *options):
    code, out, error = call(capsys, "measure", *map(str, [path, *options, "--device", "cpu", "--json", "-"]))
    assert code == 0, error
    return json.loads(out), error


def refused(capsys, path, *options):
    code, out, error = call(capsys, "measure", *map(str, [path, *options, "--device", "cpu", "--json", "-"]))
    assert (code, out, len(error.splitlines())) == (2, "", 1)
    return error


def ratio(H, y, K=K):
    return metrics.nc1_trace_ratio(ClassStatistics.from_features(torch.tensor(H), torch.tensor(y), K))


def test_value_the_axis_of_four_dimensions_is_said(tmp_path, capsys):
    square, labels = H.reshape(15, 4, 4)[:5, :, :, None] * np.ones(4), Y.reshape(15, 4)[:5, :, None] * np.ones(4, int)
    square = square + G.normal(size=square.shape)
    np.savez(tmp_path / "four.npz", H=square, y=labels)
    assert "features have shape (5, 4, 4, 4), say with --feature-axis" in refused(capsys, tmp_path / "four.npz")
    for axis, wanted in ((1, np.moveaxis(square, 1, -1)), (3, square), (-1, square)):
        found, _ = values(capsys, tmp_path / "four.npz", "--feature-axis", axis)
        assert found["values"]["nc1_trace_ratio"] == pytest.approx(ratio(wanted, labels)) and len(wanted)
    for axis in (0, 4):
        assert f"--feature-axis {axis}: must be from 1 to 3" in refused(
            capsys, tmp_path / "four.npz", "--feature-axis", axis
        )
    np.savez(tmp_path / "pooled.npz", H=square, y=Y[:5])
    assert "average over positions first, to (N, d)" in refused(capsys, tmp_path / "pooled.npz")
    np.savez(tmp_path / "first.npz", H=H.reshape(5, 12, D).transpose(0, 2, 1), y=Y.reshape(5, 12))
    found, _ = values(capsys, tmp_path / "first.npz", "--feature-axis", 1)
    assert found["values"]["nc1_trace_ratio"] == pytest.approx(ratio(H, Y))


def test_value_a_void_label_is_warned_of_and_left_out(tmp_path, capsys):
    y = np.where(np.arange(N) % 7 == 0, 255, Y).astype(np.uint8)
    np.savez(tmp_path / "void.npz", H=H, y=y)
    found, error = values(capsys, tmp_path / "void.npz")
    assert found["values"]["classes"] == K + 1
    assert error == (
        "nclib: label 255 lies far above the others: if it marks samples of no class, use --ignore-index 255\n"
    )
    found, error = values(capsys, tmp_path / "void.npz", "--ignore-index", 255)
    assert found["values"]["nc1_trace_ratio"] == pytest.approx(ratio(H[y < 255], Y[y < 255])) and error == ""


def test_value_sparse_ids_and_words_are_numbered(tmp_path, capsys):
    plain = np.savez(tmp_path / "plain.npz", H=H, y=Y) or values(capsys, tmp_path / "plain.npz")[0]["values"]
    np.savez(tmp_path / "sparse.npz", H=H, y=Y.astype(np.int64) * 500_000_000_000 + 7)
    found, _ = values(capsys, tmp_path / "sparse.npz")
    assert found["values"] == plain
    assert found["settings"]["labels"] == "4 ids from 7 to 1500000000007, numbered 0 to 3 in order"
    words = np.array(["ant", "bee", "cat", "dog"])[Y]
    np.savez(tmp_path / "words.npz", H=H, y=words)
    np.save(tmp_path / "H.npy", H)
    np.save(tmp_path / "words.npy", words)
    for arguments in (["words.npz"], ["H.npy", "--labels", tmp_path / "words.npy"]):
        found, _ = values(capsys, tmp_path / arguments[0], *arguments[1:])
        assert found["values"] == plain and found["settings"]["labels"] == "0 ant, 1 bee, 2 cat, 3 dog"
    error = refused(capsys, tmp_path / "plain.npz", "--num-classes", 2_000_000_000_000)
    assert "num_classes=2000000000000, dim=4: needs " in error and "GiB of memory" in error


def test_value_float8_is_read(tmp_path, capsys):
    small = torch.tensor(H).to(torch.float8_e4m3fn)
    save_file({"H": small, "y": torch.tensor(Y)}, tmp_path / "small.safetensors")
    found, _ = values(capsys, tmp_path / "small.safetensors")
    assert found["values"]["nc1_trace_ratio"] == pytest.approx(ratio(small.double().numpy(), Y))


def test_value_the_reading_says_no_more_than_the_numbers(tmp_path, capsys):
    np.savez(tmp_path / "one.npz", H=H[:K], y=Y[:K])
    found, _ = values(capsys, tmp_path / "one.npz")
    assert "Variance within classes is not measurable: every class has one sample." in found["reading"]
    assert "nearly one point" not in found["reading"]
    np.savez(tmp_path / "huge.npz", H=np.eye(4)[Y] * 1e300, y=Y)
    assert "whose squares are not finite in float64" in refused(capsys, tmp_path / "huge.npz")
    line = np.array([[0.1, 0.2, 0.3], [0.3, 0.6, 0.9], [0.7, 1.4, 2.1]])[np.arange(N) % 3]
    np.savez(tmp_path / "line.npz", H=line + 0.01 * G.normal(size=line.shape) * [[1, 2, 3]], y=np.arange(N) % 3)
    straight = line + 0.01 * G.normal(size=(N, 1)) * [[1, 2, 3]]
    np.savez(tmp_path / "straight.npz", H=straight, y=np.arange(N) % 3)
    found, _ = values(capsys, tmp_path / "straight.npz")
    assert "The class means span 1 of the 2 dimensions that they could: NC1 with directions" in found["reading"]
    stats = ClassStatistics.from_features(torch.tensor(straight), torch.arange(N) % 3, 3)
    assert metrics.mean_rank(stats) == (1, 2)
    assert "The class means span" not in values(capsys, tmp_path / "line.npz")[0]["reading"]


def test_value_directions_that_differ_by_rounding_are_not_exact_duplicates():
    rows = torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.6, 0.9]], dtype=torch.float64)
    assert 36 < metrics.hyperspherical_uniformity(rows).log_mean or metrics.hyperspherical_uniformity(rows).mean > 36
    assert metrics.hyperspherical_uniformity(rows[[0, 0]]).mean == float("inf")


@pytest.mark.parametrize("error", [RuntimeError("first line\nsecond"), KeyError("x"), AttributeError("y")])
def test_value_an_unforeseen_error_is_one_line_and_debug_shows_it(tmp_path, capsys, monkeypatch, error):
    from nclib.measuring import commands

    def broken(*arguments):
        raise error

    monkeypatch.setattr(commands, "measure", broken)
    said = refused(capsys, "a.npz")
    assert said.startswith(f"nclib: {type(error).__name__}: ") and "(--debug shows where)" in said
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr("sys.argv", ["nclib", "measure", "a.npz", "--debug"])
        cli.main()


def test_law_a_terminal_of_another_encoding_loses_no_table(tmp_path):
    import os
    import subprocess
    import sys

    names = np.array(["Ärger", "猫"])[Y % 2]
    np.savez(tmp_path / "words.npz", H=H, y=names)
    done = subprocess.run(
        [sys.executable, "-m", "nclib", "measure", tmp_path / "words.npz", "--device", "cpu"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )
    assert done.returncode == 0, done.stderr
    assert b"labels 0 \xc4rger" in done.stdout and rb"1 \u732b" in done.stdout and b"nc1_trace_ratio" in done.stdout


def test_value_the_table_begins_with_the_four_numbers(tmp_path, capsys):
    np.savez(tmp_path / "f.npz", H=H, y=Y)
    np.savez(tmp_path / "W.npz", weight=G.normal(size=(K, D)), bias=G.normal(size=K))
    options = ["--classifier", str(tmp_path / "W.npz"), "--device", "cpu"]
    _, out, _ = call(capsys, "measure", str(tmp_path / "f.npz"), *options)
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("metric"))
    assert [line.split()[0] for line in lines[head + 1 : head + 5]] == ["nc1", "etf_error", "nc3", "ncc_agreement"]
    assert lines[head + 6].startswith("How collapsed: ") and set(lines[head + 7]) == {"-"}
    assert sum(line.startswith("nc1 ") for line in lines) == 1 and lines[head + 8].startswith("classes")


def test_value_ids_beyond_int64_are_numbered(tmp_path, capsys):
    """Hashes are ids of 64 bits without a sign: as int64 half of them would be negative."""
    np.savez(tmp_path / "f.npz", H=H, y=Y)
    np.savez(tmp_path / "hash.npz", H=H, y=Y.astype(np.uint64) * np.uint64(2**62) + np.uint64(3))
    found, _ = values(capsys, tmp_path / "hash.npz")
    assert found["values"] == values(capsys, tmp_path / "f.npz")[0]["values"]
    assert found["settings"]["labels"] == "0 3, 1 4611686018427387907, 2 9223372036854775811, 3 13835058055282163715"
