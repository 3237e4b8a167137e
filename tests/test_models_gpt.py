"""GPT: GPT-Neo exactly, its loss, and many models of one shape trained as one."""

import math

import pytest
import torch
from torch.nn import functional as F

from nclib.models import gpt
from nclib.models.gpt import GPT, from_transformers, linear_cross_entropy, to_transformers
from nclib.models.gpt_stack import GPTStack

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
SIZES = {"vocab": 61, "context": 24, "width": 32, "depth": 3, "heads": 4, "window": 7}


def model(seed=0, **sizes):
    """Weights large enough for attention to be far from uniform."""
    torch.manual_seed(seed)
    m = GPT(**SIZES | sizes)
    with torch.no_grad():
        for p in m.parameters():
            p += 0.15 * torch.randn_like(p)
    return m


def tokens(*shape, seed=1):
    return torch.randint(SIZES["vocab"], shape, generator=torch.Generator().manual_seed(seed))


def gradients(m):
    return {name: p.grad for name, p in m.named_parameters()}


@pytest.mark.parametrize("length", [24, 8, 7, 3])
@pytest.mark.parametrize("device", DEVICES)
def test_oracle_transformers_gpt_neo(length, device):
    ours, ids = model().to(device), tokens(2, length).to(device)
    theirs = to_transformers(ours).eval()
    expected = theirs(ids, labels=ids)
    logits = ours(ids)
    assert logits.std() > 0.5
    torch.testing.assert_close(logits, expected.logits, rtol=0, atol=1e-5)
    loss = ours.loss(ids)
    torch.testing.assert_close(loss, expected.loss, rtol=0, atol=1e-5)
    loss.backward()
    expected.loss.backward()
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.zeros_like(p) if p.grad is None else p.grad)
    for name, g in from_transformers(theirs).to(device).named_parameters():
        torch.testing.assert_close(gradients(ours)[name], g.data, rtol=0, atol=1e-5)


def test_law_transformers_round_trip():
    ours = model().double()
    back = from_transformers(to_transformers(ours))
    assert back.sizes == ours.sizes and back.classifier.dtype == torch.float64
    for name, p in ours.state_dict().items():
        assert torch.equal(back.state_dict()[name], p)


def test_law_local_layers_see_the_window():
    m, T = model(depth=2).double(), 24
    x = torch.randn(1, T, 32, dtype=torch.float64, requires_grad=True)
    for block, span in (m.blocks[0], T), (m.blocks[1], 7):
        mask = m.mask if span < T else None
        for t in range(0, T, 5):
            seen = torch.autograd.grad(block(x, mask)[0, t].sum(), x)[0][0].abs().sum(1).nonzero().flatten()
            assert seen.tolist() == list(range(max(0, t - span + 1), t + 1))


def test_value_attention_is_not_scaled():
    """d = 1 x 4: v of token 0 counts exp(q.k_0) / (exp(q.k_0) + exp(q.k_1)), q.k_0 = 4 ln 3, q.k_1 = 0."""
    block = gpt.Block(4, 1)
    with torch.no_grad():
        block.qkv.weight.zero_()
        block.qkv.weight[0, 1], block.qkv.weight[4, 0], block.qkv.weight[8, 0] = 4 * math.log(3), 1, 1
        block.out.weight.copy_(torch.eye(4))
        block.out.bias.zero_()
        z = block.attention(torch.tensor([[[1.0, 0, 0, 0], [0, 1.0, 0, 0]]]), None)
    torch.testing.assert_close(z[0, :, 0], torch.tensor([1.0, 81 / 82]))


def test_value_parameters_as_in_the_paper():
    count = {d: 0 for d in (64, 1024)}
    with torch.device("meta"):
        for d, depth in (64, 1), (1024, 12):
            count[d] = sum(p.numel() for p in GPT(50257, 2048, d, depth, 16).parameters())
    assert count == {64: 3_397_440, 1024: 204_680_192}


