"""SGD on mixed batches, on a GPU as one CUDA graph a step where asked for, with a checkpoint."""

import contextlib
import warnings

import torch
from torch.nn import functional as F

from nclib.training.captured import Captured, capturable, graphs
from nclib.training.checkpoint import restore, state


def mixes(count, batch_size, alpha, random, generator):
    """The batches of an epoch, each (B, 3): of every image its place, that of its partner in the same batch, and its
    weight, one lambda ~ Beta(alpha, alpha) for all; 1 for alpha = 0."""
    found = []
    for batch in torch.randperm(count, generator=generator).double().split(batch_size):
        weight = random.beta(alpha, alpha) if alpha else 1.0
        partner = batch[torch.randperm(len(batch), generator=generator)]
        found.append(torch.stack([batch, partner, torch.full_like(batch, weight)], 1))
    return found


def stepper(model, optimizer, x, Y, loss):
    """The update of `descend` for images x and targets Y (N, K): of a batch of `mixes` to the loss before it."""
    fast = {"device_type": x.device.type, "dtype": torch.bfloat16, "enabled": x.is_cuda}

    def mixed(part, first, second, weight):
        weight = weight.view(-1, *[1] * (part.ndim - 1))
        return weight.to(part) * part[first] + (1 - weight).to(part) * part[second]

    def update(batch):
        first, second, weight = batch[:, 0].long(), batch[:, 1].long(), batch[:, 2]
        X, target = (mixed(part, first, second, weight) for part in (x, Y))
        with torch.autocast(**fast):
            H = model.features(X)
        Z = model.head(H.float())
        value = F.cross_entropy(Z, target) if loss == "cross-entropy" else (Z - target).square().sum(1).mean() / 2
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        return value.detach()

    return update


def descend(update, epochs, *, model, optimizer, schedule, device, captured=False, checkpoint=None):
    """Train in place; epochs: an iterable of lists of batches, `schedule` steps after each batch.

    captured: where steps are captured at all, replay them as a graph; `schedule` may then change the rates alone.
    checkpoint: a `Checkpoint` or None. The state is saved at the end of an epoch where a minute has passed, and where
    the file exists training goes on from there: what was done is drawn again and not done. FloatingPointError where
    the loss is not finite at the end of an epoch.
    """
    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # or else what is measured would not be in float32
            if captured and graphs(device):
                capturable(optimizer, device)
                update = Captured(update)
                stack.enter_context(torch.cuda.stream(update.stream))
        kept = checkpoint.load() if checkpoint is not None else {}
        done = int(kept.pop("epochs", 0))
        if done:
            restore(model, optimizer, kept)
        model.train()
        for epoch, batches in enumerate(epochs, 1):
            if epoch <= done:
                with warnings.catch_warnings(action="ignore"):  # of a rate that falls without an update
                    for _ in batches:
                        schedule.step()
                continue
            for batch in batches:
                value = update(batch.to(device))
                schedule.step()
            if not value.isfinite():
                raise FloatingPointError(f"training diverged in epoch {epoch}; lower the rate")
            if checkpoint is not None and checkpoint.due:
                checkpoint.save(state(model, optimizer) | {"epochs": torch.tensor(epoch)})
