"""Class statistics of the features of any torch model, in one pass over a loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from nclib._device import torch_device
from nclib.measuring.heads import Head, features_of, find_head, logits_of, named_head
from nclib.statistics import ClassStatistics, StatisticsAccumulator


def collect(
    model: nn.Module,
    loader: Iterable,
    *,
    num_classes: int,
    layer: str | list[str] | None = None,
    layers: str | list[str] | None = None,
    classifier: str | None = None,
    device=None,
    scatter: bool | None = None,
    ignore_index: int = -100,
    shift: bool = False,
    feature_axis: int | None = None,
) -> ClassStatistics | dict[str, ClassStatistics]:
    """Run `model(x)` for every (x, y) of `loader` and return the statistics of its features against the labels y.

    loader   pairs (x, y), or mappings with `labels` (or `label`), whose other entries the model takes by name. x is a
             tensor, an array, or a mapping, tuple or list of them; y integers. Floating arrays take the model's dtype.
    layer    None: the features are the input H of the classifier. It is looked for on the first batch: a module
             that is affine in its input and whose output, up to one strictly increasing function of all entries (scale,
             softcap) or a softmax, is what the model returns; an nn.Linear or a 1x1 convolution if one is, else the
             innermost such module (an adapter, say), for which that batch runs twice.
             A module name, as in `model.named_modules()`: that module's output (the first item of a tuple).
             A list of names: a dict name -> ClassStatistics from the same pass. "all": the same of the blocks, which
             are the children of the model's longest nn.Sequential or nn.ModuleList, or the model's own children.
             A module called several times in one pass counts with its last call. Of a classifier that every position
             of a sequence goes through, H is that of the one whose logits the model returns.
    layers   another name of `layer`, for "all" and lists. Each layer holds num_classes * d numbers in float64, and d^2
             with a scatter.
    classifier    the name of the module whose input to measure, where layer=None must not look for it.
    device   where the pass runs, by default where the model's parameters are. The model is moved there and back.
    shift    for language models, features (B, T, d) and tokens y (B, T): pair h_t with y_{t+1}.
    feature_axis  the axis of d, by default the last. A `layer` with four or more axes, as of a convolution, needs it:
             1 for (N, C, height, width) with labels (N, height, width).
    scatter, ignore_index    as in ClassStatistics.from_features.

    Features are copied as the module gives them, so that what later works in place does not change them. Compiled
    modules run uncompiled. The model runs in eval mode without gradients; each module's training flag is put back and
    every hook removed, also after an error. Ranks or shards that each collect their own part merge with +.

    Raises ValueError for an unknown layer, a model whose classifier is not found (a cosine head, summed heads), a layer
    that the pass does not call or whose output is no tensor, a loader that is empty or does not yield pairs, and as
    ClassStatistics.from_features does.
    """
    _check_kinds(model, loader, num_classes=num_classes, ignore_index=ignore_index)
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}, must be at least 1")
    if layers is not None and layer is not None:
        raise ValueError(f"layer={layer!r} and layers={layers!r}, only one of them is allowed")
    layer = layer if layers is None else layers
    if layer is not None and classifier is not None:
        raise ValueError(f"layer={layer!r} and classifier={classifier!r}, only one of them is allowed")
    layer = blocks(model) if isinstance(layer, str) and layer == "all" else layer
    if not (layer is None or isinstance(layer, (str, list, tuple))):
        raise ValueError(f"layer={layer!r}, must be the name of a module or a list of names")
    names = [layer] if layer is None or isinstance(layer, str) else list(layer)
    accumulators: dict[str | None, StatisticsAccumulator] = {}
    with torch.no_grad(), _placed(model, device) as home, evaluating(model), uncompiled(model), ExitStack() as stack:
        head = None if classifier is None else named_head(model, classifier)
        features = None if layer is None and head is None else stack.enter_context(_hooked(model, names, head))
        for batch in loader:
            x, y = _batch(batch, model, home)
            if y.ndim and not y.numel():
                continue
            if features is None:
                head, H = find_head(model, lambda x=x: _call(model, _copied(x)), num_classes)
                features = stack.enter_context(_hooked(model, names, head))
                features[None] = H
                output = None
            else:
                features.clear()
                output = _call(model, x)
            for name in names:
                H = _feature(features, name)
                H = _with_axis(H, y, name, feature_axis) if name is not None else features_of(head, H, y, output)
                H, labels = _pair(H, y, shift)
                if name not in accumulators:
                    accumulators[name] = StatisticsAccumulator(
                        num_classes, H.shape[-1], device=H.device, scatter=scatter
                    )
                accumulators[name].update(H, labels, ignore_index=ignore_index)
    if not accumulators:
        raise ValueError("loader yielded no batches, must yield at least one pair (x, y)")
    stats = {name: accumulator.compute() for name, accumulator in accumulators.items()}
    return stats[layer] if layer is None or isinstance(layer, str) else stats


def first_head(
    model: nn.Module, loader: Iterable, num_classes: int, classifier: str | None = None
) -> tuple[Head, Tensor]:
    """(the classifier of a model, its input) on the first batch of a loader, as `collect` finds it.

    Raises ValueError as `collect` does.
    """
    batch = next(iter(loader), None)
    if batch is None:
        raise ValueError("loader yielded no batches, must yield at least one pair (x, y)")
    with torch.no_grad(), _placed(model, None) as home, evaluating(model), uncompiled(model):
        x, y = _batch(batch, model, home)
        if classifier is None:
            return find_head(model, lambda: _call(model, _copied(x)), num_classes)
        head = named_head(model, classifier)
        with _hooked(model, [None], head) as features:
            output = _call(model, x)
            H = _feature(features, None)
            return head, H if head.convolution else features_of(head, H, y, output)


def features_and_logits(model: nn.Module, loader: Iterable, head: Head) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features H (..., d), the input of `head`, the model's own logits (..., K) and labels y (...) of each batch.

    Raises ValueError as `collect` does, and for a model that returns no logits.
    """
    with _placed(model, None) as home, evaluating(model), uncompiled(model), _hooked(model, [None], head) as features:
        for batch in loader:
            x, y = _batch(batch, model, home)
            features.clear()
            with torch.no_grad():
                output = _call(model, x)
                logits = logits_of(output)
                if logits is None:
                    raise ValueError(f"{type(model).__name__} returned no tensor of logits")
                H = features_of(head, _feature(features, None), y, output)
            yield H, logits.movedim(1, -1) if head.convolution and logits.ndim > 2 else logits, y


