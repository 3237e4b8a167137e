"""Page 03, imbalanced classes: direct optimization, narrow layers, networks, and minima of another optimizer."""

import dataclasses
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages._linear_heads import figures as heads
from nclib.pages._linear_heads import network
from nclib.pages._linear_heads.direct import Direct
from nclib.pages._linear_heads.network import Network
from nclib.pages.imbalanced_geometry import claims, figures, views
from nclib.pages.imbalanced_geometry.claims import HEADLINES
from nclib.pages.imbalanced_geometry.minimum import Minimum
from nclib.pages.imbalanced_geometry.quoted import quoted
from nclib.pages.imbalanced_geometry.study import STUDY, decay
from nclib.runs.store import PROFILES
from nclib.theory.deep_linear import collapse_threshold


def test_value_the_decay_at_which_a_size_collapses():
    """At M = 1 classes of up to N^2 lam^2 do: 2.5 of N = 10. At M = 2, 2 N (N lam^3)^(1/2) / n is the threshold 1/2."""
    assert decay(2.5, (6, 4), 1) == pytest.approx(math.sqrt(2.5) / 10)
    lam = decay(3.0, (6, 4), 2)
    assert 2 * 10 * math.sqrt(10 * lam**3) / 3 == pytest.approx(collapse_threshold(2)) == pytest.approx(0.5)


@pytest.mark.parametrize("bias, depth", [(False, 1), (True, 1), (True, 2)])
def test_attainment_the_closed_form_is_the_lowest_end(bias, depth):
    table = Minimum((5, 3, 2), depth, 0.03, bias, seeds=(7,)).run().set_index("metric")
    assert table.loc["loss", "value"] == pytest.approx(table.loc["loss", "theory"], abs=1e-12)
    assert table.loc[["gram_W", "gram_H"], "value"].max() < 1e-6 and table.loc["bias", "value"] < 1e-6
    np.testing.assert_allclose(table.loc["energy", "value"], table.loc["energy", "theory"], atol=1e-6)
    assert table.loc["contrast", "value"] == pytest.approx(table.loc["contrast", "theory"], abs=1e-6)


def test_value_one_layer_without_a_bias():
    """|w_k|^2 = sqrt(n_k) - N lam and N lam |h_k|^2 = q (1 - q), q = 1 - N lam / sqrt(n_k): 9 and 4 samples, N lam = 1.
    The longest mean is that of 4 samples, 4 N^2 lam^2."""
    table = Minimum((9, 4), 1, 1 / 13, False, seeds=(0,)).run().set_index("metric")
    assert table.loc["length_w", "theory"].tolist() == pytest.approx([math.sqrt(2), 1])
    assert table.loc["energy", "theory"].tolist() == pytest.approx([2 / 9, 1 / 4])
    assert table.loc["contrast", "theory"] == pytest.approx(math.sqrt(3))


def minima(*lengths, depth=1, lam=0.05):
    """Rows of `energy` and `length_w` of three classes of 16, 9 and 1 samples, N lam = 1.3: 4 N^2 lam^2 = 6.76."""
    at = {"run": "a", "seed": 0, "depth": depth, "lam": lam, "counts": "16 9 1", "part": "lengths", "beside": ""}
    rows = [at | {"metric": "energy", "i": i, "value": value, "theory": 1.0} for i, value in enumerate(lengths)]
    rows += [at | {"metric": "length_w", "i": i, "value": 3.0 - i, "theory": 1.0} for i in range(3)]
    return pd.DataFrame(rows)


def test_value_order_of_lengths():
    assert claims.disorder(minima(0.1, 0.2, 0.15)) == [0], "16 is shorter than 9, and 1, below the peak, than both"
    assert claims.disorder(minima(0.1, 0.2, 0.25)) == [1] and claims.disorder(minima(0.3, 0.2, 0.25)) == [2]
    assert claims.disorder(minima(0.1, 0.2, 0.25, depth=2)) == [0]
    assert claims.disorder(minima(0.1, 0.2, 0.15, depth=2)) == [1]
    assert np.isnan(claims.disorder(minima(0.1, math.nan, 0.15))[0]), "what is missing does not pass"
    assert claims.longer(minima(0.1, 0.2, 0.15)) == [1.5] and claims.top(minima(0.1, 0.2, 0.15)) == [0.2]
    dead = minima(0.1, 0.2, 0.0)
    dead.loc[dead["i"] == 2, "theory"] = 0.0
    assert claims.disorder(dead) == [0] and claims.longer(dead) == [1.5], "a class that is to vanish has no order"


def test_value_order_in_networks():
    """Lengths 3, 2, 2.5 of 30, 20, 10 images: the smallest |w_j|/|w_k| is 2/2.5."""
    at = {"run": "a", "seed": 0, "step": 5, "metric": "length_w", "counts": "30 20 10"}
    rows = pd.DataFrame([at | {"i": i, "value": value} for i, value in enumerate((3, 2, 2.5))])
    assert claims.order("length_w", 1)(rows) == [0.8] and claims.order("length_w", -1)(rows) == [2 / 3]
    at = at | {"experiment": "dang2023.network", "step": 1000}
    assert claims.uneven(pd.DataFrame([at])) and not claims.uneven(pd.DataFrame([at | {"counts": "20 20 20"}]))


@pytest.mark.parametrize("profile", PROFILES)
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=5)
    assert len({run.key() for run in runs}) == len(runs)
    seeds = {s for run in runs for s in ((run.seed,) if isinstance(run, Network) else run.seeds)}
    assert seeds == {5, 6, 7} and "paper" in STUDY.cost
    assert {run.needs_gpu() for run in runs if isinstance(run, Network)} == {profile == "paper"}


