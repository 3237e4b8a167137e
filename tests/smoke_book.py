"""The book at profile smoke, built once for all tests: killed in the middle of its first run, then called again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]


def clean_environment(**more):
    """The environment without the settings that a test must not inherit; the folder of data stays."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NCLIB_", "NC_", "PYTEST_"))}
    data = {"NCLIB_DATA": os.environ["NCLIB_DATA"]} if "NCLIB_DATA" in os.environ else {}
    return kept | data | more


def command(build):
    return [sys.executable, str(ROOT / "workflow" / "book.py"), "--build", str(build), "--profile", "smoke"]


def stored_runs(build):
    """{folder of a finished run: when its table was written}."""
    found = (build / "cache").glob("*/[!.]*/table.csv")
    return {str(table.parent.relative_to(build)): table.stat().st_mtime_ns for table in found}


def build_after_kill(build):
    """Start the build, kill it and its children once a run is finished, call it again; what happened."""
    build.mkdir()
    with open(build / "first.log", "w") as log:
        first = subprocess.Popen(
            command(build), env=clean_environment(), stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 240
        while not stored_runs(build) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        early = first.poll()
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = stored_runs(build)
    (build / "killed").touch()  # from here on other tests use its runs, and it theirs: see `stored_runs` of conftest.py
    second = subprocess.run(command(build), env=clean_environment(), capture_output=True, text=True)
    after = stored_runs(build)
    return {"killed": early is None, "before": before, "after": after, "code": second.returncode} | {
        "output": second.stdout + second.stderr
    }


def built_book(tmp_path_factory):
    """(build folder, what happened) of the one build of this test session, whichever of its workers makes it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    build, note = base / "book", base / "book.json"
    with FileLock(base / "book.lock"):
        if not note.exists():
            note.write_text(json.dumps(build_after_kill(build)))
    return build, json.loads(note.read_text())


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The build folder of the finished book; the test fails with the account of the build where it did not finish."""
    build, account = built_book(tmp_path_factory)
    assert account["code"] == 0, account["output"]
    return build


@pytest.fixture(scope="session")
def account(tmp_path_factory):
    return built_book(tmp_path_factory)[1]
