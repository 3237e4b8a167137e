import json
import subprocess
import sys

import pandas as pd
import pytest

from nclib import cli, pages
from nclib.evidence import ledger
from nclib.evidence.claims import Claim, Headline, at_most, judge_all, near
from nclib.runs import store as kept

STUDY = "geometry"


def call(capsys, *arguments):
    """(exit code, stdout, stderr) of the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["nclib", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_runs_are_listed_run_and_found_again(store, capsys):
    code, listed, _ = call(capsys, "runs", STUDY, "--profile", "smoke")
    assert code == 0 and "  -  " in listed.splitlines()[0]
    code, ran, _ = call(capsys, "run", STUDY, "--profile", "smoke", "--index", "0")
    assert code == 0 and len(ran.splitlines()) == 1
    _, listed, _ = call(capsys, "runs", STUDY, "--profile", "smoke")
    assert "  cache  " in listed.splitlines()[0]
    table, _ = kept.find(pages.study(STUDY).runs("smoke")[0])
    assert len(table)


def test_claims_are_shown_as_text_and_json(store, capsys):
    one = Claim("x.y", "one is one", near(1.0, 0.0), lambda table: 1.0)
    none = Claim("x.z", "none", at_most(0.0, 0.1), lambda table: [0.0, 0.25], every=True)
    headlines = [Headline("x", "X", [one, none], kind="check", of="us", seen="derived")]
    ledger.record(judge_all(headlines, pd.DataFrame({"beside": [""]})), "01-x", "smoke")
    lines = [line.split("  ") for line in call(capsys, "claims", "--profile", "smoke")[1].splitlines()]
    assert [[part.strip() for part in line if part.strip()] for line in lines] == [
        ["holds", "x.y", "1", "== 1", "[smoke]"],
        ["fails", "x.z", "0.125 [0, 0.25]", "<= 0 (tolerance 0.1), every run", "[smoke]"],
    ]
    assert json.loads(call(capsys, "claims", "--json", "--profile", "smoke")[1])[0]["id"] == "x.y"
    assert "x.y" not in call(capsys, "claims", "--verdict", "fails", "--profile", "smoke")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "dang2023.nothing"], "study = 'dang2023.nothing': must be one of"),
        (["run", STUDY, "--profile", "huge"], "profile = 'huge': must be one of smoke, laptop, paper"),
        (["run", STUDY, "--profile", "smoke", "--index", "999"], "index = 999: must be from 0 to"),
        (["run", STUDY, "--profile", "smoke", "--device", "tpu"], "device = 'tpu': must be auto, cpu or cuda"),
        (["claims", "--verdict", "maybe"], "verdict = 'maybe': must be one of holds, fails"),
        (["claims", "--profile", "huge"], "profile = 'huge': must be one of smoke, laptop, paper"),
        (
            ["run", "linguistic_scaling", "--corpus", "novels"],
            "corpus = 'novels': must be one of documentation, reference",
        ),
        (["run", "depth", "--profile", "huge"], "profile = 'huge': must be one of smoke, laptop, paper"),
        (["runs", "depth", "--corpus", "books"], "corpus = 'books': the runs of depth read no text"),
        (["runs", "deep_linear", "--corpus", "books"], "corpus = 'books': the runs of deep_linear read no"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(store, capsys, arguments, message):
    code, _, error = call(capsys, *arguments)
    assert code == 2 and message in error and len(error.strip().splitlines()) == 1


def test_doctor_as_a_command():
    done = subprocess.run([sys.executable, "-m", "nclib", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch" in done.stdout and "cifar10" in done.stdout and "CUDA device" in done.stdout
