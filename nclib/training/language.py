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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Settings:
    """The settings that shape a run of `fit`. A run that goes on from a checkpoint must have the same, but for
    `compiled`.

    epochs: passes over the windows; batch_tokens: targets of an update; lr: the first rate; weight_decay: AdamW's;
    seed: a whole number, from which the orders of the windows are drawn. For a GPTStack of G models lr, weight_decay
    and seed may each be a list of G. warmup: updates over which the rate rises. precision: "float32", or "bfloat16" for
    the loss under autocast, with parameters and update in float32. compiled: whether the loss is compiled by
    torch.compile.
    """

    epochs: int
    batch_tokens: int
    lr: float | list[float]
    weight_decay: float | list[float]
    seed: int | list[int]
    warmup: int = 0
    precision: str = "float32"
    compiled: bool = False


@dataclass(frozen=True)
class Keep:
    """Where `fit` keeps its state, in the file `path`: at each epoch's end and every `seconds` (at multiples of CHECK
    steps). `identity` is a JSON-able dict that must be that of the file."""

    path: str | Path
    identity: dict | None = None
    seconds: float = SECONDS


def fit(model, windows, settings, *, measure_at=(), evaluate=None, checkpoint=None) -> torch.Tensor:
    """Minimize model.loss over `windows` as Wu and Papyan 2024 do (section 3): AdamW, linear decay without warm-up.

    AdamW (0.9, 0.999, 1e-8) with weight decay on all but biases and LayerNorm (parameters named ...bias or ...ln_...);
    the rate of step t = 0, 1, ... of `total` is lr (1 - t/total), with `warmup` > 0 times min(1, (t + 1)/(warmup + 1));
    the gradient norm is clipped at 1. An epoch visits the windows in an order drawn from (seed, epoch) alone; the
    n mod B windows that do not fill a last batch of B are left out of that epoch, so total = epochs (n // B). On one
    GPU a step is captured as a CUDA graph. Returns the loss of each batch before its update, (total,) float64 on the
    CPU.

    settings: `Settings`. A nclib.models.gpt_stack.GPTStack of G models takes a list of G seeds, each model its own
    order, and of G decays and G rates, or one for all; its losses are (total, G), each model is clipped by itself, and
    all train as each would alone.

    evaluate(epoch, model) is called after each epoch in `measure_at`, the model in eval mode and without gradients.

    checkpoint: a `Keep`. Where its file exists the run goes on from there, with the same result as one that was never
    stopped (bit for bit on a CPU); its identity, all settings that shape the run, and the windows must be those of the
    file. A run that goes on from an epoch's end evaluates that epoch again: after a kill an evaluation may come twice,
    but its result is lost only if `evaluate` does not keep it.

    With torch.distributed initialized, each rank takes its part of every batch (DistributedDataParallel), all call
    `evaluate`, rank 0 writes the checkpoint, which all ranks must be able to read, and the losses are the global means.

    Raises ValueError for arguments out of range, ids outside the vocabulary, and a checkpoint that is damaged or of
    another run; FloatingPointError if a loss or a parameter is not finite: that is never saved.
    """
    B, measure_at = batch_size(model, windows, settings.batch_tokens), set(measure_at)
    _check_fit(model, len(windows), B, settings, measure_at)
    windows, steps = windows.to(next(model.parameters()).device), len(windows) // B
    run = _Run(model, windows, settings, steps, checkpoint)

    def visit(epoch):
        if evaluate is not None and epoch in measure_at:
            _evaluate(evaluate, epoch, model)

    model.train()
    if run.done and run.done % steps == 0:
        visit(run.done // steps)
    progress = bar(hidden=rank() > 0, desc="training", initial=run.done, total=run.total, leave=False)
    for step, ids in _batches(windows, B, settings, run.done):
        run.update(step, ids)
        progress.update()
        last = (step + 1) % steps == 0
        if last or (step + 1) % CHECK == 0:
            run.look()
            run.keep(now=last)
        if last:
            visit((step + 1) // steps)
    progress.close()
    return run.losses


class _Run:
    """A run of `fit`: the model, its optimizer, and the `losses` of the steps that were looked at, the first of which a
    checkpoint may hold."""

    def __init__(self, model, windows, settings, steps, checkpoint):
        self.model, self.settings, self.steps, self.checkpoint = model, settings, steps, checkpoint
        self.total, self.optimizer = settings.epochs * steps, _adamw(model, settings.lr, settings.weight_decay)
        self.losses, self.pending = torch.zeros(0, dtype=torch.float64), []
        if checkpoint is not None:
            self.shape = json.loads(json.dumps(_shape(model, windows, settings, checkpoint.identity)))
            self.losses = _load(checkpoint.path, model, self.optimizer, self.shape)
        self.done = self.saved = len(self.losses)
        self.fall = torch.zeros((), device=windows.device)  # the share of its first rate that a step has
        self.advance, self.written = _update(model, self.optimizer, settings, self.fall), time.monotonic()

    def update(self, step, ids):
        """Step number `step`, on a batch of ids."""
        warmed = min(1.0, (step + 1) / (self.settings.warmup + 1))
        _set_rate(self.optimizer, self.fall, max(_many(self.settings.lr)), (1 - step / self.total) * warmed)
        self.pending.append(self.advance(ids))

    def look(self):
        """Take in the losses since the last look: FloatingPointError where they or the parameters are not finite."""
        self.losses = torch.cat([self.losses, _global_means(self.pending)])
        self.pending.clear()
        if found := _not_finite(self.model, self.losses):
            step, what = found
            kept = f"{self.checkpoint.path} keeps step {self.saved}" if self.saved else "no step was saved"
            epoch = (step - 1) // self.steps + 1
            raise FloatingPointError(f"training diverged: {what} at step {step}, epoch {epoch}; {kept}")

    def keep(self, now):
        """Write the checkpoint: `now`, or where it is time or an end was asked for, which then comes."""
        if self.checkpoint is None:
            return
        if now or asked() or time.monotonic() - self.written >= self.checkpoint.seconds:
            if rank() == 0:
                _save(self.checkpoint.path, self.model, self.optimizer, self.losses, self.shape)
            self.saved, self.written = len(self.losses), time.monotonic()
            end_if_asked()


def _batches(windows, B, settings, done):
    """(step, ids) of each step from number `done` on; of each batch of B windows the part of this rank."""
    n, share = len(windows), B // world_size()
    steps = n // B
    for step in range(done, settings.epochs * steps):
        epoch, i = divmod(step, steps)
        if i == 0 or step == done:
            order = _order(settings.seed, epoch, n).to(windows.device)
        yield step, windows[order[..., i * B + rank() * share :][..., :share]].long()


def _evaluate(evaluate, epoch, model):
    model.eval()
    with torch.no_grad():
        evaluate(epoch, model)
    model.train()


def _shape(model, windows, settings, identity):
    """All that a checkpoint must share with the run that goes on from it."""
    (n, length), T = windows.shape, windows.shape[1] - 1
    return {
        "epochs": settings.epochs,
        "batch_tokens": settings.batch_tokens // T * T,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "seed": settings.seed,
        "precision": settings.precision,
        "warmup": settings.warmup,
        "identity": identity,
        "windows": [n, length, _crc32([windows.int()])],
        "parameters": {name: list(p.shape) for name, p in model.named_parameters()},
    }


def batch_size(model, windows, batch_tokens) -> int:
    """Return how many windows a batch of `batch_tokens` targets holds.

    Raises ValueError for windows that the model cannot take, and a batch smaller than one of them.
    """
    if windows.ndim != 2 or windows.dtype.is_floating_point or windows.numel() == 0 or windows.shape[1] < 2:
        raise ValueError(f"windows is {windows.dtype} {tuple(windows.shape)}: must be integer ids (n, T + 1), n, T > 0")
    V, (low, high) = model.classifier.shape[-2], torch.aminmax(windows)
    if low < 0 or high >= V:
        raise ValueError(f"windows has ids from {low} to {high}: must be between 0 and {V - 1}, the model's vocabulary")
    T = windows.shape[1] - 1
    if batch_tokens < T:
        raise ValueError(f"batch_tokens = {batch_tokens}: must be at least {T}, the targets of one window")
    return batch_tokens // T


def _check_fit(model, n, B, settings, measure_at):
    if B % world_size():
        raise ValueError(f"batch_tokens gives {B} windows a batch: must be a multiple of the {world_size()} ranks")
    if n < B:
        raise ValueError(f"windows has {n} rows: must be at least one batch, {B} of them")
    epochs, warmup, precision = settings.epochs, settings.warmup, settings.precision
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}: must be a positive integer")
    _check_of_each(model, settings.lr, settings.weight_decay, settings.seed)
    if not 0 <= warmup < epochs * (n // B):
        raise ValueError(f"warmup = {warmup}: must be from 0 to less than the {epochs * (n // B)} updates")
    if not all(1 <= epoch <= epochs for epoch in measure_at):
        raise ValueError(f"measure_at = {sorted(measure_at)}: must be epochs from 1 to {epochs}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision = {precision!r}: must be one of {', '.join(PRECISIONS)}")


def _check_of_each(model, lr, weight_decay, seed):
    """What models of a stack may have of their own."""
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


def _update(model, optimizer, settings, fall):
    """A step on a batch of ids: the loss before it. On one GPU it is captured."""
    objective, device = _objective(model, settings.compiled), fall.device
    apart = _apart(model, settings.lr, settings.weight_decay, fall)

    def update(ids):
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
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


def _not_finite(model, losses):
    """(step, what) of the first loss that is not finite, or of the parameters; None where all are."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        first = tuple(bad[0].tolist())
        return first[0] + 1, f"the loss is {losses[first].item()}"
    if not nn.utils.get_total_norm([p.detach() for p in model.parameters()]).isfinite():
        return len(losses), "parameters are not finite"
    return None


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
