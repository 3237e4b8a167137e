"""What is learned: a mixture of Gaussians with several modes a class, or scikit-learn's digits; and a teacher of it."""

from typing import NamedTuple

import torch

from nclib.data import load
from nclib.pages.dual_head.stack import Stack, gradients, train
from nclib.theory.distillation import cross_entropy_residual


class Split(NamedTuple):
    """x (N, D), y (N,)."""

    x: torch.Tensor
    y: torch.Tensor


def mixture(K, modes, D, noise, generator, *sizes):
    """Splits of `sizes` samples: each class a mixture of `modes` Gaussians of standard deviation `noise` about centers
    from N(0, I_D)."""
    centers = torch.randn(K, modes, D, generator=generator)

    def split(N):
        y = torch.arange(N) % K
        which = torch.randint(modes, (N,), generator=generator)
        return Split(centers[y, which] + noise * torch.randn(N, D, generator=generator), y)

    return [split(N) for N in sizes]


def digits(generator, validation):
    """Training, validation and test split of the digits; validation: how many of the training images."""
    train_set, test = load("digits"), load("digits", "test")
    order = torch.randperm(len(train_set.y), generator=generator)
    x, y = train_set.x.flatten(1)[order], train_set.y[order]
    return [
        Split(x[validation:], y[validation:]),
        Split(x[:validation], y[:validation]),
        Split(test.x.flatten(1), test.y),
    ]


def teacher(data, sizes, K, generator, *, epochs, batch_size, rate, decay):
    """The logits (N, K) of a network trained with cross-entropy on the first split, for each of the splits."""
    stack, one = Stack(1, sizes, K, generator), torch.ones(1, 1, 1)

    def direction(z, batch):
        return gradients(z, (cross_entropy_residual(z[0], data[0].y[batch]), None), stack.parameters)

    train(
        stack,
        data[0].x,
        direction,
        epochs=epochs,
        batch_size=batch_size,
        rates=rate * one,
        decays=decay * one,
        centered=0 * one,
        generator=generator,
    )
    with torch.no_grad():
        return [stack.logits(stack.features(split.x, 0 * one))[0][0] for split in data]
