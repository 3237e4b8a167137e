"""The runs of page 06: the minimizer tied to given features, its linear response, and what becomes of the metrics."""

from nclib.pages.near_collapse.attenuation import Attenuation
from nclib.pages.near_collapse.certificate import Certificate
from nclib.pages.near_collapse.decays import Decays
from nclib.pages.near_collapse.general import General
from nclib.pages.near_collapse.minimizer import Minimizer
from nclib.pages.near_collapse.proofs import TraceRatio
from nclib.pages.near_collapse.response import Response
from nclib.runs.arguments import choose
from nclib.runs.study import Study

FIGURE_1 = (0.05, 0.1, 0.2, 0.4, 0.6)  # values of lam_H at lam_W = sqrt 2; not in the text of the paper, ours
PRODUCTS = (0.02, 0.2, 0.36, 4 / 9, 0.5, 0.65, 0.75, 0.92, 0.98)  # further values of lam_W lam_H
CS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.01, 1.05, 1.2)
BETAS = (0.25, 1, 3, 10, 30, 100, 1000)
PAIRS = ((0.25, 1.0), (1.0, 10.0))
SIZES = (1e-4, 1e-3, 1e-2, 1e-1)
NOISES = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0)
GENERAL = {"lam_W": 0.5, "lam_H": 0.3, "steps": (1e-2, 1e-3), "large": (10.0, 100.0, 1000.0, 3000.0), "ranks": (0, 1)}
SIDES = (0.1, 0.2, 0.3, 0.4, 0.45, 0.55, 0.6, 2 / 3, 0.7, 0.8, 0.9)  # of c = 1/2, where the verdict on NC2 turns
FIXED = (1.0, 10.0, 100.0, 1000.0)


def parts(profile, *, seed=0, lam_W=2**0.5, beta=100.0, num_classes=4, samples=10, dim=10):
    """The minimizer over c; the response over lam_H (Fig. 1's five values and a grid) and over beta; the metrics over
    lam_H, for two lam_W, two shapes of noise, and over the size of the noise; features that are not near collapse; the
    elasticities in both decays; random problems."""
    few = choose(profile, {"smoke": True, "laptop": False, "paper": False})
    seeds = tuple(range(seed, seed + (1 if few else 3)))
    shape = {"num_classes": num_classes, "samples": samples, "dim": dim, "seeds": seeds}
    cs, noises = (CS[1::3], NOISES[1::2]) if few else (CS, NOISES)
    first = figure_1(lam_W)
    lam_H, s = first[2], (first[2] / lam_W) ** 0.5
    found = {
        name: [Minimizer(lam_W, tuple(c * c / lam_W for c in cs if c < 1 or tie == 0), tie, seeds=seeds)]
        for name, tie in {"free": 0.0, "tied": 1.0}.items()
    }
    grid = sorted({product / lam_W for product in PRODUCTS[:: 3 if few else 1]} - set(first))
    found["Fig. 1"] = [Response(lam_W, lam, beta, **shape) for lam in first]
    found["over lam_H"] = [Response(lam_W, lam, beta, **shape) for lam in grid]
    sizes = SIZES[1:3] if few else SIZES
    found["over beta"] = [Response(lam_W, lam_H, r * s, **shape, sizes=sizes) for r in BETAS[:: 3 if few else 1]]
    found["over noise"] = [Attenuation(lam_W, lam_H, tie, 1.0, **shape, sizes=noises) for tie in (s, 10 * s)]
    found["over c"] = [
        Attenuation(factor * lam_W, c * c / (factor * lam_W), 1.0, skew, **shape, sizes=(1e-3,))
        for factor, skew in (PAIRS[-1:] if few else PAIRS)
        for c in ((0.2, 0.6) if few else (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9))
    ]
    found["any features"] = [General(betas=(3.0,) if few else (0.3, 3.0, 30.0, 100.0), **GENERAL, seeds=seeds)]
    found["proof"] = [TraceRatio(12, seed)]
    return found | decays(few, lam_W, shape) | {"random problems": [Certificate(2 if few else 15, 4, seeds=seeds)]}


def decays(few, lam_W, shape):
    """The parts about the two decays; d = K is the case in which the classifier sees all noise."""
    small = {"size": 1e-5, "step": 1e-3}
    square = shape | {"dim": shape["num_classes"]}
    follows = [
        Decays(lam_W, c * c / lam_W, tie, "follows", **small, **more)
        for tie, more in (((1.0, shape), (1.0, square)) if few else ((1.0, shape), (10.0, shape), (1.0, square)))
        for c in (SIDES[1::4] if few else SIDES)
    ]
    fixed = {
        f"H0 fixed, {start}": [Decays(0.5, 0.2, tie, start, size=1e-2, step=0.02, **shape) for tie in FIXED]
        for start in ("random", "near")
    }
    return {"H0 follows": follows} | fixed


def figure_1(lam_W):
    """The lam_H of Fig. 1 at lam_W = sqrt 2: here at any lam_W with the same c."""
    return tuple(2**0.5 / lam_W * lam_H for lam_H in FIGURE_1)


STUDY = Study("near_collapse", parts, cost={"paper": "about a minute on one CPU core"})
