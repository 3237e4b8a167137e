"""Training of language models on windows of token ids that lie on the model's device.

A model here has `loss(ids (B, T + 1))`, `features(ids (B, T))` -> (B, T, d), `classifier` (V, d) and
`clip_grad_norm(bound)`: nclib.models.gpt.GPT. Windows (n, T + 1) are ids of any integer dtype; a batch is
batch_tokens // T of them, T targets each.
"""

import contextlib
import json
import math
import time
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn

from nclib import _files
from nclib._progress import bar
from nclib.distributed import rank, world_size
from nclib.runs.seal import Damaged
from nclib.training.captured import Captured, capturable, graphs
from nclib.training.checkpoint import SECONDS, asked, end_if_asked

PRECISIONS = ("float32", "bfloat16")
CHECK = 50  # steps between looks at the loss, which wait for the GPU
_FORMAT = "nclib.training.language/2"


def fit(
    model,
    windows,
    *,
    epochs,
    batch_tokens,
    lr,
    weight_decay,
    seed,
    measure_at=(),
    evaluate=None,
    checkpoint=None,
    identity=None,
    precision="float32",
    compiled=False,
    warmup=0,
    checkpoint_seconds=SECONDS,
):
    """Minimize model.loss over `windows` as Wu and Papyan 2024 do (section 3): AdamW, linear decay without warm-up.

    AdamW (0.9, 0.999, 1e-8) with weight decay on all but biases and LayerNorm (parameters named ...bias or ...ln_...);
    the rate of step t = 0, 1, ... of `total` is lr (1 - t/total), with `warmup` > 0 times min(1, (t + 1)/(warmup + 1));
    the gradient norm is clipped at 1. An epoch visits
    the windows in an order drawn from (seed, epoch) alone; the n mod B windows that do not fill a last batch of B are
    left out of that epoch, so total = epochs (n // B). precision "bfloat16": the loss under autocast, parameters and
    update in float32. compiled: torch.compile of the loss. On one GPU a step is captured as a CUDA graph. Returns the
    loss of each batch before its update, (total,) float64 on the CPU.

    A nclib.models.gpt_stack.GPTStack of G models takes a list of G seeds, each model its own order, and of G decays and
    G rates, or one for all; its losses are (total, G), each model is clipped by itself, and all train as each would
    alone.

    evaluate(epoch, model) is called after each epoch in `measure_at`, the model in eval mode and without gradients.

    checkpoint: a path. The state is saved at each epoch's end and every `checkpoint_seconds` (at multiples of CHECK
    steps), and where the file exists the run goes on from there, with the same result as one that was never stopped
    (bit for bit on a CPU). `identity` is a JSON-able dict that must be that of the file, as must all settings that
    shape the run, and the windows. A run that goes on from an epoch's end evaluates that epoch again: after a kill an
    evaluation may come twice, but its result is lost only if `evaluate` does not keep it.

    With torch.distributed initialized, each rank takes its part of every batch (DistributedDataParallel), all call
    `evaluate`, rank 0 writes the checkpoint, which all ranks must be able to read, and the losses are the global means.

    Raises ValueError for arguments out of range, ids outside the vocabulary, and a checkpoint that is damaged or of
    another run; FloatingPointError if a loss or a parameter is not finite: that is never saved.
    """
    B, measure_at = batch_size(model, windows, batch_tokens), set(measure_at)
    n, T = len(windows), windows.shape[1] - 1
    _check_fit(model, n, B, epochs, lr, weight_decay, seed, measure_at, precision, warmup)
    device = next(model.parameters()).device
    windows, steps, share = windows.to(device), n // B, B // world_size()
    total, optimizer = epochs * steps, _adamw(model, lr, weight_decay)
    losses, run = torch.zeros(0, dtype=torch.float64), None
    if checkpoint is not None:
        run = {"epochs": epochs, "batch_tokens": B * T, "lr": lr, "weight_decay": weight_decay, "seed": seed}
        run |= {
            "precision": precision,
            "warmup": warmup,
            "identity": identity,
            "windows": [n, T + 1, _crc32([windows.int()])],
        }
        run |= {"parameters": {name: list(p.shape) for name, p in model.named_parameters()}}
        losses = _load(checkpoint, model, optimizer, json.loads(json.dumps(run)))
    done = saved = len(losses)
    fall = torch.zeros((), device=device)  # the share of its first rate that a step has
    update, written, pending = (
        _update(model, optimizer, compiled, precision, lr, weight_decay, fall),
        time.monotonic(),
        [],
    )
    progress = bar(hidden=rank() > 0, desc="training", initial=done, total=total, leave=False)

    def visit(epoch):
        if evaluate is not None and epoch in measure_at:
            model.eval()
            with torch.no_grad():
                evaluate(epoch, model)
            model.train()

    model.train()
    if done and done % steps == 0:
        visit(done // steps)
    for step in range(done, total):
        epoch, i = divmod(step, steps)
        if i == 0 or step == done:
            order = _order(seed, epoch, n).to(device)
        ids = windows[order[..., i * B + rank() * share :][..., :share]].long()
        _set_rate(optimizer, fall, max(_many(lr)), (1 - step / total) * min(1.0, (step + 1) / (warmup + 1)))
        pending.append(update(ids))
        progress.update()
        last = i + 1 == steps
        if last or (step + 1) % CHECK == 0:
            losses = torch.cat([losses, _global_means(pending)])
            pending.clear()
            _check_finite(model, losses, steps, checkpoint, saved)
            if checkpoint is not None and (last or asked() or time.monotonic() - written >= checkpoint_seconds):
                if rank() == 0:
                    _save(checkpoint, model, optimizer, losses, run)
                saved, written = len(losses), time.monotonic()
                end_if_asked()
        if last:
            visit(epoch + 1)
    progress.close()
    return losses


def batch_size(model, windows, batch_tokens):
    """How many windows a batch of `batch_tokens` targets holds; ValueError for windows that the model cannot take."""
    if windows.ndim != 2 or windows.dtype.is_floating_point or windows.numel() == 0 or windows.shape[1] < 2:
        raise ValueError(f"windows is {windows.dtype} {tuple(windows.shape)}: must be integer ids (n, T + 1), n, T > 0")
    V, (low, high) = model.classifier.shape[-2], torch.aminmax(windows)
    if low < 0 or high >= V:
        raise ValueError(f"windows has ids from {low} to {high}: must be between 0 and {V - 1}, the model's vocabulary")
    T = windows.shape[1] - 1
    if batch_tokens < T:
        raise ValueError(f"batch_tokens = {batch_tokens}: must be at least {T}, the targets of one window")
    return batch_tokens // T


def _check_fit(model, n, B, epochs, lr, weight_decay, seed, measure_at, precision, warmup):
    if B % world_size():
        raise ValueError(f"batch_tokens gives {B} windows a batch: must be a multiple of the {world_size()} ranks")
    if n < B:
        raise ValueError(f"windows has {n} rows: must be at least one batch, {B} of them")
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}: must be a positive integer")
    rates, decays = _many(lr), _many(weight_decay)
    if not (all(0 < rate < math.inf for rate in rates) and all(0 <= decay < math.inf for decay in decays)):
        raise ValueError(f"lr, weight_decay = {lr}, {weight_decay}: must be > 0 and >= 0")
    if not all(isinstance(s, int) and s >= 0 for s in _many(seed)):
        raise ValueError(f"seed = {seed}: must be a whole number from 0 on, or a list of them for a GPTStack")
    G = len(model.classifier) if model.classifier.ndim == 3 else None
    for name, value in {"lr": lr, "weight_decay": weight_decay, "seed": seed}.items():
        if isinstance(value, list) and len(value) != G:
            raise ValueError(
                f"{name} = {value}: a list must have one entry for each model of a GPTStack, {G or 'none'}"
            )
    if not 0 <= warmup < epochs * (n // B):
        raise ValueError(f"warmup = {warmup}: must be from 0 to less than the {epochs * (n // B)} updates")
    if not all(1 <= epoch <= epochs for epoch in measure_at):
        raise ValueError(f"measure_at = {sorted(measure_at)}: must be epochs from 1 to {epochs}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision = {precision!r}: must be one of {', '.join(PRECISIONS)}")


def _many(value):
    return value if isinstance(value, list) else [value]


def _order(seed, epoch, n):
    """The order of n windows in an epoch, (n,) or, for a list of G seeds, (G, n)."""
    if not isinstance(seed, list):
        return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(n))
    return torch.stack([_order(s, epoch, n) for s in seed])


