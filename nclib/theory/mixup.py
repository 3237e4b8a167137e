"""Mixup in the unconstrained-features model, with a classifier that is a simplex ETF: closed forms by Lambert's W.

A free feature h for each mixed pair, mix = lambda the weight of class i and 1 - lambda that of class j; the rows of W
are a simplex ETF of length |w_k| = m. The problem of Fisher, Meng & Papyan (2024) for one feature is strictly convex:

    min over h of  CE(softmax(W h), y) + lam_H/2 |h|^2,        y = lambda e_i + (1 - lambda) e_j.

With a = m^2 K / ((K-1) lam_H) its logits are z = W h = a (y - p), p = softmax(z), so that one number Z is left:

    p_k = W0(a e^(a y_k) / Z) / a,        sum_k z_k = 0.

The paper's theorem is two implicit equations for factors of w_i and w_j (recalled, not read); this form is equivalent
up to how lam_H is normalized by the number of samples, and derived here. float64, on the device of the arguments.
"""

import math

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from nclib._inputs import rows
from nclib.theory._inputs import positive

# A classifier in float32 is a simplex ETF up to about 1e-7, relative; a trained one is off by more than 1e-3.
FRAME = 1e-5
INNER, OUTER = 60, 200  # bounds of Newton's steps, ten times what any argument needed


def logits(num_classes, a, mix) -> Tensor:
    """(..., 3): z_i, z_j and the z_q of each of the other K - 2 classes, for broadcast num_classes, a and mix.

    z_i + z_j + (K-2) z_q = 0. Exact to rounding also where a is large, where a (y - p) would cancel. The channel law:
    as a -> infinity, z_i - z_j -> log(lambda/(1-lambda)) while z_i - z_q grows like log a. For K = 2 there is no other
    class, and the third entry is 0. Derived, after Fisher, Meng & Papyan 2024.

    Raises ValueError for num_classes below 2, a <= 0 and mix outside [0, 1].

    >>> [round(z, 4) for z in logits(10, 1e3, 0.75).tolist()]
    [5.2696, 4.1613, -1.1789]
    """
    K, a, mix = _broadcast(num_classes, a, mix)
    y = torch.stack([mix, 1 - mix, torch.zeros_like(mix)], -1)
    n = torch.stack([torch.ones_like(K), torch.ones_like(K), K - 2], -1)
    z, _ = _solve(n, a[..., None], y)
    return z * (n > 0)


def probabilities(num_classes, a, mix) -> Tensor:
    """(..., 3): the optimal p_i, p_j and the q of each of the other K - 2 classes; p_i + p_j + (K-2) q = 1.

    a = m^2 K / ((K-1) lam_H) > 0, mix = lambda in [0, 1] the weight of class i; both may be tensors, and so may
    num_classes. p -> 1/K as a -> 0 and p -> (lambda, 1-lambda, 0) as a -> infinity. For K = 2 the third entry is 0.
    Derived, after Fisher, Meng & Papyan 2024. Raises ValueError as `logits` does.

    >>> p = probabilities(3, 2.0, 1.0)
    >>> [round(one, 4) for one in p.tolist()], round(float((p[0] / p[1]).log() / same_class(3, 2.0)), 12)
    ([0.6141, 0.193, 0.193], 1.0)
    """
    K, a, mix = _broadcast(num_classes, a, mix)
    y = torch.stack([mix, 1 - mix, torch.zeros_like(mix)], -1)
    n = torch.stack([torch.ones_like(K), torch.ones_like(K), K - 2], -1)
    _, p = _solve(n, a[..., None], y)
    return p * (n > 0)


def same_class(num_classes, a) -> Tensor:
    """t = z_i - z_k, the margin of a mix within one class: t (K - 1 + e^t) = K a. Does not depend on lambda.

    The feature is t (K-1)/(K m^2) w_i, along the classifier. Broadcasts over num_classes and a. Derived, after Fisher,
    Meng & Papyan 2024. Raises ValueError for num_classes below 2 and a <= 0.

    >>> t = same_class(2, 1.0)
    >>> round(float(t), 6), round(float(t * (1 + t.exp())), 6)
    (0.674832, 2.0)
    """
    K, a, _ = _broadcast(num_classes, a, 1.0)
    return _margin(K, a, 1)


