"""What page 17 holds against Xiao et al. 2024: the rules F1 to F7 of a pilot, those that failed there included."""

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed
from nclib.pages.federated.views import MAIN, TAILS, at_best, curve, main, matched, results

SOURCE = "Xiao et al. 2024"


def trained(table, part=None):
    """Whether every arm was trained for 20 rounds with each of three seeds."""
    rows = table[(table["part"] == (part or main(table))) & table["arm"].isin(MAIN) & (table["metric"] == "global")]
    arms = rows[rows["rounds"] >= 20].groupby("seed")["arm"].nunique()
    return len(arms) >= 3 and bool((arms == rows["arm"].nunique()).all()) and set(arms.index) == set(rows["seed"])


def on(part):
    """Whether a part was trained, and the page's claims are about it."""
    return lambda table: main(table) == "mixture" and trained(table, part)


TRAINED = Need("at least 20 rounds, and every arm with each of three seeds", trained)
MIXTURE = Need("at least 20 rounds on the mixture", on("mixture"))
DIGITS = Need("at least 20 rounds on digits", on("digits"))
IMAGES = Need("a ResNet-18 on a long tail of images", lambda table: main(table) in TAILS and trained(table))


def seeds(table, part=None):
    return table.loc[table["part"] == (part or main(table)), "seed"].unique()


def value(rows, metric, arm, **where):
    """Indexed by seed: a metric of one arm; `where` are further columns."""
    rows = rows[(rows["metric"] == metric) & (rows["arm"] == arm)]
    for name, wanted in where.items():
        rows = rows[rows[name] == wanted]
    return rows.set_index("seed")["value"].astype(float)


def gain(choose, over, under):
    """table -> for each seed the global accuracy of one arm less that of another, by `choose`'s setting of each."""

    def ours(table):
        rows = choose(table, main(table))
        one, other = (value(rows, "global", arm, head="main", group="all") for arm in (over, under))
        return by_seed(one - other, seeds(table))

    return ours


def heads(metric, head, other, part=None, **where):
    """table -> for each seed what a head gains over another, sparse frame, matched setting."""

    def ours(table):
        rows = matched(table, part or main(table))
        one, two = (value(rows, metric, "sparse ETF", head=h, **where) for h in (head, other))
        return by_seed(one - two, seeds(table, part))

    return ours


def of(metric, arm="sparse ETF"):
    """table -> a metric of an arm at the matched setting, for each seed."""
    return lambda table: by_seed(value(matched(table, main(table)), metric, arm), seeds(table))


def noise(table):
    """For each seed the noise of the sparse frame over that of the dense one."""
    one, other = (value(matched(table, main(table)), "noise", arm) for arm in ("sparse ETF", "dense ETF"))
    return by_seed(one / other, seeds(table))


def peak(table):
    """For each seed the accuracy at the best interior share of zeros, the best by the mean, less that at none."""
    found = curve(table).set_index("seed")
    inside = found[(found["beta"] > 0) & (found["beta"] < 0.9)]
    if inside.empty:
        return [float("nan")] * len(seeds(table, "mixture"))
    best = inside.groupby("beta")["value"].mean().idxmax()
    return by_seed(found[found["beta"] == best]["value"] - found[found["beta"] == 0]["value"], seeds(table, "mixture"))


def drop(table):
    """For each seed the accuracy at a share of 0.9 less that at 0.6."""
    found = curve(table).set_index("seed")
    return by_seed(found[found["beta"] == 0.9]["value"] - found[found["beta"] == 0.6]["value"], seeds(table, "mixture"))


def mask(arm, head):
    """table -> for each seed what the mask alone is worth in local accuracy."""

    def ours(table):
        rows = matched(table, main(table))
        one, other = (value(rows, "local", arm, head=head, mask=masked) for masked in (True, False))
        return by_seed(one - other, seeds(table))

    return ours


def polish(table):
    """For each seed the accuracy with the polished frame less that with Adam's."""
    rows = results(table, "global", "polish").query("head == 'main' and group == 'all'")
    one, other = (rows[rows["arm"] == arm].set_index("seed")["value"] for arm in ("polished", "Adam"))
    return by_seed(one - other, seeds(table, "polish")) or [float("nan")]


def batched(metric):
    """table -> of the batched clients, for each seed."""
    return lambda table: by_seed(results(table, metric, "speed").set_index("seed")["value"], seeds(table, "speed"))


