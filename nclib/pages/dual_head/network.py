"""A narrow ResNet taught by ResNet-18 on CIFAR-10 with one arm of `students.ARMS`: the setting of the paper, smaller.

SGD with momentum, weight decay on everything, the rate divided by 10 at the authors' shares of the epochs; random crops
and flips, which teacher and student see alike. Of three rates the best on validation images is kept.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nclib.data import load, subset
from nclib.models import ResNet18, auxiliary_head
from nclib.pages.dual_head import students
from nclib.pages.dual_head.stack import DROPS, MOMENTUM, Stack
from nclib.pages.dual_head.students import ARMS, HEADS, LOSSES, collapse
from nclib.pages.dual_head.tasks import Split
from nclib.runs import source, store
from nclib.runs.experiment import Experiment, rows
from nclib.theory.distillation import align, cross_entropy_residual
from nclib.training import checkpoint, seed_everything
from nclib.training.captured import Captured, capturable, graphs

K, CHUNK, PAD, FIXED = 10, 1000, 4, 1000
NONLINEAR = "DHKD, nonlinear"  # the second head with a hidden layer of 200, as the authors have it for some pairs


@dataclass(frozen=True)
class Network(Experiment):
    """One student at each of `rates`. data: of nclib.data.load; samples: training images a class, of which a tenth are
    for validation. widths: of the first stage of teacher and student. trained: an arm of `students.ARMS`, or
    `NONLINEAR`; strength: its alpha. epochs: of teacher and student alike."""

    NAME: ClassVar[str] = "yang2024.network"

    data: str
    samples: int
    teacher_width: int
    student_width: int
    trained: str
    strength: float
    rates: tuple[float, ...]
    epochs: int
    batch_size: int
    weight_decay: float
    seed: int

    def needs_gpu(self):
        """Whether a CPU would take days."""
        return self.student_width >= 16

    def reads(self):
        """{file: sha256} of the images."""
        return load(self.data).sha256 | load(self.data, "test").sha256

    def run(self, device="cpu"):
        """The rows of `Students` for one arm: accuracy and rate, validation of each rate, collapse, cosines, and for
        cross-entropy and for one head the accuracies of new heads on the fixed backbone."""
        generator, data = seed_everything(self.seed), [split_on(device, split) for split in self.splits()]
        teacher, found = self.teacher(data, device), []
        student, rate = self.best(teacher, data, device, found)
        cosines = [t.drop(columns="rate") for t in found if "epoch" in t and (t["rate"] == rate).all()]
        found = [t for t in found if "epoch" not in t]
        H, x = [student.outputs(split.x)[0] for split in data], data[0].x
        W = student.model.head.product().detach()
        values = {"accuracy": student.accuracy(data[2]), "rate": rate}
        own = [rows(values), rows({"accuracy": accuracy(logits(teacher, data[2].x), data[2].y)}).assign(arm="teacher")]
        own += [collapse(H[0], data[0].y, W), *cosines]
        found += [t if "arm" in t else t.assign(arm=self.trained) for t in own]
        T = logits(teacher, x).cpu()
        splits = [Split(h.cpu(), split.y.cpu()) for h, split in zip(H, data, strict=True)]
        for name, (backbone, arm) in HEADS.items():
            if backbone == self.trained:
                found += [table.assign(arm=name) for table in self.new_head(splits, T, arm, generator)]
        return pd.concat([t if "alpha" in t else t.assign(alpha=self.strength) for t in found], ignore_index=True)

    def best(self, teacher, data, device, found):
        """(student, rate) of the best validation accuracy, the first rate in a tie. Fills `found` with rows of each
        rate: validation, and cosines by epoch. A run that was killed goes on with the first rate that is not done."""
        kept = checkpoint.of_run(self, self.key(), found)
        state = kept.load()
        for i in range(int(state.get("done", 0)), len(self.rates)):
            student, rate = Student(self, self.rates[i], device), self.rates[i]
            drawn = torch.Generator().manual_seed(self.seed + 1)
            cosines = student.train(data[0], teacher, drawn, f"{self.key()}-{i}")
            valid = torch.tensor(student.accuracy(data[1]), dtype=torch.float64)
            found.append(rows({"validation": valid}, arm=self.trained, alpha=self.strength, rate=rate))
            found += [table.assign(rate=rate) for table in cosines]
            if not state or valid > state["valid"]:
                state = student.model.state_dict() | {"valid": valid, "best": torch.tensor(i)}
            state["done"] = torch.tensor(i + 1)
            kept.save(state)
            store.unfinished(f"{self.key()}-{i}").unlink(missing_ok=True)
        rate = self.rates[int(state["best"])]
        student = Student(self, rate, device)
        student.model.load_state_dict({name: v for name, v in state.items() if name not in ("valid", "best", "done")})
        student.model.eval()
        return student, rate

    def forget(self):
        """Remove what a rate, or the teacher, kept when it was killed just as it ended."""
        for path in store.unfinished(self.key()).parent.glob(f"{self.key()}-*"):
            path.unlink(missing_ok=True)

    def splits(self):
        """Training, validation and test images."""
        images, test = subset(load(self.data), (self.samples,) * K), load(self.data, "test")
        order = torch.randperm(len(images.y), generator=torch.Generator().manual_seed(self.seed))
        held, kept = order.split([len(order) // 10, len(order) - len(order) // 10])
        return [Split(images.x[kept], images.y[kept]), Split(images.x[held], images.y[held]), Split(test.x, test.y)]

    def teacher(self, data, device):
        """The trained teacher of this seed in eval mode, from the cache where another run has trained it."""
        shared = {
            name: getattr(self, name)
            for name in ("data", "samples", "teacher_width", "epochs", "batch_size", "weight_decay", "seed")
        }
        key = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]
        kept = checkpoint.Checkpoint(store.unfinished(f"teacher-{key}"), shared | {"code": source.digest(self)}, [])
        student = Student(self, 0.1, device, arm="CE", width=self.teacher_width)
        if found := kept.load():
            student.model.load_state_dict(found)
        else:
            name = f"{self.key()}-teacher"
            student.train(data[0], None, torch.Generator().manual_seed(self.seed + 2), name)
            kept.save(student.model.state_dict())
            store.unfinished(name).unlink(missing_ok=True)
        return student.model.eval()

    def new_head(self, splits, T, arm, generator):
        """Rows of accuracies of an arm's head on fixed features, by the small networks' code."""
        entries = [(arm, self.strength, rate) for rate in self.rates]
        small = Stack(len(entries), (splits[0].x.shape[1],), K, generator)
        group = students.Group(entries, small, splits, T, self)
        group.train(splits[0].x, recorded=())
        return group.accuracies()

    def recorded(self):
        """Epochs at which cosines are taken."""
        return sorted({max(1, round(self.epochs * (i / 8) ** 2)) for i in range(1, 9)})


class Student:
    """A ResNet with two heads, its optimizer and what it follows."""

    def __init__(self, run, rate, device, arm=None, width=None):
        torch.manual_seed(run.seed)
        name, width = arm or run.trained, width or run.student_width
        self.run, self.arm = run, ARMS["DHKD" if name == NONLINEAR else name]
        self.model = ResNet18(K, in_channels=load(run.data, "test").x.shape[1], width=width).to(device)
        self.auxiliary = auxiliary_head(8 * width, K, 200 if name == NONLINEAR else None).to(device)
        self.parameters = [*self.model.parameters(), *self.auxiliary.parameters()]
        self.optimizer = torch.optim.SGD(self.parameters, rate, MOMENTUM, weight_decay=run.weight_decay, fused=True)

    def forward(self, x):
        """(z1, z2); on a GPU the features in bfloat16 while training."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=x.is_cuda and self.model.training):
            h = self.model.features(x)
        h = h.float()
        return [self.model.head(h), self.auxiliary(h)]

    def residuals(self, z, y, T):
        """(r1 of cross-entropy, (r1, r2) of the second loss), means over the batch; without a second loss zeros."""
        second = [torch.zeros_like(z[0]), torch.zeros_like(z[0])]
        if self.arm.second:
            second[self.arm.head - 1] = LOSSES[self.arm.second](z[self.arm.head - 1], T) / len(y)
        return cross_entropy_residual(z[0], y) / len(y), second

    def step(self, x, y, T):
        """One update."""
        z = self.forward(x)
        with torch.no_grad():
            first, second = self.residuals(z, y, T)
            first, second = self.arm.ce * first, [self.run.strength * r for r in second]
        if not self.arm.change:
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(z, [-first - second[0], -second[1]])
        else:
            g1, g2 = self.gradients(z, [first, None]), self.gradients(z, second)
            sizes = [p.numel() for p in self.parameters]
            for p, g in zip(self.parameters, combined(g1, g2, self.arm.change).split(sizes), strict=True):
                p.grad = g.view_as(p)
        self.optimizer.step()

    def gradients(self, z, residuals, parameters=None):
        """The flat gradient of a loss with residuals in the two heads' logits, None for 0."""
        outputs, given = zip(*[(a, -r) for a, r in zip(z, residuals, strict=True) if r is not None], strict=True)
        found = torch.autograd.grad(
            outputs, parameters or self.parameters, given, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([g.flatten() for g in found])

    def train(self, split, teacher, generator, name):
        """Train, with the rows of cosines on the way. name: under which the state is kept, to go on after a kill."""
        device, found = split.y.device, []
        drops = [round(drop * self.run.epochs) for drop in DROPS]
        whole = nn.ModuleList([self.model, self.auxiliary])
        kept = checkpoint.of_run(self.run, name, found)
        state, update = kept.load(), self.update_of(split, teacher)
        if graphs(device):
            torch.backends.cudnn.allow_tf32 = False  # or else what is measured would not be in float32
            capturable(self.optimizer, device)
            update = Captured(update).beside
        schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, drops, 0.1)
        done = int(state.pop("epochs", 0))
        if done:
            checkpoint.restore(whole, self.optimizer, state)
        recorded = self.run.recorded() if self.arm.second not in ("", "kd") and self.arm.ce else ()
        for epoch in range(1, self.run.epochs + 1):
            whole.train()
            for batch in torch.randperm(len(split.y), generator=generator).split(self.run.batch_size):
                moves = drawn(len(batch), generator)
                if epoch > done:  # what was done before a kill is drawn again and not done
                    update(torch.cat([batch[:, None], moves], 1).to(device))
            with warnings.catch_warnings(action="ignore"):  # of a rate that falls without an update
                schedule.step()
            if epoch <= done:
                continue
            if epoch in recorded:
                found.append(self.cosines(split.x[:FIXED], split.y[:FIXED], teacher).assign(epoch=epoch))
            if kept.due:
                kept.save(checkpoint.state(whole, self.optimizer) | {"epochs": torch.tensor(epoch)})
        whole.eval()
        return found

    def update_of(self, split, teacher):
        """The update on a batch (B, 4) of the places of images and how they are moved, as a GPU can capture it."""

        def update(batch):
            x = augmented(split.x[batch[:, 0]], batch[:, 1:])
            with torch.no_grad():
                T = teacher(x) if teacher is not None and self.arm.second else None
            self.step(x, split.y[batch[:, 0]], T)

        return update

    def cosines(self, x, y, teacher):
        """Rows of the cosines of the two gradients on a fixed batch."""
        self.model.eval(), self.auxiliary.eval()
        z = self.forward(x)
        with torch.no_grad():
            first, second = self.residuals(z, y, teacher(x))
        own = {"cos_backbone": list(self.model.backbone.parameters())}
        own |= {"cos_w": [self.model.head.weights[-1]]} if self.arm.head == 1 else {}
        pairs = {name: [self.gradients(z, r, p) for r in ([first, None], second)] for name, p in own.items()}
        return rows({name: F.cosine_similarity(*pair, dim=0) for name, pair in pairs.items()})

    @torch.no_grad()
    def outputs(self, x):
        """(features, logits of the first head) in eval mode."""
        h = torch.cat([self.model.features(part) for part in x.split(CHUNK)])
        return h, self.model.head(h)

    def accuracy(self, split):
        """Share of right answers."""
        return accuracy(self.outputs(split.x)[1], split.y)


