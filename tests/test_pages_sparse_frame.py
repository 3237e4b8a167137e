"""Page 16: ways to a sparse frame, the norm law, what is read of a log, claims and figures."""

import matplotlib
import numpy as np
import pytest
import torch
from published import drawn
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from nclib.data import DataError
from nclib.evidence.claims import judge_all
from nclib.pages.sparse_frame import claims, decays, figures, flow, frame, logs, views
from nclib.pages.sparse_frame.logs import Logs
from nclib.pages.sparse_frame.quoted import quoted
from nclib.pages.sparse_frame.study import STUDY
from nclib.runs import store as kept
from nclib.runs.study import own_runs
from nclib.theory import norm_law

matplotlib.use("agg")
f64 = {"dtype": torch.float64}


@pytest.fixture(scope="module")
def table(smoke_table):
    return own_runs(smoke_table(STUDY))


def test_oracle_the_flow_law_against_an_integrator():
    """W (K, d) by DOP853 on the flow of the whole matrix, in a rotation."""
    K, a = 5, 1.7
    n = torch.tensor([50, 30, 20, 9, 3])
    H = a * torch.linalg.qr(torch.randn(K, K, generator=torch.Generator().manual_seed(0), **f64)).Q
    p = (n / n.sum()).double()

    def velocity(t, w):
        return -flow.gradient(torch.from_numpy(w).view(K, K), H, p).flatten().numpy()

    for t in (0.7, 300.0):
        W = solve_ivp(velocity, (0, t), np.zeros(K * K), method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
        found = np.linalg.norm(W.reshape(K, K), axis=1)
        np.testing.assert_allclose(found, norm_law.flow_norms(n, t, a), rtol=1e-7)


def test_oracle_the_margins_against_bisection():
    for K, tau in ((2, 1e-6), (10, 3.0), (100, 1e5)):
        early = brentq(lambda m, K=K, tau=tau: m + np.expm1(m) / (K - 1) - tau, 0, 40, xtol=1e-15)
        decay = brentq(lambda m, K=K, tau=tau: m * (1 + np.exp(m) / (K - 1)) - tau, 0, 40, xtol=1e-15)
        assert norm_law.flow_margin(tau, K) == pytest.approx(early, rel=1e-9)
        assert norm_law.decay_margin(tau, K) == pytest.approx(decay, rel=1e-12)
        step = 1e-5
        slope = np.log(norm_law.flow_margin(tau * (1 + step), K) / norm_law.flow_margin(tau * (1 - step), K)) / (
            2 * step
        )
        assert norm_law.local_exponent(tau, K) == pytest.approx(slope, rel=1e-4)


def test_value_norms_of_two_classes_by_hand():
    # K = 2: rows are (m_1, -m_2)/2 and its negative, whatever the class sizes
    assert norm_law.row_norms([3.0, 4.0]).tolist() == pytest.approx([2.5, 2.5])
    with pytest.raises(ValueError, match=r"tau must be finite and >= 0, got -1\.0"):
        norm_law.flow_margin(-1, 10)
    with pytest.raises(ValueError, match="K must be an integer >= 2, got 1"):
        norm_law.flow_margin(1.0, 1)
    with pytest.raises(ValueError, match="counts are all 2: an exponent needs classes of unequal size"):
        norm_law.exponent([2, 2], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"norms must be \(K,\) = \(2,\) numbers > 0"):
        norm_law.exponent([2, 1], [1.0, 0.0])


def test_oracle_one_step_of_adam_by_hand():
    """The first step moves each free entry by the rate, against the sign of its gradient."""
    mask = torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1]]).bool()
    V = torch.tensor([[0.1, 0.05, 0], [0, 0.1, -0.03], [-0.02, 0, 0.1]], **f64)

    def loss(V):
        unit = V / V.norm(dim=1, keepdim=True)
        angles = [[torch.acos(unit[i] @ unit[j]) for j in range(3) if j != i] for i in range(3)]
        return (V.norm(dim=1) - 0.1).square().sum() - sum(min(row) for row in angles) / 3

    slope = torch.autograd.functional.jacobian(loss, V)
    moved = frame.by_adam(V, mask, 0.1, 1, lr=1e-3) - V
    torch.testing.assert_close(moved, -1e-3 * slope.sign() * mask, rtol=0, atol=1e-7)


