"""The clients of a round as one batched model against a loop over clients: the same numbers, and the time of each."""

import time
from dataclasses import dataclass
from typing import ClassVar

import torch

from nclib.runs.experiment import Experiment, rows
from nclib.training import federated


@dataclass(frozen=True)
class Speed(Experiment):
    """`clients` networks of 32-64-64 and three heads, `steps` steps with batches of `batch`."""

    NAME: ClassVar[str] = "xiao2024.batched_clients"

    clients: int
    batch: int
    steps: int
    seed: int

    def run(self, device="cpu"):
        """ "difference": the largest of a parameter in float64; "faster": time of the loop over that of the batch, in
        float32, each the better of two."""
        one, both = (self.trained(torch.float64, each) for each in (True, False))
        difference = max((one[name] - both[name]).abs().max().item() for name in both)
        times = [min(self.seconds(each) for _ in range(2)) for each in (True, False)]
        return rows({"difference": difference, "faster": times[0] / times[1]})

    def seconds(self, each):
        begin = time.perf_counter()
        self.trained(torch.float32, each)
        return time.perf_counter() - begin

    def trained(self, dtype, each):
        generator = torch.Generator().manual_seed(self.seed)
        theta = federated.mlp([32, 64, 64], generator, dtype)
        for head in ("main", "aux", "own"):
            theta[f"{head}.weight"] = torch.randn(20, 64, generator=generator, dtype=dtype) / 8
            theta[f"{head}.bias"] = torch.zeros(20, dtype=dtype)
        C, B, S = self.clients, self.batch, self.steps
        x = torch.randn(C * B * S, 32, generator=generator, dtype=dtype)
        y = torch.randint(0, 20, (len(x),), generator=generator)
        index = torch.randperm(len(x), generator=generator).view(C, S, B)
        theta = {name: value.expand(C, *value.shape) for name, value in theta.items()}
        given = index, torch.ones(index.shape)
        if not each:
            return federated.local_training(theta, x, y, *given, lr=0.1)
        done = [
            by_modules({n: v[c] for n, v in theta.items()}, x[given[0][c]], y[given[0][c]], lr=0.1) for c in range(C)
        ]
        return {name: torch.stack([one[name] for one in done]) for name in theta}


def by_modules(theta, x, y, lr, momentum=0.5):
    """One client by torch's own layers and optimizer: x (S, B, inputs), y (S, B); returns its parameters."""
    layers = {name.split(".")[0]: None for name in theta}
    for name in layers:
        K, d = theta[f"{name}.weight"].shape
        layers[name] = torch.nn.Linear(d, K, dtype=theta[f"{name}.weight"].dtype)
        layers[name].load_state_dict({"weight": theta[f"{name}.weight"], "bias": theta[f"{name}.bias"]})
    net = torch.nn.ModuleDict(layers)
    backbone = [layer for name, layer in layers.items() if name.isdigit()]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    cross_entropy = torch.nn.functional.cross_entropy
    for xs, ys in zip(x, y, strict=True):
        optimizer.zero_grad()
        h = xs
        for layer in backbone:
            h = torch.relu(layer(h))
        loss = cross_entropy(net["main"](h), ys)
        (loss + cross_entropy(net["aux"](h.detach()), ys) + cross_entropy(net["own"](h.detach()), ys)).backward()
        optimizer.step()
    return {name: value.detach() for name, value in net.state_dict().items()}
