"""One way to name a torch device, and whether something fits in its memory."""

import contextlib
import math
import os

import torch

SMALL = 2**30  # bytes that are not asked about


def torch_device(device=None, *, float64=False) -> torch.device:
    """`device` as a torch.device that exists here, None as the CPU. With float64=True, MPS (which has none) becomes it.

    Raises ValueError for an unknown name, for "meta" and for a GPU that is not there.
    """
    try:
        resolved = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device={device!r}, must be a torch device such as 'cpu', 'cuda' or 'cuda:1'") from None
    if resolved.type == "meta":
        raise ValueError("device='meta', which holds no numbers: name 'cpu' or 'cuda'")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={str(device)!r}, but this machine has {torch.cuda.device_count()} CUDA devices")
    return torch.device("cpu") if float64 and resolved.type == "mps" else resolved


def check_room(what: str, needed: int, device: torch.device | None = None) -> None:
    """ValueError, before anything is allocated, for more bytes than are free: for `what`, such as "num_classes=7".

    A processor would promise the memory and end the process when it is used.
    """
    if needed < SMALL:
        return
    gpu = device is not None and device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if gpu else free_memory()
    if needed > free:
        raise ValueError(f"{what}: needs {needed / 2**30:,.1f} GiB of memory, {free / 2**30:,.1f} GiB are free here")


def free_memory() -> float:
    """Bytes that this process can still take: of the machine's, and of a limit such as `ulimit -v`; inf where neither
    is known."""
    free = [math.inf]
    with contextlib.suppress(OSError, StopIteration), open("/proc/meminfo", encoding="ascii") as file:
        free.append(1024 * int(next(line for line in file if line.startswith("MemAvailable")).split()[1]))
    with contextlib.suppress(ImportError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            with open("/proc/self/statm", encoding="ascii") as file:
                free.append(max(0, limit - int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")))
    return min(free)