def test_value_what_is_measured_of_a_frame_by_hand():
    V = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], **f64)  # angles 90, 180, 90; ideal 120
    found = frame.measured(V)
    assert found["angle mean"].item() == pytest.approx(120) and found["residual"].item() == pytest.approx(0.5)
    assert found["angle std"].item() == pytest.approx(1800**0.5) and found["norm cv"] == 0
    assert found["off"].tolist() == pytest.approx([30, 30, 60]) and found["column sum"] == 1


def test_oracle_squared_error_has_its_local_exponent():
    """(1/4)/(1 - q_k): by numerical derivatives over neighbouring sizes."""
    from nclib.theory.deep_linear import mse_minimizer

    n, lam = torch.tensor([1000, 1002, 40, 41]), 2e-3
    w = mse_minimizer(n, (lam,), lam).gram_W.diagonal().sqrt()
    slope = ((w[1] / w[0]).log() / (n[1] / n[0]).double().log()).item()
    assert slope == pytest.approx(0.25 / (1 - n.sum().item() * lam / 1001**0.5), rel=1e-3)


def test_attainment_cross_entropy_of_equal_classes_is_the_closed_form():
    from nclib.theory.deep_linear import ce_minimizer

    run = decays.Decays(4, 50, (), (), 0)
    W, slope = run.minimum(torch.tensor([5, 5, 5, 5]), 0.01)
    torch.testing.assert_close(W @ W.T, ce_minimizer(4, 5, 0.01, 0.01).gram_W, rtol=0, atol=1e-4)
    assert slope < 1e-4


LOG = """[8, 4, 2]
g_aux tensor([9.0000, 9.0000, 9.0000], grad_fn=<N>)
round 0, local average test acc 0.1
g_aux tensor([2.0000, 1.4142,
        1.0000], grad_fn=<N>)
 70%|g_aux tensor([2.0000, 1.0000], grad_fn=<N>)
round 19, local average test acc 0.2
g_aux tensor([3.0000, 2.0000, 1.5000], grad_fn=<N>)
"""


def test_value_a_log_is_read_by_its_printed_rounds():
    norms = logs.by_round(LOG, 3)
    assert {at: w.tolist() for at, w in norms.items()} == {0: [2, 1.4142, 1], 19: [3, 2, 1.5]}
    table = logs.of_log("log/a_ours.log", LOG).query("metric == 'exponent' and wanted == 20")
    w = [(9 - 1 / 3) ** 0.5, (4 - 1 / 3) ** 0.5, (2.25 - 1 / 3) ** 0.5]
    assert table["value"].tolist() == pytest.approx([np.log(w[0] / w[2]) / np.log(4)], rel=1e-12)
    assert table["round"].tolist() == [19] and table["arm"].tolist() == ["sparse ETF"]


def test_law_logs_are_archived_and_need_their_files(tmp_path, monkeypatch):
    found = kept.find(Logs(), archived_only=True)
    assert found is not None and found[0]["log"].nunique() == 19
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"a_ours\.log is missing: clone"):
        Logs().run()


def test_law_smoke_judges_and_draws(table):
    judged = judge_all(claims.HEADLINES, table).set_index("id")["verdict"]
    assert (judged["xiao2024.norms.law.flow"], judged["xiao2024.norms.logs.rank"]) == ("holds", "fails")
    assert judged["xiao2024.frame.exists.rank"] == "not at this scale"
    for draw, view in (
        (figures.shares, views.shares),
        (figures.angles, views.angles),
        (figures.norms, views.norms),
        (figures.exponents, views.exponents),
    ):
        assert drawn(draw, view(table)).axes
    assert quoted(table)["masks"] == "12"


def test_law_a_mask_that_is_solved_against_the_rank_is_counted(table):
    rows = table[(table["part"] == "masks") & (table["metric"] == "full rank")]
    wrong = table.copy()
    wrong.loc[rows.index[0], "value"] = 1 - rows["value"].iloc[0]
    assert claims.agreement(table) == [1.0] and claims.agreement(wrong) == pytest.approx([11 / 12])
    assert claims.disjoint(table) == [0.0]
