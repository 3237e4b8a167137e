"""Language models: training tokens a second, and what metrics add to an evaluation.

python benchmarks/bench_language.py [--device cuda] [--seconds 5] [--compiled]
pytest -p benchmark benchmarks/bench_language.py --benchmark-json=FILE     the training alone, for benchmarks/table.py

Training is `nclib.language.fit` on random tokens (after its first epoch of 5 steps, which compiles), in float32 and
bfloat16. Metrics: CPU seconds of one thread (wall seconds on a GPU) of `statistics` and `agreement` over those of
`cross_entropy`, medians of interleaved rounds; the target of the first is a ratio below 1.05.
"""

import argparse
import os
import statistics as median_of
import time

import pytest
import torch

from nclib.language import PRECISIONS, fit
from nclib.language_measures import agreement, cross_entropy, statistics
from nclib.models.gpt import GPT

# vocabulary, context, width, depth, tokens a batch
CPU_SHAPES = [(2048, 128, 64, 2, 1024), (2048, 128, 128, 4, 1024), (8192, 256, 128, 4, 2048)]
GPU_SHAPES = [(8192, 256, width, depth, 65_536) for width, depth in ((32, 1), (128, 4), (512, 12))]
GPU_SHAPES += [(50_257, 512, 512, 12, 65_536), (50_257, 512, 1024, 12, 65_536)]
EVALUATED = [(2048, 128, 64, 2, 1024), (8192, 256, 128, 4, 2048)]


class Enough(Exception):
    """Time is up."""


def model_of(vocab, context, width, depth, device):
    torch.manual_seed(0)
    return GPT(vocab, context, width, depth, min(16, width // 4)).to(device)


def clock(device):
    """Seconds: of the CPU's work for us, or of the GPU's time once it has nothing left to do."""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def throughput(model, windows, batch_tokens, seconds, **settings):
    """Training tokens a second of `fit`, over at least `seconds` after the first epoch."""
    device, times = next(model.parameters()).device.type, []
    targets = len(windows) // (batch_tokens // (windows.shape[1] - 1)) * batch_tokens

    def evaluate(epoch, model):
        times.append(clock(device))
        if times[-1] - times[0] > seconds:
            raise Enough

    epochs = 10_000
    try:
        fit(
            model,
            windows,
            epochs=epochs,
            batch_tokens=batch_tokens,
            lr=1e-3,
            weight_decay=0.1,
            seed=0,
            measure_at=range(1, epochs + 1),
            evaluate=evaluate,
            **settings,
        )
    except Enough:
        pass
    return (len(times) - 1) * targets / (times[-1] - times[0])


def overhead(model, windows, batch_tokens, rounds):
    """Seconds of an evaluation, and those of `statistics` and `agreement` over them."""
    device, K = model.classifier.device.type, len(model.classifier)
    stats, _ = statistics(model, windows, K, batch_tokens)
    passes = {
        "evaluation": lambda: cross_entropy(model, windows, batch_tokens),
        "statistics": lambda: statistics(model, windows, K, batch_tokens),
        "agreement": lambda: agreement(model, windows, stats, batch_tokens),
    }
    times = {name: [] for name in passes}
    for _ in range(rounds):
        for name, call in passes.items():
            start = clock(device)
            call()
            times[name].append(clock(device) - start)
    base = times["evaluation"]
    ratio = {name: median_of.median(t / b for t, b in zip(spent, base, strict=True)) for name, spent in times.items()}
    return median_of.median(base), ratio["statistics"], ratio["agreement"]


DEVICES = [("cpu", shape) for shape in CPU_SHAPES]
if torch.cuda.is_available():
    DEVICES += [("cuda", shape) for shape in GPU_SHAPES]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("device", "shape"), DEVICES)
def test_training(benchmark, device, shape, precision):
    """Tokens a second of `fit`; on the CPU a second is one of the CPU's work for us, on one thread."""
    *sizes, batch = shape
    windows = torch.randint(sizes[0], (5 * batch // sizes[1], sizes[1] + 1), dtype=torch.int32)
    settings = {"precision": precision, "compiled": device == "cuda"}
    call = throughput, (model_of(*sizes, device), windows, batch, 5), settings
    rate = benchmark.pedantic(*call, rounds=1)
    info = dict(zip(("vocab", "context", "width", "depth"), sizes, strict=True)) | {"batch": batch, **settings}
    info |= {"load": os.getloadavg()[0], "cores": os.cpu_count()}  # of the machine: a busy one is slower
    benchmark.extra_info |= {"device": device, "threads": 1, "rounds": 1, "tokens_per_second": rate, **info}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compiled", action="store_true")
    args = parser.parse_args()
    if args.device == "cpu":
        torch.set_num_threads(1)
    heading = f"{'vocabulary':>10}{'context':>8}{'width':>6}{'depth':>6}{'batch':>7}"
    print(f"{heading}" + "".join(f"{precision:>12}" for precision in PRECISIONS) + "  training tokens/s")
    for *shape, batch_tokens in CPU_SHAPES if args.device == "cpu" else GPU_SHAPES:
        windows = torch.randint(shape[0], (5 * batch_tokens // shape[1], shape[1] + 1), dtype=torch.int32)
        rates = [
            throughput(
                model_of(*shape, args.device),
                windows,
                batch_tokens,
                args.seconds,
                precision=precision,
                compiled=args.compiled,
            )
            for precision in PRECISIONS
        ]
        columns = f"{shape[0]:10}{shape[1]:8}{shape[2]:6}{shape[3]:6}{batch_tokens:7}"
        print(columns + "".join(f"{rate:12,.0f}" for rate in rates), flush=True)
    print(f"\n{heading}{'tokens/s':>12}{'statistics':>12}{'agreement':>12}  of an evaluation; ratios to it")
    for *shape, batch_tokens in EVALUATED if args.device == "cpu" else GPU_SHAPES:
        windows = torch.randint(shape[0], (4 * batch_tokens // shape[1], shape[1] + 1), dtype=torch.int32)
        base, *ratios = overhead(model_of(*shape, args.device), windows, batch_tokens, args.rounds)
        columns = f"{shape[0]:10}{shape[1]:8}{shape[2]:6}{shape[3]:6}{batch_tokens:7}"
        rate = windows[:, 1:].numel() / base
        print(columns + f"{rate:12,.0f}" + "".join(f"{ratio:12.3f}" for ratio in ratios), flush=True)


if __name__ == "__main__":
    main()
