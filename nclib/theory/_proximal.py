"""The model with features tied to H0, H eliminated: its K x K form, and a batched preconditioned conjugate gradient.

With b = lam_H + beta, a = beta/b, n = N/K, S = H0^T H0/n, M = Y^T H0/n, P = Y^T Y/n (rows are samples, Y one-hot),

    K min_H f = lam_W/2 |W|^2 + b/2 tr(A^-1 G) + constant,
    A = W W^T + b I,    G = P - a (W M^T + M W^T) + a^2 W S W^T,

so that a value costs O(K^2 d) whatever N is. With Q = a M - a^2 W S and B = A^-1 the gradient is
lam_W W - b B (Q + G B W). Coordinates of the features are eigenvectors of S, hence S is a vector s here (derived).
"""

from dataclasses import dataclass, fields, replace

import torch

TOLERANCE = 5e-11  # half of the promised 1e-10: the caller's own gradient is rounded differently
ITERATIONS = 5000
RACE = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """B problems on one H0: s (d,), M (K, d), P (K, K) are shared; lam_W, a, b are (B, 1, 1)."""

    s: torch.Tensor
    M: torch.Tensor
    P: torch.Tensor
    lam_W: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor

    def keep(self, rows) -> "Batch":
        return replace(self, lam_W=self.lam_W[rows], a=self.a[rows], b=self.b[rows])


@dataclass(frozen=True, eq=False)
class Point:
    """What a value and a gradient need of W: L L^T = A, and (value, gradient) of K min_H f up to its constant."""

    W: torch.Tensor
    Q: torch.Tensor
    A: torch.Tensor
    G: torch.Tensor
    L: torch.Tensor
    B: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor

    def keep(self, rows) -> "Point":
        return Point(*(getattr(self, field.name)[rows] for field in fields(self)))


def inner(X, Y) -> torch.Tensor:
    """(B, 1, 1): the Frobenius inner products."""
    return (X * Y).sum((-2, -1), keepdim=True)


def twice(X) -> torch.Tensor:
    """X + X^T (..., K, K), the derivative of a symmetric product."""
    return X + X.mT


def at(p, W) -> Point:
    Q = p.a * p.M - p.a**2 * W * p.s
    A = W @ W.mT + p.b * torch.eye(W.shape[1], dtype=W.dtype, device=W.device)
    G = twice(p.P - p.a * (W @ p.M.mT) - Q @ W.mT) / 2
    L = torch.linalg.cholesky(A)
    B = torch.cholesky_inverse(L)
    value = (p.lam_W * inner(W, W) + p.b * inner(B, G)) / 2
    return Point(W, Q, A, G, L, B, value, p.lam_W * W - p.b * (B @ (Q + G @ (B @ W))))


def excess(p, v) -> torch.Tensor:
    """(B, K, K): lam_W I - R R^T/(n b), R = Y - W H the residual; R R^T/n = b^2 B G B."""
    return p.lam_W * torch.eye(v.G.shape[-1], dtype=v.G.dtype, device=v.G.device) - p.b * twice(v.B @ v.G @ v.B) / 2


def precondition(p, v, X) -> torch.Tensor:
    """(lam_W - b B G B + a^2 b s_j B)^-1 on every column j of X: the Hessian but for the derivatives of B and G in W.

    With U diag(x) U^T = L^T (lam_W - b B G B) L the inverse is L U diag(1/(x + a^2 b s_j)) U^T L^T: one eigenproblem of
    size K. Away from a minimum x can be negative; its modulus keeps the direction one of descent.
    """
    x, U = torch.linalg.eigh(twice(v.L.mT @ excess(p, v) @ v.L) / 2)
    x, T = x[..., None], v.L @ U
    curvature = x + p.a**2 * p.b * p.s
    return T @ ((T.mT @ X) / torch.maximum(curvature, 0.1 * x.abs() + 1e-3 * p.lam_W * p.b))


def line_search(p, v, D) -> tuple[torch.Tensor, torch.Tensor]:
    """(step lengths, whether Armijo's condition was met): a Newton step in the length, then backtracking.

    A and G are quadratic in the length, so that a trial costs K x K operations only.
    """
    A1, A2 = twice(D @ v.W.mT), D @ D.mT
    G1, G2 = -twice(D @ v.Q.mT), p.a**2 * ((D * p.s) @ D.mT)
    W2, WD, D2, slope = inner(v.W, v.W), inner(v.W, D), inner(D, D), inner(v.gradient, D)
    BA, BG = v.B @ A1, v.B @ v.G
    bend = inner(BA @ BA, BG.mT) - inner(v.B @ A2, BG.mT) - inner(BA, (v.B @ G1).mT) + inner(v.B, G2)
    curvature = p.lam_W * D2 + p.b * bend
    t = torch.where(curvature > 0, -slope / curvature, 1)
    # lam_W/2 |W|^2 is at most the value: no lower point lies farther out than this
    t = torch.minimum(t, 2 * (2 * v.value / (p.lam_W * D2)).sqrt()).nan_to_num(nan=0)
    rounding = 64 * torch.finfo(t.dtype).eps * v.value
    for _ in range(40):
        A, G = v.A + t * (A1 + t * A2), v.G + t * (G1 + t * G2)
        value = (p.lam_W * (W2 + t * (2 * WD + t * D2)) + p.b * inner(torch.linalg.inv(A), G)) / 2
        good = value <= v.value + 1e-4 * t * slope + rounding
        if good.all():
            break
        t = torch.where(good, t, 0.4 * t)
    return t, good


