"""A gated linear recurrence that learns to recall values by their keys, on contexts of one length at a time."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch.nn import functional as F

from nclib.collapses.recurrence import half_life, readout, readout_error, readout_ratio
from nclib.metrics import nc1_trace_ratio
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import seed_everything

QUERIES = 16


@dataclass(frozen=True)
class Recall(Experiment):
    """One gate a and one temperature, learnt anew for each of `lengths`: contexts of so many random unit keys in `dim`
    dimensions, each with one of `values` kinds; at each time a key of the past, all equally likely, is asked.

    start: -log a at the start. tokens: of a batch. loads: lengths over `dim` at which the models of the shortest and
    the longest context are tested on `contexts` contexts.
    """

    NAME: ClassVar[str] = "collapses.recall"

    dim: int
    values: int
    lengths: tuple[int, ...]
    steps: int
    tokens: int
    lr: float
    start: float
    loads: tuple[int, ...]
    contexts: int
    seed: int

    def run(self, device="cpu"):
        """By training length `length`: the half-life of the gate over it. Of the shortest and the longest, by `load`:
        the share of errors where a key of the last `dim` times is asked, and the trace ratio of the read-out by asked
        value; theory `readout_error` and `readout_ratio`."""
        generator, found = seed_everything(self.seed), []
        for length in self.lengths:
            gate = self.learn(length, generator)
            found.append(rows({"half-life": half_life(torch.tensor([gate])) / length}, length=length))
            for load in self.loads if length in (min(self.lengths), max(self.lengths)) else ():
                ratio = readout_ratio(gate, self.dim, self.values, load * self.dim, self.dim)
                theory = {"trace_ratio": ratio, "error": readout_error(ratio, self.values)}
                found.append(rows(self.test(gate, load, generator), length=length, load=load, theory=theory))
        return pd.concat(found, ignore_index=True)

    def contents(self, contexts, length, generator):
        """Unit keys (B, T, dim) and kinds of values (B, T)."""
        keys = F.normalize(torch.randn(contexts, length, self.dim, generator=generator), dim=-1)
        return keys, torch.randint(self.values, (contexts, length), generator=generator)

    def learn(self, length, generator):
        """The gate: of the mean of log(-log a) over the second half of the steps of Adam."""
        rate = torch.tensor(math.log(self.start), requires_grad=True)
        scale = torch.tensor(1.0, requires_grad=True)
        optimizer, path = torch.optim.Adam([rate, scale], lr=self.lr), []
        for _ in range(self.steps):
            keys, kinds = self.contents(max(1, self.tokens // length), length, generator)
            asked = (torch.rand(kinds.shape, generator=generator) * torch.arange(1, length + 1)).long()
            queries = keys.gather(1, asked[..., None].expand_as(keys))
            gates = (-rate.exp()).exp().expand(1, length)
            logits = scale.exp() * readout(queries, keys, F.one_hot(kinds, self.values).float(), gates)
            loss = F.cross_entropy(logits.flatten(0, 1), kinds.gather(1, asked).flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            path.append(rate.item())
        return math.exp(-math.exp(sum(path[self.steps // 2 :]) / (self.steps - self.steps // 2)))

    def test(self, gate, load, generator):
        """Share of errors and trace ratio after `load` times `dim` tokens, `QUERIES` keys a context asked."""
        length = load * self.dim
        keys, kinds = self.contents(self.contexts, length, generator)
        left = gate ** torch.arange(length - 1, -1, -1, dtype=torch.float64)
        state = (keys * left[:, None].float()).mT @ F.one_hot(kinds, self.values).float()
        asked = length - 1 - torch.randint(self.dim, (self.contexts, QUERIES), generator=generator)
        read = (keys.gather(1, asked[..., None].expand(-1, -1, self.dim)) @ state).flatten(0, 1)
        right = kinds.gather(1, asked).flatten()
        stats = ClassStatistics.from_features(read, right, self.values)
        return {"error": float((read.argmax(1) != right).double().mean()), "trace_ratio": nc1_trace_ratio(stats)}
