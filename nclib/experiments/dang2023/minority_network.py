"""Minority collapse in a network: digits, classes of 10 to 100 images, lambda through the thresholds of the smaller.

The network is that of `imbalanced`: full batch, penalties on the linear layer and the features alone.
"""

from nclib.claims import Claim, by_seed, judge
from nclib.experiments.dang2023.minority import beta
from nclib.pages._linear_heads.network import Network as Config
from nclib.results import choose, indexed

COST = {"paper": "about ten minutes on one CPU core"}
DIGITS = {"data": "digits", "width": 64, "lr": 3e-3, "feature_scale": 0.1}
COUNTS = tuple(range(10, 101, 10))
# N^2 lambda^2: the size at and below which a class collapses.
SIZES = {"smoke": (15,), "laptop": (5, 25), "paper": (2, 5, 15, 25, 35)}
TRAINED = "at least 2,000 steps"
CHANGED = "start and learning rate were changed when three seeds had failed"
OVERLAP = Claim(
    "dang2023.minority.network-overlap",
    "Dang et al. 2023",
    "Network on digits, M = 1, classes with beta_k <= 1/4: q_k against 1 - N lambda/sqrt(n_k); mean error",
    "Theorem 4.1 (number recalled, formula derived); for free features",
    *("<=", 0.05, 0),
    precondition=TRAINED,
    kind="extension",
    seen="recalled",
    settled=f"after: restricted to beta_k <= 1/4 after trial runs; {CHANGED}",
)
DEAD = Claim(
    "dang2023.minority.network-collapse",
    "Dang et al. 2023",
    "Network on digits: largest q_k of a class with n_k <= N^2 lambda^2",
    "Theorem 4.1 (number recalled, threshold derived); for free features",
    *("<=", 0.02, 0),
    precondition=TRAINED,
    kind="extension",
    seen="recalled",
    settled=f"after: {CHANGED}; the rule stood",
)


def runs(profile, *, seed=0):
    """One network a lambda and seed."""
    epochs, seeds = choose(profile, {"smoke": (10, 1), "laptop": (2000, 3), "paper": (10_000, 3)})
    return [
        Config(
            **DIGITS,
            counts=COUNTS,
            depth=1,
            bias=False,
            lam=size**0.5 / sum(COUNTS),
            epochs=epochs,
            drop=max(1, epochs * 4 // 5),
            seed=s,
        )
        for size in choose(profile, SIZES)
        for s in range(seed, seed + seeds)
    ]


def overlaps(table):
    """One row a lambda, class and seed: beta over the threshold, measured and predicted q at the end of training."""
    q = indexed(table, "gram_WH")
    q = q[q["i"] == q["j"]]
    keys = ["lam", "seed", "i"]
    theory = q[q["source"] == "theory"].set_index(keys)["value"].rename("theory")
    found = q[q["source"] == "measured"].join(theory, on=keys)
    return found.assign(beta=[float(beta(row.counts, row.lam, 1)[row.i]) for row in found.itertuples()])


def claims(table):
    """The judged claims."""
    found = overlaps(table)
    met = bool((table["epochs"] >= 2000).all())
    found, seeds = (
        found.assign(error=(found["value"] - found["theory"]).abs()).set_index("seed"),
        table["seed"].unique(),
    )
    return [
        judge(OVERLAP, by_seed(found[found["beta"] <= 0.25]["error"], seeds, "mean"), met=met),
        judge(DEAD, by_seed(found[found["beta"] >= 1]["value"], seeds), met=met),
    ]