def amplification(num_classes, a) -> Tensor:
    """|h^(1/2)_ij| / |h_ii|: how much longer an even mix of two classes is than a mix within one.

    sqrt(2 (K-2)/(K-1)) u / t with t of `same_class` and u (2 e^u + K - 2) = K a / 2 the margin of the two classes over
    the others. It tends to sqrt(2 (K-2)/(K-1)) as a -> infinity, like 1 - O(1/log a); the middle of two class means
    would have sqrt((K-2)/(2 (K-1))), its limit as a -> 0. 0 for K = 2. Derived. Raises ValueError as `same_class` does.

    >>> [round(float(amplification(10, a)), 3) for a in (11, 111, 1.1e3)]
    [0.895, 1.042, 1.113]
    """
    K, a, _ = _broadcast(num_classes, a, 0.5)
    return (2 * (K - 2) / (K - 1)).sqrt() * _margin(K, a, 2) / _margin(K, a, 1)


def feature(W, i, j, mix, lam_H) -> Tensor:
    """(d,): the optimal feature of the mix of class i (weight `mix`) and class j, for the simplex ETF W (K, d).

    h = (1/lam_H) [(lambda - p_i + q) w_i + (1 - lambda - p_j + q) w_j], which is (K-1)/(K m^2) sum_k z_k w_k; for
    i = j the feature of `same_class`. i, j and mix may be tensors: they broadcast, and the result is (..., d). Derived,
    after Fisher, Meng & Papyan 2024.

    Raises ValueError for W that is not a simplex ETF (of relative error 1e-5, so that float32 passes), or has
    K > d + 1; for i or j that is no class, mix outside [0, 1], lam_H <= 0.

    >>> W = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    >>> [round(float(h), 4) for h in feature(W, 0, 0, 0.3, 0.75)]
    [0.7718, 0.0]
    """
    W, m = _frame(W)
    K = len(W)
    i, j, mix = torch.broadcast_tensors(_class("i", i, K), _class("j", j, K), _weights(mix))
    i, j, mix = (value.to(W.device) for value in (i, j, mix))
    same = (i == j)[..., None]
    z = logits(K, m**2 * K / ((K - 1) * positive("lam_H", lam_H)), torch.where(i == j, 1.0, mix))
    z = (K - 1) / (K * m**2) * (z - torch.where(same, z[..., 1:2], z[..., 2:]))  # in one class all others are alike
    return z[..., :1] * W[i] + torch.where(same, 0.0, z[..., 1:2]) * W[j]


def mse_feature(W, i, j, mix, lam_H) -> Tensor:
    """(d,): the same for squared error, min over h of 1/2 |W h - y|^2 + lam_H/2 |h|^2, W (K, d) a simplex ETF.

    h = (lambda w_i + (1-lambda) w_j) / (m^2 K/(K-1) + lam_H): exactly linear in lambda, a point of the segment between
    the features of the two classes. Derived. Broadcasts and raises as `feature` does.

    >>> W = torch.tensor([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    >>> [round(float(h), 4) for h in mse_feature(W, 0, 1, 0.5, 0.5)]
    [0.125, 0.2165]
    """
    W, m = _frame(W)
    K = len(W)
    i, j, mix = torch.broadcast_tensors(_class("i", i, K), _class("j", j, K), _weights(mix))
    i, j, mix = (value.to(W.device) for value in (i, j, mix))
    mixed = mix[..., None] * W[i] + (1 - mix[..., None]) * W[j]
    return mixed / (m**2 * K / (K - 1) + positive("lam_H", lam_H))


