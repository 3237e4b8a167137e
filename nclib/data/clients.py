"""Who has what: the samples of a data set dealt to clients."""

import numpy as np
import torch

from nclib.data.longtail import at_least_one, generator_seed


def dirichlet_split(y, clients, alpha, *, num_classes=None, seed=0, allow_empty=False) -> tuple[torch.Tensor, ...]:
    """Deal samples to clients, class after class in shares drawn from a symmetric Dirichlet distribution.

    For each class k, with n_k samples in random order and p ~ Dir(alpha, ..., alpha) over the clients, client c gets
    those from round(n_k P_(c-1)) to round(n_k P_c), P the cumulative shares: every sample goes to exactly one client.
    A small alpha gives a class to few clients (Hsu et al. 2019; the split of Xiao et al. 2024 with alpha 0.5 and 1).
    A client left without a sample gets one of the client that then has most, unless `allow_empty`.

    y            labels (N,), integers from 0
    num_classes  K, default the largest label + 1; every class must have a sample

    Returns a tuple of index tensors, int64 and sorted, one a client; the same for the same seed. Raises ValueError if
    alpha is not a finite number > 0, clients is not a positive integer, there are more clients than samples (unless
    `allow_empty`), or a class has no sample.

    >>> parts = dirichlet_split([0, 0, 0, 1, 1, 1], 2, 0.5, seed=1)
    >>> sorted(torch.cat(parts).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y) or y.min() < 0:
        raise ValueError(f"y has shape {y.shape} and dtype {y.dtype}: must be labels (N,), integers from 0, N >= 1")
    C = at_least_one("clients", clients)
    if not isinstance(alpha, (int, float, np.number)) or not 0 < alpha < float("inf"):
        raise ValueError(f"alpha = {alpha!r}: must be a finite number > 0")
    if C > len(y) and not allow_empty:
        raise ValueError(f"clients = {C}: must be at most the number of samples, {len(y)}, unless allow_empty")
    K = int(y.max()) + 1 if num_classes is None else at_least_one("num_classes", num_classes)
    if y.max() >= K:
        raise ValueError(f"num_classes = {K}: must be more than the largest label, {y.max()}")
    counts = np.bincount(y, minlength=K)
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} of {K} has no sample: every class must have one")
    random, parts = np.random.default_rng(generator_seed(seed)), [[] for _ in range(C)]
    for k in range(K):
        rows = random.permutation(np.flatnonzero(y == k))
        cuts = np.rint(len(rows) * np.cumsum(random.dirichlet(np.full(C, alpha)))[:-1]).astype(int)
        for part, some in zip(parts, np.split(rows, cuts), strict=True):
            part.extend(some.tolist())
    while not allow_empty and not all(parts):
        next(part for part in parts if not part).append(max(parts, key=len).pop())
    return tuple(torch.tensor(sorted(part), dtype=torch.int64) for part in parts)


def holdings(parts, y, num_classes=None) -> torch.Tensor:
    """Who has what: (clients, K) int64, how many samples of each class a client has. Raises ValueError for no client,
    for sample numbers that are not those of y, and where num_classes is not more than the largest label.

    >>> holdings([[0, 2], [1]], [0, 1, 1]).tolist()
    [[1, 1], [0, 1]]
    """
    y = torch.as_tensor(y)
    K = int(y.max()) + 1 if num_classes is None else at_least_one("num_classes", num_classes)
    if y.max() >= K:
        raise ValueError(f"num_classes = {K}: must be more than the largest label, {y.max()}")
    parts = [torch.as_tensor(part) for part in parts]
    if not parts:
        raise ValueError("parts is empty: must be index sets, one a client")
    for c, part in enumerate(parts):
        if len(part) and (part.is_floating_point() or part.min() < 0 or part.max() >= len(y)):
            raise ValueError(f"parts[{c}]: must be sample numbers, integers from 0 to {len(y) - 1}")
    return torch.stack([torch.bincount(y[part.long()], minlength=K) for part in parts])
