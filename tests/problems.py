"""Problems whose minimizer is known by hand, and an optimizer that knows only the objective.

Nothing here imports nclib.theory: the numbers come from fractions worked out on paper, the optimizer from the objective
as it is written, over the factors W_1, ..., W_M, every sample's feature, and b.
"""

from dataclasses import dataclass

import torch
from scipy.optimize import minimize
from torch.autograd.functional import hessian


@dataclass(frozen=True, eq=False)
class Exact:
    """An MSE problem (arguments of mse_minimizer) with its global minimizer; singular_values belong to W_1."""

    name: str
    counts: tuple
    weight_decays: tuple
    lam_H: float
    bias: bool
    width: int | None
    loss: float
    gram_W: torch.Tensor
    gram_H: torch.Tensor
    logits: torch.Tensor
    offset: torch.Tensor
    singular_values: torch.Tensor
    unique: bool = True

    @property
    def arguments(self):
        return (self.counts, self.weight_decays, self.lam_H), {"bias": self.bias, "width": self.width}


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def diag(*entries):
    return torch.diag(tensor(*entries))


CENTERED = torch.eye(3, dtype=torch.float64) - 1 / 3

# The roots x of beta_k = M x^(M-1)/(1+x^M)^2 were chosen first, then counts and decays that have them.
EXACT = (
    # N^2 lam_W lam_H = 1, so x = sqrt(n) - 1 = 3, 2, 1 and the last class sits at the threshold.
    Exact(
        *("depth 1, one class at the threshold", (16, 9, 4, 1), (1 / 20,), 1 / 45, False, None),
        loss=4 / 15,
        gram_W=diag(2, 4 / 3, 2 / 3, 0),
        gram_H=diag(9 / 32, 1 / 3, 3 / 8, 0),
        logits=diag(3 / 4, 2 / 3, 1 / 2, 0),
        offset=tensor(0, 0, 0, 0),
        singular_values=tensor(2, 4 / 3, 2 / 3, 0).sqrt(),
    ),
    # x = 3, 2; the class of 24 has beta = 1/2, where 0 and q = 1/2 cost the same.
    Exact(
        *("depth 2, two optima", (75, 24, 200), (12 / 299, 3 / 299), 1 / 299, False, None),
        loss=119 / 598,
        gram_W=diag(4, 0, 9),
        gram_H=diag(4 / 25, 0, 9 / 100),
        logits=diag(4 / 5, 0, 9 / 10),
        offset=tensor(0, 0, 0),
        singular_values=tensor(3 / 2, 1, 0).sqrt(),
        unique=False,
    ),
    # One direction, s^2 = 2 n_1 n_2/N = 4, and x = 2.
    Exact(
        *("depth 2, imbalanced with bias", (6, 3), (16 / 225, 4 / 225), 1 / 9, True, None),
        loss=26 / 225,
        gram_W=tensor([2, -2], [-2, 2]),
        gram_H=tensor([1, -2], [-2, 4]) * 8 / 225,
        logits=tensor([14, 2], [1, 13]) / 15,
        offset=tensor(2 / 3, 1 / 3),
        singular_values=tensor(1, 0),
    ),
    # x = 2.
    Exact(
        *("depth 3, balanced with bias", (4, 4, 4), (4 / 243, 8 / 243, 4 / 243), 1 / 24, True, None),
        loss=11 / 81,
        gram_W=4 * CENTERED,
        gram_H=16 / 81 * CENTERED,
        logits=8 / 9 * CENTERED + 1 / 3,
        offset=tensor(1, 1, 1) / 3,
        singular_values=tensor(2, 2, 0).sqrt(),
    ),
    # x = 2 in the two directions that fit.
    Exact(
        *("depth 2, width 2 of 3", (5, 5, 5), (2 / 75, 2 / 75), 1 / 15, False, 2),
        loss=17 / 50,
        gram_W=diag(4, 4, 0),
        gram_H=diag(4 / 25, 4 / 25, 0),
        logits=diag(4 / 5, 4 / 5, 0),
        offset=tensor(0, 0, 0),
        singular_values=tensor(2, 2).sqrt(),
        unique=False,
    ),
    # x = 2.
    Exact(
        *("depth 6", (3, 3), (32 / 4225,) * 6, 1 / 384, False, None),
        loss=449 / 8450,
        gram_W=diag(1, 1),
        gram_H=diag(4096 / 4225, 4096 / 4225),
        logits=diag(64 / 65, 64 / 65),
        offset=tensor(0, 0),
        singular_values=tensor(1, 1),
    ),
)


