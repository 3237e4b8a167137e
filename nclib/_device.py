"""One way to name a torch device."""

import torch


def torch_device(device=None, *, float64=False) -> torch.device:
    """`device` as a torch.device that exists here, None as the CPU. With float64=True, MPS (which has none) becomes it.

    Raises ValueError for an unknown name and for a GPU that is not there.
    """
    try:
        resolved = torch.device("cpu" if device is None else device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device={device!r}, must be a torch device such as 'cpu', 'cuda' or 'cuda:1'") from None
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={str(device)!r}, but this machine has {torch.cuda.device_count()} CUDA devices")
    return torch.device("cpu") if float64 and resolved.type == "mps" else resolved
