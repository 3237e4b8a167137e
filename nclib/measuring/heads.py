"""Which module of a model is its classifier, and with what weights: found by what the model computes, not by names.

A module is the classifier where the model's own output is f(H W^T + b), with one strictly increasing function f for all
entries (a scale, a temperature, a softcap, a sigmoid), or a multiple up to a number a row (a logarithm of a softmax),
or a softmax; H is the module's input. Of a head that is called on every position of a sequence, H may be the one whose
logits the model returns.
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
    """Logits (..., K) in what a model returned: a tensor, `.logits`, ["logits"], ["out"], the one entry of a mapping or
    the first of a tuple; else None."""
    if isinstance(output, Mapping):
        found = next((output[key] for key in ("logits", "out") if key in output), None)
        found = next(iter(output.values())) if found is None and len(output) == 1 else found
    else:
        found = getattr(output, "logits", output)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        return None
    return found.float() if found.is_floating_point() and found.element_size() == 1 else found  # float8: no arithmetic


def find_head(model: nn.Module, forward: Callable[[], object], classes: int) -> tuple[Head, Tensor]:
    """The classifier of a model and its input (..., d) on one batch, on which `forward` runs the model.

    One call where an nn.Linear or a 1x1 convolution with `classes` outputs is the classifier, else two. Raises
    ValueError where no module that is affine in its input gives the model's output, up to f, as where that is the same
    for every sample.
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
    for head, H, Z in reversed(kept):
        if (taken := _taken(H, Z, logits)) is not None:
            return head, taken
    if logits is not None and len(logits) > 1 and bool((logits == logits[:1]).all()):
        raise ValueError(
            f"the output of {type(model).__name__} is the same for every sample, as of a classifier of zeros: {ADVICE}"
        )
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
    if not isinstance(name, str) or name not in modules:
        known = [known for known in modules if known]
        raise ValueError(f"classifier={name!r} is no module of the model, must be one such as {known[-5:]}")
    return Head(name, modules[name], _is_convolution(modules[name]))


def features_of(head: Head, H: Tensor, y: Tensor, output=None) -> Tensor:
    """The input H of a head as features (..., d) for labels y: where it holds every position of a sequence, those whose
    logits the model returned as `output`. Raises ValueError for more axes than labels have."""
    if head.convolution:
        H = H.movedim(1, -1)
        return H.flatten(1) if y.ndim == 1 and H.shape[1:-1].numel() == 1 else H
    H = at_labels(head.module, H, y, output)
    if H.ndim > y.ndim + 1:
        raise ValueError(
            f"the input of {head.name!r} is {tuple(H.shape)} for labels {tuple(y.shape)}, which does not say the "
            "feature of a label: name a module behind the pooling with layer="
        )
    return H


def at_labels(module: nn.Module, H: Tensor, y: Tensor, output) -> Tensor:
    """Features (N, d) of H (N, T, d) for labels y (N,): at the position at which module(H) holds the logits that the
    model returned as `output`. H itself for other labels, and where no such position is found."""
    if H.ndim != 3 or y.ndim != 1:
        return H
    taken = _taken(H, module(H), logits_of(output))
    return H if taken is None else taken


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


def gives(Z: Tensor, logits: Tensor) -> bool:
    """Whether the output Z of a classifier that is known is the model's logits, up to f; also of weights of zero."""
    if Z.numel() != logits.numel():
        return False
    Z = Z.to(logits.device).reshape(logits.shape)
    return torch.equal(Z, logits) or same_order(logits, Z)


def same_order(logits: Tensor, Z: Tensor) -> bool:
    """Whether logits = f(Z) for one strictly increasing f of all entries, or s Z, s > 0, up to a number a row, which no
    decision depends on, or a softmax of that; of many entries the first four million are looked at."""
    if logits.shape != Z.shape or Z.numel() < 2 or not logits.is_floating_point():
        return logits.shape == Z.shape and logits.is_floating_point()
    first = max(1, _MOST // max(1, Z[0].numel()))
    logits, Z = logits[:first], Z[:first]
    eps = max(8 * torch.finfo(torch.float32).eps, torch.finfo(logits.dtype).eps)
    logits, Z = logits.detach().double(), Z.detach().to(logits.device).double()
    used = logits.isfinite()  # a model may bar classes with -inf
    if not used.any() or not Z[used].isfinite().all():
        return False
    rounding = 2 * eps * logits[used].abs().max()
    if _increasing(logits[used], Z[used], rounding):
        return True
    if not used.all():
        return False
    if torch.allclose(logits, Z.softmax(-1), rtol=8 * eps, atol=8 * eps):
        return True
    if (logits > 0).all() and torch.allclose(logits.sum(-1), logits.new_ones(()), rtol=0, atol=8 * eps):
        logits = logits.log()
        rounding = 2 * eps * (1 + logits.abs().max())
    return _increasing(_centered(logits), _centered(Z), rounding)


def _increasing(f, z, rounding):
    """Whether f is strictly increasing in z, of the same shape, up to `rounding`."""
    z, order = z.flatten().sort()
    f = f.flatten()[order]
    if not (f.cummax(0).values - f <= rounding).all():
        return False
    grid = torch.linspace(0, len(z) - 1, min(len(z), _GRID), device=z.device).long()
    rise, step = f[grid].diff(), z[grid].diff()
    return bool((rise[step > 1e-3 * (z[-1] - z[0])] > 0).all()) and bool(f[-1] > f[0])


def _centered(z):
    return z - z.mean(-1, keepdim=True)


def _taken(H, Z, logits):
    """Rows (N, d) of H (N, T, d), those at whose position Z (N, T, K) holds the model's logits (N, K) to the last bit;
    None where a sample has none, or several that differ."""
    if logits is None or logits.ndim != 2 or Z.ndim != 3 or Z.shape[::2] != logits.shape:
        return None
    match = (Z == logits[:, None]).all(-1)
    taken = H[torch.arange(len(H), device=H.device), match.int().argmax(1)]
    if not match.any(1).all() or (match & (H != taken[:, None]).any(-1)).any():
        return None
    return taken


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
