"""workflow/book.py on a small checkout with a path that is hard to quote: what it runs, what it says, what ends it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from smoke_book import clean_environment

ROOT = Path(__file__).resolve().parents[1]
HARD = "z$(touch PWNED)"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def checkout(folder, **notebooks):
    """A checkout with these notebooks, {name: [source of a cell]}, and no other page."""
    for name in ("notebooks", "results/benchmarks", "book"):
        (folder / name).mkdir(parents=True)
    (folder / "nclib").symlink_to(ROOT / "nclib")
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "book/settings.yml"):
        shutil.copy(ROOT / name, folder / name)
    chapters = [{"file": f"notebooks/{name}"} for name in notebooks]
    (folder / "_toc.yml").write_text(json.dumps({"format": "jb-book", "root": "book/index", "chapters": chapters}))
    for name, sources in notebooks.items():
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(book, folder / "notebooks" / f"{name}.ipynb")
    return folder


def start(folder, **options):
    """`make book` without make; interrupts reach it whatever those who started this test ignore."""
    command = [
        sys.executable,
        str(folder / "workflow" / "book.py"),
        "--build",
        str(folder / "build"),
        "--profile=smoke",
    ]
    options |= {"stderr": subprocess.PIPE, "text": True}
    options["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, cwd=folder, env=clean_environment(), **options)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """(checkout, what is said) where a notebook has a name that a shell would run, one fails, and one is killed."""
    notebooks = {
        HARD: ["x = 1"],
        "09-bad": ["x = 1", "\n".join(f"x{n} = {n}" for n in range(20)) + "\nx / 0"],
        "10-dead": ["import os, signal", "os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)"],
    }
    folder = checkout(tmp_path_factory.mktemp("refused") / "a b'ü", **notebooks)
    for index in range(100):
        (folder / "results" / str(index)).mkdir()
        (folder / "results" / str(index) / "manifest.json").touch()
    process = start(folder)
    said = process.communicate()[1]
    assert process.returncode == 1, said
    return folder, said.strip().splitlines()


def test_law_a_name_is_quoted_in_every_step(refused):
    folder, said = refused
    assert (folder / "build" / "executed" / HARD / "notebook.ipynb").exists()
    assert f"notebooks/{HARD}.ipynb: it recorded no claims at profile smoke" in said
    assert not list(folder.rglob("PWNED"))


def test_law_what_failed_is_said_cause_first(refused):
    _, said = refused
    assert said[:3] == [
        "The book was not built.",
        "notebooks/09-bad.ipynb: cell 2 raised ZeroDivisionError: division by zero",
        "    x15 = 15",
    ]
    assert "executed/10-dead.log: a step left no word of why; its log ends with" in said
    assert len(said) < 30 and not [line for line in said if "manifest.json" in line]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_law_whatever_ends_the_build_ends_all_that_it_started(tmp_path, number):
    """Sent to the one process alone. Meanwhile another build in the folder waits, and says for whom."""
    source = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    folder = checkout(tmp_path / "a b'ü", long=[source])
    first = start(folder)
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text())
    started = psutil.Process(first.pid).children(recursive=True)
    assert int((folder / "pid").read_text()) in [process.pid for process in started]
    with start(folder) as second:
        assert second.stderr.readline() == f"Waiting for process {first.pid}, which builds in {folder / 'build'}\n"
        second.kill()
    assert "rule execute" in (folder / "build" / "snakemake.log").read_text()
    first.send_signal(number)
    said = first.communicate()[1]
    assert psutil.wait_procs(started, timeout=20)[1] == []
    assert "Traceback" not in said
    if number == signal.SIGINT:
        assert first.returncode == 130 and said.startswith("Interrupted")
