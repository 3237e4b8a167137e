"""Federated learning as plain functions, and the two realignments of FedLoGe (Xiao et al. 2024)."""

import math
from itertools import pairwise

import torch

from nclib.data.longtail import at_least_one
from nclib.training.captured import Captured, graphs


def weighted_mean(states, weights) -> dict[str, torch.Tensor]:
    """The server's step: sum_c w_c theta_c / sum_c w_c over the first axis of every tensor of a dict, float64 inside.

    states   {name: (C, ...)}; weights (C,) >= 0, not all 0: the clients' numbers of samples in FedAvg

    Identical clients are returned as they are, to rounding; the order of the clients does not matter. Raises ValueError
    for weights of another shape, negative or all zero.

    >>> weighted_mean({"a": torch.tensor([[0.0], [4.0]])}, [3, 1])["a"].tolist()
    [1.0]
    """
    w = torch.as_tensor(weights, dtype=torch.float64)
    if w.ndim != 1 or not (w >= 0).all() or not w.sum() > 0 or not w.isfinite().all():
        raise ValueError(f"weights={w.tolist()}, must be (C,), finite, at least 0 and not all 0")
    if wrong := [name for name, value in states.items() if len(value) != len(w)]:
        raise ValueError(f"weights has {len(w)} entries, must be one a client of {wrong[0]!r}: {len(states[wrong[0]])}")
    return {
        name: torch.tensordot((w / w.sum()).to(value.device), value.double(), 1).to(value.dtype)
        for name, value in states.items()
    }


def normalized_head(W, *, tau=1.0, norm=1.7) -> torch.Tensor:
    """The global realignment GA-FR: rows norm w_k / |w_k|^tau, all of one length at tau = 1. The bias stays as it is.

    This is tau-normalization (Kang et al. 2020) of the auxiliary head; tau = 1 and norm = 1.7 are those of the code of
    Xiao et al. 2024. W and the result are (..., K, d). Raises ValueError if a row is 0 or not finite, norm is not a
    finite number > 0, or tau is not finite.

    >>> normalized_head(torch.tensor([[3.0, 4.0], [0.0, 0.5]]), norm=2.0)
    tensor([[1.2000, 1.6000],
            [0.0000, 2.0000]])
    """
    W = torch.as_tensor(W)
    W = W if W.is_floating_point() else W.double()
    lengths = torch.linalg.vector_norm(W, dim=-1, keepdim=True)
    if not 0 < norm < math.inf:
        raise ValueError(f"norm={norm}, must be a finite number > 0")
    if not math.isfinite(tau):
        raise ValueError(f"tau={tau}, must be a finite number")
    if not lengths.isfinite().all():
        raise ValueError("W holds NaN or inf, must be finite")
    if not (lengths > 0).all():
        raise ValueError(f"W has {int((lengths == 0).sum())} rows that are zero: a zero row has no direction")
    return norm * W / lengths**tau


def norm_transfer(W, local) -> torch.Tensor:
    """The local realignment LA-FR: rows w_k |phi_k|, the global row times the norm of the client's own one.

    W is (K, d), `local` (..., K, d); as the code of Xiao et al. 2024 has it, w_k is not normalized first. Raises
    ValueError for other shapes.

    >>> norm_transfer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])).tolist()
    [[5.0, 10.0]]
    """
    W, local = torch.as_tensor(W), torch.as_tensor(local)
    if W.ndim != 2 or local.shape[-2:] != W.shape:
        raise ValueError(f"local has shape {tuple(local.shape)}, must end in that of W, {tuple(W.shape)}")
    return W * torch.linalg.vector_norm(local, dim=-1, keepdim=True)