def combined(g1, g2, change):
    """g1 and what of g2 does not oppose it, or their sum with the length of g1."""
    if change == "aligned":
        return (g1 + align(g2, g1)).to(g1)
    return (g1 + g2) * (g1.norm() / (g1 + g2).norm())


def drawn(B, generator):
    """How B images are moved, (B, 3): a random crop, and with probability 1/2 a flip."""
    return torch.cat([torch.randint(high, (B, 1), generator=generator) for high in (9, 9, 2)], 1)


def augmented(x, moves):
    """Each image (B, C, H, W) padded by 4 zeros, cropped and flipped as `drawn`."""
    B, C, H, W = x.shape
    top, left, flip = moves.split(1, 1)
    i, j = (torch.arange(size, device=x.device) for size in (H, W))
    down, right = top + i, left + torch.where(flip == 1, W - 1 - j, j)
    images, channels = (torch.arange(size, device=x.device) for size in (B, C))
    return F.pad(x, (PAD,) * 4)[
        images[:, None, None, None], channels[:, None, None], down[:, None, :, None], right[:, None, None]
    ]


@torch.no_grad()
def logits(model, x):
    """Logits of a model in eval mode."""
    return torch.cat([model(part) for part in x.split(CHUNK)])


def accuracy(z, y):
    """Share of right answers."""
    return float((z.argmax(1) == y).double().mean())


def split_on(device, split):
    """A split on a device."""
    return Split(split.x.to(device), split.y.to(device))
