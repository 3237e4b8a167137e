"""What page 06 holds against Tirer et al. 2023 (text read, numbering of the first version), and what was derived."""

import numpy as np
import pandas as pd

from nclib.evidence.claims import Claim, Headline, at_least, at_most, near
from nclib.evidence.seeds import by_seed, farthest
from nclib.pages.near_collapse.views import GRID, METRICS, elasticities, entries

PAPER = "Tirer et al. 2023"
BOTH = 5e-5  # how exactly an elasticity is measured


def largest(query, values=lambda rows: rows["value"], reduce="max"):
    """table -> for each seed the largest (or what `reduce` says) of `values` of the rows of a query."""

    def ours(table):
        rows = table.query(query)
        return by_seed(values(rows).set_axis(rows["seed"]), table["seed"].unique(), reduce)

    return ours


def error(rows):
    """|measured - predicted|."""
    return (rows["value"] - rows["theory"]).abs()


def grid(table):
    """The responses over lam_H, Fig. 1 and further ones."""
    return table[table["part"].isin(GRID)]


def swept(table):
    """The responses over beta."""
    return table[table["part"] == "over beta"]


def spectrum_error(rows, layer):
    """Largest difference of a singular value of F_kk, or of the first two of F_kk', measured minus closed form."""
    found = [entries(rows, metric, layer) - entries(rows, metric, layer, "theory") for metric in ("sigma", "cross")]
    return np.max([part.abs().to_numpy().max() for part in found])


def dominance(table):
    """The largest singular value of F_kk' over the least of F_kk, for each run; first order over lam_H."""
    cross, sigma = (entries(grid(table), metric, "first-order").to_numpy() for metric in ("cross", "sigma"))
    return (cross.max(1) / sigma.min(1)).max()


def falls(table):
    """(share of Eq. 5's singular values of F_kk that fall at every step of Fig. 1, number that rise at the last)."""
    steps = entries(table[table["part"] == "Fig. 1"], "sigma", "first-order").diff().iloc[1:]
    return float((steps < -1e-12).all().mean()), int((steps.iloc[-1] > 1e-12).sum())


def peak(table):
    """lam_W lam_H at which the first-order sigma(F_kk') is largest."""
    cross = entries(grid(table), "cross", "first-order")[0]
    lam_W, lam_H, _ = cross.index[cross.to_numpy().argmax()]
    return lam_W * lam_H if cross.notna().all() else float("nan")


def truncation(table):
    """(slope of the largest error of a singular value at the two largest beta, Eq. 5's sigma_max at beta = s/4)."""
    first, exact = (entries(swept(table), "sigma", layer) for layer in ("first-order", "exact"))
    gap = (first - exact).abs().max(axis=1)
    betas = gap.index.get_level_values("beta").to_numpy()
    slope = np.log(gap.iloc[-1] / gap.iloc[-2]) / np.log(betas[-1] / betas[-2])
    return float(slope), float(first.iloc[0].max())


def slopes(table):
    """For each seed the slope of log residual against log |dH0|, exact F, farthest from 2 over beta."""
    rows = swept(table)
    rows = rows[rows["layer"] == "exact"]
    x, y = (
        np.log(rows[rows["metric"] == metric].pivot(index=["beta", "seed"], columns="i", values="value"))
        for metric in ("size", "residual")
    )
    slope = (y.iloc[:, -1] - y.iloc[:, 0]) / (x.iloc[:, -1] - x.iloc[:, 0])
    return by_seed(slope, rows["seed"].unique(), farthest(2))


def nondegenerate(rows):
    """The problems whose minimizer is one to rounding error and has no eigenvalue near 0: (beta, seed)."""
    known = rows.pivot(index=["beta", "seed"], columns="metric", values="value")
    return known.index[(known["gradient"] < 1e-13) & (known["least"] > 0.05)]


def differences(table, of):
    """Errors of the theorem, a row for each problem with its hypothesis (beta, seed), a column for each step."""
    rows = table[table["part"] == "any features"]
    known = nondegenerate(rows[rows["metric"].isin(["gradient", "least"])])
    rows = rows[(rows["metric"] == "error") & (rows["of"] == of)]
    return rows.pivot(index=["beta", "seed"], columns="step", values="value").reindex(known)