def test_value_initialization():
    torch.manual_seed(0)
    for name, p in GPT(500, 64, 64, 2, 4).named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        elif "ln_" in name:
            assert (p == 1).all()
        else:
            assert abs(p.std() / 0.02 - 1) < 0.03 and abs(p.mean()) < 2e-3


def test_law_features_and_classifier():
    m, ids = model().double(), tokens(2, 9).int()
    torch.testing.assert_close(m(ids), m.features(ids) @ m.classifier.T, rtol=0, atol=1e-12)
    assert m.classifier is m.wte.weight and m.features(ids).shape == (2, 9, 32)


@pytest.mark.parametrize("block", [1, 61 * 2 * 5, 2**22])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_oracle_linear_cross_entropy(block, dtype, device, monkeypatch):
    monkeypatch.setattr(gpt, "BLOCK", (block, block))
    torch.manual_seed(0)
    h, W, y = torch.randn(2, 13, 6), 3 * torch.randn(2, 61, 6), torch.randint(61, (2, 13))
    h, W = (x.to(device, dtype).requires_grad_() for x in (h, W))
    y, scale = y.to(device), torch.tensor([1.0, 3.0], device=device, dtype=dtype)
    expected = F.cross_entropy((h @ W.mT).mT, y, reduction="none").mean(1)
    loss = linear_cross_entropy(h, W, y)
    tolerance = {"rtol": 0, "atol": 1e-5 if dtype == torch.float32 else 1e-13}
    torch.testing.assert_close(loss, expected, **tolerance)
    wanted = torch.autograd.grad((scale * expected).sum(), (h, W))
    torch.testing.assert_close(torch.autograd.grad((scale * loss).sum(), (h, W)), wanted, **tolerance)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(h, W, y), expected, **tolerance)


def test_value_loss_where_exp_overflows():
    h, W = torch.tensor([[[100.0]]]), torch.tensor([[[5.0], [-5.0], [4.99]]])
    loss = linear_cross_entropy(h, W, torch.tensor([[1]]))
    torch.testing.assert_close(loss, torch.tensor([1000 + math.log(1 + math.exp(-1))]))


@pytest.mark.parametrize("device", DEVICES)
def test_oracle_bfloat16_autocast(device):
    m, ids = model().to(device), tokens(2, 25).to(device)
    m.loss(ids).backward()
    expected = gradients(m)
    m.zero_grad()
    with torch.autocast(device, torch.bfloat16):
        loss = m.loss(ids)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, m.loss(ids), rtol=5e-3, atol=0)
    g, e = (torch.cat([p.flatten() for p in x.values()]) for x in (gradients(m), expected))
    assert (g - e).norm() < 0.05 * e.norm()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's compiler itself
