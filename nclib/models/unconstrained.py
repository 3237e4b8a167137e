"""The unconstrained-features model: H is a parameter. As a module, and as a batched direct optimization of many
seeds."""

from typing import NamedTuple

import torch
from torch import nn

from nclib._device import torch_device
from nclib._progress import bar
from nclib.models.linear_head import LinearHead, positive


class UnconstrainedFeatures(nn.Module):
    """Features H (N, d) that are free parameters, and a LinearHead: all entries from N(0, std_H^2) and N(0, std_W^2).

    It is a model of the sample numbers: forward(i), i (B,) int64, is head(H[i]) (B, K); forward() is all of them.
    Raises ValueError for a size below 1 or std_W <= 0. Source: Dang et al. 2023 (their synthetic runs have std 0.1 for
    both).
    """

    def __init__(self, num_samples, dim, num_classes, linear_layers=1, *, bias_last=False, std_H=0.1, std_W=0.1):
        super().__init__()
        positive(num_samples=num_samples, dim=dim, linear_layers=linear_layers)
        self.H = nn.Parameter(std_H * torch.randn(num_samples, dim))
        self.head = LinearHead(dim, num_classes, linear_layers, bias_last=bias_last, init=std_W)

    def features(self, i=None):
        """H (N, d), or its rows i."""
        return self.H if i is None else self.H[i]

    def forward(self, i=None):
        return self.head(self.features(i))


class State(NamedTuple):
    """What `direct_descent` hands to its callback: own copies, a leading axis for the B seeds.

    W: (W_1, ..., W_M), each (B, d, d) but W_M (B, K, d). H (B, N, d), samples class after class. b (B, K), 0 without
    bias.
    """

    W: tuple[torch.Tensor, ...]
    H: torch.Tensor
    b: torch.Tensor