def random_seeds(table):
    """The seeds of the features that are not near collapse."""
    return table.loc[table["part"] == "any features", "seed"].unique()


def general(of):
    """table -> the largest error at the least step."""
    return lambda table: by_seed(differences(table, of).iloc[:, 0].droplevel("beta"), random_seeds(table))


def general_order(table):
    """The order in which the error of H and of W falls with the step, farthest from 2."""
    found = []
    for errors in (differences(table, of) for of in "HW"):
        small, large = errors.columns
        found.append(np.log(errors[large] / errors[small]) / np.log(large / small))
    return by_seed(pd.concat(found).droplevel("beta"), random_seeds(table), farthest(2))


def general_truncation(table):
    """For each seed the slope of log error of Eq. 5 against log beta, of W or H, farthest from -2."""
    rows = table[table["metric"] == "truncation"]
    errors = np.log(rows.pivot(index=["of", "seed"], columns="beta", values="value"))
    slope = (errors.iloc[:, -1] - errors.iloc[:, 0]) / np.log(errors.columns[-1] / errors.columns[0])
    return by_seed(slope.droplevel("of"), rows["seed"].unique(), farthest(-2))


def fixed(table):
    """|E_H| and |E_W| of each metric and start, H0 held fixed, for the beta from 100 on."""
    rows = table[table["part"].str.startswith("H0 fixed") & (table["beta"] >= 100)]
    return elasticities(rows)


def turned(table):
    """The largest |E_H|/|E_W|."""
    rows = fixed(table)
    return by_seed((rows["lam_H"] / rows["lam_W"]).set_axis(rows["seed"]), table["seed"].unique())


def orders(table):
    """The largest change of beta^2 E_H and of beta E_W between the two beta, relative."""
    rows = fixed(table)
    rows = rows.assign(part=rows["run"].map(table.drop_duplicates("run").set_index("run")["part"]))
    scaled = rows.assign(lam_H=rows["beta"] ** 2 * rows["lam_H"], lam_W=rows["beta"] * rows["lam_W"])
    wide = scaled.pivot(index=["part", "metric", "seed"], columns="beta", values=["lam_H", "lam_W"])
    change = [(wide[of].iloc[:, -1] / wide[of].iloc[:, 0] - 1).abs() for of in ("lam_H", "lam_W")]
    change = np.maximum(*change).droplevel(["part", "metric"])
    return by_seed(change, table["seed"].unique())


def proof(metric):
    """table -> a number of the proof by interval arithmetic."""

    def ours(table):
        return table.loc[(table["part"] == "proof") & (table["metric"] == metric), "value"].max(skipna=False)

    return ours


def gaps(table):
    """For each seed the least gap of a problem with margin >= 0."""
    rows = table[table["part"] == "random problems"]
    margin, gap = (rows[rows["metric"] == name].set_index(["seed", "i"])["value"] for name in ("margin", "gap"))
    return by_seed(gap[~(margin < 0)], gap.index.unique("seed"), "min")


def attenuation(metric, name, what):
    """A law of what the minimizer leaves of a metric, at noise of 1e-3."""
    statement = f"Near collapse {what}; largest difference of the factor over lam_W, lam_H, beta and shape of the noise"
    query = f"part in ['over noise', 'over c'] and size == 0.001 and metric == '{metric}'"
    return Claim(f"tirer2023.near-collapse.attenuation.{name}", statement, at_most(0.0, 1e-3), largest(query, error))


def general_claim(of, formula):
    """Theorem 4.1 at general H0: of the features H or of the classifier W."""
    return Claim(
        f"tirer2023.near-collapse.general.{of}",
        f"At any H0 with a nondegenerate minimizer {formula}; largest |central difference - theorem| over |dH0|, at a "
        "step of 1e-3",
        at_most(1e-5),
        general(of),
    )


READ = {"kind": "paper", "seen": "read", "note": "text read, numbering of the first version", "every": True}
DERIVED = {"kind": "extension", "seen": "derived", "every": True}

