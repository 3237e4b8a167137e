"""A real network on real images: 6 hidden layers (or ResNet-18) and M linear layers, with the features penalized.

Minimizes nclib.training.objective with lam_Wm = lam_H = lam on the linear layers and the features alone. Dang et al.
2023 write the fit as 1/(2N) |Z - Y|^2 (scale "paper"); their code minimizes 1/(2NK) ("authors-imbalanced") or 1/(NK)
("authors-balanced") and in mini-batches sums |H|^2 over the batch alone. The prediction is that of the objective that
was really minimized: its effective decays are `effective_decays`.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
import torch

from nclib import checkpoint
from nclib.data import load, subset
from nclib.experiments.dang2023 import prediction
from nclib.models import MLP, ResNet18
from nclib.results import key, rows
from nclib.statistics import StatisticsAccumulator
from nclib.theory import deep_linear
from nclib.training import effective_lambda, fit_scale, log_steps, seed_everything, train

VERSION = 1
HIDDEN_LAYERS = 6
CHUNK = 2000


@dataclass(frozen=True)
class Config:
    """One network.

    data, counts: images a class, the first of each. model: "mlp" or "resnet18" (512 features; decay lam on all
    parameters and none on features, as the authors train it). batch_norm: after each hidden layer; without it there is
    one more linear layer before the features, whose start is multiplied by `feature_scale`: features that start much
    longer than they end are driven to 0, and ReLUs die with them. init: of the linear layers. batch_size None: the full
    batch. The learning rate is divided by 10 every `drop` epochs. precision: of the training, see
    nclib.training.train.
    """

    data: str
    counts: tuple[int, ...]
    depth: int
    bias: bool
    lam: float
    epochs: int
    drop: int
    lr: float
    width: int
    seed: int
    scale: str = "paper"
    batch_size: int | None = None
    batch_norm: bool = False
    model: str = "mlp"
    init: str = "orthogonal"
    feature_scale: float = 1.0
    precision: str = "float32"


def needs_gpu(config):
    """Whether a CPU would take hours."""
    return config.data == "cifar10"


def data(config):
    """{file: sha256} of the images."""
    return load(config.data).sha256 | load(config.data, "test").sha256


def effective_decays(config):
    """(lam_W, lam_H) with which the paper's objective has the minimizers of the objective that was minimized."""
    lam, N = effective_lambda(config.lam, len(config.counts), config.scale), sum(config.counts)
    return lam, lam * (1.0 if config.scale == "paper" else (config.batch_size or N) / N)


def prediction_for(config):
    """The Minimizer that the network is held against. For "resnet18" only its directions mean anything."""
    lam_W, lam_H = effective_decays(config)
    return deep_linear.mse_minimizer(config.counts, [lam_W] * config.depth, lam_H, bias=config.bias, width=config.width)


def authors_prediction(config):
    """The Minimizer that the authors' code compares with: that of lam itself."""
    return deep_linear.mse_minimizer(
        config.counts, [config.lam] * config.depth, config.lam, bias=config.bias, width=config.width
    )


def build(config, in_features):
    """The network, from torch's global generator."""
    if config.model == "resnet18":
        return ResNet18(len(config.counts), config.depth, bias_last=config.bias, final_norm=True, init=config.init)
    model = MLP(
        in_features,
        config.width,
        HIDDEN_LAYERS,
        len(config.counts),
        config.depth,
        batch_norm=config.batch_norm,
        intermediate=not config.batch_norm,
        bias_last=config.bias,
        init=config.init,
    )
    if not config.batch_norm:
        with torch.no_grad():
            model.backbone[-1].weight.mul_(config.feature_scale)
    return model


