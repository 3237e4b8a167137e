"""Page 21: spectra and phases."""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages._collapses.classifier import accuracy, digits, network
from nclib.pages.spectra import claims, figures, views, zoo
from nclib.pages.spectra.quoted import quoted
from nclib.pages.spectra.study import STUDY
from nclib.runs.study import own_runs


def test_law_the_midpoint_of_a_network_and_itself_gains_nothing():
    torch.manual_seed(0)
    data, model, other = digits(4), network(5, 1), network(5, 1)
    same = zoo.measures([model, deepcopy(model)], data)
    assert same["gain"] == 0 and same["barrier"] == pytest.approx(0, abs=1e-6)
    assert same["error"] == pytest.approx(1 - accuracy(model, data.x, data.y))
    assert abs(zoo.measures([model, other], data)["barrier"]) > 1e-3


def toy():
    """Outliers one above K at most; networks fit from the third width on, the ratio jumps there or a step later."""
    found = []
    for seed in (0, 1):
        for K in (3, 5):
            for s, which in enumerate(views.WHICH):
                found.append({"metric": "outliers", "classes": K, "which": which, "value": float(K - s), "seed": seed})
        values = {
            "error": [[0.5, 0.4], [0.1, 0.2], [0.0, 0.0]], "trace_ratio": [[4.0, 4], [3, 3.9], [1, 0.1]],
            "loss": [[1.0, 2], [0.3, 0.4], [0.1, 0.2]], "gain": [[-0.1, -0.1], [0.1, -0.2], [0.1, 0.3]],
        }  # fmt: skip
        for metric, table in values.items():
            for width, line in zip((2, 4, 8), table, strict=True):
                for batch, value in zip((8, 32), line, strict=True):
                    found.append(
                        {"part": "zoo", "metric": metric, "width": width, "batch": batch, "value": value, "seed": seed}
                    )
    return pd.DataFrame(found).assign(beside="", theory=np.nan)


def test_value_claims_of_a_toy_table():
    judged = judge_all(claims.HEADLINES, toy()).set_index("id")["values"].map(lambda values: values[0])
    assert judged["collapses.hessian.all"] == 0 and judged["collapses.hessian.centered"] == 2
    assert judged["collapses.hessian.uncentered"] == 0
    assert judged["collapses.zoo.jump"] == 0
    assert judged["collapses.zoo.loss"] == pytest.approx(1.0) and judged["collapses.zoo.ratio"] == pytest.approx(1.0)
    worse = toy()
    worse.loc[(worse["metric"] == "gain") & (worse["width"] == 8), "value"] = -1.0
    worse.loc[(worse["metric"] == "error") & (worse["width"] == 4), "value"] = 0.0
    judged = judge_all(claims.HEADLINES, worse).set_index("id")["values"].map(lambda values: values[0])
    assert judged["collapses.zoo.jump"] == 1 and judged["collapses.zoo.loss"] == pytest.approx(3 / 5)


def test_figures_and_claims_of_the_smoke_profile(smoke_table):
    table = own_runs(smoke_table(STUDY))
    judged = judge_all(claims.HEADLINES, table)
    assert len(judged) == 6 and "not at this scale" not in set(judged["verdict"])
    assert all(quoted(table).values())
    for draw, rows, panels in ((figures.spectra, views.panels(table), 2), (figures.zoo, views.zoo(table), 3)):
        made = drawn(draw, rows)
        assert len(made.axes) == panels and all(axis.lines for axis in made.axes)
        plt.close(made)


def test_law_runs_are_distinct_and_seeds_consecutive():
    for profile, number in {"smoke": 3, "laptop": 18, "paper": 60}.items():
        runs = STUDY.runs(profile, seed=5)
        assert len({run.key() for run in runs}) == len(runs) == number
        assert min(run.seed for run in runs) == 5 and not any(run.needs_gpu() for run in runs)
