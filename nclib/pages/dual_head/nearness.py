"""Cosines of two gradients in the classifier and in the backbone, and how near collapse the network is: a prediction.

Students that are trained with cross-entropy alone: where both losses are trained to the end on one head, their
gradients cancel (but for weight decay), so that every cosine tends to -1 whatever NC1 is. NC1 is varied by width,
weight decay, label noise and the noise of the data, so that it can be compared at one and the same epoch.
"""

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import pandas as pd
import torch

from nclib import metrics
from nclib.pages.dual_head import stack as stacks
from nclib.pages.dual_head import tasks
from nclib.pages.dual_head.stack import Stack, cosine, gradients
from nclib.runs.experiment import Experiment, rows
from nclib.statistics import ClassStatistics
from nclib.theory.distillation import binary_kl_residual, cross_entropy_residual

K, D, TAU, RATE = 10, 16, 2.0, 0.05


@dataclass(frozen=True)
class Nearness(Experiment):
    """Students of one width and seed, one for each decay, share of labels dealt anew and standard deviation of data."""

    NAME: ClassVar[str] = "yang2024.nearness"

    width: int
    decays: tuple[float, ...]
    label_noises: tuple[float, ...]
    data_noises: tuple[float, ...]
    samples: int
    recorded: tuple[int, ...]
    batch_size: int
    seed: int

    def run(self, device="cpu"):
        """ "nc1", the ratio of traces, of the training samples with the labels that are trained, "cos_w" and
        "cos_backbone" at each of the epochs `recorded`."""
        cases = list(product(self.data_noises, self.label_noises, self.decays))
        made = {noise: self.task(noise) for noise in self.data_noises}
        x, y, T = zip(*[self.relabelled(*made[noise], share) for noise, share, _ in cases], strict=True)
        x, y, T = torch.stack(x), torch.stack(y), torch.stack(T)
        stack = Stack(len(cases), (D, self.width, self.width), K, torch.Generator().manual_seed(self.seed))
        none, found = torch.zeros(len(cases), 1, 1), []

        def residuals(z, batch):
            with torch.no_grad():
                return cross_entropy_residual(z[0], y[:, batch]), binary_kl_residual(z[0], T[:, batch], TAU)

        def direction(z, batch):
            return gradients(z, (residuals(z, batch)[0], None), stack.parameters)

        def record(epoch):
            h = stack.features(x, none)
            z = stack.logits(h)
            own = [stack.weights[-2], *stack.backbone]
            g1, g2 = (gradients(z, (r, None), own) for r in residuals(z, slice(None)))
            in_w, below = cosine(g1[:1], g2[:1]), cosine(g1[1:], g2[1:])
            stats = [ClassStatistics.from_features(h[s].detach(), y[s], K, scatter=True) for s in range(len(cases))]
            values = {"nc1": [metrics.nc1_trace_ratio(one) for one in stats]}
            made = rows(values | {"cos_w": in_w, "cos_backbone": below}, "case", epoch=epoch)
            own = [cases[i] for i in made.pop("case")]
            for column, given in zip(("data_noise", "label_noise", "decay"), zip(*own, strict=True), strict=True):
                made[column] = given
            found.append(made)

        stacks.train(
            stack,
            x,
            direction,
            epochs=max(self.recorded),
            batch_size=self.batch_size,
            rates=torch.tensor(RATE),
            decays=torch.tensor([decay for _, _, decay in cases]).reshape(-1, 1, 1),
            centered=none,
            generator=torch.Generator().manual_seed(self.seed + 1),
            record=record,
            recorded=self.recorded,
        )
        return pd.concat(found, ignore_index=True)

    def task(self, noise):
        """(x, y, logits of a teacher)."""
        generator = torch.Generator().manual_seed(self.seed)
        data = tasks.mixture(K, 1, D, noise, generator, self.samples)
        (T,) = tasks.teacher(
            data, (D, 64, 64), K, generator, epochs=20, batch_size=self.batch_size, rate=0.05, decay=5e-4
        )
        return *data[0], T

    def relabelled(self, x, y, T, share):
        """The task with a share of its labels dealt anew."""
        generator = torch.Generator().manual_seed(self.seed + 2)
        dealt = torch.rand(len(y), generator=generator) < share
        return x, torch.where(dealt, torch.randint(K, y.shape, generator=generator), y), T
