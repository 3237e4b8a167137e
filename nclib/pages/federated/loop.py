"""The federated loop of FedLoGe: all arms and clients of a round are one batched model; and what is measured of it."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch

from nclib import frames
from nclib._progress import bar
from nclib.data import dirichlet_split, holdings, load
from nclib.pages.federated.data import Samples, groups, images, mixture
from nclib.pages.sparse_frame.frame import by_adam
from nclib.runs.experiment import Experiment, rows
from nclib.theory import norm_law, sparse_frame
from nclib.training import checkpoint, federated
from nclib.training.federated import norm_transfer, normalized_head

SIZES = (64, 64, 64)  # ReLU layers of the backbone; the last is the feature
GLOBAL, LOCAL = ("main", "aux", "realigned"), ("main", "aux + own", "shifted + own")  # heads, as rows name them


@dataclass(frozen=True)
class Arm:
    """What differs between the runs of one data set. frame: "" (a trained classifier), "dense", "sparse" (exact),
    "nearest" (to a simplex on a random mask), "Adam" (the authors' way) or "polished" (that made exact);
    gamma, the length of its rows; mu of FedProx."""

    name: str
    frame: str
    gamma: float
    beta: float
    lr: float
    mu: float = 0.0

    def classifier(self, K, d, seed):
        """(K, d), or None where it is trained."""
        if not self.frame:
            return None
        generator = torch.Generator().manual_seed(seed)
        turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
        dense = frames.simplex_etf(K, d) @ turn
        if self.frame == "dense":
            return self.gamma * dense
        if self.frame == "nearest":
            mask = sparse_frame.sparse_mask(K, d, self.beta, seed=seed)
            return self.gamma * torch.nn.functional.normalize(sparse_frame.nearest_simplex(mask, starts=1)[0], dim=1)
        exact = frames.sparse_etf(K, d, self.beta, norm=1.0, seed=seed)
        if self.frame == "sparse":
            return self.gamma * exact
        V = by_adam(0.1 * dense * (exact != 0), exact != 0, 0.1, 2500) / 0.1
        return self.gamma * (V if self.frame == "Adam" else sparse_frame.simplex_on_mask(exact != 0, V=V))


@dataclass(frozen=True)
class Loop(Experiment):
    """One data set, split over `clients` by Dir(alpha), `sampled` of them a round. arms: (name, frame, gamma, beta, lr,
    mu) of each `Arm`; all of them see the same data, clients and batches."""

    NAME: ClassVar[str] = "xiao2024.loop"

    data: str
    classes: int
    largest: int
    ratio: int
    clients: int
    sampled: int
    alpha: float
    rounds: int
    epochs: int
    batch: int
    arms: tuple
    seed: int

    def run(self, device="cpu"):
        """For each arm (a row has its fields): accuracies "global" and "local", by `head`, `group` and `mask`, norms of
        the global head, rank correlations, and how features spread. Of an arm that diverged: see `diverged`."""
        samples, arms = self.samples(), [Arm(*arm) for arm in self.arms]
        parts = dirichlet_split(samples.y, self.clients, self.alpha, num_classes=self.classes, seed=self.seed)
        theta, own = self.train(samples, parts, arms, device, checkpoint.of_run(self, self.key(), []))
        H = [self.all_features(theta, x, device) for x in (samples.x, samples.test_x)]
        who = holdings(parts, samples.y, self.classes).double()
        tables = [
            measured(
                *({k: v[a].cpu() for k, v in one.items()} for one in (theta, own)), H[0][a], H[1][a], samples, who
            ).assign(arm=arm.name, frame=arm.frame, gamma=arm.gamma, beta=arm.beta, lr=arm.lr, mu=arm.mu)
            for a, arm in enumerate(arms)
        ]
        return pd.concat(tables, ignore_index=True)

    def reads(self):
        """{file: sha256} of the images."""
        return {} if self.data == "mixture" else load(self.data).sha256 | load(self.data, "test").sha256

    def samples(self):
        if self.data == "mixture":
            return mixture(self.classes, self.largest, self.ratio, self.seed)
        return images(self.data, self.largest, self.ratio, self.seed)

    def network(self, samples, generator):
        """(features, {name: tensor} of the start, dimension of the features)."""
        return federated.mlp_features, federated.mlp([samples.x[0].numel(), *SIZES], generator), SIZES[-1]

    def inputs(self, x):
        """Samples as the network takes them."""
        return x.flatten(1)

    def all_features(self, theta, x, device, block=2000):
        """(arms, N, d) of samples x by the networks of the server, float64, on the CPU."""
        features = self.network(Samples(x, *[None] * 4), torch.Generator().manual_seed(0))[0]
        A = len(theta["main.bias"])
        found = []
        with torch.no_grad():
            for some in self.inputs(x).split(block):
                found.append(features(theta, some.to(device).expand(A, *some.shape)).double().cpu())
        return torch.cat(found, 1)

    def train(self, samples: Samples, parts, arms, device="cpu", kept=None):
        """(theta, own): {name: (arms, ...)} of the server, {name: (arms, clients, ...)} of the personal heads. kept: a
        `Checkpoint`, written after a round where a minute has passed; where its file exists, the rounds go on from
        there."""
        generator = torch.Generator().manual_seed(self.seed)
        x, y, A = self.inputs(samples.x).to(device), samples.y.to(device), len(arms)
        features, *start = self.network(samples, generator)
        theta, own = self.start(*start, arms, generator)
        found = kept.load() if kept is not None else {}
        if found:
            generator.set_state(found["generator"])
            theta, own = ({name: found[f"{of}/{name}"] for name in one} for of, one in (("theta", theta), ("own", own)))
        theta, own = ({k: v.to(device) for k, v in one.items()} for one in (theta, own))
        sizes, sampled, trained = torch.tensor([len(part) for part in parts]), self.sampled, None
        for done_rounds in bar(range(int(found["rounds"]) if found else 0, self.rounds), desc="rounds"):
            chosen = torch.randperm(len(parts), generator=generator)[:sampled]
            index, weight = federated.batches([parts[c] for c in chosen], self.epochs, self.batch, generator)
            each = {k: v[:, None].expand(A, sampled, *v.shape[1:]) for k, v in theta.items()}
            each |= {k: v[:, chosen] for k, v in own.items()}
            each = {k: v.flatten(0, 1) for k, v in each.items()}
            trained = trained or self.local_training(each, x, y, arms, features)
            done = trained(each, *(part.to(device).repeat(A, 1, 1) for part in (index, weight)))
            done = {k: v.unflatten(0, (A, sampled)) for k, v in done.items()}
            for name in own:
                own[name][:, chosen] = done[name]
            shared = {k: v.transpose(0, 1) for k, v in done.items() if k not in own}
            theta = federated.weighted_mean(shared, sizes[chosen])
            if kept is not None and kept.due:
                state = {f"theta/{name}": v for name, v in theta.items()} | {
                    f"own/{name}": v for name, v in own.items()
                }
                kept.save(state | {"generator": generator.get_state(), "rounds": torch.tensor(done_rounds + 1)})
        return theta, own

    def local_training(self, each, x, y, arms, features):
        """A round of the sampled clients of all arms."""
        lr, mu, frozen = (
            torch.tensor(values, device=x.device).repeat_interleave(self.sampled)
            for values in zip(*((arm.lr, arm.mu, bool(arm.frame)) for arm in arms), strict=True)
        )
        return federated.LocalTraining(each, x, y, lr=lr, prox=mu, frozen=frozen, features=features)

    def start(self, backbone, d, arms, generator):
        K, A = self.classes, len(arms)
        head = (torch.rand(K, d, generator=generator) * 2 - 1) / d**0.5  # as nn.Linear's, so |w|^2 is 1/3
        zero = torch.zeros(A, K)
        theta = {name: value.expand(A, *value.shape).clone() for name, value in backbone.items()}
        fixed = [arm.classifier(K, d, self.seed) for arm in arms]
        theta["main.weight"] = torch.stack([head if V is None else V.float() for V in fixed])
        theta |= {"main.bias": zero.clone(), "aux.weight": head.expand(A, K, d).clone(), "aux.bias": zero.clone()}
        C = self.clients
        own = {"own.weight": head.expand(A, C, K, d).clone(), "own.bias": torch.zeros(A, C, K)}
        return theta, own


def measured(theta, own, train, H, samples, who):
    """Rows of one arm: see `Loop.run`. train, H: features of training and of test; who (clients, K): what each client
    has in training."""
    K, counts = who.shape[1], torch.tensor(samples.counts)
    if not all(value.isfinite().all() for value in (*theta.values(), *own.values(), train, H)):
        return diverged(counts)
    W, b = theta["aux.weight"].double(), theta["aux.bias"].double()
    phi, c = own["own.weight"].double(), own["own.bias"].double()
    main = H @ theta["main.weight"].double().T + theta["main.bias"].double()
    heads = dict(zip(GLOBAL, (main, H @ W.T + b, H @ normalized_head(W).T + b), strict=True))
    tables = [by_group(right(Z, samples.test_y, K), counts).assign(head=name) for name, Z in heads.items()]
    personal = H @ phi.mT + c[:, None]
    shifted = H @ norm_transfer(W, phi).mT + b
    local = main.expand_as(personal), heads["aux"] + personal, shifted + personal
    for name, Z in zip(LOCAL, local, strict=True):
        for mask in (False, True):
            tables.append(rows({"local": locally(Z, samples.test_y, who, mask)}, head=name, mask=mask))
    norms = W.norm(dim=1)
    mine = [spearman(p.norm(dim=1), n) for p, n in zip(phi, who, strict=True) if len(n.unique()) > 1]
    values = {
        "rank global": spearman(norms, counts),
        "rank local": sum(mine) / len(mine) if mine else float("nan"),
        "exponent": norm_law.exponent(counts, norms),
    }
    tables.append(rows(values | degeneration(train, samples.y, K)))
    tables.append(rows({"norm": norms}, "class").assign(n=counts.tolist()))
    tables.append(rows(profile(train, samples.y, K), "coordinate"))
    tables.append(rows({"cosine": cosines(theta["main.weight"].double())}, "class", "other"))
    return pd.concat(tables, ignore_index=True)


def diverged(counts):
    """Rows of an arm with a weight or a feature that is not finite: one that says so, and that it is right on nothing.
    What is no accuracy has no row."""
    tables = [by_group(torch.zeros(len(counts)), counts).assign(head=name) for name in GLOBAL]
    tables += [rows({"local": 0.0}, head=name, mask=mask) for name in LOCAL for mask in (False, True)]
    return pd.concat([*tables, rows({"diverged": 1.0})], ignore_index=True)


def right(Z, y, K):
    """(K,) accuracy of each class."""
    hit = (Z.argmax(-1) == y).double()
    return torch.bincount(y, hit, minlength=K) / torch.bincount(y, minlength=K)


def by_group(accuracy, counts):
    """Rows "global" for all classes and for many, medium, few."""
    group = groups(counts.tolist())
    values = {"all": accuracy.mean()} | {
        name: accuracy[group == g].mean() for g, name in enumerate(("many", "medium", "few"))
    }
    return pd.concat([rows({"global": value}, group=name) for name, value in values.items()], ignore_index=True)


def locally(Z, y, who, mask):
    """The mean over clients of the accuracy on test samples in the proportions of the client's own classes. mask:
    classes that a client does not have are no answers, for whichever method."""
    found = []
    for z, n in zip(Z, who, strict=True):
        z = z.masked_fill(n == 0, -torch.inf) if mask else z
        found.append((right(z, y, who.shape[1]) * n).sum() / n.sum())
    return sum(found) / len(found)


def spearman(a, b):
    from scipy.stats import spearmanr

    return float(spearmanr(a.numpy(), b.numpy())[0])


def cosines(W):
    """(K, K) between rows."""
    unit = torch.nn.functional.normalize(W, dim=1)
    return unit @ unit.T


def spread(H, y, K):
    """(means, deviations), both (K, d), of each feature within each class, the features of a class sorted by mean."""
    M = torch.stack([H[y == k].mean(0) for k in range(K)])
    S = torch.stack([H[y == k].std(0, correction=0) for k in range(K)])
    M, order = M.sort(1, descending=True)
    return M, S.gather(1, order)


def degeneration(H, y, K):
    """Noise: deviation of the lower half of a class's features over the mean of its largest fifth, averaged over
    classes. Top share: what the largest fifth has of the sum of means."""
    M, S = spread(H, y, K)
    d = M.shape[1]
    top = M[:, : d // 5]
    noise = (S[:, d // 2 :].mean(1) / top.mean(1)).mean()
    return {"noise": noise, "top share": (top.sum(1) / M.sum(1)).mean()}


def profile(H, y, K):
    """Mean over classes of the sorted means and of the deviations, over the largest mean."""
    M, S = spread(H, y, K)
    scale = M[:, :1]
    return {"magnitude": (M / scale).mean(0), "deviation": (S / scale).mean(0)}