def blocks(model: nn.Module) -> list[str]:
    """Names of a model's blocks: children of its longest nn.Sequential or nn.ModuleList, else its own children.

    Raises ValueError for a model without any.
    """
    modules = dict(model.named_modules())
    chains = {name: one for name, one in modules.items() if isinstance(one, (nn.Sequential, nn.ModuleList))}
    longest = max(chains, key=lambda name: len(chains[name]), default="")
    found = [name for name, _ in (chains.get(longest, model)).named_children()]
    if not found:
        raise ValueError(f"layer='all': {type(model).__name__} has no blocks, name modules with layer=")
    return [f"{longest}.{name}" if longest else name for name in found]


def _batch(batch, model, home):
    """(x on `home`, y) of a batch."""
    if isinstance(batch, Mapping):
        keys = [key for key in ("labels", "label") if key in batch]
        if not keys:
            raise ValueError(f"loader yielded a mapping with {', '.join(map(str, batch))}, must hold labels")
        x, y = {key: value for key, value in batch.items() if key != keys[0]}, batch[keys[0]]
    elif isinstance(batch, (tuple, list)) and len(batch) == 2:
        x, y = batch
    else:
        raise ValueError(f"loader yielded a {type(batch).__name__}, must yield pairs (x, y) or mappings with labels")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return _moved(x, home, dtype), _labels(y)


def _labels(y) -> Tensor:
    try:
        y = torch.as_tensor(_writable(y))
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"y is a {type(y).__name__} that is no array of integers, labels must be integers") from None
    if y.is_meta:
        raise ValueError("y lies on the device meta, which holds no numbers")
    return y


def _moved(x, home, dtype):
    if isinstance(x, Mapping):
        return {key: _moved(value, home, dtype) for key, value in x.items()}
    x = _writable(x)
    if isinstance(x, np.ndarray) or (isinstance(x, (tuple, list)) and x and isinstance(x[0], (int, float, list))):
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"x is a {type(x).__name__} that is no array of numbers: {error}") from None
        x = x.to(dtype) if x.is_floating_point() else x
    if isinstance(x, (tuple, list)):
        return type(x)(_moved(value, home, dtype) for value in x)
    return x.to(home) if hasattr(x, "to") else x


def _writable(x):
    """Arrays and tables as arrays that torch may share: those of pandas may not be written."""
    if not hasattr(x, "__array__") or isinstance(x, Tensor):
        return x
    return np.require(np.asarray(x), requirements="W")


