"""The geometry of a trained network's features of mixed inputs, as rows."""

import copy

import torch

from nclib import metrics
from nclib.metrics import calibration_error, mixed_alignment, mixed_amplification, mixed_bend, mixed_span, odds_slope
from nclib.runs.experiment import rows
from nclib.statistics import ClassStatistics
from nclib.theory import mixup

MIXES = (0.1, 0.3, 0.5, 0.7, 0.9)
PLANE, DRAWN, CHUNK = (0, 1, 2), 150, 2000  # the classes of the picture, points of each kind in it


@torch.no_grad()
def measures(model, train_set, test_set, count, generator, probabilities):
    """Tables of rows. Of the network as it is used (eval mode) and, column `batch_norm`, with the statistics of batches
    (train mode), for mixes of `count` random pairs of training images at each weight of MIXES:

    `alignment` of mixes within a class; `span`, `amplification`, `bend` (from the class means of clean training
    images) and `slope` (on log(lambda/(1-lambda))) of mixes of two classes: the metrics of nclib.metrics. `fit_a` and
    `fit_error`, the a with which the closed form is nearest to the mean centered logits, and the relative error; as
    rows the `logit_i`, `logit_j`, `logit_other` at each `mix`, and what the closed form says.

    In eval mode: `accuracy` on test and training images; `ece`, `overconfidence` and, after a temperature is fitted
    on every other test image, `ece_scaled` on the rest (where softmax is meant); `nc1`, the trace ratio of the training
    images; `equiangularity` and `length` of the classifiers; at each hidden `layer` the `segment_distance` of even
    mixes; `x`, `y` of single features, the picture.
    """
    model.eval()
    W, b = model.head.product().detach().double(), model.head.bias.detach().double()
    H = batched(model.features, train_set[0]).double()
    stats = ClassStatistics.from_features(H, train_set[1], len(W), scatter=False)
    yield from clean(model, test_set, stats, W, batched(model, train_set[0]), train_set[1], probabilities)
    pairs = draw(train_set[1], count, generator)
    yield layers(model, train_set[0], pairs["different"])
    for mode in ("eval", "train"):
        copied = copy.deepcopy(model).train(mode == "train")
        features = {
            kind: {mix: mixed(copied, train_set[0], *ends, mix) for mix in MIXES} for kind, ends in pairs.items()
        }
        labels = {kind: [train_set[1][end] for end in ends] for kind, ends in pairs.items()}
        for table in geometry(features, labels, stats.means, W, b):
            yield table.assign(batch_norm=mode)
        if mode == "eval":
            yield from picture(features, labels, W)


def clean(model, test_set, stats, W, train_logits, train_labels, probabilities):
    """Tables of what needs no mix."""
    Z, y = batched(model, test_set[0]).double(), test_set[1]
    for split, logits, labels in (("test", Z, y), ("train", train_logits, train_labels)):
        yield rows({"accuracy": (logits.argmax(1) == labels).double().mean()}, split=split)
    values = {"nc1": metrics.nc1_trace_ratio(stats), "equiangularity": metrics.equiangularity(W)}
    values["length"] = W.norm(dim=1).mean()
    if probabilities:
        values["ece"], values["overconfidence"] = calibration_error(Z, y), metrics.overconfidence(Z, y)
        scaled = Z[1::2] / temperature(Z[::2], y[::2])
        values["ece_scaled"] = calibration_error(scaled, y[1::2])
    yield rows(values)


def temperature(Z, y):
    """The T that minimizes the cross-entropy of Z / T, from 0.1 to 10 in steps of 1 %."""
    T = torch.logspace(-1, 1, 463, dtype=torch.float64)
    losses = torch.stack([torch.nn.functional.cross_entropy(Z / t, y) for t in T])
    return float(T[losses.argmin()])


def draw(y, count, generator):
    """{"different", "same"}: two tensors of `count` indices each, of random pairs of two classes, and of one."""
    y = y.cpu()
    first = torch.randint(len(y), (20 * count,), generator=generator)
    second = torch.randint(len(y), (20 * count,), generator=generator)
    same = y[first] == y[second]
    found = {
        "different": (first[~same][:count], second[~same][:count]),
        "same": (first[same][:count], second[same][:count]),
    }
    if len(found["same"][0]) < count:
        raise ValueError(f"count = {count}: too few pairs of one class were drawn")
    return found


def batched(function, x):
    """A network's output on many images."""
    return torch.cat([function(part) for part in x.split(CHUNK)])


