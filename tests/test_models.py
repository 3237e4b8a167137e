"""Models, and the batched direct optimization of unconstrained features."""

import math

import pytest
import torch
from torch.nn import functional as F

from nclib.models import (
    MLP,
    FreeFeatures,
    HeavyBall,
    LinearHead,
    ResNet18,
    UnconstrainedFeatures,
    WideResNet,
    auxiliary_head,
    direct_descent,
)
from nclib.models.resnet import Block
from nclib.models.wide_resnet import PreactivationBlock

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_value_linear_head():
    head = LinearHead(2, 2, 2, 1, bias_last=True)
    with torch.no_grad():
        head.weights[0].copy_(torch.tensor([[2.0, 3.0]]))
        head.weights[1].copy_(torch.tensor([[5.0], [-1.0]]))
        head.bias.copy_(torch.tensor([0.5, 0.25]))
    assert head.product().tolist() == [[10, 15], [-2, -3]]
    assert head(torch.tensor([[1.0, -1.0]])).tolist() == [[-4.5, 1.25]]


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("bias_last", [False, True])
def test_law_linear_head_is_its_product(depth, bias_last):
    torch.manual_seed(0)
    head = LinearHead(7, 3, depth, 5, bias_last=bias_last).double()
    sizes = [7] + [5] * (depth - 1) + [3]
    assert [tuple(W.shape) for W in head.weights] == list(zip(sizes[1:], sizes[:-1], strict=True))
    assert len(head.weights) == depth and len(list(head.parameters())) == depth + bias_last
    assert (head.bias is not None) == bias_last
    h = torch.randn(4, 7, dtype=torch.float64)
    shift = head.bias if bias_last else 0
    torch.testing.assert_close(head(h), h @ head.product().T + shift, rtol=1e-13, atol=1e-13)


