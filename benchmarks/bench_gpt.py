"""Training of our GPT beside transformers' GPTNeo, of many models as one beside one after another, and measuring beside
a plain evaluation.

A step is loss, gradient, clipping and AdamW; both sides have the same weights and tokens. Each entry of the JSON holds,
in extra_info, the ratio of seconds to its reference (median and quartiles of paired rounds), the goal for it, and
tokens a second; a larger ratio than the goal fails.
"""

import pytest
import torch
from conftest import paired, seconds

from nclib.models.gpt import GPT, to_transformers
from nclib.models.gpt_stack import GPTStack
from nclib.training.language import Settings, fit
from nclib.training.language_measures import agreement, cross_entropy, statistics

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def step(model, loss, clip, device):
    """A training step as a function of nothing: bfloat16 and fused on a GPU."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device == "cuda")

    def run():
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            value = loss()
        value.sum().backward()
        clip(1)
        optimizer.step()
        optimizer.zero_grad()

    return run


def compiled(loss, device):
    return torch.compile(loss) if device == "cuda" else loss


def compare(benchmark, sizes, batch, rounds, goal, device="cpu"):
    """Our GPT and transformers' on `batch` windows of a full context; transformers without its cache of keys."""
    torch.manual_seed(0)
    ours = GPT(**sizes).to(device)
    theirs = to_transformers(ours).train()
    ids = torch.randint(sizes["vocab"], (batch, sizes["context"] + 1), device=device)
    x, loss = ids[:, :-1].contiguous(), compiled(ours.loss, device)

    def clip(bound):
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), bound)

    a = step(ours, lambda: loss(ids), ours.clip_grad_norm, device)
    b = step(theirs, lambda: theirs(x, labels=x, use_cache=False).loss, clip, device)
    paired(benchmark, a, b, rounds, device=device, goal=goal, name="GPT / transformers GPTNeo", **sizes)
    rate(benchmark, x.numel())


def compare_stack(benchmark, G, sizes, batch, rounds, goal, device="cpu"):
    """G models as one, and one after another."""
    models = [GPT(**sizes).to(device) for _ in range(G)]
    stack = GPTStack(models)
    ids = torch.randint(sizes["vocab"], (G, batch, sizes["context"] + 1), device=device)
    loss, losses = compiled(stack.loss, device), [compiled(m.loss, device) for m in models]
    together = step(stack, lambda: loss(ids), stack.clip_grad_norm, device)
    apart = [
        step(m, lambda loss=loss, x=x: loss(x), m.clip_grad_norm, device)
        for m, loss, x in zip(models, losses, ids, strict=True)
    ]
    info = {"device": device, "goal": goal, "name": f"{G} models as one / one after another"} | sizes
    paired(benchmark, together, lambda: [s() for s in apart], rounds, **info)
    rate(benchmark, G * batch * sizes["context"])


def rate(benchmark, tokens):
    benchmark.extra_info["tokens_per_second"] = tokens / benchmark.extra_info["seconds"]
    assert benchmark.extra_info["ratio"] <= benchmark.extra_info["goal"]


@pytest.mark.parametrize(("vocab", "rounds", "goal"), [(2048, 15, 1 / 1.1), (50_257, 7, 1)])
@pytest.mark.parametrize(("width", "depth"), [(64, 2), (128, 4)])
def test_training_against_transformers(benchmark, vocab, width, depth, rounds, goal):
    sizes = {"vocab": vocab, "context": 256, "width": width, "depth": depth, "heads": 4}
    compare(benchmark, sizes, 4, rounds, goal)


@pytest.mark.parametrize(("width", "depth"), [(16, 1), (32, 2)])
def test_21_models_as_one(benchmark, width, depth):
    sizes = {"vocab": 512, "context": 32, "width": width, "depth": depth, "heads": 4}
    compare_stack(benchmark, 21, sizes, 4, 15, 1 / 1.2)


def measured(benchmark, what, rounds, goal, device="cpu"):
    """A pass over text that also measures (`statistics` or `agreement`), and one that only takes the loss.

    The text is drawn from Zipf's law, and the model has had 20 updates, so that it chooses frequent tokens, as trained
    models do.
    """
    torch.manual_seed(0)
    sizes = {"vocab": 8192, "context": 256, "width": 128, "depth": 4, "heads": 4}
    model, law = GPT(**sizes).to(device), 1 / torch.arange(1.0, sizes["vocab"] + 1)
    text = torch.multinomial(law, 192 * (sizes["context"] + 1), replacement=True).view(192, -1).int().to(device)
    fit(model, text[:160], Settings(epochs=1, batch_tokens=2048, lr=3e-3, weight_decay=0.1, seed=0))
    windows = text[160:]
    stats, _ = statistics(model, text, sizes["vocab"], 2048)
    passes = {
        "statistics": lambda: statistics(model, windows, sizes["vocab"], 2048),
        "agreement": lambda: agreement(model, windows, stats, 2048),
    }
    info = {"device": device, "goal": goal, "name": f"evaluation with {what} / evaluation"} | sizes
    paired(benchmark, passes[what], lambda: cross_entropy(model, windows, 2048), rounds, **info)


@pytest.mark.parametrize(("what", "goal"), [("statistics", 1.05), ("agreement", 1.05)])
def test_measuring_in_an_evaluation(benchmark, what, goal):
    measured(benchmark, what, 31, goal)


@cuda
def test_cuda_measuring_in_an_evaluation(benchmark):
    measured(benchmark, "statistics", 20, 1.03, "cuda")


@cuda
def test_cuda_21_models_as_one(benchmark):
    sizes = {"vocab": 8192, "context": 256, "width": 64, "depth": 2, "heads": 4}
    compare_stack(benchmark, 21, sizes, 16, 15, 1 / 3, "cuda")


@cuda
def test_cuda_training_against_transformers(benchmark):
    """Also at least 40 % of the rate of bfloat16 products of 8192 x 8192 matrices; causal attention counts half."""
    sizes = {"vocab": 8192, "context": 256, "width": 512, "depth": 12, "heads": 8}
    compare(benchmark, sizes, 256, 10, 1 / 3, "cuda")
    V, T, d, L, _ = sizes.values()
    flop = 6 * (12 * L * d**2 + V * d + L * T * d) * benchmark.extra_info["tokens_per_second"]
    benchmark.extra_info["share_of_matrix_rate"] = share = flop / matrix_rate()
    assert share >= 0.4


def matrix_rate(n=8192, repeats=20):
    """FLOP/s of bfloat16 n x n products."""
    A = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    seconds(lambda: A @ A, "cuda")
    return 2 * n**3 * repeats / seconds(lambda: [A @ A for _ in range(repeats)], "cuda")