def minimize(p, W, iterations=ITERATIONS) -> tuple[torch.Tensor, torch.Tensor]:
    """Preconditioned nonlinear conjugate gradient (Polak-Ribiere+) -> (W, |gradient| (B,)): one step a problem a turn.

    A problem stops at |gradient| <= TOLERANCE, or at the rounding of the gradient's own terms where those are large.
    """
    found, norm = W.clone(), W.new_full((len(W),), torch.inf)
    which, v, memory = torch.arange(len(W), device=W.device), at(p, W), None
    for iteration in range(iterations + 1):
        g = v.gradient.flatten(1).norm(dim=1)
        terms = (p.a * p.M).flatten(1).norm(dim=1) + (p.a**2 * v.W * p.s).flatten(1).norm(dim=1)
        done = g <= TOLERANCE + 4 * torch.finfo(g.dtype).eps * terms
        last = iteration == iterations or bool(done.all())
        if last or done.sum() > len(done) // 4:
            found[which], norm[which] = v.W, g
            if last:
                return found, norm
            which, p, v = which[~done], p.keep(~done), v.keep(~done)
            memory = memory and tuple(m[~done] for m in memory)
        Z = precondition(p, v, v.gradient)
        descent = inner(Z, v.gradient)
        D = -Z
        if memory:
            last_D, last_gradient, last_descent, trusted = memory
            conjugate = -Z + (inner(Z, v.gradient - last_gradient) / last_descent).clamp(min=0) * last_D
            good = trusted & (inner(conjugate, v.gradient) < -1e-3 * descent)
            D = torch.where(good, conjugate, -Z)
        t, good = line_search(p, v, D)
        memory = (D, v.gradient, descent, good)
        v = at(p, v.W + t * D)


def starts(p) -> torch.Tensor:
    """(3, B, K, d): the best W for H = H0, the best for H = a H0, and one that mixes nothing.

    The third is sum_i w_i u_i v_i^T on the singular vectors of M, completed where M has too few, each w_i the lowest of
    60 trial values of its own scalar problem: exact up to the grid for collapsed H0, and in the limit beta -> 0. It
    leaves 0, which is stationary, whatever H0 is.
    """
    ridge, shrunk = p.M / (p.s + p.lam_W), p.a * p.M / (p.a**2 * p.s + p.lam_W)
    U, m, VT = torch.linalg.svd(p.M, full_matrices=False)
    r, q = (U * (p.P @ U)).sum(0), (VT.square() * p.s).sum(1)
    fractions = torch.cat([1.25 ** -torch.arange(60.0, dtype=m.dtype, device=m.device), m.new_zeros(1)])
    w = (r / p.lam_W).sqrt() * fractions[:, None]
    value = p.lam_W * w**2 + p.b * (r - 2 * p.a * m * w + p.a**2 * q * w**2) / (w**2 + p.b)
    w = w.gather(1, value.argmin(1, keepdim=True))
    return torch.stack([ridge, shrunk, (U * w) @ VT])


def escape(p, v, turn) -> torch.Tensor:
    """W (B, K, d) moved along the negative eigenvectors of `excess`, each in a feature direction of least variance.

    Where H0 leaves a direction free, and W does not use it, the value falls: every start lies in the span of H0, where
    descent would stay. K directions, counted from number `turn`.
    """
    x, E = torch.linalg.eigh(excess(p, v))
    K, d = v.W.shape[1:]
    columns = (torch.arange(min(K, d), device=x.device) + turn) % d
    D = torch.zeros_like(v.W)
    D[:, :, columns] = (E * (x < 0)[:, None])[:, :, : len(columns)]
    return v.W + line_search(p, v, D)[0] * D


def best(p) -> tuple[torch.Tensor, torch.Tensor]:
    """(W, |gradient|): from the lowest start; where that is not certified as global, from the others and by `escape`.

    The others get RACE turns, in which all but the slowest problems finish; those below by then go on.
    """
    candidates = starts(p)
    order = torch.stack([at(p, W).value.flatten() for W in candidates]).argsort(0)
    everyone = torch.arange(order.shape[1], device=order.device)
    W, norm = minimize(p, candidates[order[0], everyone])

    def uncertified():
        return everyone[torch.linalg.eigvalsh(excess(p, at(p, W)))[:, 0] < -1e-9 * p.lam_W.flatten()]

    def take(rows, other):
        """Descend from those of `other` that are below W; whether any was."""
        q = p.keep(rows)
        lower = (at(q, other).value < at(q, W[rows]).value - 1e-12).flatten()
        if lower.any():
            W[rows[lower]], norm[rows[lower]] = minimize(q.keep(lower), other[lower])
        return bool(lower.any())

    rows = uncertified()
    for number in order[1:, rows] if len(rows) else ():
        take(rows, minimize(p.keep(rows), candidates[number, rows], RACE)[0])
    for turn in range(W.shape[1]):
        rows = uncertified()
        if not len(rows) or not take(rows, escape(p.keep(rows), at(p.keep(rows), W[rows]), turn)):
            break
    return W, norm