def test_value_inits():
    torch.manual_seed(0)
    W, V = LinearHead(400, 300, 2, 500).weights
    assert abs(W.std() * 400**0.5 - 1) < 0.01 and abs(V.std() * 500**0.5 - 1) < 0.01
    assert abs(LinearHead(400, 300, init=0.3).weights[0].std() / 0.3 - 1) < 0.01
    W, V = LinearHead(6, 3, 2, 8, init="orthogonal").weights
    torch.testing.assert_close(W.T @ W, torch.eye(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(V @ V.T, torch.eye(3), rtol=0, atol=1e-5)


def test_value_parameter_counts():
    assert parameters(ResNet18(10)) == 11_173_962
    assert parameters(ResNet18(10, bias_last=False)) == 11_173_952
    assert parameters(ResNet18(10, in_channels=1)) == 11_173_962 - 2 * 9 * 64
    assert parameters(ResNet18(10, 3, final_norm=True)) == 11_173_962 + 2 * 512**2 + 2 * 512
    assert parameters(MLP(64, 8, 2, 4, 3)) == 65 * 8 + 9 * 8 + 2 * 8 * 8 + 8 * 4
    assert parameters(MLP(64, 8, 2, 4, batch_norm=True, bias_last=True)) == 65 * 8 + 9 * 8 + 3 * 16 + 9 * 4
    assert parameters(MLP(64, 8, 2, 4, intermediate=True)) == 65 * 8 + 9 * 8 + 9 * 8 + 8 * 4
    assert parameters(UnconstrainedFeatures(12, 5, 3, 2, bias_last=True)) == 12 * 5 + 25 + 18


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("build", "x", "width"),
    [
        (lambda: MLP(12, 9, 3, 4, 2), torch.randn(5, 3, 2, 2), 9),
        (lambda: MLP(12, 9, 3, 4, 2, batch_norm=True, intermediate=True, bias_last=True), torch.randn(5, 12), 9),
        (lambda: ResNet18(4, 2, in_channels=1), torch.randn(2, 1, 16, 16), 512),
        (lambda: WideResNet(4, 10, 2, in_channels=1), torch.randn(2, 1, 16, 16), 128),
        (lambda: UnconstrainedFeatures(6, 9, 4, 3), torch.tensor([5, 0]), 9),
    ],
)
def test_law_forward_is_head_of_features(build, x, width, device):
    torch.manual_seed(1)
    model = build().to(device).eval()
    H = model.features(x.to(device))
    assert H.shape == (len(x), width) and model(x.to(device)).shape == (len(x), 4)
    assert torch.equal(model(x.to(device)), model.head(H))
    torch.manual_seed(1)
    assert all(torch.equal(p, q.cpu()) for p, q in zip(build().parameters(), model.parameters(), strict=True))


def test_value_unconstrained_features():
    torch.manual_seed(0)
    model = UnconstrainedFeatures(400, 300, 200, std_H=0.1, std_W=0.3)
    assert abs(model.H.std() / 0.1 - 1) < 0.01 and abs(model.head.weights[0].std() / 0.3 - 1) < 0.01
    assert torch.equal(model.features(), model.H) and model().shape == (400, 200)
    torch.testing.assert_close(model()[7:9], model(torch.tensor([7, 8])))


def test_value_resnet_halves_three_times():
    net = ResNet18(10).eval()
    x, sizes = torch.randn(1, 3, 32, 32), []
    for layer in net.backbone[:-2]:
        x = layer(x)
        sizes.append(tuple(x.shape[1:]))
    stages = [(64, 32, 32)] * 5 + [(128, 16, 16)] * 2 + [(256, 8, 8)] * 2 + [(512, 4, 4)] * 2
    assert sizes == stages
    torch.testing.assert_close(net.backbone[-2:](x), x.mean((2, 3)))


@pytest.mark.parametrize(("inputs", "stride"), [(6, 1), (4, 1), (4, 2)])
def test_oracle_resnet_block(inputs, stride):
    torch.manual_seed(0)
    block, x = Block(inputs, 6, stride).double().eval(), torch.randn(2, inputs, 8, 8, dtype=torch.float64)
    norm = (1 + 1e-5) ** -0.5
    y = F.conv2d(x, block.conv1.weight, stride=stride, padding=1) * norm
    y = F.conv2d(y.clamp(min=0), block.conv2.weight, padding=1) * norm
    skip = x
    if (inputs, stride) != (6, 1):
        skip = torch.einsum("oi,bihw->bohw", block.shortcut[0].weight[:, :, 0, 0], x[:, :, ::stride, ::stride]) * norm
    torch.testing.assert_close(block(x), (y + skip).clamp(min=0), rtol=0, atol=1e-12)


def test_value_wide_resnet():
    """WRN-16-4, by hand: 432 of the stem; two blocks a stage, each of two convolutions of 9 i o and two
    normalizations of 2 i and 2 o; a shortcut of i o in the first; 2 * 256 and the head."""
    count, inputs = 9 * 3 * 16, 16
    for o in (64, 128, 256):
        for i in (inputs, o):
            count += 9 * i * o + 9 * o * o + 2 * i + 2 * o
        count, inputs = count + inputs * o, o
    assert parameters(WideResNet(10)) == count + 2 * 256 + 257 * 10 == 2_748_890
    with torch.device("meta"):
        assert parameters(WideResNet(10, 28, 10)) == 36_479_194  # the paper: 36.5M (recalled)
    net = WideResNet(10, 16, 1).eval()
    x, sizes = torch.randn(1, 3, 32, 32), []
    for layer in net.backbone[:-2]:
        x = layer(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 4 and x.min() == 0
    torch.testing.assert_close(net.backbone[-2:](x), x.mean((2, 3)))


@pytest.mark.parametrize(("inputs", "stride"), [(6, 1), (4, 1), (4, 2)])
def test_oracle_preactivation_block(inputs, stride):
    torch.manual_seed(0)
    block = PreactivationBlock(inputs, 6, stride).double().eval()
    x = torch.randn(2, inputs, 8, 8, dtype=torch.float64)
    norm = (1 + 1e-5) ** -0.5
    active = (x * norm).clamp(min=0)
    y = F.conv2d(active, block.conv1.weight, stride=stride, padding=1) * norm
    skip = x
    if (inputs, stride) != (6, 1):
        skip = torch.einsum("oi,bihw->bohw", block.shortcut.weight[:, :, 0, 0], active[:, :, ::stride, ::stride])
    expected = skip + F.conv2d(y.clamp(min=0), block.conv2.weight, padding=1)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-12)


def test_law_mlp_features_sign():
    torch.manual_seed(0)
    x = torch.randn(64, 10)
    assert MLP(10, 16, 2, 3).features(x).min() == 0
    assert MLP(10, 16, 2, 3, intermediate=True).features(x).min() < -0.1
    H = MLP(10, 16, 2, 3, batch_norm=True).features(x)
    assert H.min() < -0.1 and H.mean(0).abs().max() < 1e-5
    assert 0.5 < MLP(10, 512, 6, 3).features(x).square().mean() / x.square().mean() < 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearHead(4, 3, 0), "depth = 0"),
        (lambda: LinearHead(4, 3, 2, 0), "width = 0"),
        (lambda: LinearHead(4, 3, init="zero"), "init = 'zero'"),
        (lambda: MLP(4, 0, 2, 3), "width = 0"),
        (lambda: MLP(4, 5, 0, 3), "hidden_layers = 0"),
        (lambda: MLP(4, 5, 1, 3, 0), "linear_layers = 0"),
        (lambda: ResNet18(0), "num_classes = 0"),
        (lambda: ResNet18(3, 2.5), "linear_layers = 2.5"),
        (lambda: WideResNet(0), "num_classes = 0"),
        (lambda: WideResNet(3, 18), "depth = 18: must be 10, 16, 22"),
        (lambda: WideResNet(3, 4), "depth = 4: must be 10"),
        (lambda: WideResNet(3, 16, 0), "widen = 0"),
        (lambda: UnconstrainedFeatures(0, 4, 3), "num_samples = 0"),
        (lambda: descend([3, 0], 4, 1), r"counts\[1\] = 0"),
        (lambda: descend([3, 2], 0, 1), "dim = 0"),
        (lambda: descend([3, 2], 4, 2, lam_W=(1e-3, -1e-3)), "lam_W, lam_H"),
        (lambda: descend([3, 2], 4, 2, lam_W=(1e-3,)), "depth = 2 of them"),
        (lambda: descend([3, 2], 4, 2, loss="hinge"), "loss = 'hinge'"),
    ],
)
def test_law_bad_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def descend(counts, dim, depth, steps=1, **options):
    """{step: State} of `direct_descent`, at the start and the last step unless record_at says otherwise."""
    states = {}
    options = {"lam_W": 5e-3, "lam_H": 3e-3, "record_at": (0, steps), **options}
    problem = {name: options.pop(name) for name in ("lam_W", "lam_H", "bias", "loss") if name in options}
    where = {name: options.pop(name) for name in ("record_at", "device") if name in options}
    descent = HeavyBall(steps, **options)
    direct_descent(FreeFeatures(counts, dim, depth, **problem), descent, states.__setitem__, **where)
    return states


