"""Simplex equiangular tight frames with prescribed zeros: when a mask allows one, and one that is exact to rounding.

A mask is (K, d) bool, True where an entry may differ from 0. Wanted is V (K, d), 0 off the mask, with V V^T = c C,
c = K/(K-1), C = I - 11^T/K. Then 1^T V V^T 1 = 0, so every column of V sums to zero: one quadratic equation is worth d
linear ones, and a column with a single allowed entry is zero. On what is left, F = sum_j max(m_j - 1, 0) unknowns for
columns of m_j allowed entries, stand E = K(K-1)/2 equations. The frame is that of Xiao et al. 2024 (FedLoGe, the
"sparse ETF classifier"), who approach it by Adam; the existence and the solver here are derived, not theirs.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from nclib.theory._inputs import integer

DENSE = 24  # rows up to which the E x E matrix of a Newton step is formed and factored
STEPS = 60
MASKS = 20  # random masks that are tried
NUMBERS = 2**23  # in the largest temporary of a step, 64 MB: masks are solved in batches below it
EXACT = 1e-12  # residual max |V V^T - c C| that counts as solved, about 1e4 roundings


def share(beta) -> float:
    """beta as a float in [0, 1): the share of entries that are 0. Raises ValueError else.

    >>> share("0.25")
    0.25
    """
    try:
        value = float(beta)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < 1:
        raise ValueError(f"beta={beta}, the share of zeros must be in [0, 1)")
    return value


def sparse_mask(K: int, d: int, beta: float, *, seed: int = 0) -> Tensor:
    """A uniformly random mask, (K, d) bool, with exactly round(beta K d) entries False.

    Raises ValueError unless K >= 2, d >= 1 and 0 <= beta < 1.

    >>> (~sparse_mask(4, 5, 0.6, seed=1)).sum().item()
    12
    """
    K, d, beta = integer("K", K, 2), integer("d", d), share(beta)
    order = torch.randperm(K * d, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(K * d, dtype=torch.bool)
    mask[order[: round(beta * K * d)]] = False
    return mask.view(K, d)


def unknowns(mask: Tensor) -> int:
    """F = sum_j max(m_j - 1, 0): what the zero column sums leave free. mask (K, d) bool.

    >>> unknowns(torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 0]]).bool())
    3
    """
    _checked(mask[None])
    return int((mask.sum(0) - 1).clamp(min=0).sum())


def equations(K: int) -> int:
    """E = K(K-1)/2.

    >>> equations(4)
    6
    """
    return K * (K - 1) // 2


def disjoint_pairs(mask: Tensor) -> int:
    """Pairs of rows that share no column: their inner product is 0, not -1/(K-1), so with one there is no frame.

    mask (K, d) bool.

    >>> disjoint_pairs(torch.tensor([[1, 0], [0, 1], [1, 1]]).bool())
    1
    """
    _checked(mask[None])
    common = mask.double() @ mask.double().T
    return int((common.triu(1) + torch.ones_like(common).tril() == 0).sum())


def expected_unknowns(K: int, d: int, beta: float) -> float:
    """E[F] = d (K (1 - beta) - 1 + beta^K) of a random mask whose entries are zero independently.

    >>> expected_unknowns(2, 8, 0.5)
    2.0
    """
    K, d, beta = integer("K", K, 2), integer("d", d), share(beta)
    return d * (K * (1 - beta) - 1 + beta**K)


def solvable_probability(K: int, d: int, beta: float) -> float:
    """1[E[F] >= E] exp(-E (1 - (1 - beta)^2)^d): the count, and pairs of disjoint rows as a Poisson number.

    Derived, an approximation: pairs are taken as independent, and other obstructions are left out.

    >>> round(solvable_probability(2, 8, 0.5), 6)  # exp(-0.75^8)
    0.904735
    """
    E = equations(K)
    return math.exp(-E * (1 - (1 - beta) ** 2) ** d) if expected_unknowns(K, d, beta) >= E else 0.0


def centered(V: Tensor, mask: Tensor) -> Tensor:
    """The nearest matrix (..., K, d) on the mask whose columns sum to zero; V and mask (..., K, d).

    >>> mask = torch.tensor([[1, 0], [1, 1], [1, 1]]).bool()
    >>> centered(torch.tensor([[1.0, 9.0], [3.0, -2.0], [5.0, -4.0]]), mask).tolist()
    [[-2.0, 0.0], [0.0, 1.0], [2.0, -1.0]]
    """
    V = V * mask
    return (V - V.sum(-2, keepdim=True) / mask.sum(-2, keepdim=True).clamp(min=1)) * mask


def generic_rank(mask: Tensor, *, seed: int = 0) -> int:
    """Rank of the derivative of V -> V V^T on the mask's matrices with zero column sums, at a random one of them.

    At most E. Below E the attainable centered Gram matrices have measure zero (Sard); it does not follow that the
    simplex is none of them: Haar's contrasts are one.

    >>> haar = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1]]).bool()
    >>> generic_rank(haar), equations(4)
    (5, 6)
    """
    _checked(mask[None])
    V = centered(torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), mask)
    values = torch.linalg.eigvalsh(_normal(V[None], mask[None], _basis(len(mask)))[0])
    return int((values > 1e-10 * values[-1]).sum())


def simplex_on_mask(mask: Tensor, *, seed: int = 0, starts: int = 3, V: Tensor | None = None) -> Tensor | None:
    """V (K, d) float64, zero off the mask, with unit rows and cosines -1/(K-1) to 1e-12; None where none was found.

    Levenberg-Marquardt from the masked simplex in a random rotation, its rows rescaled (from other rotations where the
    first fails), or from a given V. Each step is P(L V), P the projection on the mask and on zero column sums, L
    symmetric:

        P(L V) V^T + V P(L V)^T + mu L = c C - V V^T.

    None is a proof only where two rows are disjoint; elsewhere it says that no start got there.

    >>> V = simplex_on_mask(sparse_mask(4, 6, 0.25))
    >>> torch.round(V @ V.T, decimals=9)[0].tolist()
    [1.0, -0.333333333, -0.333333333, -0.333333333]
    """
    _checked(mask[None])
    if disjoint_pairs(mask) or (mask.sum(1) == 0).any():
        return None
    found, error = nearest_simplex(mask, seed=seed, starts=starts, V=V)
    return found if error < EXACT else None


def nearest_simplex(mask: Tensor, *, seed: int = 0, starts: int = 3, V: Tensor | None = None) -> tuple[Tensor, float]:
    """(V, max |V V^T - c C|): the end of `simplex_on_mask`'s first start that is exact, or else the best of them, for
    any mask, so also where two rows are disjoint.

    >>> nearest_simplex(torch.eye(2).bool())[1]  # zero column sums leave V = 0
    1.0
    """
    if V is None:
        found, error = nearest_simplexes(mask[None], seeds=[seed], starts=starts)
    else:
        found, error = _solve(_on_mask(V.double()[None], mask[None]), mask[None])
    return found[0], error.item()


def nearest_simplexes(masks: Tensor, *, seeds=None, starts: int = 3) -> tuple[Tensor, Tensor]:
    """`nearest_simplex` of each of many masks of one shape, in steps that they take together.

    masks (B, K, d) bool; seeds, one a mask, default 0 for each. Returns V (B, K, d) and the residuals (B,), below EXACT
    where V is a simplex. Each mask has its own starts, damping and end, so to rounding it is as if it were alone.
    Raises ValueError for masks of another shape and for another number of seeds.

    >>> masks = torch.stack([sparse_mask(4, 6, beta) for beta in (0.25, 0.75)])
    >>> (nearest_simplexes(masks)[1] < EXACT).tolist()
    [True, False]
    """
    _checked(masks)
    B, K, d = masks.shape
    seeds = [0] * B if seeds is None else list(seeds)
    if len(seeds) != B:
        raise ValueError(f"seeds has {len(seeds)} entries, must be one a mask: {B}")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    best, error = masks.double(), torch.full((B,), math.inf, dtype=torch.float64)
    size = max(1, NUMBERS // (K * d * (equations(K) if K <= DENSE else 1)))
    for _ in range(integer("starts", starts)):
        left = (error >= EXACT).nonzero()[:, 0]
        for some in left.split(size) if len(left) else ():
            start = torch.stack([_rotated(K, d, generators[i]) for i in some])
            found, off = _solve(_on_mask(start, masks[some]), masks[some])
            better = off < error[some]
            best[some[better]], error[some[better]] = found[better], off[better]
    return best, error


def _checked(masks):
    if masks.ndim != 3 or masks.dtype != torch.bool or masks.shape[1] < 2 or not masks.shape[2]:
        raise ValueError(f"masks: {masks.dtype} of shape {tuple(masks.shape)}, must be bool (B, K, d), K >= 2, d >= 1")


def _on_mask(V, masks):
    """Starts on masks: rows of one length there, columns of sum zero."""
    return centered(V / torch.linalg.vector_norm(V * masks, dim=-1, keepdim=True).clamp(min=1e-9), masks)


def _target(K):
    return (K * torch.eye(K, dtype=torch.float64) - 1) / (K - 1)


def _rotated(K, d, generator):
    """A simplex in a random rotation where it fits, else its nearest matrix of rank d."""
    Q = torch.linalg.qr(torch.randn(max(K, d), max(K, d), generator=generator, dtype=torch.float64)).Q
    return (_target(K) @ Q[:K, :d]) * ((K - 1) / K) ** 0.5


def _solve(V, masks):
    """(V (B, K, d), residuals (B,)) after the steps of Levenberg and Marquardt, mu falling with the squared residual.
    What is solved or stuck rests."""
    K = V.shape[-2]
    basis, V = _basis(K) if K <= DENSE else None, V.clone()
    residual = _target(K) - V @ V.mT
    scale, going = torch.ones(len(V), dtype=torch.float64), torch.ones(len(V), dtype=torch.bool)
    for _ in range(STEPS):
        going &= (residual.abs().amax((1, 2)) >= EXACT / 100) & (scale <= 1e12)
        at = going.nonzero()[:, 0]
        if not len(at):
            break
        error = torch.linalg.matrix_norm(residual[at])
        L = _step(V[at], masks[at], residual[at], scale[at] * error**2 / K, basis)
        trial = V[at] + centered(L @ V[at], masks[at])
        left = _target(K) - trial @ trial.mT
        better = torch.linalg.matrix_norm(left) < error
        V[at[better]], residual[at[better]] = trial[better], left[better]
        scale[at] = torch.where(better, (scale[at] / 10).clamp(min=1e-6), scale[at] * 10)
        going[at] = better | (error >= EXACT)
    return V, residual.abs().amax((1, 2))


def _image(L, V, masks):
    step = centered(L @ V, masks) @ V.mT
    return step + step.mT


def _basis(K):
    """An orthonormal basis (E, K, K) of the symmetric matrices that are zero on the vector of ones."""
    j = torch.arange(1, K, dtype=torch.float64)
    Q = torch.ones(K, K - 1, dtype=torch.float64).triu()
    Q[1:] -= torch.diag(j)
    Q = Q / (j * (j + 1)).sqrt()
    a, b = torch.triu_indices(K - 1, K - 1)
    pairs = Q.T[a][:, :, None] * Q.T[b][:, None, :]
    return (pairs + pairs.mT) * torch.where(a == b, 0.5, 0.5**0.5)[:, None, None].double()


def _normal(V, masks, basis):
    """The E x E matrices of L -> P(L V) V^T + V P(L V)^T in the basis: twice the Gram matrix of the P(B V)."""
    moved = centered(basis @ V[:, None], masks[:, None]).flatten(2)
    return 2 * moved @ moved.mT


def _step(V, masks, residual, mu, basis):
    if basis is None:
        return _conjugate_gradients(lambda L: _image(L, V, masks) + mu[:, None, None] * L, residual)
    A = _normal(V, masks, basis)
    diagonal = A.diagonal(dim1=1, dim2=2)
    diagonal += torch.maximum(mu, 1e-15 * diagonal.amax(1))[:, None]
    flat = basis.flatten(1)
    x, _ = torch.linalg.solve_ex(A, residual.flatten(1) @ flat.T)  # a singular one is no step for its mask alone
    return (x @ flat).view_as(residual)


def _conjugate_gradients(apply, right, iterations=500, tolerance=1e-3):
    """Approximate solutions: Newton's steps need no more, since the next one sees what is left."""
    L, left = torch.zeros_like(right), right.clone()
    direction, square = left.clone(), left.square().sum((1, 2), keepdim=True)
    end = tolerance**2 * square
    for _ in range(iterations):
        image = apply(direction)
        length = torch.where(square > end, square / (direction * image).sum((1, 2), keepdim=True), 0.0)
        L, left = L + length * direction, left - length * image
        new = left.square().sum((1, 2), keepdim=True)
        if (new <= end).all():
            break
        direction, square = left + new / square * direction, new
    return L