def test_oracle_compiled_without_graph_breaks():
    m, ids = model(depth=2), tokens(2, 25)
    s, many = GPTStack([m, model(1, depth=2)]), tokens(2, 2, 25)
    for x, i in (m, ids), (s, many):
        loss = torch.compile(x.loss, fullgraph=True, backend="aot_eager")(i)
        loss.sum().backward()
        compiled = gradients(x)
        x.zero_grad()
        expected = x.loss(i)
        expected.sum().backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(compiled, gradients(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
def test_oracle_stack_is_separate_models(device):
    models = [model(seed).to(device) for seed in range(3)]
    stack, ids = GPTStack(models), tokens(3, 2, 25).to(device)
    logits = torch.stack([m(i[:, 1:]) for m, i in zip(models, ids, strict=True)])
    torch.testing.assert_close(stack(ids[..., 1:]), logits, rtol=0, atol=1e-5)
    loss = stack.loss(ids)
    loss.sum().backward()
    separate = torch.stack([m.loss(i) for m, i in zip(models, ids, strict=True)])
    separate.sum().backward()
    torch.testing.assert_close(loss, separate, rtol=0, atol=1e-6)
    assert gradients(stack).keys() == gradients(models[0]).keys()
    for name, g in gradients(stack).items():
        expected = torch.stack([gradients(m)[name] for m in models])
        torch.testing.assert_close(g, expected, rtol=0, atol=1e-6)


def test_oracle_stack_steps_are_separate_steps():
    """Clipped AdamW: of the first step's norms one lies below the bound and two above it."""
    models = [model(seed).double() for seed in range(3)]
    stack = GPTStack(models)
    many = [torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=0.1) for m in (stack, *models)]
    for step in range(3):
        ids = tokens(3, 2, 25, seed=step)
        losses = stack.loss(ids), torch.stack([m.loss(i) for m, i in zip(models, ids, strict=True)])
        torch.testing.assert_close(*losses, rtol=0, atol=1e-10)
        for x in losses:
            x.sum().backward()
        bound = 1e9 if step else stack_bound(models)
        norms = torch.stack([m.clip_grad_norm(bound) for m in models])
        assert step or 0 < (norms > bound).sum() < 3
        torch.testing.assert_close(stack.clip_grad_norm(bound), norms)
        for optimizer in many:
            optimizer.step()
            optimizer.zero_grad()
    for m, part in zip(models, stack.models(), strict=True):
        for name, p in part.state_dict().items():
            torch.testing.assert_close(p, m.state_dict()[name], rtol=0, atol=1e-9)


def stack_bound(models):
    """The middle of the models' gradient norms, less a little."""
    norms = [torch.stack([p.grad.norm() for p in m.parameters()]).norm() for m in models]
    return 0.999 * sorted(norms)[1]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"heads": 5}, "heads = 5: must divide width = 32"),
        ({"width": 0}, "width = 0: must be a positive integer"),
        ({"depth": 1.5}, "depth = 1.5: must be"),
        ({"window": -1}, "window = -1: must be"),
        ({"vocab": None}, "vocab = None: must be"),
    ],
)
def test_sizes_are_checked(sizes, message):
    with pytest.raises(ValueError, match=message):
        GPT(**SIZES | sizes)


def test_ids_are_checked():
    m, s = model(), GPTStack([model(), model(1)])
    bad = torch.full((1, 4), 61)
    for call, message in [
        (lambda: m(bad), r"ids from 61 to 61: must lie in 0 ... 60"),
        (lambda: m.loss(-bad), r"ids from -61 to -61: must lie"),
        (lambda: m(tokens(1, 25)), r"ids of shape \(1, 25\): must have 2 dimensions, none 0, last 1 to 24"),
        (lambda: m.loss(tokens(1, 26)), r"ids of shape \(1, 26\): must have 2 dimensions, none 0, last 2 to 25"),
        (lambda: m.loss(tokens(2, 1)), r"ids of shape \(2, 1\): must"),
        (lambda: m(tokens(0, 5)), r"ids of shape \(0, 5\): must"),
        (lambda: m(tokens(5)), r"ids of shape \(5,\): must"),
        (lambda: m(torch.randn(1, 4)), r"ids of dtype torch.float32: must be integers"),
        (lambda: s.loss(tokens(3, 2, 5)), r"ids of shape \(3, 2, 5\): the first dimension must be 2 models"),
        (lambda: s.loss(tokens(2, 5)), r"ids of shape \(2, 5\): must have 3 dimensions"),
        (lambda: GPTStack([]), "must be one or more"),
        (lambda: GPTStack([model(), model(depth=1)]), "models of sizes .* must be one or more, all the same"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_other_weights_are_refused():
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    other = {"hidden_size": 8, "num_heads": 2, "num_layers": 2, "vocab_size": 9, "max_position_embeddings": 5}
    local = GPTNeoConfig(**other, attention_types=[[["local"], 2]])
    relu = GPTNeoConfig(**other, attention_types=[[["global", "local"], 1]], activation_function="relu")
    for config, message in (local, "alternating global and local"), (relu, "must be 'gelu_new'"):
        with pytest.raises(ValueError, match=message):
            from_transformers(GPTNeoForCausalLM(config))
    with pytest.raises(ValueError, match=r"wte.weight of shape \(60, 32\): must be \(61, 32\)"):
        model().load_state_dict(model(vocab=60).state_dict())