def run(config, device="cpu"):
    """Measured: the errors against the prediction at each recorded step, and as "authors_..." against the authors'
    target where that is another one; at the end the objective ("loss"), accuracies, the geometry, and the K largest
    singular values of each linear layer. Theory: the same but for errors and accuracies; "authors_..." there is the
    exact floor."""
    generator = seed_everything(config.seed)
    images, test = subset(load(config.data), config.counts), load(config.data, "test")
    model = build(config, images.x[0].numel()).to(device)
    x, y = images.x.to(device), images.y.to(device)
    target, authors = prediction_for(config), authors_prediction(config)
    misled = not config.bias and len(set(config.counts)) > 1 and config.scale != "paper"
    steps = config.epochs * ceil(len(x) / (config.batch_size or len(x)))
    found = []

    def record(step, model):
        stats, P = statistics(model, x, y), model.head.product()
        found.append(rows(prediction.errors(stats, P, target), step=step))
        if misled:
            wrong = prediction.errors(stats, P, authors)
            found.append(rows({f"authors_{name}": value for name, value in wrong.items() if name != "nc1"}, step=step))
        if step == steps:
            found.append(rows(prediction.measured_geometry(stats, P, target), step=step))
            for m, W in enumerate(model.head.weights, 1):
                sv = torch.linalg.svdvals(W.double())[: len(config.counts)]
                found.append(rows({"singular_value": sv}, step=step, layer=f"W{m}"))
            for split, part in {"train": images, "test": test}.items():
                share = accuracy(model, part.x.to(device), part.y.to(device))
                found.append(rows({"accuracy": share}, step=step, split=split))

    kept = checkpoint.of_run(config, key(config), found)
    values = fit(config, model, x, y, generator, record, recorded(steps), kept)
    found.append(rows({"loss": values[-1]}, step=steps))
    return pd.concat([*found, *predicted(config, target, authors, misled, steps)], ignore_index=True)


def fit(config, model, x, y, generator, record, record_at, kept=None):
    """Train as the authors do: Adam and explicit penalties for the MLP, SGD and weight decay for ResNet-18."""
    terms = {"scale": config.scale, "lam_W": config.lam, "lam_H": config.lam}
    if config.scale != "paper":
        terms["num_samples"] = None
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    if config.model == "resnet18":
        terms |= {"lam_W": 0.0, "lam_H": 0.0}
        decay = {"momentum": 0.9, "weight_decay": config.lam}
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, fused=True, **decay)
    return train(
        model,
        x,
        y,
        optimizer=optimizer,
        epochs=config.epochs,
        batch_size=config.batch_size,
        schedule=torch.optim.lr_scheduler.StepLR(optimizer, config.drop, 0.1),
        generator=generator,
        evaluate=record,
        evaluate_at=record_at,
        precision=config.precision,
        checkpoint=kept,
        **terms,
    )


def recorded(steps):
    """Steps on a logarithmic and on a linear scale."""
    return sorted({*log_steps(steps, 12), *np.linspace(0, steps, 25).round().astype(int).tolist()})


def statistics(model, x, y):
    """ClassStatistics, with scatter, of the features of all images."""
    K, d = model.head.product().shape
    accumulator = StatisticsAccumulator(K, d, device=x.device, scatter=True)
    for images, labels in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        accumulator.update(model.features(images), labels)
    return accumulator.compute()


def accuracy(model, x, y):
    """The share of images whose largest logit is that of their class."""
    guesses = torch.cat([model(images).argmax(1) for images in x.split(CHUNK)])
    return float((guesses == y).double().mean())


def predicted(config, target, authors, misled, steps):
    """The theory rows."""
    at = {"step": steps, "source": "theory"}
    if config.model == "resnet18":
        return
    lam_W, lam_H = effective_decays(config)
    loss = fit_scale(len(config.counts), config.scale) * target.loss
    yield rows(prediction.predicted_geometry(target) | {"loss": loss}, **at)
    problem = {"counts": config.counts, "weight_decays": [lam_W] * config.depth, "lam_H": lam_H}
    for m, sv in enumerate(deep_linear.layer_singular_values(**problem, bias=config.bias, width=config.width), 1):
        yield rows({"singular_value": sv}, layer=f"W{m}", **at)
    if misled:
        yield rows({f"authors_{name}": value for name, value in prediction.floors(authors, target).items()}, **at)
