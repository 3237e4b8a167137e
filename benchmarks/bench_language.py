"""Language models: tokens a second of `nclib.training.language.fit`, in float32 and bfloat16, on random tokens."""

import os
import time

import pytest
import torch

from nclib.models.gpt import GPT
from nclib.training.language import PRECISIONS, Settings, fit

# vocabulary, context, width, depth, tokens a batch
CPU_SHAPES = [(2048, 128, 64, 2, 1024), (2048, 128, 128, 4, 1024), (8192, 256, 128, 4, 2048)]
GPU_SHAPES = [(8192, 256, width, depth, 65_536) for width, depth in ((32, 1), (128, 4), (512, 12))]
GPU_SHAPES += [(50_257, 512, 512, 12, 65_536), (50_257, 512, 1024, 12, 65_536)]


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
        settings = Settings(epochs, batch_tokens, lr=1e-3, weight_decay=0.1, seed=0, **settings)
        fit(model, windows, settings, measure_at=range(1, epochs + 1), evaluate=evaluate)
    except Enough:
        pass
    return (len(times) - 1) * targets / (times[-1] - times[0])


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
