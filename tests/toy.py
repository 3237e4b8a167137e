"""A real but tiny experiment for the tests of the store: powers of a number."""

from dataclasses import dataclass
from typing import ClassVar

from nclib.runs.arguments import choose
from nclib.runs.experiment import Experiment, rows
from nclib.runs.study import Study

calls = []


@dataclass(frozen=True)
class Toy(Experiment):
    """Powers of a number over seven."""

    NAME: ClassVar[str] = "toy"

    base: float = 3.0
    powers: tuple = (1, 2)
    seed: int = 0
    gpu: bool = False

    def needs_gpu(self):
        return self.gpu

    def run(self, device="cpu"):
        calls.append(self)
        return rows({"power": [self.base**power / 7 for power in self.powers], "base": self.base}, "i", step=0)


def runs(profile, *, seed=0, base=3.0):
    gpu = choose(profile, {"smoke": False, "laptop": False, "paper": True})
    return [Toy(base=base, seed=s, gpu=gpu) for s in range(seed, seed + 3)]


STUDY = Study(
    "toy",
    lambda profile, *, seed=0, base=3.0: {"all": runs(profile, seed=seed, base=base)},
    cost={"paper": "estimated: a second on any GPU"},
)
