"""Long-tailed sets with a balanced test set: a Gaussian mixture, digits, CIFAR-10 and CIFAR-100."""

from typing import NamedTuple

import torch

from nclib.data import load, long_tail_counts, subset


class Samples(NamedTuple):
    """x (N, ...), y (N,) of training and of test; how many samples each class has in training."""

    x: torch.Tensor
    y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor
    counts: tuple


def mixture(K, largest, ratio, seed, d=32, noise=2.0, tests=100):
    """K normal classes in d dimensions, means from N(0, I), deviation `noise`; `tests` samples a class to test."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(K, d, generator=generator)
    counts = long_tail_counts(K, largest, ratio)

    def draw(sizes):
        y = torch.arange(K).repeat_interleave(torch.tensor(sizes))
        return (means[y] + noise * torch.randn(len(y), d, generator=generator)) / (1 + noise**2) ** 0.5, y

    return Samples(*draw(counts), *draw([tests] * K), counts)


def images(name, largest, ratio, seed):
    """A long tail of images and their whole test split."""
    train, test = load(name), load(name, "test")
    counts = long_tail_counts(len(train.classes), largest, ratio)
    train = subset(train, counts, seed)
    return Samples(train.x, train.y, test.x, test.y, counts)


def groups(counts):
    """(K,) of 0, 1, 2: many, medium and few: the classes of the first 75%, the next 20% and the rest of all samples."""
    n = torch.tensor(counts, dtype=torch.float64)
    before = (n.cumsum(0) - n) / n.sum()
    return (before >= 0.75).long() + (before >= 0.95).long()
