"""Machines that lack something: a locale, a home, rights, memory or disk. What runs there works, or says why in one
line, and what was there before stays whole."""

import ast
import contextlib
import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from test_cli import call

from nclib import ClassStatistics, StatisticsAccumulator, _device
from nclib.measuring import features
from nclib.runs import seal, work
from nclib.runs import store as files

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def limit(which, value):
    """A soft limit of this process for a moment."""
    before = resource.getrlimit(which)
    resource.setrlimit(which, (value, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


BARE = """
import os
os.umask(0o077)
from nclib.evidence import ledger
from nclib.evidence.claims import Claim, Headline, at_least, judge_all
import pandas as pd
claim = Claim("x.y", "λ ≤ 1/√d – ü", at_least(1.0), lambda table: 2.0)
judged = judge_all([Headline("x", "Ω", [claim], "check", "here", "derived")], pd.DataFrame({"beside": [""]}))
ledger.record(judged, "01-x", "smoke")
from nclib import cli
cli.main()
"""


@pytest.mark.skipif(not torch.__file__.isascii(), reason="torch in a folder of another alphabet needs a locale")
@pytest.mark.parametrize("arguments", [["claims", "--profile", "smoke", "--json"], ["measure", "ü.npz", "--figure"]])
def test_law_without_locale_home_and_temporary_folder(tmp_path, arguments):
    """ASCII alone, no HOME and no TMPDIR, and a umask that shows files to nobody else."""
    folder = tmp_path / "a b'ü"
    folder.mkdir()
    np.savez(folder / "ü.npz", H=np.eye(4)[[0, 1, 2, 0, 1, 2]], y=[0, 1, 2, 0, 1, 2])
    if arguments[0] == "measure":
        arguments = ["measure", str(folder / "ü.npz"), "--figure", str(folder / "ü.png")]
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    bare |= {"NCLIB_BUILD": str(folder / "build"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = tmp_path / "bare.py"
    script.write_text(BARE, encoding="utf-8")
    done = subprocess.run([sys.executable, script, *arguments], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and (arguments[0] == "measure" or '"id":"x.y"' in done.stdout)
    made = [folder / "build/claims/smoke/01-x.json", *folder.glob("*.png")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in made)
    assert len(made) == 1 + (arguments[0] == "measure")


def test_law_every_text_file_is_read_and_written_as_utf8():
    """A machine's locale would decide otherwise."""
    found = []
    for path in [*(ROOT / "nclib").rglob("*.py"), *(ROOT / "workflow").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            mode = next((arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)), "r")
            text = name in ("read_text", "write_text") or (isinstance(node.func, ast.Name) and name == "open")
            if text and "b" not in str(mode) and not any(word.arg == "encoding" for word in node.keywords):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_law_a_cache_that_cannot_be_written_is_one_line_before_the_work(store, monkeypatch, capsys):
    toy.calls.clear()
    monkeypatch.setenv("NCLIB_CACHE", "/proc/nowhere")
    with pytest.raises(OSError):
        work.get(toy.Toy())
    assert toy.calls == []
    code, _, error = call(capsys, "run", "deep_linear", "--profile", "smoke", "--index", "0")
    assert code == 2 and error.startswith("nclib: ") and len(error.splitlines()) == 1 and "/proc/nowhere" in error


def test_law_archived_runs_are_read_where_nothing_can_be_written(store, monkeypatch):
    work.get(toy.Toy(), root=store / "results")
    monkeypatch.setenv("NCLIB_CACHE", "/proc/nowhere")
    assert len(work.get(toy.Toy())) == 3


def test_law_a_full_disk_leaves_what_was_there(store, capsys):
    """A run, statistics and a file: each fails in one line, and leaves nothing beside the old."""
    stats = ClassStatistics.from_features(torch.arange(4000.0).reshape(40, 100), torch.arange(40) % 4, 4)
    path = store / "stats.safetensors"
    stats.save(path)
    before = path.read_bytes()
    with limit(resource.RLIMIT_FSIZE, 100):
        for write in (lambda: (stats + stats).save(path), lambda: work.get(toy.Toy())):
            with pytest.raises(OSError):
                write()
        with pytest.raises(OSError):
            seal.write_atomic(store / "new", b"x" * 101)
    assert path.read_bytes() == before and {item.name for item in store.iterdir()} <= {path.name, "cache"}
    assert not [item for item in (store / "cache").rglob("*") if item.is_file()]
    assert len(work.get(toy.Toy())) == 3 and files.find(toy.Toy()) is not None


def test_value_room_is_asked_for_before_it_is_taken():
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    with limit(resource.RLIMIT_AS, taken + 2**31):
        assert 2**30 < _device.free_memory() <= 2**31
        with pytest.raises(ValueError, match=r"num_classes=1000000000, dim=2: needs 37.3 GiB of memory, [0-9.]+ GiB"):
            StatisticsAccumulator(10**9, 2)
    with pytest.raises(ValueError, match=r"num_classes=1000000000000, dim=2: needs 37,252.9 GiB of memory"):
        StatisticsAccumulator(10**12, 2)


def zeros(archive, name, shape, dtype):
    """A member of zeros that takes a thousandth of its size; nothing is allocated whole."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        left = int(np.prod(shape)) * np.dtype(dtype).itemsize
        while left:
            left -= file.write(bytes(min(left, 2**22)))


def test_law_a_small_file_of_many_labels_is_refused_by_its_header(tmp_path, capsys):
    path = tmp_path / "f.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        zeros(archive, "H", (10, 2), "f4")
        zeros(archive, "y", (10**8,), "i1")
    assert path.stat().st_size < 2_000_000
    with pytest.raises(ValueError, match=r"f.npz: labels have shape \(100000000,\), must be \(10,\) as .*f.npz has"):
        features.read_samples(path)
    np.savez(path, H=np.eye(3), y=[0, 1, 10**12])
    code, _, error = call(capsys, "measure", str(path), "--num-classes", str(10**12 + 1))
    assert code == 2 and "GiB of memory" in error and len(error.splitlines()) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount") or pytest.skip("no program to mount a small disk")
    command = [mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk):
    """Leave no byte; the file that takes them."""
    with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return disk / "filler"


def test_law_a_disk_without_a_byte_leaves_what_was_there(small_disk, tmp_path, monkeypatch, capsys):
    """The disk itself says no (ENOSPC): a run, statistics, a file and a command; with room again all work."""
    for kind in ("cache", "results", "build"):
        monkeypatch.setenv(f"NCLIB_{kind.upper()}", str(small_disk / kind))
    stats = ClassStatistics.from_features(torch.arange(4000.0).reshape(40, 100), torch.arange(40) % 4, 4)
    path, features_file = small_disk / "stats.safetensors", tmp_path / "f.npz"
    np.savez(features_file, H=np.arange(4000.0).reshape(40, 100), y=np.arange(40) % 4)
    stats.save(path)
    stored = work.get(toy.Toy())
    before = {item: item.read_bytes() for item in small_disk.rglob("*") if item.is_file()}
    filler = fill(small_disk)
    other = toy.Toy(seed=5)
    writes = (lambda: (stats + stats).save(path), lambda: work.get(other), lambda: seal.write_atomic(path, b"x" * 9))
    for write in writes:
        with pytest.raises(OSError) as refused:
            write()
        assert refused.value.errno == errno.ENOSPC
    code, _, error = call(capsys, "measure", str(features_file), "--save", str(path))
    assert code == 2 and error.startswith("nclib: ") and len(error.splitlines()) == 1 and "No space left" in error
    filler.unlink()
    assert {item: item.read_bytes() for item in small_disk.rglob("*") if item.is_file()} == before
    assert work.get(toy.Toy()).equals(stored) and len(work.get(other)) == len(stored)
