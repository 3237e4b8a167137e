"""Paired timings: ours and a reference in turn, in one process on one thread, so that a busy neighbour slows both."""

import statistics
import time
from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items):
    """A warning fails no timing: torch's compiler uses what torch deprecates, and advises to round products."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(call, device="cpu"):
    """CPU seconds of this thread, which do not count other processes; on a GPU wall seconds until it has finished."""
    if device == "cpu":
        start = time.thread_time()
        call()
        return time.thread_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def paired(benchmark, ours, reference, rounds, *, device="cpu", **info):
    """Time `reference` before each round of `ours`; ratio = ours / reference of the same round, with its quartiles.

    benchmark.extra_info gets ratio, ratio_low, ratio_high, seconds, reference_seconds (medians), threads and `info`.
    """
    pairs = []

    def before():
        pairs.append([seconds(reference, device)])

    def timed():
        pairs[-1].append(seconds(ours, device))

    benchmark.pedantic(timed, setup=before, rounds=rounds, warmup_rounds=1)
    pairs = pairs[1:]
    low, ratio, high = statistics.quantiles([ours / reference for reference, ours in pairs], n=4)
    medians = dict(zip(("reference_seconds", "seconds"), map(statistics.median, zip(*pairs, strict=True)), strict=True))
    benchmark.extra_info |= {"ratio": ratio, "ratio_low": low, "ratio_high": high, "rounds": rounds, **medians}
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "device": device, **info}


def alone(benchmark, call, rounds, **info):
    """Median CPU seconds of `call` in extra_info["seconds"], for the growth of cost."""
    times = []
    benchmark.pedantic(lambda: times.append(seconds(call)), rounds=rounds, warmup_rounds=1)
    benchmark.extra_info |= {"seconds": statistics.median(times[1:]), "rounds": rounds}
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "device": "cpu", **info}