@dataclass(frozen=True, eq=False)
class Found:
    """The best of several runs: gram_H and logits from class means, spread = largest gap of a feature and its mean."""

    loss: float
    losses: list
    gram_W: torch.Tensor
    gram_H: torch.Tensor
    logits: torch.Tensor
    offset: torch.Tensor
    spread: float
    W: list
    H: torch.Tensor


def labels_of(counts):
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def objective(fit, W, H, b, weight_decays, lam_H, lam_b=0.0):
    """fit(W_M ... W_1 H + b 1^T) + sum_m lam_Wm/2 |W_m|^2 + lam_H/2 |H|^2 + lam_b/2 |b|^2, H (d, N)."""
    Z = H
    for w in W:
        Z = w @ Z
    decay = sum(lam / 2 * w.square().sum() for lam, w in zip(weight_decays, W, strict=True))
    return fit(Z + b[:, None]) + decay + lam_H / 2 * H.square().sum() + lam_b / 2 * b.square().sum()


def mse(counts):
    """1/(2N) |Z - Y|^2."""
    Y = torch.nn.functional.one_hot(labels_of(counts)).T.double()
    return lambda Z: (Z - Y).square().sum() / (2 * Y.shape[1])


def cross_entropy(counts):
    """1/N sum CE."""
    y = labels_of(counts)
    return lambda Z: torch.nn.functional.cross_entropy(Z.T, y)


def optimize(
    fit, counts, weight_decays, lam_H, *, bias=False, width=None, lam_b=0.0, relu=False, starts=1, scales=(1.3,)
):
    """Minimize `objective` from random starts by L-BFGS, then polish the best by Newton steps on all coordinates.

    Start i has factors of size scales[i mod len] (small ones reach minimizers at 0). The Hessian is singular along
    rotations of the factors, so Newton takes the shortest least-squares step. With relu the features are kept >= 0, and
    the polish leaves coordinates at the bound.
    """
    K, N, M = len(counts), sum(counts), len(weight_decays)
    d = width or K + 1
    shapes = [(K if m == M else d, d) for m in range(1, M + 1)] + [(d, N)] + [(K,)] * bool(bias)
    sizes = [torch.Size(s).numel() for s in shapes]

    def unpack(x):
        *W, H, b = [p.reshape(s) for p, s in zip(x.split(sizes), shapes, strict=True)] + [x.new_zeros(K)] * (not bias)
        return W, H, b

    def f(x):
        return objective(fit, *unpack(x), weight_decays, lam_H, lam_b)

    def value_and_gradient(a):
        x = torch.from_numpy(a).requires_grad_()
        value = f(x)
        (g,) = torch.autograd.grad(value, x)
        return value.item(), g.numpy()

    generator, runs = torch.Generator().manual_seed(0), []
    is_H = torch.cat([torch.full((n,), i == M) for i, n in enumerate(sizes)])
    bounds = [(0, None) if relu and h else (None, None) for h in is_H.tolist()]
    for i in range(starts):
        scale = torch.where(is_H, 1.0, scales[i % len(scales)]) / d**0.5
        x = torch.randn(sum(sizes), generator=generator, dtype=torch.float64) * scale
        x = torch.where(is_H, x.abs(), x) if relu else x
        options = {"maxiter": 20000, "maxfun": 40000, "ftol": 0, "gtol": 1e-11, "maxcor": 30}
        runs.append(
            minimize(value_and_gradient, x.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        )
    x = torch.from_numpy(min(runs, key=lambda r: r.fun).x)
    free = ~(is_H & (x <= 0)) if relu else torch.ones_like(is_H)
    for _ in range(3):
        g = torch.from_numpy(value_and_gradient(x.numpy())[1])[free]
        A = hessian(f, x)[free][:, free]
        step = torch.linalg.lstsq(A, -g[:, None], rcond=1e-9, driver="gelsd").solution[:, 0]
        trial = x.clone()
        trial[free] += step
        if not f(trial) <= f(x) + 1e-15:
            break
        x = trial
    W, H, b = unpack(x)
    means = torch.stack([h.mean(1) for h in H.split(list(counts), 1)], 1)
    P = torch.linalg.multi_dot([*W[::-1], torch.eye(d, dtype=torch.float64)]) if M > 1 else W[0]
    spread = float((H - means[:, labels_of(counts)]).abs().max())
    losses = [r.fun for r in runs]
    return Found(float(f(x)), losses, P @ P.T, means.T @ means, P @ means + b[:, None], b, spread, W, H)
