"""Imbalanced subsets with exact class counts."""

from dataclasses import replace
from fractions import Fraction
from operator import index

import torch


def long_tail_counts(num_classes, largest, ratio) -> tuple[int, ...]:
    """Exponential profile: n_k = floor(largest * ratio^(-k/(K-1))), k = 0 .. K-1, so that n_0 = largest and
    n_0/n_(K-1) = ratio up to the floor (the long tails of Cui et al. 2019, "Class-balanced loss based on effective
    number of samples").

    The floor is that of the exact real number, found with integers: n_k is the largest n with
    n^(K-1) ratio^k <= largest^(K-1). A float ratio means the decimal number that it prints as; a Fraction is exact.
    K = 10, largest = 5000, ratio = 100 gives 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50.

    Returns a tuple of ints. Raises ValueError if ratio < 1, ratio > largest (a class would be empty) or
    num_classes < 1.
    """
    K, largest = at_least_one("num_classes", num_classes), at_least_one("largest", largest)
    try:
        r = Fraction(str(ratio))
    except ValueError:  # inf, NaN, and what is no number
        r = Fraction(0)
    if not 1 <= r <= largest:
        raise ValueError(f"ratio = {ratio}: must be between 1 and largest = {largest}")
    if K == 1:
        return (largest,)

    def fits(n, k):
        return n ** (K - 1) * r.numerator**k <= largest ** (K - 1) * r.denominator**k

    counts = []
    for k in range(K):
        n = int(largest * float(r) ** (-k / (K - 1)))
        while fits(n + 1, k):
            n += 1
        while not fits(n, k):
            n -= 1
        counts.append(n)
    return tuple(counts)


def step_counts(num_classes, largest, smallest, num_minority) -> tuple[int, ...]:
    """Step profile: `largest` for the first K - num_minority classes, `smallest` for the last num_minority. A tuple of
    ints."""
    K, largest, smallest = (
        at_least_one("num_classes", num_classes),
        at_least_one("largest", largest),
        at_least_one("smallest", smallest),
    )
    if smallest > largest:
        raise ValueError(f"smallest = {smallest}: must be at most largest = {largest}")
    if not 0 <= index(num_minority) <= K:
        raise ValueError(f"num_minority = {num_minority}: must be between 0 and num_classes = {K}")
    return (largest,) * (K - num_minority) + (smallest,) * num_minority


def subset(images, counts, seed=None) -> "Images":  # noqa: F821
    """Exactly counts[k] images of each class k, class after class: the first ones of the class where `seed` is None
    (the choice of Dang et al. 2023's code), else drawn without replacement from `torch.Generator().manual_seed(seed)`.

    Raises ValueError if counts has not one entry a class, or one that is not a positive integer or exceeds what the
    class has.
    """
    if len(counts) != len(images.classes):
        raise ValueError(f"counts has {len(counts)} entries: must be {len(images.classes)}, one a class")
    generator = None if seed is None else torch.Generator().manual_seed(generator_seed(seed))
    chosen = []
    for k, name in enumerate(images.classes):
        n, rows = at_least_one(f"counts[{k}]", counts[k]), torch.nonzero(images.y == k)[:, 0]
        if n > len(rows):
            raise ValueError(f"counts[{k}] = {n}: class {name!r} has only {len(rows)} images")
        order = slice(None) if seed is None else torch.randperm(len(rows), generator=generator)
        chosen.append(rows[order][:n])
    chosen = torch.cat(chosen)
    return replace(images, x=images.x[chosen], y=images.y[chosen])


def at_least_one(name, value) -> int:
    """A value that is a positive integer, as one; else ValueError."""
    try:
        integer = index(value)
    except TypeError:
        integer = 0
    if integer < 1:
        raise ValueError(f"{name} = {value!r}: must be a positive integer")
    return integer


def generator_seed(seed) -> int:
    """A seed that is an integer from 0 to 2^63 - 1, as one; else ValueError."""
    try:
        integer = index(seed)
    except TypeError:
        integer = -1
    if not 0 <= integer < 2**63:
        raise ValueError(f"seed = {seed!r}: must be an integer from 0 to 2^63 - 1")
    return integer
