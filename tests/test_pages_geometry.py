"""Page 01: frames in three dimensions, traps of the metrics, the first network."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.data import Images
from nclib.evidence.claims import judge_all
from nclib.models import MLP
from nclib.pages.geometry import figures, frame, network, views
from nclib.pages.geometry.claims import HEADLINES
from nclib.pages.geometry.frame import Frame
from nclib.pages.geometry.network import Network
from nclib.pages.geometry.study import FRAMES, STUDY
from nclib.pages.geometry.trap import TRAPS, Trap
from nclib.runs.study import own_runs

GOF = Frame("GOF", (30, 10, 5), False, 5e-4, 0)


@pytest.fixture(scope="module")
def table(smoke_table):
    """The table of the page at smoke."""
    return own_runs(smoke_table(STUDY))


def verdicts(table):
    return judge_all(HEADLINES, table).set_index("id")["verdict"]


def curve(table, name, metric):
    """One way of computing, by x."""
    rows = views.trap(table, name)
    return rows[rows["metric"] == metric].set_index("x")


def test_value_gof_closed_form():
    """s_1^2 = sqrt(30) - 45 * 5e-4 and so on, at lam_W = lam_H = 5e-4."""
    W, M = GOF.closed_form()
    s = [math.sqrt(math.sqrt(n) - 45 * 5e-4) for n in (30, 10, 5)]
    assert W.norm(dim=1).tolist() == pytest.approx(s, rel=1e-12)
    assert s == pytest.approx([2.3355, 1.7719, 1.4878], abs=5e-5)
    q = [1 - 45 * 5e-4 / math.sqrt(n) for n in (30, 10, 5)]
    assert (W @ M.mT).diagonal().tolist() == pytest.approx(q, rel=1e-12)
    assert q == pytest.approx([0.9959, 0.9929, 0.9899], abs=5e-5)


@pytest.mark.parametrize("name", FRAMES)
def test_law_symmetric_roots_have_the_grams_and_the_logits(name):
    counts, bias = FRAMES[name]
    W, M = Frame(name, counts, bias, 5e-4, 0).closed_form()
    minimizer = frame.mse_minimizer(counts, (5e-4,), 5e-4, bias=bias)
    for A, B, G in ((W, W, minimizer.gram_W), (M, M, minimizer.gram_H)):
        torch.testing.assert_close(A @ B.mT, G, rtol=0, atol=1e-12)
    torch.testing.assert_close(W @ M.mT + minimizer.bias[:, None], minimizer.logits, rtol=0, atol=1e-12)


def test_value_best_rotation_recovers_a_known_one():
    generator = torch.Generator().manual_seed(3)
    A = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    Q = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    torch.testing.assert_close(frame.best_rotation(A, A @ Q), Q)


def test_attainment_frames_hold_and_a_wrong_one_fails(table):
    names = [f"dang2023.geometry.{name}" for name in ("of", "etf", "gof", "nc1")]
    assert set(verdicts(table)[names]) == {"holds"}
    moved = (table["metric"] == "misfit_w") & (table["frame"] == "ETF")
    found = verdicts(table.assign(value=table["value"].where(~moved, 1e-3)))
    assert list(found.index[found == "fails"]) == ["dang2023.geometry.etf"]


def test_value_centering(table):
    measured = curve(table, "centering", "of")
    assert measured["value"][10] == pytest.approx(0.32036448601393447, rel=1e-12)
    assert measured["value"].tolist() == pytest.approx(measured["theory"].tolist(), rel=1e-9)
    etf = curve(table, "centering", "etf")["value"].tolist()
    assert etf == pytest.approx([math.sqrt(2 - math.sqrt(2))] * len(etf), rel=1e-9)
    assert curve(table, "centering", "etf_right")["value"].max() < 1e-12


def test_law_exact_nc1_of_two_merging_classes_grows_as_their_distance_falls(table):
    """Two means at distance x sqrt(2): Sigma_B gains an eigenvalue x^2 |a - b|^2/(2 K), so NC1 grows like 1/x^2."""
    exact = curve(table, "pinv", "float32")["theory"].sort_index(ascending=False)
    assert exact.is_monotonic_increasing and exact.iloc[-1] > 1e3 * exact.iloc[0]


def test_law_claims_on_the_traps_hold_and_need_them(table):
    names = [name for name in verdicts(table).index if name.startswith("dang2023.metrics")]
    assert len(names) == 7 and set(verdicts(table)[names]) == {"holds"}
    honest = table.assign(value=table["value"].where(table["metric"] != "float32", table["theory"]))
    assert verdicts(honest)["dang2023.metrics.pinv-float32"] == "fails"


def test_law_conventions_differ_as_they_say(table):
    value = table[table["trap"] == "conventions"].set_index("metric")["value"]
    assert value["nc1 sum"] == pytest.approx(4 * value["nc1 class"])
    assert value["nc3 squared"] == pytest.approx(value["nc3 centered"] ** 2)
    assert abs(value["nc1 class"] / value["nc1 sample"] - 1) > 0.05
    assert list(views.conventions(table).index.unique()) == ["NC1", "NC2", "NC3", "NC4", "CDNV"]


def test_value_network_on_digits(table):
    rows = Network(3, 5e-3, 0).run()
    train = rows[rows["split"] == "train"].pivot(index="step", columns="metric", values="value")
    assert list(train.index) == [0, 1, 2, 3]
    assert train["error"].iloc[-1] < 0.05 < 0.5 < train["error"].iloc[0]
    assert 0 < train["nc1"].iloc[-1] < 0.5 * train["nc1"].iloc[0]
    digits = verdicts(table)[[f"dang2023.digits.nc{i}" for i in (1, 2, 3, 4)]]
    assert set(digits) == {"not at this scale"}
    assert next(iter(Network(3, 5e-3, 0).reads().values())).isalnum()


def test_oracle_measures_of_the_network():
    torch.manual_seed(0)
    x, y = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    model = MLP(64, 16, 1, 10, bias_last=True).eval()
    with torch.no_grad():
        value = network.measures(model, Images(x, y, (), {}), "cpu")
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
    assert value["error"] == error > 0


def test_law_figures_draw_what_is_there(table):
    assert len(drawn(figures.frames, views.frames(table)).axes) == 4
    assert drawn(figures.network, views.network(table)).axes
    for name in ("pinv", "one_pass", "centering", "dead"):
        made = drawn(getattr(figures, name), views.trap(table, name))
        assert all(axis.get_ylabel() for axis in made.axes)
        plt.close(made)


def test_value_vectors_are_drawn_at_norm_one(table):
    rows = views.frames(table)
    squares = (rows[["value", "theory"]] ** 2).groupby([rows["frame"], rows["kind"]]).sum()
    assert squares.to_numpy() == pytest.approx(1)
    assert rows.query("frame == 'GOF'").groupby("class")["n"].first().tolist() == [30, 10, 5]


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_law_runs_are_distinct_and_seeds_consecutive(profile):
    runs = STUDY.runs(profile, seed=4)
    seeds = 1 if profile == "smoke" else 3
    assert len({run.key() for run in runs}) == len(runs) == (len(FRAMES) + len(TRAPS) + 1) * seeds
    assert {run.seed for run in runs} == set(range(4, 4 + seeds))


@pytest.mark.parametrize("trap", TRAPS)
def test_law_a_trap_of_a_seed_is_the_same_again(trap):
    pd.testing.assert_frame_equal(Trap(trap, 4, 1).run(), Trap(trap, 4, 1).run())
