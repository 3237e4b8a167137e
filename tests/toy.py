"""A real but tiny experiment for the tests of the store: powers of a number."""

import sys
from dataclasses import dataclass

from nclib import results

VERSION = 1
COST = {"paper": "estimated: a second on any GPU"}
calls = []


@dataclass(frozen=True)
class Config:
    base: float = 3.0
    powers: tuple = (1, 2)
    seed: int = 0
    gpu: bool = False


def needs_gpu(config):
    return config.gpu


def run(config, device):
    calls.append(config)
    return results.rows({"power": [config.base**power / 7 for power in config.powers], "base": config.base})


def runs(profile, *, seed=0, base=3.0):
    gpu = results.choose(profile, {"smoke": False, "laptop": False, "paper": True})
    return [Config(base=base, seed=s, gpu=gpu) for s in range(seed, seed + 3)]


module = sys.modules[__name__]
