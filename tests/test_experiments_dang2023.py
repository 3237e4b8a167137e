"""The study of imbalanced classes and of narrow layers, measured beside predicted."""

import matplotlib.pyplot as plt
import pytest
from published import drawn

from nclib import results
from nclib.experiments.dang2023 import balanced_views, imbalanced, imbalanced_views, narrow
from nclib.pages._linear_heads.direct import Direct
from nclib.plotting import imbalanced as imbalanced_figures
from nclib.plotting import linear


def test_value_overrides():
    configs = imbalanced.runs("smoke", depths=[2], counts=[5, 3], lam=1e-2, network_lam=1e-4)
    assert configs[0] == Direct((5, 3), 16, 2, False, 1e-2, 400, 0.2, seeds=(0,))
    assert [(c.depth, c.lam, c.scale) for c in configs[1:]] == [
        (2, 1e-4, "paper"),
        (2, pytest.approx(1e-5), "authors-imbalanced"),
    ]


def test_figures_and_claims_of_the_smoke_profile(store):
    rows = results.table(imbalanced, "smoke")
    judged = imbalanced.claims(rows)
    assert len({row["id"] for row in judged}) == len(judged) > 20
    assert {row["verdict"] for row in judged} == {"not at this scale"}
    for draw, view, options in [
        (imbalanced_figures.lengths, imbalanced_views.lengths, {}),
        (imbalanced_figures.lengths, imbalanced_views.lengths, {"experiment": "network"}),
        (imbalanced_figures.layers, imbalanced_views.layers, {}),
        (imbalanced_figures.floor, imbalanced_views.floor, {}),
        (linear.gram_matrices, balanced_views.gram_matrices, {"experiment": "direct"}),
    ]:
        made = drawn(draw, view(rows, **options))
        assert all(axis.get_xlabel() for axis in made.axes[:2])
        plt.close(made)


def test_law_narrow_study_judges_both_geometries_and_both_frames(store):
    judged = narrow.claims(results.table(narrow, "smoke"))
    assert [row["id"].split(".")[1:3] for row in judged] == [["imbalanced", "narrow"]] * 2 + [
        ["balanced", frame] for frame in ("of", "of", "etf", "etf")
    ]
    assert {row["verdict"] for row in judged} == {"not at this scale"}
