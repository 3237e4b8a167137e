"""What page 01 holds against Dang et al. 2023, a network on digits, and usual ways to measure collapse."""

from nclib.evidence.claims import Claim, Headline, Need, at_least, at_most, near
from nclib.evidence.seeds import by_seed
from nclib.pages.geometry.views import trap

LONG = Need(
    "at least 600 steps of training",  # 14 an epoch
    lambda table: 14 * table.loc[table["part"] == "network", "step"].max() >= 600,
)


def frames(table):
    """The rows of the optimized models, indexed by seed."""
    return table[table["part"] == "frames"].set_index("seed")


def misfit(frame):
    """table -> the larger relative distance of classifier and class means from the closed form."""

    def ours(table):
        rows = frames(table).query(f"frame == '{frame}' and metric in ['misfit_w', 'misfit_h']")
        return by_seed(rows["value"], frames(table).index.unique())

    return ours


def largest_nc1(table):
    """Over the frames."""
    return by_seed(frames(table).query("metric == 'nc1'")["value"], frames(table).index.unique())


def training(table, metric):
    """A metric of the training images: a row for each seed, a column for each epoch."""
    rows = table[(table["part"] == "network") & (table["metric"] == metric) & (table["split"] == "train")]
    return rows.pivot(index="seed", columns="step", values="value")


def fall(metric):
    """table -> the value at the last epoch over that at the start."""
    return lambda table: training(table, metric).iloc[:, -1] / training(table, metric).iloc[:, 0]


def curves(table, name, metric, where="x >= 0"):
    """(the rows of one way of computing, indexed by seed; all seeds)."""
    rows = trap(table, name)
    return rows[rows["metric"] == metric].query(where).set_index("seed"), rows["seed"].unique()


def too_small(table):
    """The exact NC1 over that of the float32 pseudo-inverse, where the merging classes are nearest."""
    rows, seeds = curves(table, "pinv", "float32")
    return by_seed((rows["theory"] / rows["value"])[rows["x"] == rows["x"].min()], seeds)


def too_large(table):
    """|NC1| with numpy's default cutoff over the exact one, the median over distances."""
    rows, seeds = curves(table, "pinv", "numpy32")
    return by_seed(rows["value"] / rows["theory"], seeds, "median")


def worst(metric, where):
    """table -> the largest relative error of the trace."""

    def ours(table):
        rows, seeds = curves(table, "one_pass", metric, where)
        return by_seed(rows["value"], seeds)

    return ours


def ten_classes(table):
    """NC3 of ten orthogonal vectors, centered."""
    rows, seeds = curves(table, "centering", "of", "x == 10")
    return by_seed(rows["value"], seeds)


def last(table, metric):
    """The value of one trap's curve at the last iteration, by seed."""
    rows, _ = curves(table, "dead", metric)
    return rows.loc[rows["x"] == rows["x"].max(), "value"]


TRIED = "after: first trials showed that a loss in float64 fixes positions only to about 1e-6"
RAISED = "after: with less weight decay NC1 ended 1.5 times above its bound; the decay was raised, the bound left"
LIE = "optimized classifier and class means lie on the closed form after one rotation; relative distance"
MINIMA = {"rule": at_most(0.0, 1e-5), "settled": TRIED, "paper_value": "global minimizer"}

HEADLINES = [
    Headline(
        "dang2023.geometry.frames",
        "Before one linear layer features collapse to an orthogonal frame, with a bias to a simplex, and with unequal "
        "classes to a general orthogonal frame",
        [
            Claim("dang2023.geometry.of", f"Balanced, no bias, an OF: {LIE}", ours=misfit("OF"), **MINIMA),
            Claim("dang2023.geometry.etf", f"Balanced, free bias, an ETF: {LIE}", ours=misfit("ETF"), **MINIMA),
            Claim("dang2023.geometry.gof", f"n = (30, 10, 5), no bias, a GOF: {LIE}", ours=misfit("GOF"), **MINIMA),
            Claim(
                "dang2023.geometry.nc1",
                "NC1 at the optimum, the largest over the three frames",
                at_most(0.0, 1e-10),
                largest_nc1,
                paper_value="0",
            ),
        ],
        kind="paper",
        of="Dang et al. 2023, Theorems 3.1, 3.2 and 4.1",
        seen="recalled",
        note="the closed form is derived here",
        every=True,
    ),
    Headline(
        "dang2023.digits",
        "A small network on real digits heads for the same shape",
        [
            Claim(
                "dang2023.digits.nc1",
                "NC1 of the training features, last epoch over start",
                at_most(1e-2),
                fall("nc1"),
                settled=RAISED,
                log=True,
                paper_value="tends to 0",
            ),
            *(
                Claim(
                    f"dang2023.digits.{metric}",
                    f"{metric.upper()} of the training features, last epoch over start",
                    at_most(0.5),
                    fall(metric),
                    log=True,
                    paper_value="tends to 0",
                )
                for metric in ("nc2", "nc3")
            ),
            Claim(
                "dang2023.digits.nc4",
                "NC4 agreement of classifier and nearest class mean on the training set",
                at_least(0.999),
                lambda table: training(table, "nc4").iloc[:, -1],
                paper_value="tends to 1",
            ),
        ],
        kind="extension",
        of="neural collapse as the page defines it; the network is ours",
        seen="recalled",
        needs=LONG,
    ),
    Headline(
        "dang2023.metrics.traps",
        "Usual ways to measure collapse fail silently where it is reached",
        [
            Claim(
                "dang2023.metrics.pinv-float32",
                "A float32 pseudo-inverse reports NC1 too small when two classes merge; exact NC1 over it",
                at_least(50.0),
                too_small,
                log=True,
            ),
            Claim(
                "dang2023.metrics.pinv-numpy",
                "numpy's default cutoff on float32 covariances: |NC1| over the exact NC1, median",
                at_least(1e3),
                too_large,
                log=True,
            ),
            Claim(
                "dang2023.metrics.one-pass",
                "One-pass float32 variance: largest relative error at collapse ratios up to 1e-8",
                at_least(0.5),
                worst("one_pass", "x <= 1.001e-8"),
                log=True,
            ),
            Claim(
                "dang2023.metrics.centering",
                "NC3 of a perfect orthogonal frame of K = 10 classes when its means are centered",
                near(0.3204, 5e-5),
                ten_classes,
                every=True,
            ),
            Claim(
                "dang2023.metrics.dead-nc1",
                "A dying network looks collapsed: NC1 at the last iteration",
                at_most(1e-3),
                lambda table: last(table, "nc1_dead"),
                log=True,
            ),
            Claim(
                "dang2023.metrics.dead-trace",
                "and it is dead: tr Sigma_B there, relative to the living network's",
                at_most(1e-3),
                lambda table: last(table, "trace_between_dead") / last(table, "trace_between_alive"),
                log=True,
            ),
        ],
        kind="extension",
        of="not a statement of the paper",
        seen="derived",
    ),
    Headline(
        "dang2023.metrics.merged",
        "Merged statistics stay exact where one pass in float32 does not",
        [
            Claim(
                "dang2023.metrics.merge",
                "Merged statistics of the same float32 features: largest relative error of tr Sigma_W",
                at_most(0.0, 1e-3),
                worst("nclib", "x > 0"),
            )
        ],
        kind="check",
        of="nclib.statistics",
        seen="derived",
        every=True,
    ),
]
