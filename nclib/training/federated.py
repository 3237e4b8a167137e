"""Federated learning as plain functions, and the two realignments of FedLoGe (Xiao et al. 2024)."""

import torch


def weighted_mean(states, weights):
    """The server's step: sum_c w_c theta_c / sum_c w_c over the first axis of every tensor of a dict, float64 inside.

    states   {name: (C, ...)}; weights (C,) >= 0, not all 0: the clients' numbers of samples in FedAvg

    Identical clients are returned as they are, to rounding; the order of the clients does not matter. Raises ValueError
    for weights of another shape, negative or all zero.

    >>> weighted_mean({"a": torch.tensor([[0.0], [4.0]])}, [3, 1])["a"].tolist()
    [1.0]
    """
    w = torch.as_tensor(weights, dtype=torch.float64)
    if w.ndim != 1 or not (w >= 0).all() or not w.sum() > 0 or not w.isfinite().all():
        raise ValueError(f"weights={w.tolist()}, must be (C,), finite, at least 0 and not all 0")
    if wrong := [name for name, value in states.items() if len(value) != len(w)]:
        raise ValueError(f"weights has {len(w)} entries, must be one a client of {wrong[0]!r}: {len(states[wrong[0]])}")
    return {
        name: torch.tensordot((w / w.sum()).to(value.device), value.double(), 1).to(value.dtype)
        for name, value in states.items()
    }


def normalized_head(W, *, tau=1.0, norm=1.7):
    """The global realignment GA-FR: rows norm w_k / |w_k|^tau, so all of one length at tau = 1; the bias stays.

    tau-normalization (Kang et al. 2020) of the auxiliary head; tau = 1 and norm = 1.7 are those of the code of Xiao et
    al. 2024. W (..., K, d). Raises ValueError if a row is 0 or norm is not > 0.

    >>> normalized_head(torch.tensor([[3.0, 4.0], [0.0, 0.5]]), norm=2.0)
    tensor([[1.2000, 1.6000],
            [0.0000, 2.0000]])
    """
    W = torch.as_tensor(W)
    lengths = torch.linalg.vector_norm(W, dim=-1, keepdim=True)
    if not norm > 0:
        raise ValueError(f"norm={norm}, must be > 0")
    if not (lengths > 0).all():
        raise ValueError(f"W has {int((lengths == 0).sum())} rows that are zero: a zero row has no direction")
    return norm * W / lengths**tau


def norm_transfer(W, local):
    """The local realignment LA-FR: rows w_k |phi_k|, the global row times the norm of the client's own one.

    W is (K, d), `local` (..., K, d); as the code of Xiao et al. 2024 has it, w_k is not normalized first. Raises
    ValueError for other shapes.

    >>> norm_transfer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])).tolist()
    [[5.0, 10.0]]
    """
    W, local = torch.as_tensor(W), torch.as_tensor(local)
    if W.ndim != 2 or local.shape[-2:] != W.shape:
        raise ValueError(f"local has shape {tuple(local.shape)}, must end in that of W, {tuple(W.shape)}")
    return W * torch.linalg.vector_norm(local, dim=-1, keepdim=True)