def test_value_overrides():
    runs = STUDY.runs("smoke", depths=[2], counts=[5, 3], lam=1e-2, network_lam=1e-4)
    assert runs[0] == Direct((5, 3), 16, 2, False, 1e-2, 400, 0.2, seeds=(0,))
    assert [(run.depth, run.lam, run.scale) for run in runs if isinstance(run, Network)] == [
        (2, 1e-4, "paper"),
        (2, pytest.approx(1e-5), "authors-imbalanced"),
    ]
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")


@pytest.mark.data
def test_the_paper_profile_runs(monkeypatch, few_images):
    """The paper's network on real CIFAR-10, with few images and steps."""
    run = STUDY.named("paper")["network"][0]
    assert run.needs_gpu() and run.counts[0] == 100 and run.epochs == 12_000
    monkeypatch.setattr(network, "load", lambda *_: few_images)
    small = {"counts": (1, 1, 2, 2, 2, 3, 3, 3, 3, 3), "epochs": 2, "drop": 1, "width": 24, "precision": "float32"}
    found = dataclasses.replace(run, **small).run()
    errors = found[found["metric"] == "authors_nc2_W"]
    assert found["value"].notna().all() and errors["value"].between(0, 2).all() and errors["step"].max() == 2


def test_value_narrow_layers_keep_the_largest_class():
    """One dimension, classes of 8, 4, 2, 2 samples: |w|^2 = sqrt(n lam_H / lam_W) - N lam_H of the largest alone."""
    run = Direct((8, 4, 2, 2), width=1, depth=1, bias=False, lam=5e-3, steps=4000, std=0.8, seeds=(0, 1))
    ends = run.run().query("metric == 'length_w'")
    lengths = ends.pivot(index="i", columns="seed", values="value").to_numpy()
    assert lengths[0] == pytest.approx([(8**0.5 - 16 * 5e-3) ** 0.5] * 2, rel=1e-4)
    assert (lengths[1:] < 1e-4).all()


@pytest.fixture(scope="module")
def smoke(smoke_table):
    return smoke_table(STUDY)


def test_figures_and_claims_of_the_smoke_profile(smoke):
    judged = judge_all(HEADLINES, smoke)
    own = judged[judged["beside"] == ""].set_index("id")["verdict"]
    checked = own.index.str.startswith(
        ("dang2023.imbalanced.bias.", "dang2023.imbalanced.order.", "dang2023.imbalanced.length.")
    )
    assert set(own[~checked]) == {"not at this scale"} and set(own[checked]) == {"holds"} and checked.sum() == 6
    for draw, rows in (
        (figures.lengths, views.lengths(smoke, "direct")),
        (figures.lengths, views.lengths(smoke, "network")),
        (figures.energies, views.energies(smoke)),
        (figures.layers, views.layers(smoke)),
        (figures.widths, views.widths(smoke)),
        (figures.floor, views.floor(smoke)),
        (heads.direct_curves, views.curves(smoke, "direct")),
        (heads.network_curves, views.curves(smoke, "network")),
        (heads.gram_matrices, views.gram_matrices(smoke, "direct")),
    ):
        made = drawn(draw, rows)
        assert all(axis.get_xlabel() for axis in made.axes[:1])
        plt.close(made)
    assert quoted(smoke)["narrow-lost"].endswith(("lose", "loses"))


def test_law_archived_runs_are_judged_and_drawn_beside(smoke):
    """Direct optimizations hold, networks at the authors' setting do not come near."""
    judged = judge_all(HEADLINES, smoke).query("beside == 'paper scale' and verdict != 'not at this scale'")
    networks = judged["headline"].isin(["dang2023.imbalanced.network", "dang2023.imbalanced.authors"])
    assert set(judged[~networks]["verdict"]) == {"holds"} and len(judged[~networks]) == 21
    assert set(judged[networks]["verdict"]) == {"fails"} and len(judged[networks]) == 12
    made = drawn(figures.lengths, views.lengths(smoke, "network"))
    assert [axis.get_title() for axis in made.axes] == [""] * 2 + ["paper scale"] * 2
    plt.close(made)
    assert quoted(smoke)["objective-deep"] == "21.8 to 24.5"


def test_value_sizes_of_classes():
    rows = pd.DataFrame({"counts": ["30 10 5", "8 4"], "i": [2, 0]})
    assert views.sizes(rows) == [5, 8]


def test_oracle_vectors_shared_beyond_the_threshold():
    """The three small classes of page 03 beyond their threshold, by plain gradient descent written out: equal rows."""
    run = STUDY.named("smoke")["bias, beyond the threshold"][0]
    n, lam = torch.tensor(run.counts), run.lam
    Y = torch.nn.functional.one_hot(torch.arange(4).repeat_interleave(n), 4).double().T
    generator = torch.Generator().manual_seed(1)
    W, H = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((4, 5), (5, 18)))
    b = torch.zeros(4, 1, dtype=torch.float64)
    for _ in range(4000):
        R = (W @ H + b - Y) / 18
        W, H, b = W - 0.5 * (R @ H.T + lam * W), H - 0.5 * (W.T @ R + lam * H), b - 0.5 * R.sum(1, keepdim=True)
    assert torch.linalg.norm(W[3] - W[2]) < 1e-5 and float(torch.linalg.norm(W[3])) == pytest.approx(0.2221, abs=1e-3)
