"""The central-path flow with W eliminated, in a state that does not grow with the number of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy.integrate import solve_ivp

from nclib import metrics
from nclib.statistics import ClassStatistics

if TYPE_CHECKING:
    import pandas as pd


def reduced(H0, counts, y) -> tuple[torch.Tensor, torch.Tensor]:
    """(Hbar (K, r), F (q, r)): class means and F^T F = Sigma_W in coordinates of the row space of H0.

    The flow never leaves that space. q = min(r, N) rows: F is the triangular factor of the deviations over sqrt N.
    """
    N, d = H0.shape
    if d > N:
        H0 = H0 @ torch.linalg.qr(H0.mT).Q
    means = H0.new_zeros(len(counts), H0.shape[1]).index_add_(0, y, H0) / counts.double()[:, None]
    return means, torch.linalg.qr((H0 - means[y]) / N**0.5, mode="r").R


def classifier(means, F, p, lam_W) -> torch.Tensor:
    """(K, d): W = Y^T H (H^T H + n lam_W)^-1, n = N/K: H^T H/n = Hbar^T diag(p) Hbar + K Sigma_W, p = n_k/n."""
    K, d = means.shape
    S = means.mT @ (p[:, None] * means) + K * F.mT @ F
    return torch.linalg.solve(S + lam_W * torch.eye(d, dtype=S.dtype, device=S.device), (p[:, None] * means).mT).mT


def log_slope(means, F, W) -> float:
    """d/dt log (tr Sigma_W / tr Sigma_B): -2 tr(W Sigma_W W^T)/tr Sigma_W - (2/K) tr(C T^T (I - T) C)/tr Sigma_B."""
    C = means - means.mean(0)
    T = means @ W.mT  # rows k: (W hbar_k)^T
    moved = (torch.eye(len(T), dtype=T.dtype, device=T.device) - T) @ W
    within, between = F.square().sum(), C.square().sum()
    return float(-2 * (F @ W.mT).square().sum() / within - 2 * (C * moved).sum() / between)


def row(time, means, F, counts, slope) -> dict[str, float]:
    """The metrics at one time, {column: number}."""
    N = counts.sum()
    spread = counts * F.square().sum()  # only its sum is read: the flow pools the classes
    stats = ClassStatistics(counts, means, spread, N * F.mT @ F)
    C = stats.centered_means
    return {
        "time": float(time),
        "nc1": metrics.nc1(stats),
        "nc1_trace_ratio": metrics.nc1_trace_ratio(stats),
        "nc2": metrics.nc2(C),
        "within": float(F.square().sum()),
        "between": float(C.square().sum() / len(C)),
        "mean_square": float(means.square().sum() / len(means)),
        "log_slope": slope,
    }


def path(means, F, counts, lam_W, lam_H, times, rtol) -> pd.DataFrame:
    """A row for each of `times`, as `row` gives it, of the flow from class means (K, d) and F (q, d)."""
    p = counts.double() * len(counts) / counts.sum()
    K, d = means.shape

    def split(state):
        both = torch.as_tensor(state).reshape(-1, d)
        return both[:K], both[K:]

    def velocity(_, state):
        means, F = split(state)
        W = classifier(means, F, p, lam_W)
        WF = F @ W.mT
        up = W - means @ W.mT @ W
        return torch.cat([up - lam_H * means, -WF @ W - lam_H * F]).flatten().numpy()

    start = torch.cat([means, F]).flatten().numpy()
    scale = rtol * 1e-6 * abs(start).max()
    if times[-1] > 0:
        found = solve_ivp(velocity, (0, times[-1]), start, "DOP853", times, rtol=rtol, atol=scale)
        if not found.success:
            raise RuntimeError(f"the flow was not integrated to time {times[-1]}: {found.message}")
        states = found.y.T
    else:
        states = [start]
    rows = []
    for t, state in zip(times, states, strict=True):
        means, F = split(state.copy())
        rows.append(row(t, means, F, counts, log_slope(means, F, classifier(means, F, p, lam_W))))
    import pandas as pd  # here: whoever asks for a frame alone need not wait for it

    return pd.DataFrame(rows)
