"""The unconstrained-features model: H is a parameter. As a module, and as a batched direct optimization of many
seeds."""

from dataclasses import dataclass
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

    def features(self, i=None) -> torch.Tensor:
        """H (N, d), or its rows i."""
        return self.H if i is None else self.H[i]

    def forward(self, i=None) -> torch.Tensor:
        """Logits (N, K), or their rows i."""
        return self.head(self.features(i))


class State(NamedTuple):
    """What `direct_descent` hands to its callback: own copies, a leading axis for the B seeds.

    W: (W_1, ..., W_M), each (B, d, d) but W_M (B, K, d). H (B, N, d), samples class after class. b (B, K), 0 without
    bias.
    """

    W: tuple[torch.Tensor, ...]
    H: torch.Tensor
    b: torch.Tensor


@dataclass(frozen=True)
class FreeFeatures:
    """The problem of `direct_descent`: N = sum counts samples, features and all layers of width d = dim, M = depth.

    lam_W is a number or (lam_W1, ..., lam_WM). loss: "mse" or "cross-entropy". Without `bias`, b is 0.
    """

    counts: tuple[int, ...]
    dim: int
    depth: int
    lam_W: float | tuple[float, ...]
    lam_H: float
    bias: bool = False
    loss: str = "mse"

    @property
    def lams(self) -> list[float]:
        """[lam_W1, ..., lam_WM]."""
        return (
            [float(lam) for lam in self.lam_W] if hasattr(self.lam_W, "__len__") else [float(self.lam_W)] * self.depth
        )


@dataclass(frozen=True)
class HeavyBall:
    """How `direct_descent` descends: v <- momentum v + g, w <- w - lr v, for each seed from entries of N(0, std^2)."""

    steps: int
    lr: float = 0.1
    momentum: float = 0.9
    std: float = 0.1
    seeds: tuple[int, ...] = (0, 1, 2)


@torch.no_grad()
def direct_descent(problem, descent, callback, *, record_at=(), device="cpu") -> None:
    """Full-batch heavy-ball descent on the unconstrained-features model: B = len(seeds) runs at once, in float64.

    Minimizes, for each seed, with P = W_M ... W_1 (M = depth, widths d = dim), Y the one-hot labels, N = sum counts,
        1/(2N) |H P^T + 1 b^T - Y|^2 + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2           (loss "mse")
        1/N sum_i CE(P h_i + b, y_i) + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2           (loss "cross-entropy")
    where |H|^2 is the sum over all N samples and b is 0 unless `bias`, and never penalized. torch's convention:
    v <- momentum v + g, w <- w - lr v. W_m and H start from N(0, std^2), drawn on the CPU from
    `torch.Generator().manual_seed(seed)` in the order W_1, ..., W_M, H; b starts at 0.

    problem: `FreeFeatures`. descent: `HeavyBall`. `callback(step, State)` is called at the steps in `record_at`; 0 is
    the start.

    Source: the direct optimization of Dang et al. 2023 (n = 100, d = 64, lr 0.1, momentum 0.9, std 0.1).
    Raises ValueError for a size below 1, a negative lambda or an unknown loss, FloatingPointError if a run is not
    finite at a record.
    """
    _check(problem, descent)
    iterate, wanted = (
        _Iterate(problem, descent, {"dtype": torch.float64, "device": torch_device(device)}),
        set(record_at),
    )
    if 0 in wanted:
        callback(0, iterate.state(0))
    for step in bar(range(1, descent.steps + 1), desc=f"direct descent M={problem.depth}", leave=False):
        iterate.advance()
        if step in wanted:
            callback(step, iterate.state(step))


def _check(problem, descent):
    counts, M, lams = problem.counts, problem.depth, problem.lams
    positive(
        dim=problem.dim,
        depth=M,
        steps=descent.steps,
        **{f"counts[{k}]": n for k, n in enumerate(counts)},
        **{"len(seeds)": len(descent.seeds)},
    )
    if len(lams) != M or min(*lams, problem.lam_H) < 0:
        raise ValueError(
            f"lam_W, lam_H = {problem.lam_W}, {problem.lam_H}: must be >= 0, lam_W one number or depth = {M} of them"
        )
    if problem.loss not in ("mse", "cross-entropy"):
        raise ValueError(f"loss = {problem.loss!r}: must be 'mse' or 'cross-entropy'")


