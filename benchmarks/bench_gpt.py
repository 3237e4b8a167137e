"""Training speed of our GPT beside transformers' GPTNeo, and of many models as one beside one after another.

pytest benchmarks/bench_gpt.py: a step is loss, gradient, clipping and AdamW on the same weights and tokens; rounds of
the two alternate, the ratio is that of their medians (CPU seconds of one thread, or seconds on a GPU).
"""

import statistics
import time

import pytest
import torch

from nclib.models.gpt import GPT, to_transformers
from nclib.models.gpt_stack import GPTStack

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
cpu_clock = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def paired(benchmark, ours, reference, rounds, clock=time.process_time):
    """Seconds of `reference` over seconds of `ours`."""
    ours(), reference()
    times = []

    def other():
        start = clock()
        reference()
        times.append(clock() - start)

    benchmark.pedantic(ours, setup=other, rounds=rounds)
    ratio = statistics.median(times) / benchmark.stats.stats.median
    benchmark.extra_info |= {"ratio": ratio}
    return ratio


def gpu_clock():
    torch.cuda.synchronize()
    return time.perf_counter()


def step(model, loss, clip, device="cpu"):
    """A training step as a function of nothing: bfloat16 and fused on a GPU."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device == "cuda")

    def run():
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            value = loss()
        value.sum().backward()
        clip()
        optimizer.step()
        optimizer.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def both(sizes, batch, device="cpu"):
    """Steps of our GPT and of transformers' on `batch` windows of a full context."""
    torch.manual_seed(0)
    ours = GPT(**sizes).to(device)
    theirs = to_transformers(ours).train()
    ids = torch.randint(sizes["vocab"], (batch, sizes["context"] + 1), device=device)
    x = ids[:, :-1].contiguous()
    loss = torch.compile(ours.loss) if device == "cuda" else ours.loss
    return (
        step(ours, lambda: loss(ids), lambda: ours.clip_grad_norm(1), device),
        step(
            theirs,
            lambda: theirs(x, labels=x, use_cache=False).loss,
            lambda: torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1),
            device,
        ),
    )


@cpu_clock
@pytest.mark.parametrize(
    ("vocab", "width", "depth", "rounds", "least"),
    [(2048, 64, 2, 25, 1.1), (2048, 128, 4, 15, 1.1), (50_257, 64, 1, 7, 1), (50_257, 128, 4, 7, 1)],
)
def bench_training_on_a_cpu(benchmark, vocab, width, depth, rounds, least):
    sizes = {"vocab": vocab, "context": 256, "width": width, "depth": depth, "heads": 4}
    ratio = paired(benchmark, *both(sizes, 4), rounds)
    benchmark.extra_info["tokens/s"] = 4 * 256 / benchmark.stats.stats.median
    assert ratio >= least


def stacks(G, sizes, batch, device="cpu"):
    """A step of G models as one, and a step of each of them."""
    models = [GPT(**sizes).to(device) for _ in range(G)]
    stack = GPTStack(models)
    ids = torch.randint(sizes["vocab"], (G, batch, sizes["context"] + 1), device=device)
    fast = torch.compile if device == "cuda" else lambda f: f
    loss = fast(stack.loss)
    losses = [fast(m.loss) for m in models]
    steps = [
        step(m, lambda loss=loss, x=x: loss(x), lambda m=m: m.clip_grad_norm(1), device)
        for m, loss, x in zip(models, losses, ids, strict=True)
    ]
    return step(stack, lambda: loss(ids), lambda: stack.clip_grad_norm(1), device), lambda: [s() for s in steps]


@cpu_clock
@pytest.mark.parametrize(("width", "depth", "least"), [(16, 1, 1.5), (32, 2, 1.2)])
def bench_21_models_as_one_on_a_cpu(benchmark, width, depth, least):
    sizes = {"vocab": 512, "context": 32, "width": width, "depth": depth, "heads": 4}
    assert paired(benchmark, *stacks(21, sizes, 4), 15) >= least


@cuda
def bench_21_models_as_one_on_a_gpu(benchmark):
    sizes = {"vocab": 8192, "context": 256, "width": 64, "depth": 2, "heads": 4}
    assert paired(benchmark, *stacks(21, sizes, 16, "cuda"), 15, gpu_clock) >= 3


@cuda
def bench_training_on_a_gpu(benchmark):
    """Width 512, 12 layers: 3 times transformers, 40 % of the rate of bfloat16 products of 8192 x 8192 matrices."""
    sizes = {"vocab": 8192, "context": 256, "width": 512, "depth": 12, "heads": 8}
    batch, (L, T, d, V) = 256, (sizes[name] for name in ("depth", "context", "width", "vocab"))
    ratio = paired(benchmark, *both(sizes, batch, "cuda"), 10, gpu_clock)
    flop = 6 * (12 * L * d**2 + V * d + L * T * d) * batch * T
    share = flop / benchmark.stats.stats.median / matrix_rate()
    benchmark.extra_info |= {"share": share, "tokens/s": batch * T / benchmark.stats.stats.median}
    assert ratio >= 3 and share >= 0.4


def matrix_rate(n=8192, repeats=20):
    """FLOP/s of bfloat16 n x n products."""
    A = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    A @ A
    start = gpu_clock()
    for _ in range(repeats):
        A @ A
    return 2 * n**3 * repeats / (gpu_clock() - start)
