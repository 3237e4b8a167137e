"""Many small networks of one shape, trained side by side: of S networks every parameter is one tensor (S, ...).

A network is x -> ReLU layers -> feature h -> two heads: z1 = W1 h + b1, which classifies, and z2 = W2 h + b2, which is
there for a second loss or for nothing. Minus the gradient of a loss in the logits, its residual, is all that training
needs to know of it (`nclib.theory.distillation`). All S networks see the same batches.
"""

from itertools import pairwise

import torch

MOMENTUM = 0.9
DROPS = (5 / 8, 3 / 4, 7 / 8)  # of the epochs: there the authors divide the rate by 10


class Stack:
    """Parameters of S networks that start alike. sizes: inputs, then the widths of the ReLU layers; two heads of K."""

    def __init__(self, S, sizes, K, generator):
        shapes = [(b, a, 2) for a, b in pairwise(sizes)] + [(K, sizes[-1], 1)] * 2
        weights = [torch.randn(b, a, generator=generator) * (gain / a) ** 0.5 for b, a, gain in shapes]
        self.weights = [W.expand(S, *W.shape).clone().requires_grad_() for W in weights]
        self.biases = [torch.zeros(S, 1, W.shape[1], requires_grad=True) for W in self.weights]

    @property
    def backbone(self):
        """The parameters below the heads."""
        return self.weights[:-2] + self.biases[:-2]

    @property
    def parameters(self):
        """All of them."""
        return self.weights + self.biases

    def part(self, chosen):
        """A stack of copies of some of the networks."""
        other = object.__new__(Stack)
        other.weights, other.biases = (
            [p.detach()[chosen].requires_grad_() for p in own] for own in (self.weights, self.biases)
        )
        return other

    def features(self, x, centered):
        """h (S, B, d) of x (B, D) or (S, B, D), less its mean over the batch where `centered` (S, 1, 1) is 1."""
        h = x.expand(len(self.weights[0]), *x.shape[-2:])
        for W, b in zip(self.weights[:-2], self.biases[:-2], strict=True):
            h = torch.relu(torch.baddbmm(b, h, W.mT))
        return h - centered * h.mean(1, keepdim=True) if centered.any() else h

    def logits(self, h):
        """(z1, z2), each (S, B, K)."""
        return [torch.baddbmm(b, h, W.mT) for W, b in zip(self.weights[-2:], self.biases[-2:], strict=True)]


def gradients(z, residuals, parameters):
    """Gradients in `parameters` of a loss with residuals (r1, r2), None for 0, in the logits z; mean over the batch."""
    pairs = [(a, -r / a.shape[1]) for a, r in zip(z, residuals, strict=True) if r is not None]
    outputs, given = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, parameters, given, retain_graph=True, allow_unused=True, materialize_grads=True)


def dot(a, b):
    """Inner products of two lists of gradients, one a network: (S, 1, 1)."""
    return sum((u * v).sum((1, 2), keepdim=True) for u, v in zip(a, b, strict=True))


def cosine(a, b):
    """Their cosines, (S,)."""
    return (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).flatten()


def aligned(g1, g2):
    """g1 + g2, of g2 only what does not oppose g1: `nclib.theory.distillation.align` for each network."""
    scale = dot(g1, g2).clamp(max=0) / dot(g1, g1)
    return [a + b - scale * a for a, b in zip(g1, g2, strict=True)]


def rescaled(g1, g2):
    """g1 + g2 with the length of g1."""
    both = [a + b for a, b in zip(g1, g2, strict=True)]
    scale = (dot(g1, g1) / dot(both, both)).sqrt()
    return [scale * g for g in both]


def train(stack, x, direction, *, epochs, batch_size, rates, decays, centered, generator, record=None, recorded=()):
    """SGD with momentum, in place. rates, decays, centered (S, 1, 1); direction(z, batch) -> a gradient for each of
    the stack's parameters; record(epoch) is called at the epochs `recorded`, 0 the start."""
    speed = [torch.zeros_like(p) for p in stack.parameters]
    for epoch in range(epochs + 1):
        if epoch in recorded:
            record(epoch)
        if epoch == epochs:
            return
        step = rates * 0.1 ** sum(epoch >= drop * epochs for drop in DROPS)
        for batch in torch.randperm(x.shape[-2], generator=generator).split(batch_size):
            given = direction(stack.logits(stack.features(x[..., batch, :], centered)), batch)
            with torch.no_grad():
                for p, v, g in zip(stack.parameters, speed, given, strict=True):
                    v.mul_(MOMENTUM).add_(g).add_(decays * p)
                    p.sub_(step * v)
