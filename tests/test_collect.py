import pytest
import torch
from torch import nn

from nclib.collect import collect
from nclib.statistics import ClassStatistics

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


class Net(nn.Module):
    """Dropout and batch norm, so that train and eval mode differ; a linear layer that is never called; a tuple."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5))
        self.pair = Pair()
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(9, 9)

    def forward(self, x):
        return self.head(input=self.pair(self.backbone(x))[0])


class Pair(nn.Module):
    def forward(self, h):
        return 2 * h, None


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5)

    def forward(self, x):
        return self.head(self.embed(x))


def problem(N=50):
    torch.manual_seed(0)
    x, y = torch.randn(N, 4), torch.randint(0, 3, (N,))
    model = Net()
    model.backbone[1].running_mean += 1
    return model, list(zip(x.split(16), y.split(16), strict=True)), x, y


def assert_same(a, b):
    assert torch.equal(a.counts.cpu(), b.counts)
    for name in ("means", "spread", "scatter"):
        torch.testing.assert_close(getattr(a, name).cpu(), getattr(b, name), rtol=1e-5, atol=1e-5)


def expected(model, x, y):
    """The three kinds of features by hand, in eval mode."""
    with torch.no_grad():
        linear = model.backbone[0](x)
        normed = nn.functional.batch_norm(
            linear, model.backbone[1].running_mean, model.backbone[1].running_var, model.backbone[1].weight, eps=1e-5
        )
        hidden = normed.relu()
        features = {None: 2 * hidden, "backbone.0": linear, "pair": 2 * hidden, "": model.head(2 * hidden)}
    return {name: ClassStatistics.from_features(H, y, 3, scatter=True) for name, H in features.items()}


@pytest.mark.parametrize("device", DEVICES)
def test_oracle_every_kind_of_layer(device):
    model, loader, x, y = problem()
    stats = expected(model, x, y)
    assert_same(collect(model, loader, num_classes=3, device=device), stats[None])
    assert next(model.parameters()).device.type == "cpu"
    for name in ("backbone.0", "pair", ""):
        assert_same(collect(model, loader, num_classes=3, layer=name, scatter=True), stats[name])
    names = ["pair", "backbone.0"]
    several = collect(model, iter(loader), num_classes=3, layer=names)
    assert list(several) == names
    for name in names:
        assert_same(several[name], stats[name])
    assert collect(model, loader, num_classes=3, scatter=False).scatter is None


def test_law_shards_add():
    model, loader, x, y = problem()
    parts = [collect(model, part, num_classes=3) for part in (loader[:1], loader[1:])]
    assert_same(parts[0] + parts[1], expected(model, x, y)[None])


def test_oracle_shift_pairs_each_feature_with_the_next_label():
    torch.manual_seed(0)
    model, tokens = Tokens(), torch.randint(0, 5, (6, 7))
    tokens[2, 4:] = -100
    inputs = tokens.clamp(min=0)
    stats = collect(model, [(inputs, tokens)], num_classes=5, shift=True, scatter=True)
    pairs = [(b, t) for b in range(6) for t in range(6) if tokens[b, t + 1] != -100]
    H = torch.stack([model.embed.weight[inputs[b, t]] for b, t in pairs]).detach()
    assert_same(
        stats, ClassStatistics.from_features(H, torch.stack([tokens[b, t + 1] for b, t in pairs]), 5, scatter=True)
    )
    assert stats.counts.sum() == 36 - 3
    unshifted = collect(model, [(inputs, tokens)], num_classes=5, ignore_index=-100)
    assert unshifted.counts.sum() == 42 - 3


def flags_and_hooks(model):
    return [(module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


@pytest.mark.parametrize("layer", [None, "pair", ["pair", "head"]])
@pytest.mark.parametrize("failing", [False, True])
def test_law_model_is_left_as_it_was(layer, failing):
    model, loader, _, _ = problem()
    model.train()
    model.backbone[1].eval()
    buffers = {key: value.clone() for key, value in model.state_dict().items()}
    before = flags_and_hooks(model)
    if failing:
        loader[2] = (loader[2][0][:, :3], loader[2][1])
        with pytest.raises(ValueError, match=r"Net does not take a batch of torch.float32 \(16, 3\): mat1 and mat2"):
            collect(model, loader, num_classes=3, layer=layer)
    else:
        collect(model, loader, num_classes=3, layer=layer)
    assert flags_and_hooks(model) == before
    assert all(torch.equal(buffers[key], value) for key, value in model.state_dict().items())
    assert torch.is_grad_enabled()


def test_law_no_gradients_are_recorded():
    model, loader, _, _ = problem()
    outputs = []
    model.register_forward_hook(lambda module, args, output: outputs.append(output))
    collect(model, loader, num_classes=3)
    assert len(outputs) == len(loader) and not any(output.requires_grad for output in outputs)


class Dict(nn.Module):
    def forward(self, x):
        return {"logits": x}


def bad(name):
    model, loader, x, y = problem()
    return {
        "unknown": (
            (model, loader),
            {"layer": "neck"},
            r"layer='neck' is no module of the model, .* such as \[.*'head'",
        ),
        "one of a list": ((model, loader), {"layer": ["head", "neck"]}, "layer='neck' is no module of the model"),
        "empty list": ((model, loader), {"layer": []}, r"layer=\[\], must name at least one module"),
        "no linear": ((nn.ReLU(), loader), {}, "layer=None needs a model with an nn.Linear"),
        "uncalled": ((model, loader), {"layer": "unused"}, "layer='unused': the forward pass called not this module"),
        "no linear called": ((Uncalled(), loader), {}, "layer=None: the forward pass called no nn.Linear"),
        "no tensor": ((Dict(), loader), {"layer": ""}, "layer='' gave a dict, must be a tensor"),
        "empty": ((model, []), {}, "loader yielded no batches"),
        "no pairs": ((model, [x]), {}, r"loader yielded a Tensor, must yield pairs \(x, y\)"),
        "triples": ((model, [(x, y, y)]), {}, "loader yielded a tuple, must yield pairs"),
        "classes": ((model, loader), {"num_classes": 0}, "num_classes=0, must be at least 1"),
        "labels": ((model, loader), {"num_classes": 2}, r"y\[\d+\]=2, labels must be 0\.\.1"),
        "lengths": ((model, [(x, y[:9])]), {}, r"y has shape \(9,\), must be \(50,\)"),
        "shift": ((model, loader), {"shift": True}, r"shift=True needs features \(B, T, d\) and y \(B, T\)"),
        "nan": ((model, [(x * float("nan"), y)]), {}, r"H\[0\] holds nan"),
        "device": ((model, loader), {"device": "nowhere"}, "device='nowhere', must be a torch device"),
    }[name]


class Uncalled(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return x


NAMES = "unknown,one of a list,empty list,no linear,uncalled,no linear called,no tensor,empty,no pairs,triples,classes"


@pytest.mark.parametrize("name", [*NAMES.split(","), "labels", "lengths", "shift", "nan", "device"])
def test_value_bad_input_is_refused(name):
    args, options, message = bad(name)
    before = flags_and_hooks(args[0])
    with pytest.raises(ValueError, match=message):
        collect(*args, **{"num_classes": 3, **options})
    assert flags_and_hooks(args[0]) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_value_missing_cuda_is_refused():
    model, loader, _, _ = problem()
    with pytest.raises(ValueError, match="device='cuda', but this machine has 0 CUDA devices"):
        collect(model, loader, num_classes=3, device="cuda")