HEADLINES = [
    Headline(
        "xiao2024.federated.order",
        "A fixed sparse frame beats a dense one, most at an interior share of zeros; both beat a trained classifier",
        [
            Claim(
                "xiao2024.federated.order.sparse-matched",
                "Global accuracy, sparse less dense frame, same length and rate",
                at_least(0.01),
                gain(matched, "sparse ETF", "dense ETF"),
                paper_value="-3 to +9 points in the logs",
            ),
            Claim(
                "xiao2024.federated.order.dense-matched",
                "Global accuracy, dense frame less FedAvg, same rate",
                at_least(0.01),
                gain(matched, "dense ETF", "FedAvg"),
            ),
            Claim(
                "xiao2024.federated.order.sparse-best",
                "Global accuracy, sparse less dense frame, each at its best",
                at_least(0.01),
                gain(at_best, "sparse ETF", "dense ETF"),
            ),
            Claim(
                "xiao2024.federated.order.dense-best",
                "Global accuracy, dense frame less FedAvg, each at its best",
                at_least(0.01),
                gain(at_best, "dense ETF", "FedAvg"),
            ),
            Claim(
                "xiao2024.federated.sparsity.peak",
                "Accuracy at the best interior share less that of the dense frame",
                at_least(0.01),
                peak,
                needs=MIXTURE,
                seen="recalled",
            ),
            Claim(
                "xiao2024.federated.sparsity.drop",
                "Accuracy at 90% zeros less that at 60%",
                at_most(0),
                drop,
                needs=MIXTURE,
                seen="recalled",
            ),
        ],
        kind="paper",
        of=f"{SOURCE}, the comparison of its logs and the sensitivity to beta",
        seen="authors' data",
        needs=TRAINED,
        note="rules F3 and F7; a best setting is chosen on the test set, which favors arms with more: the frames",
    ),
    Headline(
        "xiao2024.federated.norms",
        "Norms of trained heads follow class sizes; one norm for all rows, or the global norms for local rows, lifts "
        "accuracy",
        [
            Claim(
                "xiao2024.federated.norms.global",
                "Rank correlation of the global head's norms and class sizes",
                at_least(0.9),
                of("rank global"),
                paper_value="0.895 to 0.972",
            ),
            Claim(
                "xiao2024.federated.norms.local",
                "The same of personal heads, mean over clients",
                at_least(0.8),
                of("rank local"),
                paper_value="0.82 to 0.97",
            ),
            Claim(
                "xiao2024.federated.global.few",
                "Accuracy of the second head on few-shot classes, realigned less as it was",
                at_least(0.10),
                heads("global", "realigned", "aux", group="few"),
                needs=MIXTURE,
                seen="read",
            ),
            Claim(
                "xiao2024.federated.global.all",
                "Accuracy of the second head on all classes, realigned less as it was",
                at_least(0.03),
                heads("global", "realigned", "aux", group="all"),
                needs=MIXTURE,
                seen="read",
            ),
            *(
                Claim(
                    f"xiao2024.federated.global.{group}-images",
                    f"The same on {words} classes of a long tail of images",
                    at_least(least),
                    heads("global", "realigned", "aux", group=group),
                    needs=IMAGES,
                    seen="read",
                )
                for group, words, least in (("few", "few-shot", 0.03), ("all", "all", 0.01))
            ),
            Claim(
                "xiao2024.federated.local.mixture",
                "Local accuracy, norms moved less plain sum of the heads, the same mask for both",
                at_least(0.005),
                heads("local", "shifted + own", "aux + own", mask=True),
                seen="read",
            ),
            Claim(
                "xiao2024.federated.local.digits",
                "The same on digits",
                at_least(0.005),
                heads("local", "shifted + own", "aux + own", part="digits", mask=True),
                needs=DIGITS,
                seen="read",
            ),
        ],
        kind="paper",
        of=f"{SOURCE}, GA-FR, LA-FR and the norms that both rest on",
        seen="authors' data",
        needs=TRAINED,
        note="rules F2, F4 and F5; F5, on local accuracy, failed in a pilot",
    ),
    Headline(
        "xiao2024.federated.degeneration",
        "Features degenerate less with a sparse frame",
        [
            Claim(
                "xiao2024.federated.degeneration.noise",
                "Noise of small features over size of large ones, sparse over dense frame",
                at_most(1),
                noise,
                log=True,
            )
        ],
        kind="paper",
        of=f"{SOURCE}, Fig. 1",
        seen="recalled",
        needs=TRAINED,
        note="rule F6",
    ),
    Headline(
        "xiao2024.federated.mask",
        "Masking the classes that a client lacks is worth a point of local accuracy to any method",
        [
            Claim(
                f"xiao2024.federated.mask.{key}",
                f"Local accuracy of the classifier with less without the mask, {arm}",
                at_least(0.01),
                mask(arm, "main"),
                settled="after: one seed had been seen",
            )
            for key, arm in {"fedavg": "FedAvg", "dense": "dense ETF", "sparse": "sparse ETF"}.items()
        ],
        kind="extension",
        of=f"{SOURCE}, the evaluators of the code",
        seen="read",
        needs=TRAINED,
        note="the authors' evaluator masks for their own method alone",
    ),
    Headline(
        "xiao2024.federated.exact",
        "Whether the frame is exact does not matter for accuracy",
        [
            Claim(
                "xiao2024.federated.exact.polish",
                "Accuracy with the polished frame less that with Adam's, eight paired seeds",
                near(0, 0.005),
                polish,
            )
        ],
        kind="extension",
        of=f"{SOURCE}, the sparse ETF classifier",
        seen="derived",
        needs=Need("frames by Adam", lambda table: bool((table["part"] == "polish").any())),
    ),
    Headline(
        "xiao2024.federated.batched",
        "All clients of a round train as one batched model: the same numbers, several times faster",
        [
            Claim(
                "xiao2024.federated.batched.equal",
                "Largest difference of a parameter to a loop over clients, float64",
                at_most(1e-12),
                batched("difference"),
                every=True,
            ),
            Claim(
                "xiao2024.federated.batched.faster",
                "Time of the loop over that of the batch, 40 clients, batches of 8",
                at_least(4),
                batched("faster"),
                log=True,
            ),
        ],
        kind="check",
        of="Our code",
        seen="derived",
        needs=Need("30 steps", lambda table: bool((table.loc[table["part"] == "speed", "steps"] >= 30).any())),
    ),
]
