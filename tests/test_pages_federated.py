"""Page 17: the client's step against torch's own layers, rounds, evaluation by hand, claims and figures."""

import matplotlib
import pandas as pd
import pytest
import torch
from published import drawn

from nclib.evidence.claims import judge_all
from nclib.pages.federated import claims, data, figures, image_loop, loop, speed, study, views
from nclib.pages.federated.quoted import quoted
from nclib.pages.federated.study import STUDY
from nclib.runs.study import own_runs
from nclib.training import checkpoint, federated

matplotlib.use("agg")
f64 = {"dtype": torch.float64}
ARMS = (("FedAvg", "", 0.0, 0.0, 0.1, 0.0), ("sparse ETF", "sparse", 1.0, 0.6, 0.1, 0.0))


@pytest.fixture(scope="module")
def both(smoke_table):
    """The runs at smoke, and those of paper scale that are archived."""
    return smoke_table(STUDY)


@pytest.fixture(scope="module")
def table(both):
    return own_runs(both)


def test_value_groups_by_hand():
    # 60, 30, 6, 4 of 100: 75% is passed by the second class, 95% by the third
    assert data.groups((60, 30, 6, 4)).tolist() == [0, 0, 1, 2]


def test_value_local_accuracy_by_hand():
    """Two clients, classes in proportions (3, 1) and (0, 1); the mask rescues the second."""
    Z = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [0.0, 1.0]]).expand(2, 4, 2)
    y = torch.tensor([0, 0, 1, 1])
    who = torch.tensor([[3.0, 1.0], [0.0, 2.0]], **f64)
    assert loop.locally(Z, y, who, False).item() == pytest.approx((0.75 * 1 + 0.25 * 0.5 + 0.5) / 2)
    assert loop.locally(Z, y, who, True).item() == pytest.approx((0.75 * 1 + 0.25 * 0.5 + 1.0) / 2)


def test_value_degeneration_by_hand():
    H = torch.tensor([[4.0, 0, 1, 0, 0], [6.0, 2, 1, 0, 0]], **f64)  # one class; means 5, 1, 1, 0, 0
    found = loop.degeneration(H, torch.tensor([0, 0]), 1)
    assert found["top share"].item() == pytest.approx(5 / 7)
    M, S = loop.spread(H, torch.tensor([0, 0]), 1)
    assert M.tolist() == [[5, 1, 1, 0, 0]] and sorted(S[0].tolist()) == [0, 0, 0, 1, 1]
    assert found["noise"].item() == pytest.approx(S[0, 2:].mean().item() / 5)


def test_oracle_unequal_clients_are_those_of_torchs_own_loop():
    """Batches of another number and size for each client: padding changes nothing."""
    generator = torch.Generator().manual_seed(0)
    theta = federated.mlp([3, 5, 4], generator, torch.float64)
    for head in ("main", "aux", "own"):
        theta[f"{head}.weight"] = torch.randn(6, 4, generator=generator, **f64)
        theta[f"{head}.bias"] = torch.zeros(6, **f64)
    x, y = torch.randn(20, 3, generator=generator, **f64), torch.randint(0, 6, (20,), generator=generator)
    parts = [torch.arange(0, 3), torch.arange(3, 14), torch.arange(14, 20)]
    index, weight = federated.batches(parts, 2, 4, generator)
    assert index.shape == (3, 6, 4) and weight.sum((1, 2)).tolist() == [6, 22, 12]
    stacked = {name: value.expand(3, *value.shape) for name, value in theta.items()}
    done = federated.local_training(stacked, x, y, index, weight, lr=0.2)
    for c in range(3):
        real = [index[c, s][weight[c, s] > 0] for s in range(6) if weight[c, s].any()]
        one = speed.by_modules(theta, [x[i] for i in real], [y[i] for i in real], lr=0.2)
        for name in theta:
            torch.testing.assert_close(done[name][c], one[name], rtol=0, atol=1e-13)
    alone = federated.local_training(
        {name: value[None] for name, value in theta.items()}, x, y, index[1:2], weight[1:2], lr=0.2
    )
    for name in theta:
        torch.testing.assert_close(alone[name][0], done[name][1], rtol=0, atol=1e-13)


