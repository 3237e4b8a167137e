"""What is measured is what the model computes: the small models on which the wrong layer was taken without a word."""

import numpy as np
import pytest
import torch
from torch import nn

from nclib.collect import blocks, collect
from nclib.measuring.heads import effective, same_order
from nclib.statistics import ClassStatistics, StatisticsAccumulator

K, D, N = 3, 4, 40
functional = nn.functional


def data(dim=5, classes=K):
    g = torch.Generator().manual_seed(0)
    return torch.randn(N, dim, generator=g), torch.randint(0, classes, (N,), generator=g)


def seeded(make):
    torch.manual_seed(1)
    return make()


def check(model, H, *, x=None, y=None, **options):
    """collect(model) gives the statistics of the features H (N, d), whatever the batches."""
    x, y = (data()[0] if x is None else x), (data()[1] if y is None else y)
    found = collect(model, list(zip(x.split(16), y.split(16), strict=True)), num_classes=K, scatter=False, **options)
    wanted = ClassStatistics.from_features(H.detach(), y, K, scatter=False)
    torch.testing.assert_close(found.means, wanted.means, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.spread, wanted.spread, rtol=1e-5, atol=1e-5)


def test_value_features_are_those_before_what_works_in_place():
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)))
    x, _ = data()
    before = functional.linear(x, model[0].weight, model[0].bias)
    check(model, before, layer="0")
    assert (before < 0).any()

    class After(nn.Module):
        """The classifier's input is changed after it was used."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            h = 2 * x
            logits = self.head(h)
            h.zero_()
            return logits

    check(seeded(After), 2 * x)
    check(seeded(After), 2 * x, classifier="head")


class Headed(nn.Module):
    """A linear backbone and a head of any kind."""

    def __init__(self, head, backbone=None):
        super().__init__()
        self.backbone, self.head = backbone or nn.Sequential(nn.Linear(5, D), nn.ReLU()), head

    def forward(self, x):
        return self.head(self.backbone(x))


class Cosine(nn.Module):
    def __init__(self, margin=0.0):
        super().__init__()
        self.weight, self.margin, self.last = nn.Parameter(torch.randn(K, D)), margin, nn.Identity()

    def forward(self, h):
        cosines = functional.linear(functional.normalize(h), functional.normalize(self.weight))
        return self.last(30 * torch.cos(cosines.clamp(-0.999, 0.999).acos() + self.margin))


class Adapted(nn.Module):
    """LoRA written as two Linears of rank 2 beside a frozen one."""

    def __init__(self):
        super().__init__()
        self.base, self.down, self.up = nn.Linear(D, K), nn.Linear(D, 2, bias=False), nn.Linear(2, K, bias=False)

    def forward(self, h):
        return self.base(h) + self.up(self.down(h))


class Summed(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(D, K), nn.Linear(D, K)

    def forward(self, h):
        return self.one(h) + self.two(h.square())


class Gated(nn.Module):
    """Squeeze and excite: its Linear is the last one that is called, and the head is a convolution."""

    def __init__(self, kernel):
        super().__init__()
        self.conv, self.gate = nn.Conv2d(1, D, 3, padding=1), nn.Linear(D, D)
        self.head = nn.Conv2d(D, K, kernel)

    def features(self, x):
        h = self.conv(x).relu()
        return (h * self.gate(h.mean((2, 3))).sigmoid()[..., None, None]).mean((2, 3), keepdim=True)

    def forward(self, x):
        return self.head(self.features(x)).flatten(1)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


SAME = {
    "scale": lambda z: z / 0.07,
    "softcap": lambda z: 3 * (z / 3).tanh(),
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(-1),
    "log softmax": lambda z: z.log_softmax(-1),
    "tuple": lambda z: (z, z.exp()),
    "logits": lambda z: {"loss": z.sum(), "logits": z},
    "barred class": lambda z: z.index_fill(1, torch.tensor([1]), -torch.inf),
}


@pytest.mark.parametrize("name", SAME)
def test_value_classifier_is_found_below_an_increasing_function(name):
    model = seeded(lambda: nn.Sequential(Headed(nn.Linear(D, K)), Function(SAME[name])))
    check(model, model[0].backbone(data()[0]))


DIFFERENT = {
    "cosine": lambda: Headed(Cosine()),
    "arcface": lambda: Headed(Cosine(0.3)),
    "two heads": lambda: Headed(Summed()),
    "scale a class": lambda: nn.Sequential(Headed(nn.Linear(D, K)), Function(lambda z: z * torch.arange(1, K + 1))),
    "not increasing": lambda: nn.Sequential(Headed(nn.Linear(D, K)), Function(torch.square)),
    "relu": lambda: nn.Sequential(Headed(nn.Linear(D, K)), Function(torch.relu)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_value_no_classifier_is_refused_in_one_line(name):
    x, y = data()
    with pytest.raises(ValueError, match=r"is no increasing function of H W\^T \+ b .* classifier=.* layer=") as found:
        collect(seeded(DIFFERENT[name]), [(x, y)], num_classes=K)
    assert len(str(found.value).splitlines()) == 1
    if name == "cosine":  # and what the message advises works
        model = seeded(DIFFERENT[name])
        check(model, model.backbone(x), classifier="head")
        check(model, model.backbone(x), layer="backbone")


def test_value_adapters_parametrizations_and_compiled_heads():
    x, _ = data()
    weighted = nn.utils.parametrizations.weight_norm
    for make in (Adapted, lambda: weighted(nn.Linear(D, K)), lambda: torch.compile(nn.Linear(D, K), backend="eager")):
        model = seeded(lambda make=make: Headed(make()))
        check(model, model.backbone(x))
    check(
        seeded(lambda: torch.compile(Headed(nn.Linear(D, K)), backend="eager")),
        seeded(lambda: Headed(nn.Linear(D, K))).backbone(x),
    )


def test_oracle_effective_weight_is_that_of_the_sum():
    adapted, h = seeded(Adapted), torch.randn(9, D)
    W, b = effective(adapted, h)
    torch.testing.assert_close(W, adapted.base.weight + adapted.up.weight @ adapted.down.weight)
    torch.testing.assert_close(b, adapted.base.bias)
    normed = seeded(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(D, K)))
    normed.parametrizations.weight.original0.data *= 3
    torch.testing.assert_close(effective(normed, h)[0], normed.weight)
    with pytest.raises(ValueError, match="Cosine is not affine in its input"):
        effective(Cosine(), h)


def test_value_convolution_as_a_head():
    y = data()[1]
    x = torch.randn(N, 1, 6, 6)
    model = seeded(lambda: Gated(1))
    check(model, model.features(x).flatten(1), x=x, y=y)
    dense = nn.Sequential(nn.Conv2d(1, D, 3, padding=1), nn.ReLU(), nn.Conv2d(D, K, 1))
    labels = torch.randint(0, K, (N, 6, 6))
    found = collect(dense, [(x, labels)], num_classes=K)
    wanted = ClassStatistics.from_features(dense[:2](x).movedim(1, -1), labels, K)
    torch.testing.assert_close(found.means, wanted.means)


def test_value_an_axis_is_not_guessed():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, K, 1))
    x, labels = torch.randn(5, 1, 4, 4), torch.randint(0, K, (5, 4, 4))
    with pytest.raises(ValueError, match=r"layer='0' gives \(5, 4, 4, 4\), .* feature_axis=, 1 for"):
        collect(model, [(x, labels)], num_classes=K, layer="0")
    with pytest.raises(ValueError, match=r"layer='0' gives \(5, 4, 4, 4\) .* behind the pooling"):
        collect(model, [(x, labels[:, 0, 0])], num_classes=K, layer="0")
    found = collect(model, [(x, labels)], num_classes=K, layer="0", feature_axis=1)
    wanted = ClassStatistics.from_features(model[0](x).movedim(1, -1), labels, K)
    torch.testing.assert_close(found.means, wanted.means)
    with pytest.raises(ValueError, match="feature_axis=4"):
        collect(model, [(x, labels)], num_classes=K, layer="0", feature_axis=4)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(5, K)

    def forward(self, pixels, scale=1.0):
        return self.head(pixels * scale)


def test_oracle_batches_of_every_kind():
    x, y = data()
    model = seeded(lambda: Headed(nn.Linear(D, K)))
    wanted = model.backbone(x)
    for batch in (
        (x.double().numpy(), y.numpy()),
        [x.tolist(), y.tolist()],
        (x, list(y.numpy())),
        {"input": x, "labels": y},
    ):
        named = isinstance(batch, dict)
        one = seeded(lambda: Named()) if named else model
        H = x if named else wanted
        batch = {"pixels": batch["input"], "labels": y} if named else batch
        found = collect(one, [batch], num_classes=K)
        torch.testing.assert_close(found.means, ClassStatistics.from_features(H, y, K).means, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="a mapping with pixels, must hold labels"):
        collect(seeded(Named), [{"pixels": x}], num_classes=K)
    with pytest.raises(ValueError, match="labels must be integers"):
        collect(model, [(x, ["cat"] * N)], num_classes=K)
    arrays = ClassStatistics.from_features(x.numpy(), y.tolist(), K)
    assert torch.equal(arrays.means, ClassStatistics.from_features(x, y, K).means)


def test_law_a_parameter_on_meta_is_not_the_device():
    model = seeded(lambda: Headed(nn.Linear(D, K)))
    model.register_parameter("a", nn.Parameter(torch.empty(2, device="meta")))
    assert next(model.parameters()).is_meta  # a model's own come before those of its children
    check(model, model.backbone(data()[0]))


def test_law_one_loader_that_is_kept_is_not_changed():
    model = nn.Sequential(nn.ReLU(inplace=True), Headed(Adapted()))
    x, y = data()
    collect(model, [(x.clone(), y)], num_classes=K)
    H = model[1].backbone(x.clone().relu())
    check(model, H, x=x.clone())


def test_law_inference_mode_and_then_a_normal_update():
    x, y = data()
    for first in (torch.inference_mode, torch.no_grad):
        accumulator = None
        with first():
            accumulator = StatisticsAccumulator(K, 5)
            accumulator.update(x[:9] + 0, y[:9] + 0)
            inner = accumulator.compute()
        accumulator.update(x[9:], y[9:])
        accumulator.merge(inner)
        whole = ClassStatistics.from_features(x, y, K) + ClassStatistics.from_features(x[:9], y[:9], K)
        torch.testing.assert_close(accumulator.compute().means, whole.means)


def test_value_all_blocks_in_one_pass():
    model = nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))), nn.Linear(8, K)
    )
    assert blocks(model) == ["0", "1", "2", "3"] and blocks(model[2]) == ["0", "1", "2", "3"]
    deep = nn.Sequential(nn.Linear(5, 8), nn.ModuleList(nn.Linear(8, 8) for _ in range(4)))
    assert blocks(deep) == ["1.0", "1.1", "1.2", "1.3"] and blocks(Named()) == ["head"]
    with pytest.raises(ValueError, match="layer='all': Linear has no blocks"):
        blocks(nn.Linear(2, 2))
    x, y = data()
    found = collect(model, [(x, y)], num_classes=K, layers="all")
    assert list(found) == blocks(model)
    torch.testing.assert_close(found["1"].means, ClassStatistics.from_features(model[:2](x), y, K).means)


def test_law_same_order():
    z = torch.randn(50, 7)
    assert same_order(z.exp(), z) and same_order(z * 1e-6, z) and same_order((z.bfloat16() * 2), z.bfloat16())
    for other in (-z, torch.zeros_like(z), z.sign(), z + 0.01 * torch.randn(50, 7), z[:49]):
        assert not same_order(other, z)


def test_value_features_whose_squares_overflow_are_refused():
    from nclib.conventions import measure

    H, y = torch.eye(3, dtype=torch.float64).repeat(4, 1), np.arange(12) % 3
    with pytest.raises(ValueError, match=r"up to 1e.300, whose squares are not finite"):
        measure(ClassStatistics.from_features(H * 1e300, y, 3))
    with pytest.raises(ValueError, match="so large that squares overflow float64"):
        ClassStatistics.from_features(H * 1e300 * torch.arange(12)[:, None], y, 3)


def test_value_what_a_model_does_not_take_is_one_line():
    """Found by trying: batches of another dtype, entries under other names, empty batches, K as a float, sparse H."""
    torch.manual_seed(0)
    model, x, y = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(12, 5), torch.arange(12) % 3
    with pytest.raises(ValueError, match=r"Sequential does not take batches of torch\.float64 with"):
        collect(model, [(x.double(), y)], num_classes=3)
    with pytest.raises(ValueError, match=r"Sequential does not take the entries pixels of a batch by name"):
        collect(model, [{"pixels": x, "labels": y}], num_classes=3)
    with pytest.raises(ValueError, match=r"num_classes=3\.0, must be a whole number"):
        collect(model, [(x, y)], num_classes=3.0)
    with pytest.raises(ValueError, match=r"num_classes=3\.0, must be a whole number"):
        ClassStatistics.from_features(x, y, 3.0)
    with pytest.raises(ValueError, match=r"H is torch\.sparse_coo, must be dense"):
        ClassStatistics.from_features(x.to_sparse(), y, 3)
    found = collect(model, [(x[:0], y[:0]), (x, y), (x[:0], y[:0])], num_classes=3)
    torch.testing.assert_close(found.means, collect(model, [(x, y)], num_classes=3).means, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"loader yielded no batches"):
        collect(model, [(x[:0], y[:0])], num_classes=3)


class Sequences(nn.Module):
    """A classifier of sequences, called on every position: its logits are those of the last one that is not padded."""

    def __init__(self):
        super().__init__()
        self.lstm, self.score = nn.LSTM(5, D, batch_first=True), nn.Linear(D, K)

    def features(self, x):
        return self.lstm(x)[0], (x != 0).any(-1).sum(1) - 1

    def forward(self, x):
        H, last = self.features(x)
        return self.score(H)[torch.arange(len(H)), last]


def test_value_of_a_sequence_the_position_is_that_of_the_logits():
    model, (_, y) = seeded(Sequences), data()
    x = torch.randn(N, 7, 5).masked_fill((torch.arange(7) > torch.arange(N)[:, None] % 6)[..., None], 0)
    H, last = model.features(x)
    for options in ({}, {"classifier": "score"}):
        check(model, H[torch.arange(N), last], x=x, y=y, **options)
    assert len(last.unique()) == 6
    model.score.weight.data[:] = 0  # every position has these logits
    with pytest.raises(
        ValueError, match="the output of Sequences is the same for every sample, as of a classifier of zero"
    ):
        collect(model, [(x, y)], num_classes=K)
    with pytest.raises(ValueError, match=r"the input of 'score' is \(40, 7, 4\) for labels \(40,\), .* with layer="):
        collect(model, [(x, y)], num_classes=K, classifier="score")


def test_law_same_order_up_to_a_number_a_row():
    """Logarithms of a softmax with a temperature, and distances: -|h - w|^2 is 2 h w - |w|^2 but for |h|^2."""
    z = torch.randn(50, 7)
    for same in ((z / 3).log_softmax(-1), (2 * z).softmax(-1), z + torch.randn(50, 1)):
        assert same_order(same, z)
    for other in (functional.layer_norm(z, (7,)), z * torch.rand(50, 1), (-z).softmax(-1), z + torch.arange(7)):
        assert not same_order(other, z)


OUTPUTS = {
    "out": lambda z: {"out": z, "aux": z.square()},
    "alone": lambda z: {"prediction": z},
    "tempered": lambda z: (z / 2).log_softmax(-1),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_value_logits_under_other_names(name):
    model = seeded(lambda: nn.Sequential(Headed(nn.Linear(D, K)), Function(OUTPUTS[name])))
    check(model, model[0].backbone(data()[0]))


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
def test_value_programs_that_show_no_modules_are_refused():
    x, y = data()
    plain = nn.Sequential(nn.Linear(5, D), nn.Linear(D, K))
    programs = {"torch.jit": torch.jit.trace(plain, x), "exported": torch.export.export(plain, (x,)).module()}
    for name, program in programs.items():
        with pytest.raises(ValueError, match=f"is an? (program of )?{name}( program)?: measure the module that it was"):
            collect(program, [(x, y)], num_classes=K)


BAD = "model,loader,layer,classifier,device,ignored,labels,width,integers,words,objects,nested".split(",")


def arguments():
    """{what is wrong: (model, loader, options, message)}."""
    x, y = data()
    model = seeded(lambda: Headed(nn.Linear(D, K)))
    good = (model, [(x, y)])
    return {
        "model": (lambda x: x, good[1], {}, r"model is a function, must be a torch\.nn\.Module"),
        "loader": (model, None, {}, r"loader is a NoneType, must yield pairs"),
        "layer": (*good, {"layer": model.head}, r"layer=Linear\(.*\), must be the name of a module or a list of names"),
        "classifier": (*good, {"classifier": ["head"]}, r"classifier=\['head'\] is no module of the model"),
        "device": (*good, {"device": "meta"}, "device='meta', which holds no numbers"),
        "ignored": (*good, {"ignore_index": None}, "ignore_index=None, must be a whole number"),
        "labels": (model, [(x, y.to("meta"))], {}, "y lies on the device meta, which holds no numbers"),
        "width": (
            model,
            [(x[:, :3], y)],
            {},
            r"Headed does not take a batch of torch\.float32 \(40, 3\): mat1 and mat2",
        ),
        "integers": (model, [(x.long(), y)], {}, r"batches of torch\.int64 with weights of torch\.float32"),
        "words": (model, [(["cat"] * N, y)], {}, "Headed does not take a batch of list"),
        "objects": (model, [(np.array([{}] * N), y)], {}, "x is a ndarray that is no array of numbers"),
        "nested": (
            model,
            [(torch.nested.nested_tensor([x[0], x[1]]), y[:2])],
            {},
            "not take a batch of nested tensors",
        ),
    }


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", BAD)
def test_value_bad_arguments_are_one_line_and_the_model_stays(name):
    model, loader, options, message = arguments()[name]
    with pytest.raises(ValueError, match=message) as found:
        collect(model, loader, **{"num_classes": K, **options})
    assert len(str(found.value).splitlines()) == 1
    assert not isinstance(model, nn.Module) or not any(p.is_meta for p in model.parameters())


def test_value_a_table_of_features_is_an_array():
    pandas = pytest.importorskip("pandas")
    x, y = data()
    model = seeded(lambda: Headed(nn.Linear(D, K)))
    found = collect(model, [(pandas.DataFrame(x.numpy()), pandas.Series(y.numpy()))], num_classes=K)
    torch.testing.assert_close(found.means, ClassStatistics.from_features(model.backbone(x), y, K).means)


def test_value_features_whose_squares_lose_digits_are_refused():
    from nclib.conventions import measure

    H, y = torch.randn(12, 4, dtype=torch.float64), torch.arange(12) % 3
    with pytest.raises(ValueError, match="means below 1e-140, whose squares lose digits"):
        measure(ClassStatistics.from_features(H * 1e-160, y, 3))
    small, plain = (measure(ClassStatistics.from_features(H * s, y, 3))["nc1_trace_ratio"] for s in (2.0**-440, 1))
    assert small == pytest.approx(plain, rel=1e-14)
