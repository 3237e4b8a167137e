"""A classifier of digits with routed experts, and its experts merged."""

from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nclib.collapses.experts import grouped, load_balance, merge_experts, stable_rank
from nclib.metrics import nc1
from nclib.pages._collapses.classifier import BATCH, K, accuracy, digits
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.training import log_steps, seed_everything

WAYS = {
    "frequency, aligned": (True, True),
    "frequency": (True, False),
    "uniform, aligned": (False, True),
    "uniform": (False, False),
}


class Routed(nn.Module):
    """x (B, 64) -> h = relu(A x + a) -> h + sum of p_e V_e relu(U_e h + u_e) over the `top` experts of largest
    p = softmax(R h) -> classifier. weights U (E, hidden, width), V (E, width, hidden), bias u (E, hidden)."""

    def __init__(self, width, experts, hidden, top):
        super().__init__()
        self.below, self.head = nn.Linear(64, width), nn.Linear(width, K)
        self.router = nn.Linear(width, experts, bias=False)
        self.U = nn.Parameter(torch.randn(experts, hidden, width) * (2 / width) ** 0.5)
        self.u = nn.Parameter(torch.zeros(experts, hidden))
        self.V = nn.Parameter(torch.randn(experts, width, hidden) / hidden**0.5)
        self.top = top

    def inputs(self, x):
        """h (B, width)."""
        return self.below(x).relu()

    def outputs(self, h):
        """Of every expert, (B, E, width)."""
        return torch.einsum("beh,edh->bed", (torch.einsum("bd,ehd->beh", h, self.U) + self.u).relu(), self.V)

    def routes(self, h):
        """Probabilities of the experts (B, E), and 1 where one is used, else 0."""
        p = self.router(h).softmax(1)
        return p, torch.zeros_like(p).scatter(1, p.topk(self.top, 1).indices, 1.0)

    def features(self, x):
        """The input of the classifier, (B, width)."""
        h = self.inputs(x)
        p, used = self.routes(h)
        return h + ((p * used)[..., None] * self.outputs(h)).sum(1)

    def forward(self, x):
        return self.head(self.features(x))


@dataclass(frozen=True)
class Routing(Experiment):
    """A classifier with `experts` routed experts of `hidden` units, `top` of which each sample has, trained by Adam
    with `balance` times the load-balancing loss. left: numbers of experts to merge to. samples: images a class."""

    NAME: ClassVar[str] = "collapses.routing"

    width: int
    experts: int
    hidden: int
    top: int
    balance: float
    left: tuple[int, ...]
    samples: int
    epochs: int
    lr: float
    seed: int

    def reads(self):
        """{file: sha256} of the images."""
        return digits(self.samples).sha256

    def run(self, device="cpu"):
        """By `epoch`: what `routed_collapse` gives. At the end, by number of experts `merged`: test accuracy by `way`
        of merging, theory that of all experts, and the stable rank of the merged weights over the experts' mean."""
        generator, data = seed_everything(self.seed), digits(self.samples)
        model, looks = Routed(self.width, self.experts, self.hidden, self.top), log_steps(self.epochs, 6)
        found = [rows(routed_collapse(model, data), epoch=0)]
        optimizer = torch.optim.Adam(model.parameters(), lr=self.lr)
        for epoch in range(1, self.epochs + 1):
            fit(model, data.x, data.y, optimizer, self.balance, generator)
            if epoch in looks:
                found.append(rows(routed_collapse(model, data), epoch=epoch))
        whole = {"accuracy": accuracy(model, data.x_test, data.y_test)}
        with torch.no_grad():
            h = model.inputs(data.x)
            logits, frequencies = model.router(h), model.routes(h)[1].sum(0)
        for number in self.left:
            groups = grouped(logits, frequencies, number)
            for way, (weighted, aligned) in WAYS.items():
                shared = merged(model, groups, frequencies if weighted else torch.ones(self.experts), aligned)
                measured = {"accuracy": accuracy(shared, data.x_test, data.y_test)}
                measured["stable-rank"] = ranks(shared, [group[0] for group in groups]) / ranks(model)
                found.append(rows(measured, merged=number, way=way, theory=whole))
        return pd.concat(found, ignore_index=True)


def fit(model, x, y, optimizer, balance, generator):
    """One epoch on cross-entropy + balance * `load_balance`."""
    for batch in torch.randperm(len(x), generator=generator).split(BATCH):
        loss = F.cross_entropy(model(x[batch]), y[batch])
        if balance:
            loss = loss + balance * load_balance(*model.routes(model.inputs(x[batch])))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def routed_collapse(model, data):
    """Of the training images: how many experts are in use, exp of the entropy of their shares; NC1 of the experts'
    inputs and of their outputs, the class a sample's first expert, NaN where all have one; NC1 of the inputs by digit.
    """
    h = model.inputs(data.x)
    p, used = model.routes(h)
    first, shares = p.argmax(1), used.mean(0) / used.mean(0).sum()
    out = model.outputs(h)[torch.arange(len(h)), first]
    found = {"in-use": float(torch.special.entr(shares).sum().exp())}
    found["nc1-digits"] = nc1(ClassStatistics.from_features(h, data.y, K, scatter=True))
    for name, features in {"nc1-inputs": h, "nc1-outputs": out}.items():
        stats = ClassStatistics.from_features(features, first, p.shape[1], scatter=True)
        found[name] = nc1(stats) if stats.present.sum() > 1 else float("nan")
    return found


@torch.no_grad()
def merged(model, groups, frequencies, aligned):
    """The model with the experts of each group replaced by one; the router stays. A group that no sample is sent to is
    merged uniformly."""
    model = deepcopy(model)
    for group in groups:
        experts = [([model.U[e], model.V[e]], [model.u[e], torch.zeros(len(model.V[e]))]) for e in group]
        weights = frequencies[group] if frequencies[group].sum() > 0 else torch.ones(len(group))
        (U, V), (u, _) = merge_experts(experts, weights.tolist(), aligned)
        model.U[group], model.V[group], model.u[group] = U, V, u
    return model


def ranks(model, experts=None):
    """The mean stable rank of the two matrices of some or all experts."""
    chosen = range(len(model.U)) if experts is None else experts
    found = [stable_rank(W[e]) for e in chosen for W in (model.U, model.V)]
    return sum(found) / len(found)
