"""Students of one teacher with one loss or two, on one head or two, each with its own tuned rate: Yang et al. 2025."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pandas as pd
import torch

from nclib import metrics
from nclib.pages.dual_head import stack as stacks
from nclib.pages.dual_head import tasks
from nclib.pages.dual_head.stack import Stack, cosine, gradients
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory.distillation import (
    binary_kl_norm_residual,
    binary_kl_residual,
    cross_entropy_residual,
    kd_residual,
)

TAU, TAU_KD = 2.0, 4.0
LOSSES = {
    "kd": lambda z, T: kd_residual(z, T, TAU_KD),
    "binary": lambda z, T: binary_kl_residual(z, T, TAU),
    "norm": lambda z, T: binary_kl_norm_residual(z, T, TAU),
}


class Arm(NamedTuple):
    """ce: weight of cross-entropy. second: the other loss, "" for none. head: which it is on, 1 or 2. change: what is
    done to the two gradients. centered: features less their mean over the batch. swept: over all alpha."""

    ce: float = 1.0
    second: str = ""
    head: int = 1
    change: str = ""
    centered: bool = False
    swept: bool = False


ARMS = {
    "CE": Arm(),
    "KD": Arm(second="kd"),
    "BinaryKL alone": Arm(ce=0.0, second="binary"),
    "one head": Arm(second="binary", swept=True),
    "one head, Norm": Arm(second="norm", swept=True),
    "two heads": Arm(second="binary", head=2, swept=True),
    "two heads, Norm": Arm(second="norm", head=2, swept=True),
    "DHKD": Arm(second="norm", head=2, change="aligned", swept=True),
    "one head, rescaled": Arm(second="binary", change="rescaled"),
    "CE, centered": Arm(centered=True),
    "one head, centered": Arm(second="binary", centered=True),
}
HEADS = {"refit of CE": ("CE", "CE"), "refit of one head": ("one head", "CE"), "both on CE": ("CE", "one head")}
TASKS = {"mixture": {"K": 50, "student": (20, 24, 32)}, "digits": {"K": 10, "student": (64, 24, 32)}}


@dataclass(frozen=True)
class Students(Experiment):
    """One teacher and all students of a seed. data: "mixture" or "digits". samples: training samples of the mixture.
    alphas: of the arms that are swept; the others, and everything but accuracy, at alpha = 1. rates: tried for each."""

    NAME: ClassVar[str] = "yang2024.students"

    data: str
    samples: int
    alphas: tuple[float, ...]
    rates: tuple[float, ...]
    epochs: int
    batch_size: int
    weight_decay: float
    seed: int

    def run(self, device="cpu"):
        """Of each arm and alpha, at the rate of the best validation accuracy: "accuracy" on the test split and the
        rate; at alpha = 1 also NC1 (traces), NC2, NC3 and the angles of the classifiers, and the cosines of the two
        gradients at recorded epochs, in the classifier ("w") and in the backbone; "validation" of every rate. Heads
        trained anew on fixed backbones are arms of their own, `HEADS`. The teacher's accuracy is that of arm
        "teacher"."""
        generator = torch.Generator().manual_seed(self.seed)
        data, K = self.splits(generator), TASKS[self.data]["K"]
        D, *student = TASKS[self.data]["student"]
        T = tasks.teacher(
            data, (D, 256, 256, 128), K, generator, epochs=self.epochs, batch_size=self.batch_size, rate=0.05,
            decay=self.weight_decay,
        )  # fmt: skip
        found = [rows({"accuracy": accuracy(T[2][None], data[2].y)[0]}, arm="teacher", alpha=0.0)]
        kept = {}
        for changed in (False, True):
            entries = [e for e in self.entries() if bool(ARMS[e[0]].change) == changed]
            start = torch.Generator().manual_seed(self.seed)
            group = Group(entries, Stack(len(entries), (D, *student), K, start), data, T[0], self)
            group.train(data[0].x)
            tables, best = group.measured()
            found += tables
            kept |= best
        for name, (source, arm) in HEADS.items():
            H = [kept[source, 1.0][i] for i in range(3)]
            splits = [tasks.Split(h, split.y) for h, split in zip(H, data, strict=True)]
            entries = [(arm, 1.0, rate) for rate in self.rates]
            start = torch.Generator().manual_seed(self.seed)
            group = Group(entries, Stack(len(entries), (student[-1],), K, start), splits, T[0], self)
            group.train(splits[0].x, recorded=())
            found += [table.assign(arm=name) for table in group.accuracies()]
        return pd.concat(found, ignore_index=True)

    def splits(self, generator):
        """Training, validation and test."""
        if self.data == "digits":
            return tasks.digits(generator, 280)
        return tasks.mixture(50, 3, 20, 0.9, generator, self.samples, 1500, 3000)

    def entries(self):
        """(arm, alpha, rate) of each student."""
        return [
            (name, alpha, rate)
            for name, arm in ARMS.items()
            for alpha in (self.alphas if arm.swept else (1.0,))
            for rate in self.rates
        ]

    def recorded(self):
        """Eight epochs, the last among them, denser at the beginning."""
        return sorted({max(1, round(self.epochs * (i / 8) ** 2)) for i in range(1, 9)})


class Group:
    """Students that are trained side by side."""

    def __init__(self, entries, stack, data, T, run):
        self.entries, self.stack, self.data, self.T, self.run = entries, stack, data, T, run
        self.arms = [ARMS[name] for name, _, _ in entries]
        self.alpha, self.rates, self.ce = (
            torch.tensor(v).reshape(-1, 1, 1)
            for v in ([a for _, a, _ in entries], [r for _, _, r in entries], [arm.ce for arm in self.arms])
        )
        self.centered = torch.tensor([float(arm.centered) for arm in self.arms]).reshape(-1, 1, 1)
        kinds = list(dict.fromkeys((arm.second, arm.head) for arm in self.arms if arm.second))
        self.kinds = {
            kind: torch.tensor([s for s, arm in enumerate(self.arms) if (arm.second, arm.head) == kind])
            for kind in kinds
        }
        self.changes = {arm.change for arm in self.arms}
        self.cosines = []

    def residuals(self, z, batch):
        """(r1 of cross-entropy, (r1, r2) of the second loss), without its alpha."""
        y, T = self.data[0].y[batch], self.T[batch]
        second = [torch.zeros_like(z[0]), torch.zeros_like(z[0])]
        for (loss, head), which in self.kinds.items():
            second[head - 1][which] = LOSSES[loss](z[head - 1][which], T)
        return cross_entropy_residual(z[0], y), second

    def direction(self, z, batch):
        """The gradient that each student follows."""
        with torch.no_grad():
            first, second = self.residuals(z, batch)
            first, second = self.ce * first, [self.alpha * r for r in second]
        own = self.stack.parameters
        if self.changes == {""}:
            return gradients(z, (first + second[0], second[1]), own)
        g1, g2 = gradients(z, (first, None), own), gradients(z, second, own)
        kept = torch.tensor([arm.change == "aligned" for arm in self.arms]).reshape(-1, 1, 1)
        pairs = zip(stacks.aligned(g1, g2), stacks.rescaled(g1, g2), strict=True)
        return [torch.where(kept, a, b) for a, b in pairs]

    def train(self, x, recorded=None):
        """Train them all, with cosines on the way."""
        run = self.run
        stacks.train(
            self.stack,
            x,
            self.direction,
            epochs=run.epochs,
            batch_size=run.batch_size,
            rates=self.rates,
            decays=torch.tensor(run.weight_decay),
            centered=self.centered,
            generator=torch.Generator().manual_seed(run.seed + 1),
            record=self.record,
            recorded=run.recorded() if recorded is None else recorded,
        )

    def record(self, epoch):
        """Cosines of the two gradients on all training samples, of the students at alpha = 1 that have both; where
        there is no second loss, of cross-entropy and BinaryKL."""
        chosen = [
            s for s, (_, alpha, _) in enumerate(self.entries)
            if alpha == 1 and self.arms[s].ce and self.arms[s].second != "kd"
        ]  # fmt: skip
        if not chosen:
            return
        own = Group([self.entries[s] for s in chosen], self.stack.part(chosen), self.data, self.T, self.run)
        z = own.stack.logits(own.stack.features(self.data[0].x, own.centered))
        with torch.no_grad():
            first, second = own.residuals(z, slice(None))
            single = torch.tensor([not arm.second for arm in own.arms])
            second[0][single] = LOSSES["binary"](z[0][single], self.T)
        parameters = [own.stack.weights[-2], *own.stack.backbone]
        g1, g2 = (gradients(z, r, parameters) for r in ((first, None), second))
        pairs = zip(chosen, cosine(g1[:1], g2[:1]).tolist(), cosine(g1[1:], g2[1:]).tolist(), strict=True)
        self.cosines += [(s, epoch, w, backbone) for s, w, backbone in pairs]

    @torch.no_grad()
    def outputs(self):
        """Per split: features and logits of the first head."""
        h = [self.stack.features(split.x, 0 * self.centered) for split in self.data]
        h = [one - self.centered * h[0].mean(1, keepdim=True) for one in h]
        return h, [self.stack.logits(one)[0] for one in h]

    def best(self, z):
        """{(arm, alpha): index of the student of the best validation accuracy, the lower rate in a tie}."""
        valid, found = accuracy(z[1], self.data[1].y), {}
        for s, (name, alpha, _) in enumerate(self.entries):
            if (name, alpha) not in found or valid[s] > valid[found[name, alpha]]:
                found[name, alpha] = s
        return found

    def accuracies(self):
        """Rows of accuracies and rates."""
        _, z = self.outputs()
        test, valid, best = accuracy(z[2], self.data[2].y), accuracy(z[1], self.data[1].y), self.best(z)
        rates = [rate for _, _, rate in self.entries]
        kept = {"accuracy": [test[s] for s in best.values()], "rate": [rates[s] for s in best.values()]}
        return [
            together(kept, list(best)),
            together({"validation": valid}, [(name, alpha) for name, alpha, _ in self.entries]).assign(rate=rates),
        ]

    def measured(self):
        """(rows of everything, {(arm, alpha): features of each split at the best rate})."""
        h, z = self.outputs()
        tables, best = self.accuracies(), self.best(z)
        W = self.stack.weights[-2].detach()
        tables += [
            collapse(h[0][s], self.data[0].y, W[s]).assign(arm=name, alpha=alpha)
            for (name, alpha), s in best.items()
            if alpha == 1
        ]
        kept = [found for found in self.cosines if found[0] in best.values()]
        for metric, column, heads in (("cos_backbone", 3, (1, 2)), ("cos_w", 2, (1,))):
            own = [found for found in kept if self.arms[found[0]].head in heads]
            if own:
                table = together({metric: [found[column] for found in own]}, [self.entries[s][:2] for s, *_ in own])
                tables.append(table.assign(epoch=[epoch for _, epoch, *_ in own]))
        return tables, {key: [one[s] for one in h] for key, s in best.items()}


def together(values, entries):
    """Rows of {metric: a value for each of `entries`}, (arm, alpha)."""
    found = rows({metric: [float(v) for v in own] for metric, own in values.items()}, "entry")
    arms, alphas = zip(*entries, strict=True)
    at = found.pop("entry").astype(int)
    return found.assign(arm=[arms[i] for i in at], alpha=[alphas[i] for i in at])


def accuracy(z, y):
    """Share of right answers of each network: z (S, N, K), y (N,) -> (S,)."""
    return (z.argmax(2) == y).double().mean(1)


def collapse(H, y, W):
    """NC1 (traces), NC2 of the class means, NC3, the angles of the classifiers; theory: what they are at collapse."""
    stats = ClassStatistics.from_features(H, y, len(W), scatter=True)
    M = stats.centered_means
    values = {
        "nc1": metrics.nc1_trace_ratio(stats),
        "nc2": metrics.nc2(M),
        "nc3": metrics.nc3(W, M),
        "angles_w": metrics.equiangularity(W),
    }
    return rows(values, theory=dict.fromkeys(values, 0.0))
