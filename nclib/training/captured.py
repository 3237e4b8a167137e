"""Training steps as CUDA graphs.

A step launches hundreds of small kernels; as a graph it is launched once.
"""

import os
from collections import Counter

import torch

WARM = 3  # calls of a length before it is captured: optimizer states, workspaces and compiled code exist then


def graphs(device) -> bool:
    """Whether training steps on a device are captured: on a GPU, unless the variable NCLIB_GRAPHS is 0."""
    return device.type == "cuda" and os.environ.get("NCLIB_GRAPHS") != "0"


class Captured:
    """The function `step(batch)` as a CUDA graph for each length of batch.

    `step` takes a tensor of B rows on a GPU, such as indices, or None, and returns a scalar or None. The first WARM
    calls of a length are done without a graph, and count like all others. Then the step is captured, and from then on
    it is replayed on batches that are copied to where the captured one lies. So everything that changes from step to
    step (rates, counters) must lie on the GPU, and `step` must not wait for the GPU. All work is done on a stream of
    its own: use it inside `with torch.cuda.stream(captured.stream)`.
    """

    def __init__(self, step):
        self.step, self.stream = step, torch.cuda.Stream()
        self.stream.wait_stream(torch.cuda.current_stream())
        self.calls, self.graphs = Counter(), {}

    def __call__(self, batch):
        length = None if batch is None else len(batch)
        self.calls[length] += 1
        if self.calls[length] <= WARM:
            return self.step(batch)
        if length not in self.graphs:
            self.graphs[length] = self._capture(batch)
        graph, index, value = self.graphs[length]
        if batch is not None:
            index.copy_(batch)
        graph.replay()
        return None if value is None else value.clone()

    def beside(self, batch) -> torch.Tensor | None:
        """Call from another stream, which waits for the value, a scalar or None, and on which other work stays."""
        here = torch.cuda.current_stream()
        self.stream.wait_stream(here)
        with torch.cuda.stream(self.stream):
            value = self(batch)
        here.wait_stream(self.stream)
        if value is not None:
            value.record_stream(here)
        return value

    def _capture(self, batch):
        graph, index = torch.cuda.CUDAGraph(), None if batch is None else batch.clone()
        with torch.cuda.graph(graph, stream=self.stream):
            value = self.step(index)
        return graph, index, value


def capturable(optimizer, device) -> None:
    """Put the rates of an optimizer on the GPU, where a captured step finds the values that a schedule sets."""
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True