def fitted(num_classes, mix, different, same) -> tuple[float, float]:
    """(a, error): the one scalar a with which the closed form is nearest to measured logits, and how near it is.

    mix (L,); different (L, 3): mean z_i, z_j and mean over the other classes of z_q at each mix; same: z_i and z_q of
    mixes within a class. error = |measured - predicted| / |measured| over all 3 L + 2 numbers, at the a in
    [1e-3, 1e12] that minimizes it. Derived. Raises ValueError for shapes that do not fit and values that are not
    finite.

    >>> a, error = fitted(10, [0.3, 0.5], logits(10, 50.0, [0.3, 0.5]), logits(10, 50.0, 1.0)[[0, 2]])
    >>> round(a, 4), error < 1e-6
    (50.0, True)
    """
    mix = _weights(mix)
    measured = [torch.as_tensor(part, dtype=torch.float64).cpu() for part in (different, same)]
    if mix.ndim != 1 or measured[0].shape != (len(mix), 3) or measured[1].shape != (2,):
        shapes = tuple(mix.shape), *(tuple(part.shape) for part in measured)
        raise ValueError("mix, different, same have shapes {}, {}, {}: must be (L,), (L, 3), (2,)".format(*shapes))
    target = torch.cat([part.flatten() for part in measured])
    if not target.isfinite().all():
        raise ValueError("different, same hold NaN or inf, must be finite")

    def error(log_a):
        a = math.exp(log_a)
        found = torch.cat([logits(num_classes, a, mix.cpu()).flatten(), logits(num_classes, a, 1.0)[[0, 2]]])
        return float((found - target).norm() / target.norm())

    grid = np.linspace(math.log(1e-3), math.log(1e12), 60)
    best = int(np.argmin([error(log_a) for log_a in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(error, bounds=ends, method="bounded", options={"xatol": 1e-10})
    return math.exp(found.x), float(found.fun)


def _margin(K, a, n):
    """u > 0 with u (n e^u + K - n) = K a / n, the margin of n classes that are mixed evenly over the others.

    The left side is convex, and both a/n and log(1 + K a/n^2) lie at or above the root: Newton's steps fall to it.
    """
    u = torch.minimum(a / n, (K * a / n**2).log1p())
    for _ in range(INNER):
        grown = n * u.exp()
        step = (u * (grown + K - n) - K * a / n) / (grown * (1 + u) + K - n)
        u = u - step
        if (step <= 1e-15 * u).all():
            break
    return u


def _solve(n, a, y):
    """(z, p), each (..., 3), of targets y (..., 3) that n (..., 3) classes share.

    With L = log Z, s_k = log a + a y_k - L and v_k = log W0(e^s_k), the root of v + e^v = s: z_k = a y_k - e^v_k,
    or L - log a + v_k where that does not cancel. g(L) = sum_k n_k z_k is concave and rises, and L >= log K at its
    root, by Jensen: Newton's steps climb from there.
    """
    K = n.sum(-1, keepdim=True)
    L, v = K.log(), None
    for _ in range(OUTER):
        s = a.log() + a * y - L
        v = _log_omega(s, v)
        w = v.exp()
        z = torch.where(v > 0, L - a.log() + v, a * y - w)
        slope = (n * torch.where(v > 0, 1 / (1 + (-v).exp()), w / (1 + w))).sum(-1, keepdim=True)
        new = torch.maximum(L - (n * z).sum(-1, keepdim=True) / slope, K.log())
        if (new - L <= 2e-15 * L.clamp(min=1)).all():
            break
        L = new
    return z, torch.where(s > 1, s - v, w) / a


def _log_omega(s, v=None):
    """v with v + e^v = s: from the right of the root, since the left side is convex; so from the root of a larger s."""
    v = torch.where(s > 1, s.clamp(min=1).log(), s.clamp(max=0)) if v is None else v
    for _ in range(INNER):
        w = v.exp()
        step = (v - s + w) / (1 + w)
        v = v - step
        if (step <= 1e-15 * v.abs().clamp(min=1)).all():  # near the root they are rounding, of either sign
            break
    return v


def _broadcast(num_classes, a, mix):
    """K, a and mix as float64 tensors of one shape on one device."""
    K, a = (torch.as_tensor(value, dtype=torch.float64) for value in (num_classes, a))
    mix = _weights(mix)
    if not ((K >= 2) & (K == K.round()) & K.isfinite()).all():
        raise ValueError(f"num_classes = {_say(num_classes)}: must be whole numbers >= 2")
    if not ((a > 0) & a.isfinite()).all():
        raise ValueError(f"a = {_say(a)}: must be finite and > 0")
    device = next((value.device for value in (a, mix, K) if value.device.type != "cpu"), a.device)
    return torch.broadcast_tensors(*(value.to(device) for value in (K, a, mix)))


def _weights(mix):
    mix = torch.as_tensor(mix, dtype=torch.float64)
    if not ((mix >= 0) & (mix <= 1)).all():
        raise ValueError(f"mix = {_say(mix)}: must be in [0, 1]")
    return mix


def _class(name, value, K):
    value = torch.as_tensor(value)
    if value.is_floating_point() or not ((value >= 0) & (value < K)).all():
        raise ValueError(f"{name} = {_say(value)}: must be a class, 0 to {K - 1}")
    return value.long()


def _frame(W):
    """(W in float64, m) of a simplex ETF."""
    W = rows("W", W)
    K, d = W.shape
    if K > d + 1:
        raise ValueError(f"W has shape {(K, d)}: a simplex ETF of {K} classes needs d >= {K - 1}")
    G = W @ W.mT
    square = G.diagonal().mean()
    target = square * K / (K - 1) * (torch.eye(K, dtype=W.dtype, device=W.device) - 1 / K)
    error = float((G - target).norm() / target.norm()) if square > 0 else math.inf
    if not error <= FRAME:
        raise ValueError(
            f"W is not a simplex ETF: its Gram matrix is off by {error:.1e}, relative; at most {FRAME:.0e}"
        )
    return W, float(square.sqrt())


def _say(value):
    value = torch.as_tensor(value)
    return f"{value.item():g}" if value.numel() == 1 else f"tensor from {value.min():g} to {value.max():g}"
