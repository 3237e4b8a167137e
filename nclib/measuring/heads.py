"""Which module of a model is its classifier, and with what weights: found by what the model computes, not by names.

A module is the classifier where the model's own output is f(H W^T + b), with one strictly increasing function f for all
entries (a scale, a temperature, a softcap, a sigmoid) or the softmax or its logarithm, H the module's input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ADVICE = "name the classifier with classifier=, or the module whose output to measure with layer="
_MOST = 1 << 22
_GRID = 257  # places where strict increase is looked at: neighbours of all entries may differ by rounding alone


@dataclass(frozen=True)
class Head:
    """A classifier: its name, its module, and whether it is a 1x1 convolution, whose input has its channels second."""

    name: str
    module: nn.Module
    convolution: bool = False


def logits_of(output) -> Tensor | None:
    """Logits (..., K) in what a model returned: a tensor, `.logits`, ["logits"] or the first of a tuple; else None."""
    found = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", output)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    return found if isinstance(found, Tensor) else None


def find_head(model: nn.Module, forward: Callable[[], object], classes: int) -> tuple[Head, Tensor]:
    """The classifier of a model and its input (..., d) on one batch, on which `forward` runs the model.

    One call where an nn.Linear or a 1x1 convolution with `classes` outputs is the classifier, else two. Raises
    ValueError where no module that is affine in its input gives the model's output, up to f.
    """
    linear = {name: module for name, module in model.named_modules() if _is_linear(module)}
    likely = {name: module for name, module in linear.items() if len(module.weight) == classes}
    called: list[str] = []
    kept = []  # (head, input, output)
    with _watched(likely, lambda head, H, Z: kept.append((head, H.clone(), Z.clone()))):
        logits = logits_of(forward())
    if logits is not None and logits.is_floating_point() and not logits.isfinite().any():
        for head, H, _ in reversed(kept):
            if not H.isfinite().all():
                return head, H  # statistics refuse it and say where
        raise ValueError(f"the output of {type(model).__name__} holds no finite number, so no classifier can be found")
    if found := _best(kept, logits):
        return found
    kept.clear()

    def keep(head, H, Z):
        if head.name in linear:
            called.append(head.name)
        if logits is not None and _fits(logits, Z):
            kept.append((head, H.clone(), Z.clone()))

    with _watched(dict(model.named_modules()), keep):
        forward()
    if found := _best([one for one in kept if one[0].name in linear], logits):
        return found
    for head, H, _ in kept:  # the innermost first: an adapter
        if any(p.ndim > 1 for p in head.module.parameters()) and _is_affine(head.module, H):
            return head, H
    if not linear:
        raise ValueError(f"layer=None needs a model with an nn.Linear: {ADVICE}")
    if not called:
        raise ValueError(f"layer=None: the forward pass called no nn.Linear: {ADVICE}")
    raise ValueError(
        f"layer=None: the output of {type(model).__name__} is no increasing function of H W^T + b for any module "
        f"(the last nn.Linear it calls is {called[-1]!r}): {ADVICE}"
    )


def named_head(model: nn.Module, name: str) -> Head:
    """The module of that name. Raises ValueError for another name."""
    modules = dict(model.named_modules())
    if name not in modules:
        known = [known for known in modules if known]
        raise ValueError(f"classifier={name!r} is no module of the model, must be one such as {known[-5:]}")
    return Head(name, modules[name], _is_convolution(modules[name]))


def features_of(head: Head, H: Tensor, y: Tensor) -> Tensor:
    """The input H of a head as features (..., d) for labels y."""
    if not head.convolution:
        return H
    H = H.movedim(1, -1)
    return H.flatten(1) if y.ndim == 1 and H.shape[1:-1].numel() == 1 else H


def effective(module: nn.Module, H: Tensor) -> tuple[Tensor, Tensor | None]:
    """(W (K, d), b (K,) or None) with module(h) = W h + b: of an adapter its sum, of a parametrization its value.

    H: some of the module's inputs, on which W and b are tried. A module other than a plain nn.Linear is asked for its
    output at 0 and at the unit vectors. Raises ValueError where it is not affine.
    """
    if type(module).forward is nn.Linear.forward:
        return module.weight.detach(), None if module.bias is None else module.bias.detach()
    H = H.reshape(-1, H.shape[-1])[:64]
    if not _is_affine(module, H):
        raise ValueError(f"{type(module).__name__} is not affine in its input, so it has no weight and no features")
    with torch.no_grad():
        b = module(torch.zeros_like(H[:1]))[0]
        unit = torch.eye(H.shape[1], dtype=H.dtype, device=H.device)
        W = torch.cat([module(part) - b for part in unit.split(256)]).mT
    return W.contiguous(), b if b.any() else None


def same_order(logits: Tensor, Z: Tensor) -> bool:
    """Whether logits = f(Z) for one strictly increasing f of all entries, or for softmax or log_softmax; of many
    entries the first four million are looked at."""
    if logits.shape != Z.shape or Z.numel() < 2 or not logits.is_floating_point():
        return logits.shape == Z.shape and logits.is_floating_point()
    first = max(1, _MOST // max(1, Z[0].numel()))
    logits, Z = logits[:first], Z[:first]
    eps = max(8 * torch.finfo(torch.float32).eps, torch.finfo(logits.dtype).eps)
    logits, Z = logits.detach().double(), Z.detach().to(logits.device).double()
    used = logits.isfinite()  # a model may bar classes with -inf
    if not used.any() or not Z[used].isfinite().all():
        return False
    if used.all() and any(
        torch.allclose(logits, of, rtol=8 * eps, atol=8 * eps) for of in (Z.log_softmax(-1), Z.softmax(-1))
    ):
        return True
    z, order = Z[used].sort()
    f = logits[used][order]
    rounding = 2 * eps * f.abs().max()
    if not (f.cummax(0).values - f <= rounding).all():
        return False
    grid = torch.linspace(0, len(z) - 1, min(len(z), _GRID), device=z.device).long()
    rise, step = f[grid].diff(), z[grid].diff()
    return bool((rise[step > 1e-3 * (z[-1] - z[0])] > 0).all()) and bool(f[-1] > f[0])


def _best(kept, logits):
    """(head, its input) of the last of `kept` that gives the logits, to the last bit where one does."""
    if logits is None:
        return None
    fitting = [(head, H, torch.equal(logits, _flat(Z, logits))) for head, H, Z in kept if _fits(logits, Z)]
    return max(reversed(fitting), key=lambda one: one[2])[:2] if fitting else None


def _fits(logits, Z):
    return same_order(logits, _flat(Z, logits))


def _flat(Z, logits):
    """Z (N, K, 1, ...) of a convolution as (N, K), where the logits are."""
    return Z.flatten(1) if Z.ndim > logits.ndim and Z.shape[:2] == logits.shape and Z[0, 0].numel() == 1 else Z


@contextmanager
def _watched(modules, keep):
    """Calls keep(head, input, output) for every call of one of `modules` with one tensor that gives a tensor."""

    def look(name):
        def hook(module, args, kwargs, output):
            inputs = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            if len(inputs) == 1 and isinstance(output, Tensor):
                keep(Head(name, module, _is_convolution(module)), inputs[0], output)

        return hook

    with ExitStack() as stack:
        for name, module in modules.items():
            stack.callback(module.register_forward_hook(look(name), with_kwargs=True).remove)
        yield


def _is_linear(module) -> bool:
    return isinstance(module, nn.Linear) or _is_convolution(module)


def _is_convolution(module) -> bool:
    if not isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return False
    return set(module.kernel_size) == {1} and module.groups == 1 and not any(map(int, _padding(module)))


def _padding(module):
    return () if isinstance(module.padding, str) else module.padding


@torch.no_grad()
def _is_affine(module, H) -> bool:
    """Whether m(H + R) + m(H - R) = 2 m(H) for inputs H and as large random R, to the square root of eps, and m(H) is
    no multiple of H: what only passes logits on is no classifier."""
    if not H.is_floating_point() or not H.numel():
        return False
    H = H[:64]
    noise = torch.randn(H.shape, generator=torch.Generator().manual_seed(0)).to(H)
    R = noise * (1 + H.abs().max())
    try:
        plus, minus, here = (module(h) for h in (H + R, H - R, H.clone()))
    except Exception:  # it takes another kind of input
        return False
    plus, minus, here = plus.double(), minus.double(), here.double()
    rounding = torch.finfo(H.dtype).eps ** 0.5 * (plus.norm() + minus.norm())
    if H.shape == here.shape and H.numel() > 1:
        R = R.double()
        passed_on = ((plus - here) - R * ((plus - here) * R).sum() / R.square().sum()).norm() <= rounding
    else:
        passed_on = False
    return bool((plus + minus - 2 * here).norm() <= rounding) and not passed_on
