"""Class statistics of the features of any torch model, in one pass over a loader."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from nclib._device import torch_device
from nclib.statistics import ClassStatistics, StatisticsAccumulator


def collect(
    model: nn.Module,
    loader: Iterable,
    *,
    num_classes: int,
    layer: str | list[str] | None = None,
    device=None,
    scatter: bool | None = None,
    ignore_index: int = -100,
    shift: bool = False,
) -> ClassStatistics | dict[str, ClassStatistics]:
    """Run `model(x)` for every (x, y) of `loader` and return the statistics of its features against the labels y.

    layer    None: the features are the input of the last nn.Linear that the forward pass calls, the classifier's.
             A module name, as in `model.named_modules()`: that module's output (the first item of a tuple).
             A list of names: a dict name -> ClassStatistics from the same pass.
             A module called several times in one pass counts with its last call.
    device   where the pass runs, by default where the model's parameters are. The model is moved there and back.
    shift    for language models, features (B, T, d) and tokens y (B, T): pair h_t with y_{t+1}.
    scatter, ignore_index    as in ClassStatistics.from_features.

    The model runs in eval mode without gradients; each module's training flag is put back and every hook removed,
    also after an error. Ranks or shards that each collect their own part merge with +.

    Raises ValueError for an unknown layer, a model without nn.Linear, a layer that the pass does not call or whose
    output is no tensor, a loader that is empty or does not yield pairs, and as ClassStatistics.from_features does.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}, must be at least 1")
    names = [layer] if layer is None or isinstance(layer, str) else list(layer)
    accumulators: dict[str | None, StatisticsAccumulator] = {}
    with torch.no_grad(), _placed(model, device) as home, evaluating(model), _hooked(model, names) as features:
        for batch in loader:
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise ValueError(f"loader yielded a {type(batch).__name__}, must yield pairs (x, y)")
            x, y = batch
            features.clear()
            model(x.to(home))
            for name in names:
                H, labels = _pair(_feature(features, name), y, shift)
                if name not in accumulators:
                    accumulators[name] = StatisticsAccumulator(
                        num_classes, H.shape[-1], device=H.device, scatter=scatter
                    )
                accumulators[name].update(H, labels, ignore_index=ignore_index)
    if not accumulators:
        raise ValueError("loader yielded no batches, must yield at least one pair (x, y)")
    stats = {name: accumulator.compute() for name, accumulator in accumulators.items()}
    return stats[layer] if layer is None or isinstance(layer, str) else stats


def _pair(H: Tensor, y: Tensor, shift: bool):
    if not shift:
        return H, y
    if H.ndim < 3 or H.shape[:-1] != y.shape:
        raise ValueError(f"shift=True needs features (B, T, d) and y (B, T), got {tuple(H.shape)} and {tuple(y.shape)}")
    return H[:, :-1], y[:, 1:]


def _feature(features: dict, name: str | None) -> Tensor:
    if name not in features:
        what = "no nn.Linear" if name is None else "not this module"
        raise ValueError(f"layer={name!r}: the forward pass called {what}, name a module that it calls")
    H = features[name]
    if isinstance(H, (tuple, list)) and H:
        H = H[0]
    if not isinstance(H, Tensor):
        raise ValueError(f"layer={name!r} gave a {type(H).__name__}, must be a tensor or a tuple that starts with one")
    return H


@contextmanager
def _placed(model, device):
    """The model on `device` (None: where it is), and back afterwards; yields the device of the inputs."""
    parameter = next(model.parameters(), None)
    home = torch.device("cpu") if parameter is None else parameter.device
    if device is None:
        yield home
        return
    device = torch_device(device)
    try:
        model.to(device)
        yield device
    finally:
        model.to(home)


@contextmanager
def evaluating(model):
    """Every module in eval mode, and each one's own mode put back."""
    training = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


@contextmanager
def _hooked(model, names):
    """A dict that holds, after each forward pass, the features of every name."""
    features: dict[str | None, object] = {}
    modules = dict(model.named_modules())
    linears = [module for module in modules.values() if isinstance(module, nn.Linear)]

    def keep_input(module, args, kwargs):
        features[None] = args[0] if args else kwargs["input"]

    def keep_output(name):
        def hook(module, args, output):
            features[name] = output

        return hook

    if not names:
        raise ValueError("layer=[], must name at least one module")
    for name in names:
        if name is None and not linears:
            raise ValueError("layer=None needs a model with an nn.Linear: name the module whose output to measure")
        if name is not None and name not in modules:
            known = [known for known in modules if known]
            raise ValueError(f"layer={name!r} is no module of the model, must be one such as {known[-5:]}")
    with ExitStack() as stack:
        for name in names:
            if name is None:
                for linear in linears:
                    stack.callback(linear.register_forward_pre_hook(keep_input, with_kwargs=True).remove)
            else:
                stack.callback(modules[name].register_forward_hook(keep_output(name)).remove)
        yield features