@torch.no_grad()
def direct_descent(
    counts,
    dim,
    depth,
    *,
    lam_W,
    lam_H,
    steps,
    callback,
    record_at=(),
    seeds=(0, 1, 2),
    bias=False,
    loss="mse",
    lr=0.1,
    momentum=0.9,
    std=0.1,
    device="cpu",
):
    """Full-batch heavy-ball descent on the unconstrained-features model: B = len(seeds) runs at once, in float64.

    Minimizes, for each seed, with P = W_M ... W_1 (M = depth, widths d = dim), Y the one-hot labels, N = sum counts,
        1/(2N) |H P^T + 1 b^T - Y|^2 + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2           (loss "mse")
        1/N sum_i CE(P h_i + b, y_i) + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2           (loss "cross-entropy")
    where |H|^2 is the sum over all N samples and b is 0 unless `bias`, and never penalized. torch's convention:
    v <- momentum v + g, w <- w - lr v. W_m and H start from N(0, std^2), drawn on the CPU from
    `torch.Generator().manual_seed(seed)` in the order W_1, ..., W_M, H; b starts at 0. lam_W is a number or
    (lam_W1, ..., lam_WM). `callback(step, State)` is called at the steps in `record_at`; 0 is the start.

    Gradients (derived; held against autograd in tests/test_models.py), R = (H P^T + 1 b^T - Y)/N and dP = R^T H:
        dH = R P,    db = R^T 1,    dW_m = (W_M ... W_{m+1})^T dP (W_{m-1} ... W_1)^T.
    Left and right factors are K x d, so no product of two d x d matrices is formed. For "mse" the rows of H are
    moreover replaced by their K + d coordinates in an orthonormal basis Q of span(Y, H at the start), where that is
    fewer than N. Nothing is lost: with H = Q h the gradient (Q h P^T + 1 b^T - Y) P/N + lam_H Q h stays in the span.

    Source: the direct optimization of Dang et al. 2023 (n = 100, d = 64, lr 0.1, momentum 0.9, std 0.1).
    Raises ValueError for a size below 1, a negative lambda or an unknown loss, FloatingPointError if a run is not
    finite at a record.
    """
    B, K, N, M, d = len(seeds), len(counts), sum(counts), depth, dim
    lams = [float(lam) for lam in lam_W] if hasattr(lam_W, "__len__") else [float(lam_W)] * M
    positive(dim=d, depth=M, steps=steps, **{f"counts[{k}]": n for k, n in enumerate(counts)}, **{"len(seeds)": B})
    if len(lams) != M or min(*lams, lam_H) < 0:
        raise ValueError(f"lam_W, lam_H = {lam_W}, {lam_H}: must be >= 0, lam_W one number or depth = {M} of them")
    if loss not in ("mse", "cross-entropy"):
        raise ValueError(f"loss = {loss!r}: must be 'mse' or 'cross-entropy'")

    f64 = {"dtype": torch.float64, "device": torch_device(device)}
    W0, H0 = _draw(seeds, std, [(d, d)] * (M - 1) + [(K, d)], (N, d), f64)
    labels = torch.repeat_interleave(torch.arange(K), torch.tensor(counts))
    Y = nn.functional.one_hot(labels, K).to(**f64).expand(B, N, K)
    Q = torch.linalg.qr(torch.cat([Y, H0], 2)).Q if loss == "mse" and N > K + d else None
    h0, Y, one = (X if Q is None else Q.mT @ X for X in (H0, Y, torch.ones(B, N, 1, **f64)))

    shapes = [(M - 1, B, d, d), (B, K, d), tuple(h0.shape), (B, 1, K)]
    theta, velocity, gradient, lam = (_Blocks(shapes, f64) for _ in range(4))
    deep, last, h, b = theta.blocks
    h.copy_(h0)
    lam.blocks[2].fill_(lam_H)
    for m, (W, penalty) in enumerate(zip([*deep, last], [*lam.blocks[0], lam.blocks[1]], strict=True)):
        W.copy_(W0[m])
        penalty.fill_(lams[m])

    # left[m] = W_M ... W_{m+1}, right[m] = dP (W_m ... W_1)^T, both for m = 0 .. M-1
    d_deep, d_last, d_h, d_b = gradient.blocks
    lefts, rights = torch.empty(M, B, K, d, **f64), torch.empty(M - 1, B, K, d, **f64)
    left = [*lefts[:-1], last]
    right = [*rights, d_last]
    layers, layers_T = list(deep), [W.mT for W in deep]
    P, R = left[0], torch.empty_like(Y)
    outer_left, outer_right = lefts[1:].flatten(0, 1).mT, rights.flatten(0, 1)
    d_deep = d_deep.flatten(0, 1)
    P_T, R_T, one_T = P.mT, R.mT, one.mT

    def update_gradient():
        lefts[-1].copy_(last)
        for m in reversed(range(M - 1)):
            torch.bmm(left[m + 1], layers[m], out=left[m])
        if loss == "mse":
            torch.baddbmm(Y, h, P_T, beta=-1 / N, alpha=1 / N, out=R)
            if bias:
                R.baddbmm_(one, b, alpha=1 / N)
        else:
            torch.bmm(h, P_T, out=R)
            R.copy_((torch.softmax(R + b, 2) - Y) / N)
        if bias:
            torch.bmm(one_T, R, out=d_b)
        torch.bmm(R, P, out=d_h)
        torch.bmm(R_T, h, out=right[0])
        for m in range(M - 1):
            torch.bmm(right[m], layers_T[m], out=right[m + 1])
        if M > 1:
            torch.bmm(outer_left, outer_right, out=d_deep)
        gradient.flat.addcmul_(lam.flat, theta.flat)

    def record(step):
        if not theta.flat.isfinite().all():
            raise FloatingPointError(f"direct_descent diverged before step {step}: lower lr = {lr} or std = {std}")
        callback(step, State((*deep.clone(), last.clone()), h.clone() if Q is None else Q @ h, b[:, 0].clone()))

    wanted = set(record_at)
    if 0 in wanted:
        record(0)
    for step in bar(range(1, steps + 1), desc=f"direct descent M={M}", leave=False):
        update_gradient()
        torch.add(gradient.flat, velocity.flat, alpha=momentum, out=velocity.flat)
        theta.flat.add_(velocity.flat, alpha=-lr)
        if step in wanted:
            record(step)


class _Blocks:
    """One flat vector of zeros and its blocks, views of the given shapes: one operation then updates all parameters."""

    def __init__(self, shapes, options):
        sizes = [torch.Size(shape).numel() for shape in shapes]
        self.flat = torch.zeros(sum(sizes), **options)
        self.blocks = [part.view(shape) for part, shape in zip(self.flat.split(sizes), shapes, strict=True)]


def _draw(seeds, std, shapes_W, shape_H, options):
    """[W_1, ..., W_M], each (B, ., .), and H (B, N, d): one generator a seed, whatever its company."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    *W, H = (
        torch.stack([std * torch.randn(shape, generator=g, dtype=torch.float64) for g in generators]).to(**options)
        for shape in [*shapes_W, shape_H]
    )
    return W, H