def _split(model):
    """The parameters that decay, and the others."""
    decayed, others = [], []
    for name, p in model.named_parameters():
        (others if name.endswith("bias") or "ln_" in name else decayed).append(p)
    return decayed, others


def _adamw(model, lr, weight_decay):
    """With the largest rate, and without a decay where models of a stack differ in one of the two: see `_apart`."""
    decayed, others = _split(model)
    weight_decay = 0.0 if isinstance(weight_decay, list) or isinstance(lr, list) else weight_decay
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, max(_many(lr)), betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True
    )


def _set_rate(optimizer, fall, rate, share):
    """Where the rates lie on a GPU, for a captured step, they are changed there."""
    fall.fill_(share)
    for group in optimizer.param_groups:
        if torch.is_tensor(group["lr"]):
            group["lr"].fill_(rate * share)
        else:
            group["lr"] = rate * share


def _update(model, optimizer, compiled, precision, lr, weight_decay, fall):
    """A step on a batch of ids: the loss before it. On one GPU it is captured."""
    objective, device = _objective(model, compiled), fall.device
    apart = _apart(model, lr, weight_decay, fall)

    def update(ids):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = objective(ids)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        model.clip_grad_norm(1.0)
        with apart():
            optimizer.step()
        return loss.detach()

    if not graphs(device) or distributed.is_initialized():
        return update
    capturable(optimizer, device)
    return Captured(update).beside