HEADLINES = [
    Headline(
        "tirer2023.near-collapse.free",
        "The free model's minimizer is collapsed, and a tie to it changes nothing",
        [
            Claim(
                "tirer2023.near-collapse.minimizer",
                "Features of a class agree, Hbar Hbar^T = rho I and W = s Hbar, both 0 where c >= 1; largest entry of "
                "a difference",
                at_most(0.0, 1e-7),
                largest("part == 'free' and metric in ['within', 'gram', 'duality']"),
            ),
            Claim(
                "tirer2023.near-collapse.tied",
                "Tied to collapsed features H0, the minimizer is H0 with its W; largest entry of a difference, from "
                "random starts",
                at_most(0.0, 1e-7),
                largest("part == 'tied' and metric == 'distance'"),
            ),
        ],
        of=f"{PAPER}, Theorem 2.1 and Corollary 2.2",
        **READ,
    ),
    Headline(
        "tirer2023.near-collapse.response",
        "The minimizer responds to its input linearly, most strongly within a class, and lam_H shrinks almost all of "
        "that",
        [
            Claim(
                "tirer2023.near-collapse.quadratic",
                "|H(H0 + dH0) - H - F dH0| is quadratic in |dH0| at collapse; slope farthest from 2 over beta",
                near(2.0, 0.05),
                slopes,
                paper_value=2,
            ),
            general_claim("H", "dH = beta/(Kn) (f_HH - f_HW f_WW^-1 f_WH)^-1 dH0"),
            general_claim("W", "dW = -f_WW^-1 f_WH dH"),
            Claim(
                "tirer2023.near-collapse.general.order",
                "At any H0 with a nondegenerate minimizer the error of a central difference, of H and of W, falls with "
                "the square of the step; order farthest from 2",
                near(2.0, 0.3),
                general_order,
                paper_value=2,
            ),
            Claim(
                "tirer2023.near-collapse.truncation",
                "The error of Eq. 5 falls as beta^-2 at collapse; slope of the largest error of a singular value "
                "between the last two beta",
                near(-2.0, 0.05),
                lambda table: truncation(table)[0],
                paper_value=-2,
            ),
            Claim(
                "tirer2023.near-collapse.general.truncation",
                "The error of Eq. 5 falls as beta^-2 at any H0, for H and for W; slope farthest from -2 over beta from "
                "10 to 3000",
                near(-2.0, 0.1),
                general_truncation,
                paper_value=-2,
            ),
            Claim(
                "tirer2023.near-collapse.theorem-4-2",
                "sigma_max(F_kk) = 1, sigma_min(F_kk) = 1 - s/beta, sigma(F_kk') = mu/beta and rank 1, and all "
                "between; largest error of a singular value of Eq. 5's matrices over lam_H",
                at_most(0.0, 1e-12),
                lambda table: spectrum_error(grid(table), "first-order"),
                settled="after: it took in the values between, which had been judged with those of the exact F",
            ),
            Claim(
                "tirer2023.near-collapse.dominance",
                "F_kk dominates F_kk' at large beta; largest singular value of F_kk' over the least of F_kk",
                at_most(0.1),
                dominance,
                paper_value="dominates",
            ),
            Claim(
                "tirer2023.near-collapse.almost-all",
                "Almost all singular values of F_kk decrease as lam_H grows, by derivation all but d of the d n; share "
                "that falls at every step of Fig. 1, where n = 10",
                near(0.9, 1e-9),
                lambda table: falls(table)[0],
                paper_value="almost all",
            ),
        ],
        of=f"{PAPER}, Theorems 4.1 and 4.2, Eq. 5, Fig. 1 and the text on it",
        **READ,
    ),
    Headline(
        "tirer2023.near-collapse.rising",
        "No singular value of a block grows with lam_H",
        [
            Claim(
                "tirer2023.near-collapse.none-rises",
                "How many do between the last two values of Fig. 1",
                at_most(0),
                lambda table: falls(table)[1],
            )
        ],
        kind="extension",
        of=f"the stricter reading of {PAPER}, text on Fig. 1",
        seen="read",
        every=True,
    ),
    Headline(
        "tirer2023.near-collapse.closed",
        "Near collapse the response has a closed form for every beta, with laws for what is left of NC1, of the trace "
        "ratio and of NC2; far from it the minimum has a certificate",
        [
            Claim(
                "tirer2023.near-collapse.spectrum",
                "The whole spectrum of the exact F_kk and F_kk', so that F_kk' exceeds the least of F_kk exactly where "
                "beta (beta + mu) < mu s; largest error of a singular value over lam_H and beta",
                at_most(0.0, 1e-10),
                lambda table: np.maximum(spectrum_error(grid(table), "exact"), spectrum_error(swept(table), "exact")),
                settled="after: that of Eq. 5 went to the claim on Theorem 4.2",
            ),
            Claim(
                "tirer2023.near-collapse.peak",
                "The inter-class response is largest at lam_W lam_H = 4/9; value where it is largest",
                near(4 / 9, 0.05),
                peak,
            ),
            Claim(
                "tirer2023.near-collapse.void",
                "Eq. 5 is void for beta < s/2: its largest singular value at beta = s/4, where the exact one is 1",
                near(3.0, 1e-9),
                lambda table: truncation(table)[1],
            ),
            attenuation("nc1", "nc1", "the minimizer multiplies NC1 by (1 + s/beta)^-2, whatever the noise"),
            attenuation(
                "nc1_trace_ratio",
                "trace-ratio",
                "the trace ratio falls by (1 + s/beta)^-2 in and (1 + lam_H/beta)^-2 off the span",
            ),
            attenuation("nc2", "nc2", "the minimizer multiplies NC2 by 1/(1 + 2 mu/beta)"),
            Claim(
                "tirer2023.near-collapse.general.degenerate",
                "At H0 of rank r < K the Hessian has as many eigenvalues 0 as rotations that leave H0 alone move the "
                "minimizer, 6 at H0 = 0 and 3 at rank 1 for K = 3, d = 4; largest difference",
                at_most(0),
                largest("metric == 'zeros'", error),
            ),
            Claim(
                "tirer2023.near-collapse.certificate",
                "Where the margin is >= 0 the stationary point is the global minimum: least excess of random starts, "
                "relative",
                at_least(0.0, 1e-9),
                gaps,
            ),
        ],
        of="our theory of the response and of the minimum",
        **DERIVED,
    ),
    Headline(
        "tirer2023.near-collapse.matters",
        "Whether lam_H matters more than lam_W depends on the metric, and turns when H0 is held fixed",
        [
            Claim(
                "tirer2023.near-collapse.matters.laws",
                "Near collapse, H0 moving with the decays: elasticities of all three metrics in both, by which for NC1 "
                "both decays matter alike, lam_H more for the trace ratio if d > K and for NC2 if c < 1/2; largest "
                "error of the laws",
                at_most(0.0, BOTH),
                largest(f"part == 'H0 follows' and metric in {METRICS}", error),
            ),
            Claim(
                "tirer2023.near-collapse.fixed.turns",
                "With H0 held fixed, random or near collapse, |E_H| < |E_W| for every metric from beta = 100 on; "
                "largest |E_H|/|E_W|",
                at_most(1.0),
                turned,
            ),
            Claim(
                "tirer2023.near-collapse.fixed.orders",
                "E_H falls as beta^-2 and E_W as 1/beta; largest relative change of beta^2 E_H and beta E_W from "
                "beta = 100 to 1000",
                at_most(0.0, 0.05),
                orders,
            ),
        ],
        of="our laws of the decays",
        **DERIVED,
    ),
    Headline(
        "tirer2023.near-collapse.proof",
        "Interval arithmetic certifies that for the trace ratio lam_H matters more",
        [
            Claim(
                "tirer2023.near-collapse.proof-trace-ratio",
                "|E_H|/|E_W| - 1 of the trace ratio is more than 2 c (1-a)/a, for c from 0.01 to 0.99, lam_H from 1e-4 "
                "to 10, beta from 1e-3 to 1e4, any a < 1; boxes in which that is not shown",
                at_most(0),
                proof("unproved"),
            ),
            Claim(
                "tirer2023.near-collapse.proof-trace-ratio-factor",
                "By what factor at least, certified",
                at_least(1.0),
                proof("lower"),
            ),
        ],
        kind="check",
        of="our laws of the decays",
        seen="derived",
        every=True,
    ),
]