def test_oracle_fedprox_and_a_frozen_head_by_hand():
    """The first step has no pull, the second mu (theta - start). A frozen head stays, and its backbone moves."""
    generator = torch.Generator().manual_seed(1)
    theta = federated.mlp([2, 2], generator, torch.float64)
    for head in ("main", "aux", "own"):
        theta[f"{head}.weight"] = torch.eye(2, **f64)
        theta[f"{head}.bias"] = torch.zeros(2, **f64)
    x, y = torch.tensor([[1.0, 2.0], [2.0, -1.0]], **f64), torch.tensor([0, 1])
    index, weight = torch.tensor([[[0], [1]]] * 2), torch.ones(2, 2, 1)
    stacked = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    given = {"lr": 0.1, "momentum": 0.0, "prox": torch.tensor([0.0, 3.0])}
    first = federated.local_training(stacked, x, y, index[:, :1], weight[:, :1], **given)
    both = federated.local_training(stacked, x, y, index, weight, **given)
    for name in theta:
        torch.testing.assert_close(first[name][0], first[name][1])
        pull = 0.1 * 3 * (first[name][1] - theta[name])
        torch.testing.assert_close(both[name][0] - both[name][1], pull, rtol=0, atol=1e-14)
    held = federated.local_training(stacked, x, y, index, weight, lr=0.1, frozen=torch.tensor([True, False]))
    assert torch.equal(held["main.weight"][0], theta["main.weight"])
    assert not torch.equal(held["main.weight"][1], theta["main.weight"])
    assert not torch.equal(held["0.weight"][0], theta["0.weight"])


def rounds_of(device, rounds=3):
    """(LocalTraining of two unlike clients, what `rounds` rounds of it give)."""
    generator = torch.Generator().manual_seed(3)
    theta = federated.mlp([3, 5, 4], generator)
    theta |= {f"{head}.weight": torch.randn(6, 4, generator=generator) for head in ("main", "aux", "own")}
    theta |= {f"{head}.bias": torch.zeros(6) for head in ("main", "aux", "own")}
    theta = {name: value.expand(2, *value.shape).to(device) for name, value in theta.items()}
    x, y = (
        torch.randn(20, 3, generator=generator).to(device),
        torch.randint(0, 6, (20,), generator=generator).to(device),
    )
    given = {"lr": 0.2, "prox": torch.tensor([0.0, 0.5]), "frozen": torch.tensor([True, False], device=device)}
    trained, found = federated.LocalTraining(theta, x, y, **given), []
    for _ in range(rounds):
        index, weight = federated.batches([torch.arange(0, 6), torch.arange(6, 20)], 1, 4, generator)
        expected = federated.local_training(theta, x, y, index.to(device), weight.to(device), **given)
        theta = trained(theta, index.to(device), weight.to(device))
        found.append((theta, expected))
    return trained, found


def test_law_rounds_do_not_remember_and_networks_stay_where_they_lie():
    """Each round is that of a new start, bit for bit; steps leave every tensor in its place, where a graph finds it."""
    trained, found = rounds_of("cpu")
    for theta, expected in found:
        assert all(torch.equal(theta[name], expected[name]) for name in theta)
    kept = [value for each in (trained.theta, trained.start, trained.speed) for value in each.values()]
    places = [value.data_ptr() for value in kept]
    assert trained.speed["aux.weight"].any()
    trained.step(torch.ones(2, 2, 4, dtype=torch.int64))
    assert [value.data_ptr() for value in kept] == places
    assert not torch.equal(trained.theta["aux.weight"], found[-1][0]["aux.weight"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_oracle_captured_rounds_are_those_that_are_not(monkeypatch):
    monkeypatch.setenv("NCLIB_GRAPHS", "0")
    plain = rounds_of("cuda")[1]
    monkeypatch.setenv("NCLIB_GRAPHS", "1")
    for (theta, _), (expected, _) in zip(rounds_of("cuda")[1], plain, strict=True):
        for name in theta:
            torch.testing.assert_close(theta[name], expected[name], rtol=0, atol=1e-6)


def test_oracle_any_module_trains_as_the_stacked_network():
    generator = torch.Generator().manual_seed(2)
    theta = federated.mlp([3, 4], generator, torch.float64)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4, dtype=torch.float64), torch.nn.ReLU())
    stacked = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    x = torch.randn(2, 5, 3, generator=generator, **f64)
    torch.testing.assert_close(federated.of_module(module)(stacked, x), federated.mlp_features(stacked, x))


