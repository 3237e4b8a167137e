"""Tables of `study.STUDY` -> the rows that a figure draws."""

import pandas as pd

from nclib.pages.dual_head.claims import points
from nclib.runs.study import own_runs

RUN = ["experiment", "run", "seed"]
PANELS = {"line": "exact collapse", "mean": "a common mean", "noise": "noise within classes"}
WHERE = {"cos_w": "classifier", "cos_h": "features", "cos_backbone": "backbone"}
STUDENTS = ("mixture", "CIFAR-10")
ARMS = ("one head", "two heads", "DHKD", "DHKD, nonlinear", "CE", "KD", "BinaryKL alone")
SWEPT, FLAT = ("one head", "two heads", "DHKD"), ("CE", "KD", "BinaryKL alone")
MEASURES = ("nc1", "nc2", "nc3", "angles_w")
COLLAPSED = ("CE", "KD", "BinaryKL alone", "one head", "one head, Norm", "two heads", "two heads, Norm", "DHKD")
PLACES = (
    *("CE", "refit of CE", "one head", "refit of one head", "both on CE"),
    *("one head, rescaled", "CE, centered", "one head, centered"),
)


def own(table, part):
    """The rows of a part of the page's own runs."""
    rows = own_runs(table)
    return rows[rows["part"] == part]


def students(table):
    """The rows of the main students, as `panel`: those of the mixture and, where they are archived, of CIFAR-10."""
    rows = table[table["part"].isin(STUDENTS)]
    return rows.assign(panel=rows["part"]).sort_values("panel", key=lambda v: v.map(STUDENTS.index), kind="stable")


def shifted(table):
    """Softmax and sigmoid of three logits that are moved together: columns metric, class, shift, value."""
    rows = own(table, "states")
    rows = rows[rows["metric"].isin(["softmax", "sigmoid"]) & (rows["seed"] == rows["seed"].min())]
    return rows[[*RUN, "metric", "class", "shift", "value"]].reset_index(drop=True)


def conflict(table, loss="BinaryKL"):
    """Cosines of the two gradients against the student's margin, the teacher's being 6: columns panel, line, margin,
    value, theory."""
    rows = own(table, "states").query("loss == @loss and metric in ['cos_w', 'cos_h']")
    line, mean, noise = (rows["states"] == name for name in PANELS)
    rows = rows[line | (mean & (rows["mean"] == 1)) | (noise & (rows["noise"] == 0.5))]
    K = rows["num_classes"].astype(float)
    rows = rows.assign(
        panel=rows["states"].map(PANELS), line=rows["metric"].map(WHERE), margin=rows["student"] * (K / (K - 1))
    )
    return rows[[*RUN, "panel", "line", "margin", "value", "theory"]].reset_index(drop=True)


def accuracies(table):
    """Test accuracy against alpha of the arms that are swept, and of the others at the first and last alpha; of
    CIFAR-10, where archived, of all arms at alpha = 1: columns panel, line, place, alpha, value."""
    rows = table[(table["metric"] == "accuracy") & (table["beside"] == "") & table["part"].isin(["mixture", "digits"])]
    swept, flat = rows[rows["arm"].isin(SWEPT)], rows[rows["arm"].isin(FLAT)]
    ends = [flat.assign(alpha=swept["alpha"].agg(end)) for end in ("min", "max")]
    images = table[(table["metric"] == "accuracy") & (table["part"] == "CIFAR-10") & table["arm"].isin(ARMS)]
    rows = pd.concat([swept, *ends, images]).assign(panel=lambda t: t["part"], line=lambda t: t["arm"])
    rows = rows.assign(place=rows["line"].map(ARMS.index))
    return rows[[*RUN, "panel", "line", "place", "alpha", "value"]].reset_index(drop=True)


def spread(table, part="mixture", alpha=1.0):
    """Accuracy of each arm at an alpha, mean and standard deviation over seeds in percent, and rates: for a reader."""
    rows = own(table, part).query("metric in ['accuracy', 'rate'] and (alpha == @alpha or arm == 'teacher')")
    wide = rows.pivot(index=["arm", "seed"], columns="metric", values="value").groupby("arm", sort=False)
    percent = (
        (100 * wide["accuracy"].mean()).round(1).astype(str)
        + " ± "
        + (100 * wide["accuracy"].std()).round(1).astype(str)
    )
    rates = wide["rate"].agg(lambda v: ", ".join(f"{rate:g}" for rate in sorted(set(v.dropna()))))
    found = pd.DataFrame({"test accuracy, %": percent, "rates chosen": rates})
    order = [arm for arm in ("teacher", *COLLAPSED, *PLACES) if arm in found.index]
    return found.loc[list(dict.fromkeys(order))].rename_axis("arm").reset_index()


def cosines(table):
    """Cosines of the two gradients in training: columns panel, line, epoch, value."""
    rows = own(table, "mixture")
    rows = rows[rows["metric"].isin(["cos_w", "cos_backbone"]) & rows["arm"].isin(["CE", "one head", "two heads"])]
    rows = rows.assign(panel=rows["arm"], line=rows["metric"].map(WHERE))
    return rows[[*RUN, "panel", "line", "epoch", "value"]].reset_index(drop=True)


def collapse(table):
    """NC1, NC2, NC3 and angles of each arm at alpha = 1: columns panel, metric, arm, place, value."""
    rows = students(table)
    rows = rows[rows["metric"].isin(MEASURES) & rows["arm"].isin(COLLAPSED)]
    rows = rows.assign(place=rows["arm"].map(COLLAPSED.index))
    return rows[[*RUN, "panel", "metric", "arm", "place", "value"]].reset_index(drop=True)


def nearness(table):
    """A point for each student: columns panel, width, x (NC1), value (cosine in the backbone less that in W)."""
    found = points(own_runs(table)).reset_index()
    last = found[found["epoch"] == found["epoch"].max()]
    both = pd.concat([found.assign(panel="all epochs"), last.assign(panel="the last epoch")])
    both = both.assign(x=both["nc1"], value=both["difference"])
    return both[["panel", "seed", "width", "x", "value"]].reset_index(drop=True)


def places(table):
    """Accuracy of the arms that ask where the damage is: columns panel, arm, place, value."""
    rows = students(table)
    rows = rows[(rows["metric"] == "accuracy") & rows["arm"].isin(PLACES) & (rows["alpha"] == 1)]
    rows = rows.assign(place=rows["arm"].map(PLACES.index))
    return rows[[*RUN, "panel", "arm", "place", "value"]].reset_index(drop=True)