def batches(parts, epochs, batch, generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each client sees as (index, weight), both (C, S, B): sample numbers, and 1 for a sample, 0 for none.

    Each epoch is a random order of the client's samples, cut into batches of which the last may be short. S is the
    number of batches of the client with most; a client that has fewer has weights 0 at the end. With one client the
    batches are those of plain training. Raises ValueError for no client, one without samples, and epochs or batch that
    are no positive integers.
    """
    epochs, batch = at_least_one("epochs", epochs), at_least_one("batch", batch)
    if not parts or not all(map(len, parts)):
        raise ValueError(f"parts has sizes {[len(part) for part in parts]}: must be clients, each with a sample")
    rows = [[p[torch.randperm(len(p), generator=generator)].split(batch) for _ in range(epochs)] for p in parts]
    rows = [[some for epoch in client for some in epoch] for client in rows]
    S = max(map(len, rows))
    index = torch.zeros(len(parts), S, batch, dtype=torch.int64)
    weight = torch.zeros(len(parts), S, batch)
    for c, client in enumerate(rows):
        for s, some in enumerate(client):
            index[c, s, : len(some)] = some
            weight[c, s, : len(some)] = 1
    return index, weight


def mlp(sizes, generator, dtype=torch.float32) -> dict[str, torch.Tensor]:
    """{name: tensor} of a ReLU network with these layer sizes: weights (out, in) from N(0, 2/in), biases 0."""
    theta = {}
    for i, (a, b) in enumerate(pairwise(sizes)):
        theta[f"{i}.weight"] = torch.randn(b, a, generator=generator, dtype=dtype) * (2 / a) ** 0.5
        theta[f"{i}.bias"] = torch.zeros(b, dtype=dtype)
    return theta


def mlp_features(theta, x) -> torch.Tensor:
    """Features (C, B, d) of C networks at once, x (C, B, inputs): a ReLU after every layer, the last one included."""
    i = 0
    while f"{i}.weight" in theta:
        x = torch.relu(linear(theta, str(i), x))
        i += 1
    return x


def linear(theta, name, x) -> torch.Tensor:
    """Return (C, B, b), x (C, B, a) through the layer `name` of each of C clients."""
    return torch.baddbmm(theta[f"{name}.bias"][:, None], x, theta[f"{name}.weight"].mT)


def of_module(module) -> "Callable":  # noqa: F821
    """Return a function `features`, like `mlp_features`, for any torch module without buffers.

    It goes through the clients one after another.
    """

    def features(theta, x):
        names = [name for name, _ in module.named_parameters()]
        each = [{name: theta[name][c] for name in names} for c in range(len(x))]
        return torch.stack(
            [torch.func.functional_call(module, own, (rows,)) for own, rows in zip(each, x, strict=True)]
        )

    return features


class LocalTraining:
    """A round of C clients at once, again and again: SGD with momentum on each client's own batches.

    theta   {name: (C, ...)}: the backbone; "main", the classifier that trains it; "aux" and "own", heads that learn
            from detached features, of which the server averages the first alone. Each head has .weight and .bias.
            Here their shapes and dtypes count alone
    x, y    all samples and labels
    lr, prox  numbers or (C,): the rate, and FedProx's mu: mu/2 |theta - start|^2 is added
    frozen  (C,) bool: whose "main" is fixed, such as a simplex frame; None: nobody's

    The networks stay where they lie from step to step and from round to round, so that on a GPU a step is captured as a
    CUDA graph, with the same numbers.
    """

    def __init__(self, theta, x, y, *, lr, features=mlp_features, momentum=0.5, prox=0.0, frozen=None):
        C = len(next(iter(theta.values())))
        self.x, self.y, self.features, self.momentum, self.frozen = x, y, features, momentum, frozen
        self.lr, self.prox = (torch.as_tensor(v, dtype=x.dtype, device=x.device).expand(C) for v in (lr, prox))
        self.theta, self.start, self.speed = ({n: v.detach().clone() for n, v in theta.items()} for _ in range(3))
        for value in self.theta.values():
            value.requires_grad_()
        self.step = Captured(self._step).beside if graphs(x.device) else self._step

    def __call__(self, theta, index, weight) -> dict[str, torch.Tensor]:
        """The networks {name: (C, ...)} that those of `theta` become; index, weight: (C, S, B), of `batches`.

        The mean loss of each client is taken over its real samples; a client that is done rests.
        """
        with torch.no_grad():
            for name, value in theta.items():
                self.theta[name].copy_(value)
                self.start[name].copy_(value)
                self.speed[name].zero_()
        for batch in torch.stack([index, weight.long()]).unbind(2):
            self.step(batch)
        return {name: value.detach().clone() for name, value in self.theta.items()}

    def _step(self, batch):
        index, weight = batch
        w = weight.to(self.x.dtype)
        H = self.features(self.theta, self.x[index])
        loss = sum(_loss(linear(self.theta, head, h), self.y[index], w) for head, h in _heads(H))
        slopes = torch.autograd.grad(loss, list(self.theta.values()))
        with torch.no_grad():
            live = (w.sum(1) > 0).to(w.dtype) * self.lr
            for (name, value), slope in zip(self.theta.items(), slopes, strict=True):
                speed, pull = self.speed[name], _shaped(self.prox, value) * (value - self.start[name])
                speed.mul_(self.momentum).add_(slope).add_(pull)
                rate = live if self.frozen is None or not name.startswith("main.") else live * ~self.frozen
                value.sub_(_shaped(rate, value) * speed)


def local_training(theta, x, y, index, weight, **given) -> dict[str, torch.Tensor]:
    """One round of `LocalTraining(theta, x, y, **given)` from theta: a pure function."""
    return LocalTraining(theta, x, y, **given)(theta, index, weight)


def _heads(H):
    return ("main", H), ("aux", H.detach()), ("own", H.detach())


def _loss(logits, y, w):
    """Sum over clients of the mean cross-entropy over their samples of weight 1."""
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(w)
    return ((each * w).sum(1) / w.sum(1).clamp(min=1)).sum()


def _shaped(v, like):
    return v.view(-1, *[1] * (like.ndim - 1))