def _apart(model, lr, weight_decay, fall):
    """What stands around the optimizer's step where models of a stack have rates or decays of their own; AdamW knows
    one of each. A model first shrinks by its own, and of the step with the largest rate it keeps its rate's share."""
    if not isinstance(lr, list) and not isinstance(weight_decay, list):
        return contextlib.nullcontext
    G, device = len(model.classifier), fall.device
    rates = torch.tensor(_many(lr) * (1 if isinstance(lr, list) else G), dtype=torch.float64)
    decays = torch.tensor(_many(weight_decay) * (1 if isinstance(weight_decay, list) else G), dtype=torch.float64)
    shares, shrinks = (x.to(device, torch.float32) for x in (rates / rates.max(), rates * decays))
    uneven, (decayed, others) = bool((rates != rates[0]).any()), _split(model)

    def per(x, p):
        return x.view(-1, *[1] * (p.ndim - 1))

    @contextlib.contextmanager
    def around():
        with torch.no_grad():
            for p in decayed:
                p.mul_(1 - fall * per(shrinks, p))
            before = [p.clone() for p in decayed + others] if uneven else []
        yield
        with torch.no_grad():
            for p, old in zip(decayed + others if uneven else [], before, strict=True):
                p.copy_(torch.lerp(old, p, per(shares, p)))

    return around


class _Loss(nn.Module):
    """model.loss as a forward pass, which is what DistributedDataParallel and torch.compile can wrap."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model.loss(ids)


def _objective(model, compiled):
    objective = _Loss(model)
    if distributed.is_initialized():
        objective = nn.parallel.DistributedDataParallel(objective)
    return torch.compile(objective) if compiled else objective


def _global_means(pending):
    """The losses of the last steps, averaged over ranks, as float64 on the CPU."""
    losses = torch.stack(pending)
    if distributed.is_initialized():
        losses = losses.double()
        distributed.all_reduce(losses)
    return losses.cpu().double() / world_size()


def _check_finite(model, losses, steps, checkpoint, saved):
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step, what = int(bad[0]) + 1, f"the loss is {losses[bad[0]].item()}"
    elif not nn.utils.get_total_norm([p.detach() for p in model.parameters()]).isfinite():
        step, what = len(losses), "parameters are not finite"
    else:
        return
    kept = f"{checkpoint} keeps step {saved}" if checkpoint is not None and saved else "no step was saved"
    raise FloatingPointError(f"training diverged: {what} at step {step}, epoch {(step - 1) // steps + 1}; {kept}")


def _crc32(tensors):
    crc = 0
    for tensor in tensors:
        crc = zlib.crc32(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy(), crc)
    return crc


def _save(path, model, optimizer, losses, run):
    """Parameters p.*, the moments m.* and v.* of AdamW and the losses; the number of losses is that of steps done."""
    tensors = {"losses": losses}
    for name, p in model.named_parameters():
        state = optimizer.state[p]
        tensors |= {f"p.{name}": p.detach(), f"m.{name}": state["exp_avg"], f"v.{name}": state["exp_avg_sq"]}
    _files.save(path, tensors, {"format": _FORMAT, "run": json.dumps(run)})


@torch.no_grad()
def _load(path, model, optimizer, run):
    """Put the state of a checkpoint in place and return its losses; none where there is no file."""
    losses = torch.zeros(0, dtype=torch.float64)
    if distributed.is_initialized():
        distributed.barrier()  # rank 0 may still be writing the file of a run that this process did before
    if Path(path).exists():
        try:
            tensors, metadata = _files.load(path, format=_FORMAT)
        except (Damaged, OSError):
            raise ValueError(
                f"checkpoint = {str(path)!r}: damaged or no checkpoint of fit; remove it to start again"
            ) from None
        if different := _differences(json.loads(metadata["run"]), run):
            more = f"; {len(different) - 4} more" if len(different) > 4 else ""
            raise ValueError(f"checkpoint = {str(path)!r} is of another run: {'; '.join(different[:4])}{more}")
        losses = tensors["losses"]
        for name, p in model.named_parameters():
            p.copy_(tensors[f"p.{name}"])
            m, v, step = tensors[f"m.{name}"], tensors[f"v.{name}"], torch.tensor(float(len(losses)))
            optimizer.state[p] = {"step": step.to(p.device), "exp_avg": m.to(p.device), "exp_avg_sq": v.to(p.device)}
    _check_same_on_ranks(len(losses))
    return losses


def _check_same_on_ranks(done):
    if distributed.is_initialized():
        steps = [None] * world_size()
        distributed.all_gather_object(steps, done)
        if len(set(steps)) > 1:
            raise ValueError(f"checkpoint holds {steps} steps on the ranks: all must read the same file")


def _differences(there, here, prefix=""):
    """What differs between two nested dicts, as "name = a there, b here"."""
    found = []
    for name in sorted(there.keys() | here.keys()):
        a, b = there.get(name), here.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{prefix}{name}.")
        elif a != b:
            found.append(f"{prefix}{name} = {a} there, {b} here")
    return found
