"""Training of language models on windows of token ids that lie on the model's device.

A model here has `loss(ids (B, T + 1))`, `features(ids (B, T))` -> (B, T, d), `classifier` (V, d) and
`clip_grad_norm(bound)`: nclib.models.gpt.GPT. Windows (n, T + 1) are ids of any integer dtype; a batch is
batch_tokens // T of them, T targets each.
"""

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
from nclib.training.checkpoint import SECONDS

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
    checkpoint_seconds=SECONDS,
):
    """Minimize model.loss over `windows` as Wu and Papyan 2024 do (section 3): AdamW, linear decay without warm-up.

    AdamW (0.9, 0.999, 1e-8) with weight decay on all but biases and LayerNorm (parameters named ...bias or ...ln_...);
    the rate of step t = 0, 1, ... of `total` is lr (1 - t/total); the gradient norm is clipped at 1. An epoch visits
    the windows in an order drawn from (seed, epoch) alone; the n mod B windows that do not fill a last batch of B are
    left out of that epoch, so total = epochs (n // B). precision "bfloat16": the loss under autocast, parameters and
    update in float32. compiled: torch.compile of the loss. Returns the loss of each batch before its update, (total,)
    float64 on the CPU.

    A nclib.models.gpt_stack.GPTStack of G models takes a list of G seeds, each model its own order, and of G decays,
    or one for all; its losses are (total, G), each model is clipped by itself, and all train as each would alone.

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
    _check_fit(n, B, epochs, lr, weight_decay, seed, measure_at, precision)
    device = next(model.parameters()).device
    windows, steps, share = windows.to(device), n // B, B // world_size()
    total, optimizer, decay = epochs * steps, _adamw(model, lr, weight_decay), _decay(model, weight_decay)
    losses, run = torch.zeros(0, dtype=torch.float64), None
    if checkpoint is not None:
        run = {"epochs": epochs, "batch_tokens": B * T, "lr": lr, "weight_decay": weight_decay, "seed": seed}
        run |= {"precision": precision, "identity": identity, "windows": [n, T + 1, _crc32([windows.int()])]}
        run |= {"parameters": {name: list(p.shape) for name, p in model.named_parameters()}}
        losses = _load(checkpoint, model, optimizer, json.loads(json.dumps(run)))
    done = saved = len(losses)
    objective, written, pending = _objective(model, compiled), time.monotonic(), []
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
        rate = lr * (1 - step / total)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = objective(ids)
        loss.sum().backward()
        model.clip_grad_norm(1.0)
        decay(rate)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pending.append(loss.detach())
        progress.update()
        last = i + 1 == steps
        if last or (step + 1) % CHECK == 0:
            losses = torch.cat([losses, _global_means(pending)])
            pending.clear()
            _check_finite(model, losses, steps, checkpoint, saved)
            if checkpoint is not None and (last or time.monotonic() - written >= checkpoint_seconds):
                if rank() == 0:
                    _save(checkpoint, model, optimizer, losses, run)
                saved, written = len(losses), time.monotonic()
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


def _check_fit(n, B, epochs, lr, weight_decay, seed, measure_at, precision):
    if B % world_size():
        raise ValueError(f"batch_tokens gives {B} windows a batch: must be a multiple of the {world_size()} ranks")
    if n < B:
        raise ValueError(f"windows has {n} rows: must be at least one batch, {B} of them")
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}: must be a positive integer")
    if not (0 < lr < math.inf and all(0 <= decay < math.inf for decay in _many(weight_decay))):
        raise ValueError(f"lr, weight_decay = {lr}, {weight_decay}: must be > 0 and >= 0")
    if not all(isinstance(s, int) and s >= 0 for s in _many(seed)):
        raise ValueError(f"seed = {seed}: must be a whole number from 0 on, or a list of them for a GPTStack")
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
    decayed, others = _split(model)
    weight_decay = 0.0 if isinstance(weight_decay, list) else weight_decay
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay, fused=True)


def _decay(model, weight_decay):
    """A function of the rate that shrinks each model of a stack by its own decay; AdamW knows one decay alone."""
    if not isinstance(weight_decay, list):
        return lambda rate: None
    decayed, _ = _split(model)
    each = torch.tensor(weight_decay, device=decayed[0].device)

    @torch.no_grad()
    def shrink(rate):
        for p in decayed:
            p.mul_(1 - rate * each.view(-1, *[1] * (p.ndim - 1)))

    return shrink


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