def naive_loss(W, H, b, labels, lams, lam_H, loss):
    Z = H
    for w in W:
        Z = Z @ w.T
    Z = Z + b
    if loss == "mse":
        fit = (Z - F.one_hot(labels)).square().sum() / (2 * len(H))
    else:
        fit = F.cross_entropy(Z, labels)
    return fit + sum(lam / 2 * w.square().sum() for lam, w in zip(lams, W, strict=True)) + lam_H / 2 * H.square().sum()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("counts", "dim", "depth"), [((9, 6, 3), 4, 1), ((9, 6, 3), 4, 4), ((2, 2, 1), 6, 2)])
def test_oracle_direct_descent_is_sgd_with_autograd(counts, dim, depth, bias, loss, device):
    lams, lam_H = [3e-3, 5e-3, 7e-3, 2e-3][:depth], 4e-3
    options = {"lam_W": lams, "lam_H": lam_H, "bias": bias, "loss": loss, "std": 0.5, "seeds": (4, 5), "device": device}
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts)).to(device)
    one = descend(counts, dim, depth, lr=1.0, momentum=0.0, **options)
    many = descend(counts, dim, depth, steps=40, lr=0.1, momentum=0.9, **options)
    for s in range(2):
        W, H, b = [w[s].clone() for w in one[0].W], one[0].H[s].clone(), one[0].b[s].clone()
        free = [*W, H] + [b] * bias
        for p in free:
            p.requires_grad_()
        gradient = torch.autograd.grad(naive_loss(W, H, b, labels, lams, lam_H, loss), free)
        for g, p, q in zip(gradient, free, [*one[1].W, one[1].H, one[1].b], strict=False):
            assert g.abs().max() > 1e-3
            torch.testing.assert_close(p.detach() - q[s], g, rtol=0, atol=1e-12)
        sgd = torch.optim.SGD(free, lr=0.1, momentum=0.9)
        for _ in range(40):
            sgd.zero_grad()
            naive_loss(W, H, b, labels, lams, lam_H, loss).backward()
            sgd.step()
        for p, q in zip(free, [*many[40].W, many[40].H, many[40].b], strict=False):
            torch.testing.assert_close(p.detach(), q[s], rtol=0, atol=1e-12)
        assert bias or not many[40].b.any()