def test_law_one_client_with_everything_is_plain_training():
    """And a second arm beside it changes nothing."""
    run = loop.Loop("mixture", 4, 12, 4, 1, 1, 0.5, 2, 1, 8, ARMS, 0)
    samples = run.samples()
    everything = [torch.arange(len(samples.y))]
    both, _ = run.train(samples, everything, [loop.Arm(*arm) for arm in ARMS])
    alone, _ = run.train(samples, everything, [loop.Arm(*ARMS[0])])
    generator = torch.Generator().manual_seed(0)
    _, *network = run.network(samples, generator)
    start, own = run.start(*network, [loop.Arm(*ARMS[0])], generator)
    theta = {name: value[0] for name, value in start.items()} | {name: value[0, 0] for name, value in own.items()}
    for _ in range(2):
        torch.randperm(1, generator=generator)
        index, _ = federated.batches(everything, 1, 8, generator)
        size = len(samples.y)
        real = [some[: min(8, size - 8 * s)] for s, some in enumerate(index[0])]
        theta = speed.by_modules(theta, [samples.x[i] for i in real], [samples.y[i] for i in real], lr=0.1)
    for name, value in alone.items():
        torch.testing.assert_close(value[0], theta[name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both[name][0], theta[name], rtol=1e-4, atol=1e-5)


def test_value_an_arm_that_diverges_is_right_on_nothing_and_leaves_the_others_alone():
    wild = ("FedAvg", "", 0.0, 0.0, 1e30, 0.0)
    both, alone = (
        loop.Loop("digits", 10, 20, 4, 3, 2, 0.5, 2, 1, 8, arms, 0).run() for arms in ((ARMS[1], wild), (ARMS[1],))
    )
    pd.testing.assert_frame_equal(both[both["arm"] == "sparse ETF"][alone.columns], alone)
    lost = both[both["arm"] == "FedAvg"]
    assert set(lost["metric"]) == {"global", "local", "diverged"} and set(lost["value"]) == {0.0, 1.0}
    assert (lost.loc[lost["metric"] == "diverged", "value"] == 1).all() and "diverged" not in set(alone["metric"])
    where = ["metric", "head", "group", "mask"]
    assert lost[lost["metric"] != "diverged"].merge(alone[where], on=where).shape[0] == 12 + 6


def test_value_frames_of_the_arms():
    gram = (4 * torch.eye(4, **f64) - 1) / 3
    for frame in ("dense", "sparse", "polished"):
        V = loop.Arm("", frame, 3.0, 0.25, 0.1).classifier(4, 12, 0)
        torch.testing.assert_close(V @ V.T, 9 * gram, rtol=0, atol=1e-10)
    near = loop.Arm("", "nearest", 2.0, 0.9, 0.1).classifier(4, 8, 0)
    assert (near == 0).double().mean() >= 0.9
    assert loop.Arm("", "", 0.0, 0.0, 0.1).classifier(4, 8, 0) is None


def test_value_batched_clients_are_equal_in_float64():
    found = speed.Speed(3, 4, 5, 0).run().set_index("metric")["value"]
    assert 0 <= found["difference"] < 1e-13 and found["faster"] > 0


def test_law_smoke_judges_and_draws(table):
    assert set(judge_all(claims.HEADLINES, table)["verdict"]) == {"not at this scale"}
    for draw, view in (
        (figures.accuracies, views.accuracies),
        (figures.maps, views.maps),
        (figures.curve, views.curve),
        (figures.features, views.features),
        (figures.norms, views.norms),
    ):
        assert drawn(draw, view(table)).axes
    assert (views.masks(table)["worth"] > -0.05).all()
    assert quoted(table)["best-dense"] == "1"


def made(values):
    """A table of three seeds with global accuracies {(arm, gamma, beta, lr): accuracy}, 0.001 a seed on top."""
    each = [
        {"arm": arm, "gamma": gamma, "beta": beta, "lr": lr, "value": v + seed / 1000, "seed": seed}
        for (arm, gamma, beta, lr), v in values.items()
        for seed in range(3)
    ]
    return pd.DataFrame(each).assign(part="mixture", metric="global", head="main", group="all", rounds=25, mask=False)


def test_value_each_arm_is_taken_at_its_own_best():
    table = made(
        {
            ("FedAvg", 0.0, 0.0, 0.1): 0.5,
            ("FedAvg", 0.0, 0.0, 0.3): 0.6,
            ("dense ETF", 3.0, 0.0, 0.1): 0.55,
            ("dense ETF", 1.0, 0.0, 0.3): 0.65,
            ("sparse ETF", 3.0, 0.6, 0.1): 0.58,
            ("curve", 3.0, 0.9, 0.1): 0.3,
        }
    )
    assert claims.gain(views.matched, "dense ETF", "FedAvg")(table) == pytest.approx([0.05] * 3)
    assert claims.gain(views.at_best, "dense ETF", "FedAvg")(table) == pytest.approx([0.05] * 3)
    assert claims.gain(views.at_best, "sparse ETF", "dense ETF")(table) == pytest.approx([-0.07] * 3)
    assert claims.peak(table) == pytest.approx([0.03] * 3) and claims.drop(table) == pytest.approx([-0.28] * 3)


def test_law_the_studys_settings_are_those_of_the_prose():
    runs = STUDY.named("laptop")
    assert {len(run.arms) for run in runs["mixture"]} == {21} and len(runs["polish"]) == 8
    assert study.RATES == (0.1, 0.3) and {run.ratio for run in runs["mixture"]} == {50}


def test_law_a_round_of_resnets_on_images_that_are_noise(monkeypatch):
    """The GPU's runs at the size of a test: no BatchNorm is left, and frames stay fixed."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 3, 8, 8, generator=generator), torch.arange(2).repeat_interleave(torch.tensor([8, 4]))
    samples = data.Samples(x, y, x[4:9], y[4:9], (8, 4))
    monkeypatch.setattr(loop, "images", lambda *given: samples)
    arm = ("sparse ETF", "sparse", 0.1, 0.5, 0.03, 0.0)
    run = image_loop.ImageLoop("cifar10", 2, 8, 2, 2, 2, 0.5, 1, 1, 4, (arm,), 0)
    theta, _ = run.train(samples, [torch.arange(7), torch.arange(7, 12)], [loop.Arm(*arm)])
    assert not any("running" in name for name in theta) and run.needs_gpu()
    assert torch.equal(theta["main.weight"][0], loop.Arm(*arm).classifier(2, 512, 0).float())
    assert {"global", "local", "norm"} <= set(run.run()["metric"])


def test_law_runs_for_a_gpu_are_queued():
    from nclib.pages import campaign

    runs = [run for run in STUDY.runs("paper") if run.needs_gpu()]
    chosen = [chosen for study, chosen in campaign.QUEUE if study == "federated"]
    assert len(runs) == 42 and all(any(own(run) for own in chosen) for run in runs)
    assert len(STUDY.runs("paper", data="cifar100")) == 21
    with pytest.raises(
        ValueError, match="data = 'cifar100': must be one of small, cifar10, cifar100, at profile paper"
    ):
        STUDY.runs("laptop", data="cifar100")
    with pytest.raises(ValueError, match="data = 'mnist': must be one of"):
        STUDY.runs("paper", data="mnist")


def archived():
    """Rows as archived runs on images would give them: three seeds, the sparse frame ahead by two points."""
    levels = {"FedAvg": 0.50, "FedProx": 0.49, "dense ETF": 0.55, "sparse ETF": 0.57}
    settings = {"FedAvg": (0.0, 0.0), "FedProx": (0.0, 0.0), "dense ETF": (0.1, 0.0), "sparse ETF": (0.1, 0.6)}
    heads = {"main": 0.0, "aux": -0.10, "realigned": -0.05}
    local = {"aux + own": 0.80, "shifted + own": 0.79, "main": 0.70}
    found = []
    for arm, level in levels.items():
        for seed in range(3):
            at = {"arm": arm, "gamma": settings[arm][0], "beta": settings[arm][1], "lr": 0.03, "seed": seed}
            at |= {"run": f"{arm} {seed}"}
            for group in figures.GROUPS:
                found += [
                    at | {"metric": "global", "head": head, "group": group, "value": level + more + seed / 1000}
                    for head, more in heads.items()
                ]
            found += [
                at | {"metric": "local", "head": head, "mask": mask, "value": value + 0.02 * mask}
                for head, value in local.items()
                for mask in (False, True)
            ]
            values = {"rank global": 0.95, "rank local": 0.85, "noise": 0.5 if arm == "sparse ETF" else 0.6}
            found += [at | {"metric": metric, "value": value} for metric, value in values.items()]
    return pd.DataFrame(found).assign(part="CIFAR-10-LT", beside="CIFAR-10-LT", rounds=60, steps=float("nan"))


def test_value_claims_on_archived_images():
    """The rules of the images' own scale; what is about the mixture is not judged there."""
    judged = judge_all(claims.HEADLINES, archived()).query("beside != ''").set_index("id")
    verdicts = judged["verdict"].to_dict()
    name = "xiao2024.federated."
    assert verdicts[f"{name}order.sparse-matched"] == verdicts[f"{name}order.dense-best"] == "holds"
    assert verdicts[f"{name}global.few-images"] == verdicts[f"{name}global.all-images"] == "holds"
    assert judged.loc[f"{name}global.few-images", "values"] == pytest.approx([0.05] * 3)
    assert verdicts[f"{name}local.mixture"] == "fails" and verdicts[f"{name}degeneration.noise"] == "holds"
    assert verdicts[f"{name}mask.sparse"] == verdicts[f"{name}norms.global"] == "holds"
    elsewhere = {key for key, verdict in verdicts.items() if verdict == "not at this scale"}
    mine = ("global.few", "global.all", "local.digits", "sparsity.peak", "sparsity.drop", "exact.polish")
    assert {f"{name}{key}" for key in (*mine, "batched.equal", "batched.faster")} == elsewhere


def test_law_half_an_archive_is_not_judged():
    """An arm that lacks a seed, or two seeds of all arms."""
    whole = archived()
    for part in (whole[(whole["arm"] != "dense ETF") | (whole["seed"] < 2)], whole[whole["seed"] < 2]):
        assert set(judge_all(claims.HEADLINES, part)["verdict"]) == {"not at this scale"}


def test_value_archived_images_stand_beside_the_mixture(table):
    both = pd.concat([table, archived()], ignore_index=True)
    rows = views.accuracies(both)
    assert rows["panel"].unique().tolist() == ["mixture", "CIFAR-10-LT"]
    found = rows.query("panel == 'CIFAR-10-LT' and arm == 'sparse ETF' and head == 'realigned' and group == 'few'")
    assert sorted(found["value"]) == pytest.approx([0.52, 0.521, 0.522])
    assert len(drawn(figures.accuracies, rows).axes) == 4
    texts = quoted(both)
    assert (texts["archived-cifar-10-lt"], texts["archived-cifar-100-lt"]) == ("12", "none")


def test_value_the_archived_mixture_has_a_panel_and_words_of_its_own(both, table):
    rows = views.accuracies(pd.concat([both, archived()], ignore_index=True))
    assert rows["panel"].unique().tolist() == ["mixture", "mixture, paper scale", "CIFAR-10-LT"]
    pd.testing.assert_frame_equal(rows[rows["panel"] == "mixture"], views.accuracies(table))
    larger = both[(both["beside"] == "paper scale") & (both["part"] == "mixture")].assign(beside="")
    pd.testing.assert_frame_equal(
        rows[rows["panel"] == "mixture, paper scale"].reset_index(drop=True),
        views.accuracies(larger).assign(panel="mixture, paper scale").reset_index(drop=True),
    )
    lost = both[both["metric"] == "diverged"]
    assert set(lost["lr"]) <= {0.3} and set(lost["arm"]) <= {"FedAvg", "FedProx"}  # whether any, a processor decides
    one = larger.iloc[:1].assign(metric="diverged", value=1.0, beside="paper scale")
    assert quoted(table)["diverged"] == "none" and quoted(both)["diverged"] == str(len(lost) or "none")
    assert quoted(pd.concat([both, one], ignore_index=True))["diverged"] == str(len(lost) + 1)


def test_law_a_killed_run_goes_on_from_its_last_round(store, monkeypatch):
    """With the same table as one that was never stopped."""

    class Killed(Exception):
        pass

    def run():
        return loop.Loop("digits", 10, 20, 4, 3, 2, 0.5, 4, 1, 8, ARMS, 0)

    whole = run().run()
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    one, mean, calls = loop.federated, federated.weighted_mean, []

    def killed(*given):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return mean(*given)

    monkeypatch.setattr(one, "weighted_mean", killed)
    with pytest.raises(Killed):
        run().run()
    pd.testing.assert_frame_equal(run().run(), whole, check_exact=True)
    assert len(calls) == 3 + 2  # two rounds were done before the kill, two are left
    assert set(run().reads()) == {"digits.csv.gz"}
