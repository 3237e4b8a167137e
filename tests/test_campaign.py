"""The campaign at smoke size on a CPU: stopped and taken up again, it ends with the tables of an undisturbed one."""

import pandas as pd
import pytest

from nclib import campaign, results

QUEUE = (
    ("depth", lambda run: run.NAME == "tirer2023.depth_network"),
    ("minority_collapse", lambda run: run.NAME == "dang2023.seli"),
)


def test_oracle_a_stopped_campaign_goes_on(store, tmp_path, monkeypatch):
    said = []
    tasks = campaign.pending("smoke", QUEUE)
    assert [task.study for task in tasks] == ["depth"] * 2 + ["minority_collapse"]
    for _ in range(10):  # killed before anything can end
        left = campaign.work(tasks, "smoke", "cpu", jobs=2, seconds=0.3, say=said.append)
    assert len(left) == 3 and len(said) == 20 and all(line.startswith("stopped") for line in said)
    assert campaign.work(tasks, "smoke", "cpu", jobs=2, seconds=120, say=said.append) == []
    assert campaign.pending("smoke", QUEUE) == []
    found = [results.find(task.config) for task in tasks]
    monkeypatch.setenv("NCLIB_CACHE", str(tmp_path / "undisturbed"))
    for task, table in zip(tasks, found, strict=True):
        pd.testing.assert_frame_equal(table, results.get(task.config, "cpu"), check_exact=True)


def test_value_a_run_that_fails_is_named_and_the_others_go_on(store, monkeypatch):
    """Its data is missing: images are looked for in an empty folder, and there is nothing to download them with."""
    said = []
    monkeypatch.setenv("NCLIB_DATA", str(store / "afile"))
    (store / "afile").write_text("")
    tasks = campaign.pending("smoke", QUEUE[1:])
    broken = campaign.Task(
        "tirer2023.regularization", 0, results.configs(results.study("tirer2023.regularization"), "paper")[0]
    )
    left = campaign.work([broken], "paper", "cpu", 1, 120, said.append)
    left += campaign.work(tasks, "smoke", "cpu", 1, 120, said.append)
    assert left == [broken] and [line.split()[0] for line in said] == ["failed", "done"]
    assert "tirer2023.regularization --index 0" in said[0] and "is a file, must be a folder" in said[0]


def test_value_paper_scale_starts_with_what_needs_a_gpu():
    tasks = campaign.pending()
    assert all(results.needs_gpu(task.config) for task in tasks)
    assert len({results.key(task.config) for task in tasks}) == len(tasks) > 100
    assert tasks[0].study == "tirer2023.regularization" and tasks[0].config.loss == "mse" and tasks[0].config.seed == 0
    with pytest.raises(ValueError, match="profile"):
        campaign.pending("poster")
