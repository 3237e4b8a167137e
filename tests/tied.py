"""The model with features tied to H0 as the paper writes it, an optimizer of it, dense matrices of Theorem 4.1."""

import numpy as np
import torch
from torch.autograd.functional import hessian, jacobian


def labels(K, n):
    return torch.arange(K).repeat_interleave(n)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(W, H, H0, y, lam_W, lam_H, beta):
    """f(W, H; H0), Eq. 2; n is the mean class size."""
    K, N = len(W), len(H)
    Y = torch.eye(K, dtype=torch.float64)[y]
    fit = ((H @ W.T - Y) ** 2).sum() / (2 * N) + lam_W / (2 * K) * (W**2).sum()
    return fit + lam_H / (2 * N) * (H**2).sum() + beta / (2 * N) * ((H - H0) ** 2).sum()


def flat(H0, y, lam_W, lam_H, beta):
    """(function of the flattened (W, H), function that splits it)."""
    K, (N, d) = int(y.max()) + 1, H0.shape

    def split(x):
        return x[: K * d].reshape(K, d), x[K * d :].reshape(N, d)

    return (lambda x: objective(*split(x), H0, y, lam_W, lam_H, beta)), split


def descend(H0, y, lam_W, lam_H, beta, seed=0, scale=1.0):
    """(W, H, f) from a random start: L-BFGS with autograd, then Newton steps by least squares."""
    f, split = flat(H0, y, lam_W, lam_H, beta)
    x = normal((int(y.max()) + 1) * H0.shape[1] + H0.numel(), seed=seed, scale=scale).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [x], max_iter=3000, tolerance_grad=1e-10, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = f(x)
        value.backward()
        return value

    optimizer.step(closure)
    x = x.detach()
    for _ in range(2):
        x = x - torch.linalg.lstsq(hessian(f, x), jacobian(f, x), driver="gelsd", rcond=1e-10).solution
    assert jacobian(f, x).norm() < 1e-9
    return *split(x), float(f(x))


def theorem_4_1(W, H, H0, y, lam_W, lam_H, beta):
    """(beta/Kn) (f_HH - f_HW f_WW^-1 f_WH)^-1 at (W, H), from the Hessian of f by autograd."""
    f, _ = flat(H0, y, lam_W, lam_H, beta)
    A, m = hessian(f, torch.cat([W.flatten(), H.flatten()])), W.numel()
    schur = A[m:, m:] - A[m:, :m] @ torch.linalg.solve(A[:m, :m], A[:m, m:])
    return beta / len(H) * torch.linalg.inv(schur)


def equation_5(W, H, y, lam_W, lam_H, beta):
    """I - (lH/b) I - (1/b) I (x) W^T W + (1/b) Z with Z and E literally as in the paper, H there being (d, Kn)."""
    H, W = H.numpy().T, W.numpy()
    (d, N), K = H.shape, len(W)
    R = W @ H - np.eye(K)[:, y.numpy()]
    E = np.stack([np.outer(np.eye(d)[i], R[k]).flatten("F") for i in range(d) for k in range(K)], axis=1)
    J = E.T + np.kron(H, W)
    Z = J.T @ np.linalg.solve(np.kron(H @ H.T, np.eye(K)) + N / K * lam_W * np.eye(d * K), J)
    F = (1 - lam_H / beta) * np.eye(d * N) - np.kron(np.eye(N), W.T @ W) / beta + Z / beta
    return torch.from_numpy(F)


def as_matrix(problem, order=None):
    """`response` applied to every basis vector, as a matrix."""
    shape = (problem.num_classes * problem.samples_per_class, problem.dim)
    basis = torch.eye(shape[0] * shape[1], dtype=torch.float64)
    return torch.stack([problem.response(e.reshape(shape), order).flatten() for e in basis], 1)


def traces(H, y):
    """(tr Sigma_W, tr Sigma_B) of Eq. 3 by a loop over classes."""
    means = torch.stack([H[y == k].mean(0) for k in range(int(y.max()) + 1)])
    within = sum(((H[y == k] - m) ** 2).sum() for k, m in enumerate(means)) / len(H)
    return float(within), float(((means - means.mean(0)) ** 2).sum() / len(means))
