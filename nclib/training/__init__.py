"""The training of classifiers: objectives with their exact scaling, one training loop, and seeding."""

import contextlib
import random
import warnings

import numpy as np
import torch
from torch.nn import functional as F

from nclib._progress import bar
from nclib.training.captured import Captured, capturable, graphs
from nclib.training.checkpoint import restore, state

SCALES = ("paper", "authors-imbalanced", "authors-balanced")
LOSSES = ("mse", "cross-entropy")
PRECISIONS = ("float32", "tf32", "bfloat16")
LOOK = 64  # steps between looks at the objective where they wait for a GPU


def seed_everything(seed) -> torch.Generator:
    """Seed Python, numpy and torch on all devices; return a CPU `torch.Generator` with the same seed, for `train`."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def log_steps(steps, count) -> list[int]:
    """Return 0 and about `count` distinct integers from 1 to `steps`, both included, evenly spaced by their logarithms.

    Raises ValueError where steps or count is not positive.
    """
    if min(steps, count) < 1:
        raise ValueError(f"steps, count = {steps}, {count}: must be positive integers")
    return sorted({0, steps, *np.geomspace(1, steps, count).round().astype(int).tolist()})


def fit_scale(num_classes, scale="paper", loss="mse") -> float:
    """The factor c of the fit term: 1 ("paper"), 1/K ("authors-imbalanced"), 2/K ("authors-balanced").

    With squared error the paper has 1/(2N) |Z - Y|^2; torch's mean over all N K entries makes it 1/(2NK) in the
    authors' script for imbalanced data (they halve it) and 1/(NK) in the one for balanced data. Cross-entropy has only
    "paper".
    """
    if scale not in SCALES or loss not in LOSSES or (loss != "mse" and scale != "paper"):
        raise ValueError(
            f"loss, scale = {loss!r}, {scale!r}: must be 'mse' with one of {SCALES}, or 'cross-entropy' with 'paper'"
        )
    return {"paper": 1.0, "authors-imbalanced": 1 / num_classes, "authors-balanced": 2 / num_classes}[scale]


def effective_lambda(lam, num_classes, scale="paper") -> float:
    """The lambda at which the paper's objective has the same minimizers as that of `scale` at `lam`: lam/c.

    Here c is `fit_scale`: c fit + lam R = c (fit + (lam/c) R). So it is K lam for "authors-imbalanced" and K lam/2 for
    "authors-balanced". Derived.
    """
    return lam / fit_scale(num_classes, scale)


def objective(
    logits, targets, features, head, *, lam_W=0.0, lam_H=0.0, lam_b=0.0, num_samples=None, loss="mse", scale="paper"
) -> torch.Tensor:
    """The regularized objective of Dang et al. 2023 on a batch of B out of N = num_samples samples (None: N = B).

        c/(2B) |Z - Y|^2       + sum_m lam_Wm/2 |W_m|^2 + (N/B) lam_H/2 |H|^2 + lam_b/2 |b|^2    (loss "mse")
        1/B sum_i CE(z_i, y_i) + sum_m lam_Wm/2 |W_m|^2 + (N/B) lam_H/2 |H|^2 + lam_b/2 |b|^2    (loss "cross-entropy")

    For B = N and c = 1 this is the paper's objective, its lam_H term the sum over all N samples. For B < N the fit and
    the feature term are the batch sums times N/B: over batches drawn uniformly the expectation is the full objective.
    (The authors' mini-batch script sums |H|^2 over the batch without N/B: num_samples=None does that, and lam_H then
    acts as (B/N) lam_H.)

    logits Z (B, K); targets: labels (B,) int64 or one-hot Y (B, K); features H (B, d), the input of `head`, a
    LinearHead; lam_W a number or (lam_W1, ..., lam_WM); scale sets c, see fit_scale. Returns a scalar. Raises
    ValueError for a negative lambda, a number of lam_W that is not the head's depth, an unknown loss or scale.
    """
    (B, K), weights = logits.shape, head.weights
    lams = list(lam_W) if hasattr(lam_W, "__len__") else [lam_W] * len(weights)
    if len(lams) != len(weights) or min(*lams, lam_H, lam_b) < 0:
        raise ValueError(
            f"lam_W, lam_H, lam_b = {lam_W}, {lam_H}, {lam_b}: must be >= 0, lam_W one number or {len(weights)} of them"
        )
    c = fit_scale(K, scale, loss)
    if loss == "mse":
        Y = F.one_hot(targets, K).to(logits) if targets.ndim == 1 else targets
        value = c / (2 * B) * (logits - Y).square().sum()
    else:
        value = F.cross_entropy(logits, targets)
    for lam, W in zip(lams, weights, strict=True):
        if lam:
            value = value + lam / 2 * W.square().sum()
    if lam_H:
        value = value + (num_samples or B) / B * lam_H / 2 * features.square().sum()
    if lam_b and head.bias is not None:
        value = value + lam_b / 2 * head.bias.square().sum()
    return value


def train(
    model,
    x,
    y,
    *,
    optimizer,
    epochs,
    batch_size=None,
    schedule=None,
    generator=None,
    evaluate=None,
    evaluate_at=(),
    precision="float32",
    checkpoint=None,
    **terms,
) -> torch.Tensor:
    """Minimize `objective(..., num_samples=N, **terms)` over batches; `terms` are its other keyword arguments.

    model: has `features(x)` and `head`, e.g. those of nclib.models; x (N, ...) and y (N,) are moved once to its device.
    An epoch visits every sample once in batches of `batch_size` (the last may be smaller), shuffled by `generator`
    (CPU); batch_size=None is the full batch, unshuffled, so that a step is an epoch. `optimizer` is a torch optimizer
    over the model's parameters, on a GPU one with `fused=True`; `schedule`, a torch scheduler or None, steps once an
    epoch. `evaluate(step, model)` is called with the model in eval mode, without gradients, at the steps in
    `evaluate_at`; a step is one update and 0 is the start.

    precision: "float32"; "tf32", products of float32 numbers rounded to 10 bits, on a GPU alone; or "bfloat16", the
    features under autocast (on a GPU also compiled), head, objective and update in float32. What `evaluate` does is in
    float32 in any case. On a GPU a step is captured as a CUDA graph, with the same result as without.

    checkpoint: a `checkpoint.Checkpoint` or None. The state is saved at the end of an epoch where a minute has
    passed since the last time, and where the file exists the run goes on from there, with the same result as one that
    was never stopped; `evaluate` is to add what it finds to the checkpoint's `rows`.

    Returns the objective's value at each step, (steps,) float64, before that step's update. Raises ValueError for
    epochs, batch_size, precision or labels out of range and lengths that differ; FloatingPointError if the objective is
    not finite, found at the end of an epoch or of one of the next few.
    """
    N, B = len(x), batch_size or len(x)
    if len(y) != N:
        raise ValueError(f"y has {len(y)} rows: must have as many as x, {N}")
    if epochs < 1:
        raise ValueError(f"epochs = {epochs}: must be a positive integer")
    if batch_size is not None and not 1 <= batch_size <= N:
        raise ValueError(f"batch_size = {batch_size}: must be between 1 and the number of samples, {N}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision = {precision!r}: must be one of {', '.join(PRECISIONS)}")
    K = model.head.weights[-1].shape[0]
    if y.ndim == 1 and not 0 <= y.min() <= y.max() < K:
        raise ValueError(f"y has labels from {y.min()} to {y.max()}: must be between 0 and {K - 1}")
    device = next(model.parameters()).device
    x, y = x.to(device), y.to(device)
    update = _update(model, optimizer, x, y, B, precision, {"num_samples": N, **terms})
    wanted, values, step, looked = set(evaluate_at), [], 0, 0

    def visit():
        if evaluate is not None and step in wanted:
            model.eval()
            with torch.no_grad():
                evaluate(step, model)
            model.train()

    with contextlib.ExitStack() as stack:
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # or else what is measured would not be in float32
            torch.backends.cudnn.benchmark = precision == "bfloat16"
            if graphs(device):
                capturable(optimizer, device)
                update = Captured(update)
                stack.enter_context(torch.cuda.stream(update.stream))
        kept = checkpoint.load() if checkpoint is not None else {}
        if kept:
            values = list(kept.pop("values").to(device))
            restore(model, optimizer, kept)
        done, steps = len(values), 1 if batch_size is None else -(-N // B)
        model.train()
        if not done:
            visit()
        for epoch in bar(range(epochs), desc="training", leave=False):
            batches = [None] if batch_size is None else torch.randperm(N, generator=generator).to(device).split(B)
            if step < done:  # what was done before: its order and rates are drawn again, its steps are not done
                step = looked = step + steps
                with warnings.catch_warnings(action="ignore"):  # of a rate that falls without an update
                    if schedule is not None:
                        schedule.step()
                continue
            for batch in batches:
                values.append(update(batch))
                step += 1
                visit()
            if schedule is not None:
                schedule.step()
            if epoch + 1 == epochs or device.type != "cuda" or step - looked >= LOOK:
                _check_finite(values[looked:], looked, steps)
                looked = step
                if checkpoint is not None and checkpoint.due:
                    checkpoint.save(state(model, optimizer) | {"values": torch.stack(values)})
        return torch.stack(values).double().cpu()


def _update(model, optimizer, x, y, B, precision, terms):
    """The step of `train` on the samples of a batch of indices, or on all for None: the objective before it."""

    def features(x):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            H = model.features(x)
        return H.float() if precision == "bfloat16" else H

    # A last batch that is smaller is not worth a compilation.
    whole = torch.compile(features, dynamic=False) if x.is_cuda and precision == "bfloat16" else features

    def update(batch):
        X, Y = (x, y) if batch is None else (x[batch], y[batch])
        with _products(precision, x.device):
            H = (whole if len(X) == B else features)(X)
            value = objective(model.head(H), Y, H, model.head, **terms)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
        return value.detach()

    return update


@contextlib.contextmanager
def _products(precision, device):
    """Products of float32 numbers in TF32 where `precision` says so: within, not in what measures between two steps."""
    tf32 = precision == "tf32" and device.type == "cuda"
    if tf32:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        if tf32:
            torch.set_float32_matmul_precision("highest")
            torch.backends.cudnn.allow_tf32 = False


def _check_finite(values, before, batches):
    """FloatingPointError with the epoch of the first of `values`, those after `before` steps, that is not finite."""
    bad = (~torch.stack(values).isfinite()).nonzero()
    if len(bad):
        step = before + int(bad[0])
        raise FloatingPointError(
            f"training diverged in epoch {step // batches + 1}: the objective is {values[step - before].item()}; "
            "lower the rate"
        )