def without_singletons(mask: Tensor, *, seed: int = 0) -> Tensor | None:
    """The mask with the same number of allowed entries and no column of exactly one, where its entry would be zero.

    Such entries are moved: into one another's columns, the last of an odd number into another column. None where there
    is no place.

    >>> without_singletons(torch.tensor([[1, 1, 0], [1, 0, 1], [1, 0, 0]]).bool()).sum(0).tolist()
    [3, 2, 0]
    """
    mask, random = mask.clone(), np.random.default_rng(seed)
    single = (mask.sum(0) == 1).nonzero()[:, 0].tolist()
    for to, source in zip(single[::2], single[1::2], strict=False):
        mask[:, source] = False
        mask[random.choice((~mask[:, to]).nonzero()[:, 0].numpy()), to] = True
    if len(single) % 2:
        sizes = mask.sum(0)
        places = ((sizes > 1) & (sizes < len(mask))).nonzero()[:, 0].numpy()
        if not len(places):
            return None
        to = random.choice(places)
        mask[:, single[-1]] = False
        mask[random.choice((~mask[:, to]).nonzero()[:, 0].numpy()), to] = True
    return mask


def first_simplex(K: int, d: int, beta: float, *, seed: int = 0) -> Tensor | None:
    """The simplex (K, d) on the first of MASKS random masks without singletons that allows one; None where none does.

    Masks with fewer unknowns than equations are passed over.

    >>> V = first_simplex(3, 4, 0.25)
    >>> int((V == 0).sum()), round(float(V.square().sum()), 9)  # of 12 entries; three unit rows
    (3, 3.0)
    """
    for draw in range(MASKS):
        mask = without_singletons(sparse_mask(K, d, beta, seed=seed * MASKS + draw), seed=seed)
        if mask is None or unknowns(mask) < equations(K):
            continue
        V = simplex_on_mask(mask, seed=seed)
        if V is not None and torch.equal(V != 0, mask):
            return V
    return None
