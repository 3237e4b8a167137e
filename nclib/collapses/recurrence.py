"""A gated linear recurrence over key-value pairs, and how fast it forgets.

Chen et al. 2024, Stuffed Mamba (arXiv 2410.07145; the first version's title says state collapse, the fourth inability
to forget).
"""

import math

import torch


def recurrence(keys, values, gates):
    """h_t = a_t h_{t-1} + k_t v_t^T from h_0 = 0: the states (B, T, d, m) of keys (B, T, d), values (B, T, m), gates
    (B, T) between 0 and 1.

    Raises ValueError for shapes that do not match, a state of size 0 and gates outside [0, 1].
    """
    if keys.shape[:2] != values.shape[:2] or keys.shape[:2] != gates.shape:
        raise ValueError(
            f"gates has shape {tuple(gates.shape)}: must be that of keys without its last, {tuple(keys.shape[:2])}"
        )
    if 0 in keys.shape or 0 in values.shape:
        raise ValueError(f"keys, values have shapes {tuple(keys.shape)}, {tuple(values.shape)}: must not be empty")
    if not (gates.min() >= 0 and gates.max() <= 1):
        raise ValueError(f"gates lie between {float(gates.min())} and {float(gates.max())}: must be in [0, 1]")
    h, states = torch.zeros_like(keys[:, 0, :, None] * values[:, 0, None, :]), []
    for k, v, a in zip(keys.unbind(1), values.unbind(1), gates.unbind(1), strict=True):
        h = a[:, None, None] * h + k[:, :, None] * v[:, None, :]
        states.append(h)
    return torch.stack(states, 1)


def forgetting(gates):
    """How much of the first token is left at each time: the product of the gates after it, (B, T) with 1 at first.

    >>> forgetting(torch.tensor([[0.9, 0.5, 0.5]])).tolist()
    [[1.0, 0.5, 0.25]]
    """
    return torch.cat([torch.ones_like(gates[:, :1]), gates[:, 1:]], dim=1).cumprod(1)


def half_life(gates):
    """Steps after which the product of the gates is one half, by their mean logarithm: ln(1/2) / mean ln a; inf where
    nothing is forgotten, 0 where a gate is 0.

    >>> half_life(torch.tensor([0.5, 0.5])), half_life(torch.ones(3))
    (1.0, inf)
    """
    rate = -float(gates.double().log().mean())
    return math.log(2) / rate if rate else math.inf
