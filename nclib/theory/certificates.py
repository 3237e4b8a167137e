"""Statements of `deep_linear` proved by interval arithmetic: every rounding is outward, so what has a sign has it.

A `Certificate` is what such a proof leaves: a number between two doubles, in how many boxes and with how many bits it
was found, and whether the statement was proved. "Not proved" is no disproof, but the bounds may be one.

Objective of the cross-entropy part: that of deep_linear.ce_etf_candidate with one sample a class and all decays lam;
p = 2/(M+1), c = (M+1)/2 lam. Source of the statements: derived, as in deep_linear.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from mpmath.ctx_iv import MPIntervalContext, ivmpf

from nclib.theory import deep_linear
from nclib.theory._inputs import integer, positive

BITS = 128
CELLS = 3000  # a statement that needs more cells than this counts as not proved
I = MPIntervalContext()
I.prec = BITS


@dataclass(frozen=True)
class Certificate:
    """lower <= the number that the statement is about <= upper, rounded outward; proved: whether the statement is.

    >>> found = threshold(2)
    >>> found.proved, found.lower <= 0.5 <= found.upper, found.bits
    (True, True, 128)
    """

    statement: str
    lower: float
    upper: float
    proved: bool
    boxes: int
    bits: int = BITS


class Family(NamedTuple):
    """Losses log(1 + sum_i m_i e^(-a_i alpha)) + cost alpha^p over alpha >= 0: terms ((a_i, m_i), ...), cost and p
    intervals. The first part falls, the second rises.

    >>> family = Family(((1, 3),), cost=I.mpf(1.5), p=I.mpf(1))
    >>> float(family.price(I.mpf(2)).mid), round(float(family.loss(0).mid), 6)  # log 4
    (3.0, 1.386294)
    """

    terms: tuple
    cost: object
    p: object

    def fit(self, alpha) -> ivmpf:
        """Its enclosure, an interval of mpmath; 0 at infinity. alpha is an interval.

        >>> round(float(simplex(4, 1, 0.5).fit(I.mpf(0)).mid), 6)  # log 4
        1.386294
        """
        return I.log(1 + sum(m * I.exp(-a * alpha) for a, m in self.terms))

    def price(self, alpha) -> ivmpf:
        """Its enclosure, an interval of mpmath; alpha is one.

        >>> float(simplex(4, 1, 0.5).price(I.mpf(2)).mid)
        3.0
        """
        return self.cost * power(alpha, self.p)

    def loss(self, alpha) -> ivmpf:
        """An enclosure, an interval of mpmath, of the losses of all alpha in a box: a number or an interval.

        >>> round(float(simplex(4, 1, 0.5).loss(math.log(3)).mid), 6)  # log 2 + 1.5 log 3
        2.341066
        """
        alpha = I.mpf(alpha)
        return self.fit(alpha) + self.price(alpha)

    def least(self, left, right) -> ivmpf:
        """A lower bound of the losses on [left, right]: fit at the right end, price at the left one, both numbers.

        >>> round(float(simplex(4, 1, 0.5).least(1, math.log(3))), 6)  # log 2 + 1.5
        2.193147
        """
        return (self.fit(I.mpf(right)) + self.price(I.mpf(left))).a

    def slopes(self, alpha) -> tuple[ivmpf, ivmpf]:
        """(first, second derivative), intervals, in a box of alpha > 0, an interval.

        >>> slopes = simplex(4, 1, 0.5).slopes(I.log(I.mpf(3)))  # 1.5 - 1/2, 1/2 - 1/4
        >>> [round(float(slope.mid), 9) for slope in slopes]
        [1.0, 0.25]
        """
        w = [m * I.exp(-a * alpha) for a, m in self.terms]
        total = 1 + sum(w)
        first = sum(a * v for (a, _), v in zip(self.terms, w, strict=True)) / total
        second = sum(a**2 * v for (a, _), v in zip(self.terms, w, strict=True)) / total
        rise = self.cost * self.p * power(alpha, self.p - 1)
        return rise - first, second - first**2 + (self.p - 1) * rise / alpha


def power(x, p) -> ivmpf:
    """x^p, an interval, of an interval x >= 0 and p > 0, or x > 0.

    >>> root = power(I.mpf([1, 4]), I.mpf(1) / 2)
    >>> round(float(root.a), 9), round(float(root.b), 9)
    (1.0, 2.0)
    """
    return I.mpf(0) if x.b == 0 else I.mpf([0, I.exp(p * I.log(x.b)).b]) if x.a == 0 else I.exp(p * I.log(x))


def simplex(num_classes, depth, lam) -> Family:
    """The aligned simplex ETF, lam an interval or a number: no ETF, in any rotation and with any bias, costs less.

    >>> family = simplex(4, 3, 0.25)
    >>> family.terms, float(family.cost.mid), float(family.p.mid)
    (((1, 3),), 1.5, 0.5)
    """
    K, M = integer("num_classes", num_classes, 2), integer("depth", depth)
    return Family(((1, K - 1),), I.mpf(M + 1) / 2 * lam * (K - 1), I.mpf(2) / (M + 1))


def cross_polytope(num_classes, depth, lam) -> Family:
    """Opposite pairs on K/2 axes, K even, at the margin alpha.

    >>> family = cross_polytope(6, 3, 0.25)
    >>> family.terms, round(float(family.cost.mid), 6), float(family.p.mid)  # 1.5 sqrt 2
    (((1, 4), (2, 1)), 2.12132, 0.5)
    """
    K, M = integer("num_classes", num_classes, 2), integer("depth", depth)
    if K % 2:
        raise ValueError(f"num_classes must be even for a cross-polytope, got {num_classes}")
    p = I.mpf(2) / (M + 1)
    return Family(((1, K - 2), (2, 1)), I.mpf(M + 1) / 2 * lam * (K // 2) * I.exp(p * I.log(I.mpf(2))), p)


def decay(lam) -> ivmpf:
    """An interval that holds the double lam and the decimal number of which it is the nearest one.

    >>> I.mpf("0.1") in decay(0.1), float(decay(0.5).delta) == 2.0**-53
    (True, True)
    """
    return I.mpf(positive("lam", lam)) * (1 + I.mpf([-1, 1]) * 2.0**-53)


def above(family, value, left=0.0, right=None) -> int | None:
    """How many cells show that every loss of the family on [left, right] is more than value; None if they do not.

    right None: to infinity. Cells are halved until fit(right end) + price(left end) > value.

    >>> family = simplex(4, 1, 0.5)
    >>> above(family, 5.0, left=4.0), above(family, 1.4)  # 1.5 * 4 > 5, log 4 < 1.4
    (1, None)
    """
    if right is None:
        right = max(1.0, 2 * left)
        while not (family.price(I.mpf(right)).a > value):
            right *= 2
    cells, count = [(left, right)], 0
    while cells:
        left, right = cells.pop()
        count += 1
        if family.least(left, right) > value:
            continue
        middle = (left + right) / 2
        if count + len(cells) > CELLS or family.loss(middle).a <= value:
            return None
        cells += [(left, middle), (middle, right)]
    return count


def minimum(family, near, half=0.5) -> tuple | None:
    """(alpha, loss, boxes): enclosures of the global minimum, to be within `half` of `near`; None if not shown.

    In the box near +- half the second derivative is positive and Newton's interval step contracts; outside of it no
    loss is as low.

    >>> alpha, loss, _ = minimum(simplex(4, 1, I.mpf(1) / 6), near=1.1)  # log 3, log 2 + (log 3)/2
    >>> round(float(alpha.mid), 6), round(float(loss.mid), 6)
    (1.098612, 1.242453)
    """
    left, right = near - half, near + half
    if left <= 0:
        return None
    pieces = [I.mpf([left + k / 32 * 2 * half, left + (k + 1) / 32 * 2 * half]) for k in range(32)]
    if not all(family.slopes(piece)[1].a > 0 for piece in pieces):
        return None
    alpha = _newton(family.slopes, I.mpf([near - half / 64, near + half / 64]))
    if alpha is None:
        return None
    loss = family.loss(alpha.mid)
    loss = I.mpf([(loss - abs(family.slopes(alpha)[0]) * alpha.delta).a, loss.b])
    outside = above(family, loss.b, 0.0, left), above(family, loss.b, right)
    return None if None in outside else (alpha, loss, sum(outside) + len(pieces))


def _newton(slopes, box):
    """The root of a function in a box on which it is monotone, by Newton's interval step until that gains nothing.

    slopes(x) -> (value, derivative). None where the value has no change of sign that can be shown.
    """
    ends = slopes(I.mpf(box.a))[0] * slopes(I.mpf(box.b))[0]
    if not ends < 0:
        return None
    for _ in range(30):
        middle = I.mpf(box.mid)
        step = middle - slopes(middle)[0] / slopes(box)[1]
        low, high = max(step.a, box.a), min(step.b, box.b)
        gains = high - low < box.delta / 2
        box = I.mpf([low, high])
        if not gains:
            break
    return box


def no_etf_is_global(num_classes, depth) -> bool:
    """Whether opposite pairs, and a single class if K is odd, cost less than every simplex ETF at *every* decay.

    floor(K/2) 2^(2/(M+1)) + [K odd] <= K - 1, in whole numbers: at the ETF's own scale they then fit better and are no
    dearer (derived). For even K deep_linear.cross_polytope_wins.

    >>> [no_etf_is_global(K, 2) for K in (4, 5, 6, 7)]
    [False, False, True, True]
    """
    K, M = integer("num_classes", num_classes, 2), integer("depth", depth)
    return 4 * (K // 2) ** (M + 1) <= (K - 1 - K % 2) ** (M + 1)


def gap(num_classes, depth, lam) -> dict[str, Certificate]:
    """Enclosures of the lowest losses of "etf" and "cross_polytope", and of "gap", the first minus the second.

    gap is proved where it is positive and no ETF is as low as the cross-polytope: then no ETF is a global minimizer.
    K even. Derived; compare deep_linear.ce_etf_candidate.

    >>> found = gap(6, 2, 1e-3)["gap"]
    >>> found.proved, 0.0019216711909 < found.lower <= found.upper < 0.0019216711910
    (True, True)
    """
    found, boxes = {}, 0
    for name, make, known in (
        ("etf", simplex, deep_linear.ce_etf_candidate),
        ("cross_polytope", cross_polytope, deep_linear.ce_cross_polytope_candidate),
    ):
        best = minimum(make(num_classes, depth, decay(lam)), known(num_classes, 1, (lam,) * depth, lam).alpha)
        if best is None:
            raise ValueError(f"lam must leave a minimum with a box around it, got {lam:g}")
        found[name] = best[1]
        boxes += best[2]
    difference = found["etf"] - found["cross_polytope"]
    words = f"M = {depth}, K = {num_classes}, lambda = {lam:g}"
    return {
        "etf": _certificate(f"{words}: lowest loss of a simplex ETF", found["etf"], boxes),
        "cross_polytope": _certificate(f"{words}: lowest loss of a cross-polytope", found["cross_polytope"], boxes),
        "gap": _certificate(
            f"{words}: the best simplex ETF costs more than the best cross-polytope",
            difference,
            boxes,
            bool(difference.a > 0),
        ),
    }


def every_decay(num_classes, depth, low, high) -> Certificate:
    """Whether every simplex ETF costs more than the best cross-polytope for *all* lam in [low, high], K even.

    The lowest loss of an ETF is a minimum of linear functions of lam, so concave, and that of one cross-polytope is
    linear: if a fixed one lies below at both ends of a cell of lam it does between them. Cells are halved where the one
    that is best in the middle does not. lower, upper: the range. Not proved
    where cells become narrow, or an end is otherwise in floating point.

    >>> every_decay(4, 2, 0.012, 0.02).proved, every_decay(4, 2, 0.01, 0.02).proved
    (True, False)
    """
    M, K, todo, boxes = depth, num_classes, [(positive("low", low), positive("high", high))], 0
    words = f"M = {M}, K = {K}, every lambda in the range: every simplex ETF costs more than the best cross-polytope"
    best = partial(_best, K, M)
    while todo:
        left, right = todo.pop()
        middle = math.sqrt(left * right)
        alpha = best(middle)[1].alpha
        shown = [_lies_above(K, M, end, alpha) for end in (left, right)]
        if None not in shown:
            boxes += sum(shown)
        elif right < 1.0001 * left or any(
            etf.loss <= cross.loss for etf, cross in (_best(K, M, left), _best(K, M, right))
        ):
            return Certificate(words, low, high, False, boxes)
        else:
            todo += [(left, middle), (middle, right)]
    return Certificate(words, low, high, True, boxes)


def _best(K, M, lam):
    """The best ETF and the best cross-polytope, in floating point: where to look, no part of a proof."""
    problem = K, 1, (lam,) * M, lam
    return deep_linear.ce_etf_candidate(*problem), deep_linear.ce_cross_polytope_candidate(*problem)


def _lies_above(K, M, lam, alpha):
    """How many cells show that every ETF costs more than the cross-polytope of one alpha; None if they do not."""
    family, known = simplex(K, M, decay(lam)), _best(K, M, lam)[0]
    point = cross_polytope(K, M, decay(lam)).loss(alpha).b
    return None if family.loss(known.alpha).a <= point else above(family, point)


def threshold(depth) -> Certificate:
    """deep_linear.collapse_threshold(M), M >= 2, enclosed without its formula.

    A class survives iff scalar_loss dips below 1/2, its value at 0: iff beta < M (2/(M+1) m)^((M+1)/M), with m the
    largest q^(1-p) (1 - q/2).
    Newton's interval step encloses the q of the maximum. Proved: the formula's value lies in the enclosure.

    >>> threshold(3).proved, threshold(3).lower <= 0.5291336839893998 <= threshold(3).upper
    (True, True)
    """
    M = integer("depth", depth, 2)
    p = I.mpf(2) / (M + 1)

    def slopes(q):
        return (1 - p) / q - 1 / (2 - q), -(1 - p) / q**2 - 1 / (2 - q) ** 2

    near = (M - 1) / M
    q = _newton(slopes, I.mpf([near - 0.1, near + 0.1]))
    peak = power(q, 1 - p) * (1 - q / 2)
    found, formula = M * power(2 * peak / (M + 1), I.mpf(M + 1) / M), _formula(M)
    proved = bool(found.a <= formula.b and formula.a <= found.b)
    return _certificate(f"M = {M}: the threshold of collapse is (M-1)^((M-1)/M)/M", found, 1, proved)


def _formula(M):
    """(M-1)^((M-1)/M)/M, 1 at M = 1."""
    return power(I.mpf(M - 1), I.mpf(M - 1) / M) / M if M > 1 else I.mpf(1)


def roots(counts, weight_decays, lam_H) -> list[Certificate]:
    """The overlap q = (W h)_k of each class at the global minimum of deep_linear.mse_minimizer without a bias.

    Survivor: beta is below the threshold, the larger stationary point is the only root of (1-q) q^(1-p) = kappa =
    (beta/M)^(M/(M+1)) on [(M-1)/(2M), 1], where the left side falls, and the loss there is less than at 0. Dead class:
    beta is above the threshold, q = 0. Not proved where the intervals leave it open. That the problem decouples over
    classes is deep_linear's theorem, not shown here. Decays are taken as the doubles that they are.

    >>> [round(found.lower, 3) for found in roots([40, 24, 14, 9], [0.004, 0.004], 0.004)]
    [0.97, 0.958, 0.939, 0.917]
    """
    M, N = len(weight_decays), int(sum(counts))
    overlaps = deep_linear.mse_minimizer(counts, weight_decays, lam_H).logits.diagonal().tolist()
    product = I.mpf(N) * I.mpf(lam_H)
    for lam in weight_decays:
        product = product * I.mpf(lam)
    scale = M * I.mpf(N) * power(product, I.mpf(1) / M)
    classes = zip(map(int, counts), overlaps, strict=True)
    return [_class(scale / n, _formula(M), M, q, f"M = {M}, class of {n}") for n, q in classes]


def _class(beta, limit, M, near, words):
    if not near:
        return Certificate(f"{words}: collapsed", 0.0, 0.0, bool(beta.a > limit.b), 1)
    p = I.mpf(2) / (M + 1)
    kappa = power(beta / M, I.mpf(M) / (M + 1))

    def slopes(q):
        rise = I.exp((1 - p) * I.log(q))
        return (1 - q) * rise - kappa, ((1 - p) * (1 - q) / q - 1) * rise

    box = I.mpf(near) * I.mpf([1 - 2.0**-30, 1 + 2.0**-30])
    q = _newton(slopes, box) if box.a > (I.mpf(M - 1) / (2 * M)).b else None
    if q is None:
        return Certificate(f"{words}: not enclosed", -math.inf, math.inf, False, 1)
    loss = (1 - q) ** 2 / 2 + I.mpf(M + 1) / 2 * kappa * power(q, p)
    return _certificate(f"{words}: alive", q, 1, bool(beta.b < limit.a and loss.b < 0.5))


def pocket(num_classes, depth, lam, edges, value) -> list[Certificate]:
    """A proof by hand-sized rows: on each cell between two edges (the last to infinity) a lower bound of every ETF's
    loss, log(1 + (K-1) e^(-right)) + c (K-1) left^p, to be more than `value`.

    >>> rows = pocket(4, 1, 0.5, [0.0, math.log(3)], value=1.0)  # log 2, 1.5 log 3
    >>> [(round(row.lower, 6), row.proved) for row in rows]
    [(0.693147, False), (1.647918, True)]
    """
    family, found = simplex(num_classes, depth, decay(lam)), []
    for left, right in zip(edges, [*edges[1:], None], strict=True):
        price = family.price(I.mpf(left))
        bound = price if right is None else family.fit(I.mpf(right)) + price
        end = "infinity" if right is None else f"{right:g}"
        found.append(
            _certificate(
                f"M = {depth}, K = {num_classes}: alpha from {left:g} to {end}", bound, 1, bool(bound.a > value)
            )
        )
    return found


def trace_ratio_bound(c, lam_H, beta) -> Certificate:
    """Near collapse: by what factor the trace ratio's |E_H|/|E_W| - 1 exceeds its bound 2 c (1-a)/a, on a box.

    c = sqrt(lam_W lam_H) < 1, lam_H and beta are pairs (low, high). In perturbation.Problem.elasticities all but
    ((beta + s)/(beta + lam_H))^3 cancels, s = lam_H/c, for any share a of noise in the span: the factor is
    (1 + (1/c - 1)/(1 + beta/lam_H))^3, tends to 1 as beta -> infinity, and is enclosed here. Proved: it is above 1, so
    that lam_H matters more than lam_W. Derived.

    >>> found = trace_ratio_bound((0.2, 0.21), (0.1, 0.11), (1.0, 1.1))
    >>> found.proved, round(found.lower, 3), round(found.upper, 3)
    (True, 2.266, 2.723)
    """
    c, lam_H, beta = I.mpf(c), I.mpf(lam_H), I.mpf(beta)
    factor = (1 + (1 / c - 1) / (1 + beta / lam_H)) ** 3
    return _certificate("(|E_H|/|E_W| - 1) / (2 c (1-a)/a) of the trace ratio", factor, 1, bool(factor.a > 1))


def _certificate(statement, box, boxes, proved=True):
    """A certificate of an interval, its ends rounded outward to doubles."""
    low, high = float(box.a), float(box.b)
    low = math.nextafter(low, -math.inf) if I.mpf(low) > box.a else low
    high = math.nextafter(high, math.inf) if I.mpf(high) < box.b else high
    return Certificate(statement, low, high, proved, boxes)
