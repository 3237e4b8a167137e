"""One run on several processes, as torchrun starts them."""

import os

from nclib import results
from nclib.measuring import ranks


def first():
    """Whether this process is the only one, or the first of those that torchrun started."""
    return int(os.environ.get("RANK", 0)) == 0


def get(config, device, root):
    """`results.get` for the side effect: under torchrun all processes do the run together, and the first stores it.

    Raises ValueError, in the first process alone, for an experiment that does not say that it is `DISTRIBUTED`.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        results.get(config, device, root)
        return
    module, name = results.experiment(config)
    if not getattr(module, "DISTRIBUTED", False):
        if first():
            raise ValueError(f"{name} runs in one process: start it without torchrun")
    elif results.find(config) is None:
        device = results.device_for(config, device)
        with ranks(device):
            if first():
                results.get(config, device, root)
            else:
                module.run(config, device)
