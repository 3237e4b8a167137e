"""The studies of notebook 01: frames in three dimensions, traps of the metrics, the first network."""

import math

import matplotlib
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.data import Images
from nclib.experiments.dang2023 import first_network, frames, geometry_views, traps
from nclib.models import MLP
from nclib.plotting import geometry

matplotlib.use("agg")


def collected(study, configs):
    """The table of some configs without the store."""
    fields = [{name: [value] for name, value in vars(c).items()} for c in configs]
    tables = [study.run(c, "cpu") for c in configs]
    return pd.concat(
        [t.assign(**{k: v * len(t) for k, v in f.items()}) for t, f in zip(tables, fields, strict=True)],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def framed():
    return collected(frames, frames.runs("smoke"))


@pytest.fixture(scope="module")
def trapped():
    return collected(traps, traps.runs("smoke"))


def test_value_gof_closed_form():
    # s_1^2 = sqrt(30) - 45 * 5e-4 and so on, at lam_W = lam_H = 5e-4
    W, M, _ = frames.closed_form(frames.Config("GOF", (30, 10, 5), False, 5e-4, 0))
    s = [math.sqrt(math.sqrt(n) - 45 * 5e-4) for n in (30, 10, 5)]
    assert W.norm(dim=1).tolist() == pytest.approx(s, rel=1e-12)
    assert s == pytest.approx([2.3355, 1.7719, 1.4878], abs=5e-5)
    q = [1 - 45 * 5e-4 / math.sqrt(n) for n in (30, 10, 5)]
    assert (W @ M.mT).diagonal().tolist() == pytest.approx(q, rel=1e-12)


@pytest.mark.parametrize("frame", frames.FRAMES)
def test_law_symmetric_roots_have_the_grams_and_the_logits(frame):
    counts, bias = frames.FRAMES[frame]
    W, M, minimizer = frames.closed_form(frames.Config(frame, counts, bias, 5e-4, 0))
    for A, B, G in ((W, W, minimizer.gram_W), (M, M, minimizer.gram_H)):
        torch.testing.assert_close(A @ B.mT, G, rtol=0, atol=1e-12)
    torch.testing.assert_close(W @ M.mT + minimizer.bias[:, None], minimizer.logits, rtol=0, atol=1e-12)


def test_value_best_rotation_recovers_a_known_one():
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    Q = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    torch.testing.assert_close(frames.best_rotation(A, A @ Q), Q)


def test_attainment_every_claim_on_the_frames_holds(framed):
    judged = frames.claims(framed)
    assert len(judged) == 10 and {row["verdict"] for row in judged} == {"holds"}


def test_law_a_wrong_frame_fails_its_claim(framed):
    moved = framed["metric"].isin(["misfit_w"]) & (framed["frame"] == "ETF")
    judged = frames.claims(framed.assign(value=framed["value"].where(~moved, 1e-3)))
    assert [row["id"] for row in judged if row["verdict"] == "fails"] == ["dang2023.geometry.etf"]


def test_value_centering(trapped):
    measured = traps.curve(trapped, "centering", "of").set_index("x")["value"]
    assert measured[10] == pytest.approx(0.32036448601393447, rel=1e-12)
    theory = traps.curve(trapped, "centering", "of", "theory").set_index("x")["value"]
    assert measured.to_numpy() == pytest.approx(theory.to_numpy(), rel=1e-9)
    etf = traps.curve(trapped, "centering", "etf")["value"].tolist()
    assert etf == pytest.approx([math.sqrt(2 - math.sqrt(2))] * len(etf), rel=1e-9)
    right = traps.curve(trapped, "centering", "etf_right")["value"]
    assert right.max() < 1e-12


def test_oracle_exact_nc1_of_two_merging_classes(trapped):
    # two means at distance t sqrt(2): Sigma_B gains an eigenvalue t^2 |a - b|^2 / (2 K) there, so NC1 grows like 1/t^2
    nc1 = traps.curve(trapped, "pinv", "nc1", "theory").sort_values("x", ascending=False)["value"]
    assert nc1.is_monotonic_increasing and nc1.iloc[-1] > 1e3 * nc1.iloc[0]


def test_law_claims_on_the_traps_hold_and_need_them(trapped):
    judged = {row["id"]: row["verdict"] for row in traps.claims(trapped)}
    assert len(judged) == 7 and set(judged.values()) == {"holds"}
    honest = trapped.copy()
    exact = traps.curve(trapped, "pinv", "nc1", "theory").set_index("i")["value"]
    for i, value in exact.items():
        honest.loc[(honest["trap"] == "pinv") & (honest["metric"] == f"float32[{i}]"), "value"] = value
    assert {row["id"]: row["verdict"] for row in traps.claims(honest)}["dang2023.metrics.pinv-float32"] == "fails"


def test_law_conventions_differ_as_they_say(trapped):
    value = trapped[trapped["trap"] == "conventions"].set_index("metric")["value"]
    assert value["nc1 sum"] == pytest.approx(4 * value["nc1 class"])
    assert value["nc3 squared"] == pytest.approx(value["nc3 centered"] ** 2)
    assert abs(value["nc1 class"] / value["nc1 sample"] - 1) > 0.05
    assert list(traps.convention_table(trapped).index.unique()) == ["NC1", "NC2", "NC3", "NC4", "CDNV"]


def test_value_first_network_on_digits():
    table = collected(first_network, [first_network.Config(3, 5e-3, 0)])
    train = table[table["split"] == "train"].pivot(index="step", columns="metric", values="value")
    assert list(train.index) == [0, 1, 2, 3]
    assert train["error"].iloc[-1] < 0.05 < 0.5 < train["error"].iloc[0]
    assert 0 < train["nc1"].iloc[-1] < 0.5 * train["nc1"].iloc[0]
    assert {row["verdict"] for row in first_network.claims(table)} == {"not at this scale"}
    assert drawn(geometry.first_network, geometry_views.first_network(table)).axes
    assert next(iter(first_network.data(None).values())).isalnum()


def test_oracle_measures_of_the_network():
    torch.manual_seed(0)
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    model = MLP(64, 16, 1, 10, bias_last=True).eval()
    with torch.no_grad():
        value = first_network.measures(model, Images(x, y, (), {}), "cpu")
        H, W, b = model.features(x).double(), model.head.weights[0].double(), model.head.bias.double()
        error = (model(x).argmax(1) != y).double().mean()
    mu = torch.stack([H[y == k].mean(0) for k in range(10)])
    M = mu - mu.mean(0)
    G = M @ M.T
    target = (torch.eye(10) - 0.1) / 3
    within = (H - mu[y]).T @ (H - mu[y]) / 60
    V = torch.linalg.svd(M)
    nc1 = sum(V.Vh[i] @ within @ V.Vh[i] / V.S[i] ** 2 for i in range(9))
    nearest = torch.stack([(mu - h).norm(dim=1).argmin() for h in H])
    assert value["nc1"] == pytest.approx(float(nc1), rel=1e-6)
    assert value["nc2"] == pytest.approx(float((G / G.norm() - target).norm()), rel=1e-6)
    assert value["nc3"] == pytest.approx(float((W / W.norm() - M / M.norm()).norm()), rel=1e-6)
    assert value["nc4"] == pytest.approx(float(((H @ W.T + b).argmax(1) == nearest).double().mean()))
    assert value["trace_between"] == pytest.approx(float(M.square().sum() / 10), rel=1e-6)
    assert value["error"] == error > 0


def test_law_figures_draw_what_is_there(framed, trapped):
    assert len(drawn(geometry.frames, geometry_views.frames(framed)).axes) == 4
    for name in ("pinv", "one_pass", "centering", "dead"):
        made = drawn(getattr(geometry, name), getattr(geometry_views, name)(trapped))
        assert all(axis.get_ylabel() for axis in made.axes)
        matplotlib.pyplot.close(made)


@pytest.mark.parametrize("study", [frames, traps, first_network])
def test_law_profiles(study):
    with pytest.raises(ValueError, match="profile = 'huge'"):
        study.runs("huge")
    assert {c.seed for c in study.runs("laptop", seed=4)} == {4, 5, 6}
