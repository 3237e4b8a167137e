"""Limited-memory BFGS for many small independent problems at once, with optional lower bounds of zero."""

from dataclasses import dataclass, fields

import torch


def minimize(
    loss, theta, *, iterations=1000, tolerance=1e-9, history=8, nonnegative=None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Minimize B independent functions: theta (B, D) -> (theta (B, D), values (B,), largest |gradient entry| (B,)).

    loss(x, which): x (b, D), which (b,) int64 -> (b,), the functions of those problems at the rows of x. A problem
    stops when every entry of its gradient is at most `tolerance`, or after `iterations` evaluations of loss and
    gradient. Each has its own step length: one whose trial point fails Armijo's condition backtracks while the others
    go on, so that an iteration costs one evaluation.
    nonnegative: (D,) bool, the coordinates with the constraint theta >= 0. They are projected; those at 0 whose
    gradient points outward are held there (Bertsekas 1982, two-metric projection) and do not count as gradient.
    """
    B, D = theta.shape
    bound = torch.zeros(D, dtype=torch.bool) if nonnegative is None else nonnegative
    bound = bound.to(theta.device)

    def evaluate(x, which):
        x = x.detach().requires_grad_()
        f = loss(x, which)
        (g,) = torch.autograd.grad(f.sum(), x)
        return f.detach(), torch.where(bound & (x.detach() <= 0) & (g > 0), 0, g)

    found, value, slope = theta.detach().clone(), theta.new_empty(B), theta.new_empty(B)
    x, which = _project(found, bound), torch.arange(B, device=theta.device)
    f, g = evaluate(x, which)
    memory = [x.new_zeros(B, history, D), x.new_zeros(B, history, D), x.new_zeros(B, history)]
    now = _State(which, x, f, g, -g, _first_step(g), x.new_ones(B), *memory)
    for iteration in range(iterations + 1):
        done = now.g.abs().amax(1) <= tolerance
        last = iteration == iterations or bool(done.all())
        if last or done.sum() > len(done) // 4:
            found[now.which], value[now.which], slope[now.which] = now.x, now.f, now.g.abs().amax(1)
            now = now.keep(~done)
        if last:
            break
        trial = _project(now.x + now.t[:, None] * now.d, bound)
        _advance(now, trial, *evaluate(trial, now.which), iteration % history, bound)
    return found, value, slope


@dataclass
class _State:
    """The problems still running: numbers, points, values, gradients, directions, step lengths; and their memory."""

    which: torch.Tensor
    x: torch.Tensor
    f: torch.Tensor
    g: torch.Tensor
    d: torch.Tensor
    t: torch.Tensor
    gamma: torch.Tensor
    S: torch.Tensor
    T: torch.Tensor
    rho: torch.Tensor

    def keep(self, rows):
        return _State(*(getattr(self, field.name)[rows] for field in fields(self)))


def _advance(now, trial, f, g, slot, bound):
    """Accept the trial points that decrease enough, update the memory, choose the next directions and step lengths."""
    s, y = trial - now.x, g - now.g
    rounding = 4 * torch.finfo(f.dtype).eps * now.f.abs()
    good = f <= now.f + 1e-4 * (now.g * s).sum(1) + rounding
    sy = (s * y).sum(1)
    curved = good & (sy > 1e-14 * s.norm(dim=1) * y.norm(dim=1))
    now.S[:, slot], now.T[:, slot], now.rho[:, slot] = s, y, torch.where(curved, 1 / sy, 0)
    now.gamma = torch.where(curved, sy / y.square().sum(1), now.gamma)
    now.x = torch.where(good[:, None], trial, now.x)
    now.g = torch.where(good[:, None], g, now.g)
    now.f = torch.where(good, f, now.f)
    d = -_inverse_hessian(now, slot)
    d = torch.where(bound & (now.x <= 0) & (d < 0), 0, d)
    reset = ~((d * now.g).sum(1) < 0) | (~good & (now.t < 1e-8))
    retry = ~good & ~reset
    now.rho[reset] = 0
    d = torch.where(reset[:, None], -now.g, d)
    now.d = torch.where(retry[:, None], now.d, d)
    now.t = torch.where(retry, 0.3 * now.t, torch.where(reset, _first_step(now.g), 1))


def _project(x, bound):
    return torch.where(bound, x.clamp(min=0), x)


def _first_step(g):
    return 1 / g.norm(dim=1).clamp(min=1)


def _inverse_hessian(now, newest):
    """The two-loop recursion: the inverse Hessian's estimate times g. A pair with rho = 0 has no effect."""
    S, T, rho, q = now.S, now.T, now.rho, now.g
    m = S.shape[1]
    order, a = [(newest - i) % m for i in range(m)], {}
    for j in order:
        a[j] = rho[:, j] * (S[:, j] * q).sum(1)
        q = q - a[j][:, None] * T[:, j]
    q = now.gamma[:, None] * q
    for j in reversed(order):
        q = q + (a[j] - rho[:, j] * (T[:, j] * q).sum(1))[:, None] * S[:, j]
    return q