def _copied(x):
    if isinstance(x, Mapping):
        return {key: _copied(value) for key, value in x.items()}
    return x.clone() if isinstance(x, Tensor) else x


def _call(model, x):
    """What the model returns for x. Raises ValueError, in one line that names both, for whatever it raises."""
    try:
        return model(**x) if isinstance(x, Mapping) else model(x)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: it is somebody else's
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{type(model).__name__} does not take {_described(x, model, error)}: {reason}") from error


def _described(x, model, error) -> str:
    """A batch in words."""
    if isinstance(error, TypeError) and isinstance(x, Mapping) and "unexpected keyword argument" in str(error):
        return f"the entries {', '.join(map(str, x))} of a batch by name"
    if not isinstance(x, Tensor) or x.is_nested:
        return f"a batch of {'nested tensors' if isinstance(x, Tensor) else type(x).__name__}"
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if dtype not in (None, x.dtype):
        return f"batches of {x.dtype} with weights of {dtype}"
    return f"a batch of {x.dtype} {tuple(x.shape)}"


def _check_kinds(model, loader, **whole):
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is a {type(model).__name__}, must be a torch.nn.Module")
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise ValueError(f"loader is a {type(loader).__name__}, must yield pairs (x, y) or mappings with labels")
    for name, value in whole.items():
        if not hasattr(value, "__index__"):
            raise ValueError(f"{name}={value!r}, must be a whole number")


def _with_axis(H, y, name, axis):
    if axis is None and H.ndim >= 4 and y.ndim == 1:
        raise ValueError(
            f"layer={name!r} gives {tuple(H.shape)} for labels {tuple(y.shape)}: name a layer behind the pooling, "
            "whose output is (N, d)"
        )
    if axis is None and H.ndim >= 4:
        raise ValueError(
            f"layer={name!r} gives {tuple(H.shape)}, of which any axis may hold the features: say it with "
            "feature_axis=, 1 for (N, C, height, width)"
        )
    if axis is not None and not -H.ndim <= axis < H.ndim:
        raise ValueError(f"feature_axis={axis}, layer={name!r} gives {tuple(H.shape)}")
    return H if axis is None else H.movedim(axis, -1)


@contextmanager
def uncompiled(model) -> Iterator[None]:
    """Compiled modules run uncompiled: compiled, they do not see a hook that comes later."""
    if any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in model.modules()):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


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
    if not isinstance(H, Tensor):
        raise ValueError(f"layer={name!r} gave a {type(H).__name__}, must be a tensor or a tuple that starts with one")
    return H


@contextmanager
def _placed(model, device):
    """The model on `device` (None: where it is), and back afterwards; yields the device of the inputs."""
    home = next((p.device for p in model.parameters() if p.device.type != "meta"), torch.device("cpu"))
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
def evaluating(model) -> Iterator[None]:
    """Every module in eval mode, and each one's own mode put back. Raises ValueError for a program of torch.jit or
    torch.export, which has no modules to look into."""
    training = {module: module.training for module in model.modules()}
    if any(isinstance(module, torch.jit.ScriptModule) for module in training):
        raise ValueError(f"{type(model).__name__} is a program of torch.jit: measure the module that it was made of")
    try:
        try:
            model.eval()
        except NotImplementedError:
            raise ValueError(
                f"{type(model).__name__} is an exported program: measure the module that it was made of"
            ) from None
        yield
    finally:
        for module, flag in training.items():
            module.training = flag


@contextmanager
def _hooked(model, names, head: Head | None):
    """A dict that holds, after each forward pass, a copy of the features of every name; None: the input of `head`."""
    features: dict[str | None, object] = {}
    modules = dict(model.named_modules())

    def keep_input(module, args, kwargs):
        features[None] = _copy(args[0] if args else next(iter(kwargs.values())))

    def keep_output(name):
        def hook(module, args, output):
            features[name] = _copy(output)

        return hook

    if not names:
        raise ValueError("layer=[], must name at least one module")
    for name in names:
        if name is not None and name not in modules:
            known = [known for known in modules if known]
            raise ValueError(f"layer={name!r} is no module of the model, must be one such as {known[-5:]}")
    with ExitStack() as stack:
        for name in names:
            if name is None:
                stack.callback(head.module.register_forward_pre_hook(keep_input, with_kwargs=True).remove)
            else:
                stack.callback(modules[name].register_forward_hook(keep_output(name)).remove)
        yield features


def _copy(value):
    """Features as they are now: what works in place later would change them."""
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return value.detach().clone() if isinstance(value, Tensor) else value
