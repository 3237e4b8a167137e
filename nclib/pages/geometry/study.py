"""The runs of page 01: three frames in three dimensions, the traps of the metrics, a network on digits."""

from nclib.pages.geometry.frame import Frame
from nclib.pages.geometry.network import Network
from nclib.pages.geometry.trap import TRAPS, Trap
from nclib.runs.arguments import choose
from nclib.runs.study import Study

FRAMES = {"OF": ((15, 15, 15), False), "ETF": ((15, 15, 15), True), "GOF": ((30, 10, 5), False)}
SIZES = {  # (seeds, points of a trap's curve, epochs)
    "smoke": (1, 7, 10),
    "laptop": (3, 25, 120),
    "paper": (3, 25, 600),
}


def parts(profile, *, seed=0, lam=5e-4, epochs=None, weight_decay=5e-3):
    """Each frame, trap and the network from each seed. lam: of the frames; epochs, weight_decay: of the network."""
    starts, points, length = choose(profile, SIZES)
    seeds = range(seed, seed + starts)
    return {
        "frames": [Frame(frame, counts, bias, lam, s) for frame, (counts, bias) in FRAMES.items() for s in seeds],
        "traps": [Trap(trap, points, s) for trap in TRAPS for s in seeds],
        "network": [Network(epochs or length, weight_decay, s) for s in seeds],
    }


STUDY = Study(
    "geometry",
    parts,
    beside={"600 epochs": ("paper", {})},
    whole=True,
    cost={"paper": "a minute on one CPU core, as measured: only the network trains longer"},
)