class _Iterate:
    """W_1, ..., W_M, H and b of all seeds, their velocity and gradient: each one flat vector, `_Blocks`.

    Gradients (derived; held against autograd in tests/test_models.py), R = (H P^T + 1 b^T - Y)/N and dP = R^T H:
        dH = R P,    db = R^T 1,    dW_m = (W_M ... W_{m+1})^T dP (W_{m-1} ... W_1)^T.
    Left and right factors are K x d, so no product of two d x d matrices is formed. For "mse" the rows of H are
    moreover replaced by their K + d coordinates in an orthonormal basis Q of span(Y, H at the start), where that is
    fewer than N. Nothing is lost: with H = Q h the gradient (Q h P^T + 1 b^T - Y) P/N + lam_H Q h stays in the span.
    """

    def __init__(self, problem, descent, options):
        self.problem, self.descent, self.N = problem, descent, sum(problem.counts)
        B, K, M, d = len(descent.seeds), len(problem.counts), problem.depth, problem.dim
        W, H = _draw(descent.seeds, descent.std, [(d, d)] * (M - 1) + [(K, d)], (self.N, d), options)
        h = self._in_basis(H, options)
        shapes = [(M - 1, B, d, d), (B, K, d), tuple(h.shape), (B, 1, K)]
        self.theta, self.velocity, self.gradient, self.lam = (_Blocks(shapes, options) for _ in range(4))
        self.deep, self.last, self.h, self.b = self.theta.blocks
        self.h.copy_(h)
        for m, layer in enumerate([*self.deep, self.last]):
            layer.copy_(W[m])
        self._set_decays()
        self._set_factors(torch.empty(M, B, K, d, **options), torch.empty(M - 1, B, K, d, **options))

    def _in_basis(self, H, options):
        """Set Q, and Y and the vector of ones in its coordinates; returns H's."""
        (B, N, d), K = H.shape, len(self.problem.counts)
        labels = torch.repeat_interleave(torch.arange(K), torch.tensor(self.problem.counts))
        Y = nn.functional.one_hot(labels, K).to(**options).expand(B, N, K)
        fewer = self.problem.loss == "mse" and N > K + d
        self.Q = torch.linalg.qr(torch.cat([Y, H], 2)).Q if fewer else None
        ones = torch.ones(B, N, 1, **options)
        h, self.Y, self.one = (X if self.Q is None else self.Q.mT @ X for X in (H, Y, ones))
        return h

    def _set_decays(self):
        """lam: what multiplies each entry of theta in the gradient."""
        deep, last, h, _ = self.lam.blocks
        h.fill_(self.problem.lam_H)
        for penalty, lam in zip([*deep, last], self.problem.lams, strict=True):
            penalty.fill_(lam)

    def _set_factors(self, lefts, rights):
        """left[m] = W_M ... W_{m+1} and right[m] = dP (W_m ... W_1)^T, both for m = 0 .. M-1; views are made once."""
        self.d_deep, d_last, self.d_h, self.d_b = self.gradient.blocks
        self.d_deep = self.d_deep.flatten(0, 1)
        self.top, self.left, self.right = lefts[-1], [*lefts[:-1], self.last], [*rights, d_last]
        self.layers, self.layers_T = list(self.deep), [W.mT for W in self.deep]
        self.outer_left, self.outer_right = lefts[1:].flatten(0, 1).mT, rights.flatten(0, 1)
        self.P, self.R = self.left[0], torch.empty_like(self.Y)
        self.P_T, self.R_T, self.one_T = self.P.mT, self.R.mT, self.one.mT

    def advance(self):
        """One step of heavy-ball descent."""
        self.update_gradient()
        torch.add(self.gradient.flat, self.velocity.flat, alpha=self.descent.momentum, out=self.velocity.flat)
        self.theta.flat.add_(self.velocity.flat, alpha=-self.descent.lr)

    def update_gradient(self):
        self.update_left()
        self.update_residual()
        if self.problem.bias:
            torch.bmm(self.one_T, self.R, out=self.d_b)
        torch.bmm(self.R, self.P, out=self.d_h)
        self.update_layers()
        self.gradient.flat.addcmul_(self.lam.flat, self.theta.flat)

    def update_left(self):
        """W_M ... W_{m+1}; of m = 0 that is P."""
        self.top.copy_(self.last)
        for m in reversed(range(len(self.layers))):
            torch.bmm(self.left[m + 1], self.layers[m], out=self.left[m])

    def update_residual(self):
        """R: the derivative of the loss by the logits."""
        N, R, b = self.N, self.R, self.b
        if self.problem.loss == "mse":
            torch.baddbmm(self.Y, self.h, self.P_T, beta=-1 / N, alpha=1 / N, out=R)
            if self.problem.bias:
                R.baddbmm_(self.one, b, alpha=1 / N)
        else:
            torch.bmm(self.h, self.P_T, out=R)
            R.copy_((torch.softmax(R + b, 2) - self.Y) / N)

    def update_layers(self):
        """dW_m, from dP = R^T H on."""
        torch.bmm(self.R_T, self.h, out=self.right[0])
        for m, W_T in enumerate(self.layers_T):
            torch.bmm(self.right[m], W_T, out=self.right[m + 1])
        if self.layers:
            torch.bmm(self.outer_left, self.outer_right, out=self.d_deep)

    def state(self, step):
        """A `State` of copies; FloatingPointError where it is not finite."""
        if not self.theta.flat.isfinite().all():
            lr, std = self.descent.lr, self.descent.std
            raise FloatingPointError(f"direct_descent diverged before step {step}: lower lr = {lr} or std = {std}")
        H = self.h.clone() if self.Q is None else self.Q @ self.h
        return State((*self.deep.clone(), self.last.clone()), H, self.b[:, 0].clone())


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
