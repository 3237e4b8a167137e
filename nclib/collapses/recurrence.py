"""A gated linear recurrence over key-value pairs, and how fast it forgets.

Chen et al. 2024, Stuffed Mamba (arXiv 2410.07145; the first version's title says state collapse, the fourth inability
to forget).
"""

import math

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor


def recurrence(keys, values, gates) -> Tensor:
    """h_t = a_t h_{t-1} + k_t v_t^T from h_0 = 0: the states (B, T, d, m) of keys (B, T, d), values (B, T, m), gates
    (B, T) or (1, T) between 0 and 1.

    Raises ValueError for shapes that do not match, a state of size 0 and gates outside [0, 1].
    """
    _tokens(keys, values, gates)
    _between(gates)
    h, states = torch.zeros_like(keys[:, 0, :, None] * values[:, 0, None, :]), []
    for k, v, a in zip(keys.unbind(1), values.unbind(1), gates.unbind(1), strict=True):
        h = a[:, None, None] * h + k[:, :, None] * v[:, None, :]
        states.append(h)
    return torch.stack(states, 1)


def readout(queries, keys, values, gates) -> Tensor:
    """y_s = q_s^T h_t of `recurrence` (B, S, m), without its states: queries (B, S, d) are asked at the last S of the T
    times. Sum over j <= t of (q . k_j) a_{j+1} ... a_t v_j; gates (B, T) or (1, T).

    Raises ValueError for shapes that do not match, no query or more than there are times, and gates outside (0, 1], of
    which the logarithm is taken.

    >>> keys, gates = torch.eye(2)[None], torch.tensor([[0.9, 0.5]])
    >>> readout(keys[:, :1], keys, torch.tensor([[[8.0], [4.0]]]), gates).tolist()
    [[[4.0]]]
    """
    _tokens(keys, values, gates)
    (B, T, d), S = keys.shape, queries.shape[1]
    if queries.shape != (B, S, d) or not 0 < S <= T:
        raise ValueError(f"queries has shape {tuple(queries.shape)}: must be ({B}, S, {d}) with S from 1 to {T}")
    _between(gates, open_below=True)
    total = gates.log().cumsum(1)
    future = torch.arange(T) > torch.arange(T - S, T)[:, None]
    decay = (total[:, T - S :, None] - total[:, None, :]).masked_fill(future, -math.inf).exp()
    return (queries @ keys.mT * decay) @ values


def readout_ratio(gate, dim, num_values, length, lags) -> float:
    """tr Sigma_W / tr Sigma_B of the read-out, its samples grouped by the value that is asked: how overfull a state is.

    After `length` random unit keys in `dim` dimensions with random one-hot values of `num_values` kinds, a key of one
    of the last `lags` times is asked, each equally likely. With E over these lags l = 0, ..., lags - 1 and a the gate

        ((sum_{j < length} a^2j - E a^2l) / dim + Var a^l) / ((E a^l)^2 (1 - 1/num_values))

    in expectation. Without forgetting, a = 1, it is the load (length - 1) / dim over 1 - 1/num_values; with a < 1 it
    is bounded. Derived: the inner product of two random unit vectors has mean 0 and variance 1/dim.

    Raises ValueError for a gate outside (0, 1], a dim below 1, fewer than two kinds of values, and lags that are none
    or more than the length.

    >>> round(readout_ratio(1.0, 8, 2, 17, 4), 12), round(readout_ratio(0.5, 1, 2, 2, 1), 12)
    (4.0, 0.5)
    """
    _between(torch.tensor(float(gate)), open_below=True)
    if dim < 1 or num_values < 2 or not 1 <= lags <= length:
        raise ValueError(
            f"dim, num_values, length, lags = {dim}, {num_values}, {length}, {lags}: must have dim >= 1, "
            "num_values >= 2 and 1 <= lags <= length"
        )
    left = float(gate) ** torch.arange(length, dtype=torch.float64)
    asked = left[:lags]
    noise = (left.square().sum() - asked.square().mean()) / dim + asked.var(correction=0)
    return float(noise / (asked.mean().square() * (1 - 1 / num_values)))


def readout_error(ratio, num_values) -> float:
    """The share of errors of the largest entry of a read-out whose trace ratio is `ratio`, for normal noise.

    One entry has signal 1, each of the num_values entries independent noise of variance ratio (1 - 1/num_values) /
    num_values: 1 - E Phi(z + 1/sigma)^(num_values - 1). From 0 to 1 - 1/num_values. Derived; exact for normal noise.
    Raises ValueError for a ratio that is not positive and fewer than two kinds of values.

    >>> round(readout_error(1e9, 8), 3), round(readout_error(4.0, 2), 4)  # Phi(-1 / sqrt(2))
    (0.875, 0.2398)
    """
    if not ratio > 0 or num_values < 2:
        raise ValueError(f"ratio, num_values = {ratio}, {num_values}: must be positive, and at least 2")
    sigma = math.sqrt(ratio * (1 - 1 / num_values) / num_values)
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    return float(1 - weight @ ndtr(z + 1 / sigma) ** (num_values - 1) / weight.sum())


def forgetting(gates) -> Tensor:
    """How much of the first token is left at each time: the product of the gates after it, (B, T) with 1 at first.

    >>> forgetting(torch.tensor([[0.9, 0.5, 0.5]])).tolist()
    [[1.0, 0.5, 0.25]]
    """
    if gates.ndim != 2:
        raise ValueError(f"gates has shape {tuple(gates.shape)}: must be (B, T)")
    _between(gates)
    return torch.cat([torch.ones_like(gates[:, :1]), gates[:, 1:]], dim=1).cumprod(1)


def half_life(gates) -> float:
    """Steps after which the product of the gates is one half, by their mean logarithm: ln(1/2) / mean ln a; inf where
    nothing is forgotten, 0 where a gate is 0.

    >>> half_life(torch.tensor([0.5, 0.5])), half_life(torch.ones(3))
    (1.0, inf)
    """
    _between(gates)
    rate = -float(gates.double().log().mean())
    return math.log(2) / rate if rate else math.inf


def _tokens(keys, values, gates):
    """Refuse tokens whose shapes do not fit, and none at all."""
    if keys.ndim != 3 or values.ndim != 3 or keys.shape[:2] != values.shape[:2]:
        raise ValueError(
            f"keys, values have shapes {tuple(keys.shape)}, {tuple(values.shape)}: must be (B, T, d), (B, T, m)"
        )
    if 0 in keys.shape or 0 in values.shape:
        raise ValueError(f"keys, values have shapes {tuple(keys.shape)}, {tuple(values.shape)}: must not be empty")
    if gates.shape not in (keys.shape[:2], (1, keys.shape[1])):
        raise ValueError(
            f"gates has shape {tuple(gates.shape)}: must be that of keys without its last, {tuple(keys.shape[:2])}"
        )


def _between(gates, open_below=False):
    """Refuse gates outside [0, 1], or (0, 1], and none at all."""
    if not gates.numel():
        raise ValueError(f"gates has shape {tuple(gates.shape)}: must not be empty")
    least, most = gates.min().item(), gates.max().item()
    if not ((least > 0 if open_below else least >= 0) and most <= 1):
        raise ValueError(f"gates lie between {least} and {most}: must be in {'(' if open_below else '['}0, 1]")