def mixed(model, x, first, second, mix):
    """Features (count, d) of mixed images, float64."""
    device = x.device
    return torch.cat(
        [
            model.features(mix * x[i.to(device)] + (1 - mix) * x[j.to(device)]).double()
            for i, j in zip(first.split(CHUNK), second.split(CHUNK), strict=True)
        ]
    )


def geometry(features, labels, means, W, b):
    """Tables of one mode of batch normalization."""
    different, same, (i, j), (k, _) = features["different"], features["same"], labels["different"], labels["same"]
    alike = torch.cat([same[mix] for mix in MIXES])
    H = torch.cat([different[mix] for mix in MIXES])
    many, weight = (i.repeat(len(MIXES)), j.repeat(len(MIXES))), torch.tensor(MIXES).repeat_interleave(len(i)).to(H)
    Z, own = H @ W.mT + b, alike @ W.mT + b
    Z, own = Z - Z.mean(1, keepdim=True), own - own.mean(1, keepdim=True)
    at = torch.arange(len(Z), device=Z.device)
    z = torch.stack([Z[at, many[0]], Z[at, many[1]]], 1)
    z = torch.cat([z, -z.sum(1, keepdim=True) / (len(W) - 2)], 1)
    t = own[torch.arange(len(own), device=own.device), k.repeat(len(MIXES))].mean()
    levels = z.unflatten(0, (len(MIXES), -1)).mean(1)
    a, error = mixup.fitted(len(W), MIXES, levels, torch.stack([t, -t / (len(W) - 1)]))
    yield rows(
        {
            "alignment": mixed_alignment(alike, k.repeat(len(MIXES)), W),
            "span": mixed_span(H, *many, W),
            "amplification": mixed_amplification(different[0.5], alike, W),
            "bend": mixed_bend(H, *many, weight, means, W),
            "slope": odds_slope(z[:, 0] - z[:, 1], weight),
            "fit_a": a,
            "fit_error": error,
            "logit_same": t,
        },
        theory={
            "alignment": 1.0,
            "span": 1.0,
            "amplification": mixup.amplification(len(W), a),
            "slope": odds_slope(mixup.logits(len(W), a, MIXES) @ torch.tensor([1.0, -1.0, 0.0]).double(), MIXES),
            "logit_same": mixup.logits(len(W), a, 1.0)[0],
        },
    )
    for mix, found, known in zip(MIXES, levels, mixup.logits(len(W), a, MIXES), strict=True):
        names = "logit_i", "logit_j", "logit_other"
        yield rows(dict(zip(names, found, strict=True)), theory=dict(zip(names, known, strict=True)), mix=mix)


def picture(features, labels, W):
    """Tables of single features of mixes of the classes PLANE, in the plane of their classifiers and over the mean
    length of the features of one class there: `x`, `y` by `mix` and `kind`."""
    one, two, three = (W[k] - W.mean(0) for k in PLANE)
    plane = torch.linalg.qr(torch.stack([two - one, 2 * three - one - two], 1)).Q
    plane = plane * torch.sign(torch.stack([(two - one) @ plane[:, 0], three @ plane[:, 1]]))
    chosen = {
        kind: sum(ends[0] == k for k in PLANE).bool() & sum(ends[1] == k for k in PLANE).bool()
        for kind, ends in labels.items()
    }
    places = {kind: {mix: H[chosen[kind]] @ plane for mix, H in by.items()} for kind, by in features.items()}
    unit = torch.cat(list(places["same"].values())).norm(dim=1).mean()
    for k, row in zip(PLANE, (one, two, three), strict=True):
        place = row @ plane / (row @ plane).norm()
        yield rows({"x": place[0], "y": place[1]}, kind="classifier", point=k)
    for kind, by in places.items():
        for mix, place in by.items():
            x, y = (place / unit)[: DRAWN // len(MIXES)].T
            yield rows({"x": x, "y": y}, "point", kind=kind, mix=mix).sort_values("point", kind="stable")


def layers(model, x, pair):
    """`segment_distance` of even mixes at each layer, 1 the first, of which the last is the feature."""
    first, second = (x[end[:CHUNK].to(x.device)] for end in pair)
    outputs = [hidden(model, images) for images in ((first + second) / 2, first, second)]
    half = torch.full((len(first),), 0.5)
    found = [metrics.segment_distance(*(H.flatten(1) for H in one), half) for one in zip(*outputs, strict=True)]
    return rows({"segment_distance": [float("nan"), *found]}, "layer").query("layer > 0")


def hidden(model, x):
    """The output of every nonlinearity or block of the backbone, and its last, the feature."""
    found = []
    for layer in model.backbone:
        x = layer(x)
        if isinstance(layer, torch.nn.ReLU) or hasattr(layer, "shortcut"):
            found.append(x)
    found[-1] = x
    return found