def test_law_seeds_run_alone_or_together():
    together = descend([5, 3], 6, 3, steps=50, seeds=(1, 2, 3))[50]
    alone = descend([5, 3], 6, 3, steps=50, seeds=(2,))[50]
    torch.testing.assert_close(together.H[1], alone.H[0], rtol=0, atol=1e-13)
    again = descend([5, 3], 6, 3, steps=50, seeds=(1, 2, 3))[50]
    assert torch.equal(together.H, again.H) and all(map(torch.equal, together.W, again.W))
    assert (together.H[0] - together.H[1]).abs().max() > 0.01


def test_law_records_at_the_steps_asked_for():
    states = descend([5, 3], 6, 2, steps=20, record_at=[0, 3, 20, 99])
    assert sorted(states) == [0, 3, 20]
    assert torch.equal(states[3].H, descend([5, 3], 6, 2, steps=3)[3].H)
    start = descend([400, 300], 300, 2, std=0.1)[0]
    assert abs(start.H.std() / 0.1 - 1) < 0.01 and abs(start.W[0].std() / 0.1 - 1) < 0.01


def test_attainment_direct_descent_reaches_the_shallow_minimizer():
    """Dang et al. 2023, Theorem 4.1 (M = 1): |w_k|^2 = sqrt(n_k lam_H/lam_W) - N lam_H, w_k = sqrt(n_k lam_H/lam_W)
    h_k."""
    n, lam_W, lam_H = torch.tensor([20.0, 10.0, 4.0], dtype=torch.float64), 6e-3, 4e-3
    state = descend((20, 10, 4), 5, 1, steps=12000, lam_W=lam_W, lam_H=lam_H)[12000]
    norm = (n * lam_H / lam_W).sqrt()
    expected = torch.diag(norm - 34 * lam_H).expand(3, 3, 3)
    torch.testing.assert_close(state.W[0] @ state.W[0].mT, expected, rtol=0, atol=1e-8)
    means = torch.stack([h.mean(1) for h in state.H.split([20, 10, 4], 1)], 1)
    torch.testing.assert_close(state.W[0], norm[:, None] * means, rtol=0, atol=1e-8)


def test_attainment_direct_descent_reaches_the_cross_entropy_minimizer():
    """M = 1, balanced (derived): logits alpha (I - 11^T/K) with alpha = log(1/sqrt(n lam_W lam_H) - K + 1)."""
    state = descend([10] * 4, 8, 1, steps=12000, lam_W=4e-3, lam_H=4e-3, loss="cross-entropy")[12000]
    alpha = math.log(1 / (math.sqrt(10) * 4e-3) - 3)
    Z = state.H[:, ::10] @ state.W[0].mT
    torch.testing.assert_close(Z, (alpha * (torch.eye(4).double() - 0.25)).expand(3, 4, 4), rtol=0, atol=1e-8)


def test_law_divergence_is_reported():
    with pytest.raises(FloatingPointError, match="diverged before step 300"):
        descend([5, 3], 6, 3, steps=300, std=3.0, lr=1.0)


def test_value_a_narrow_resnet_and_the_second_head():
    """A quarter of the width: features of 128, and about a sixteenth of the parameters; heads by their shapes."""
    model = ResNet18(10, width=16)
    x = torch.randn(2, 3, 32, 32)
    assert model.eval().features(x).shape == (2, 128) and model(x).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == 701466
    linear, deep = auxiliary_head(128, 10), auxiliary_head(128, 10, hidden=200)
    assert isinstance(linear, torch.nn.Linear) and linear.bias.shape == (10,)
    assert deep(torch.randn(4, 128)).shape == (4, 10) and deep[0].out_features == 200
    for message, call in (
        ("hidden = 0: must be a positive integer", lambda: auxiliary_head(4, 3, hidden=0)),
        ("dropout = 1.0: must be in", lambda: auxiliary_head(4, 3, hidden=5, dropout=1.0)),
        ("width = 0: must be a positive integer", lambda: ResNet18(10, width=0)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
