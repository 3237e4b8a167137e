"""The singular directions of the one-hot target at class level, with ties decided by integers."""

import torch


def _contrasts(m):
    """(m, m-1) orthonormal columns, orthogonal to the ones vector; the first j of them touch the first j+1 rows."""
    j = torch.arange(1, m, dtype=torch.float64)
    return (torch.ones(m, m - 1, dtype=torch.float64).triu() - torch.diag(j, -1)[:, : m - 1]) / (j * (j + 1)).sqrt()


def target_svd(n, bias) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(U, s^2, V), s^2 descending and > 0: SVD of Y (bias-free: D) or Y (I - 11^T/N), here (I - n 1^T/N) D.

    Columns of Y are written in the basis 1_k/sqrt(n_k). The centered target has T T^T = diag(n) - n n^T/N: a count
    that occurs m times is itself a singular value squared m - 1 times over, on contrasts of its classes, and what
    remains is one simple direction less than there are distinct counts. So ties are ties of integers and no
    tolerance decides them.
    """
    if not bias:
        E = torch.eye(len(n), dtype=torch.float64)
        U, s2, V = E, n, E
    else:
        c, group, size = torch.unique(n, return_inverse=True, return_counts=True)
        m = size.double()
        E = torch.nn.functional.one_hot(group, len(c)).double() / m.sqrt()
        u, s, vT = torch.linalg.svd(torch.diag(c.sqrt()) - torch.outer(c * m.sqrt(), (c * m).sqrt()) / n.sum())
        C = torch.zeros(len(n), len(n) - len(c), dtype=torch.float64)
        start = 0
        for g, k in enumerate(size.tolist()):
            C[group == g, start : (start := start + k - 1)] = _contrasts(k)
        U, V = torch.cat([E @ u[:, :-1], C], 1), torch.cat([E @ vT.T[:, :-1], C], 1)
        s2 = torch.cat([s[:-1] ** 2, c.repeat_interleave(size - 1)])
    s2, order = torch.sort(s2, descending=True, stable=True)
    return U[:, order], s2, V[:, order]
