"""Page 18: students with one head or two, the conflict of two losses, and where the damage is."""

import copy
import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from published import drawn
from torch.nn import functional as F

from nclib.evidence.claims import judge_all
from nclib.pages import campaign
from nclib.pages.dual_head import claims, figures, network, stack, students, tasks, views
from nclib.pages.dual_head.nearness import Nearness
from nclib.pages.dual_head.network import NONLINEAR, Network
from nclib.pages.dual_head.quoted import quoted
from nclib.pages.dual_head.stack import Stack
from nclib.pages.dual_head.states import States
from nclib.pages.dual_head.study import STUDY
from nclib.theory.distillation import align, binary_kl, binary_kl_norm, dual_head, kd
from nclib.training import checkpoint

ARMS = ("CE", "KD", "BinaryKL alone", "one head", "one head, Norm", "two heads", "two heads, Norm")
LOSSES = {"kd": (kd, 4.0), "binary": (binary_kl, 2.0), "norm": (binary_kl_norm, 2.0)}


@pytest.fixture(scope="module")
def table(smoke_table):
    return smoke_table(STUDY)


def group(arms, alpha=0.7):
    """Untrained students of some arms on 12 samples of four classes, and their teacher's logits."""
    generator = torch.Generator().manual_seed(0)
    data = tasks.mixture(4, 2, 5, 0.5, generator, 12, 8, 8)
    T = 3 * torch.randn(12, 4, generator=generator)
    run = students.Students("mixture", 12, (1.0,), (0.1,), 1, 4, 0.0, 0)
    return students.Group([(a, alpha, 0.1) for a in arms], Stack(len(arms), (5, 6, 3), 4, generator), data, T, run)


def parameters_of(made, s):
    """Parameters of student s for autograd, and its logits."""
    own = [p[s].detach().clone().requires_grad_() for p in made.stack.parameters]
    W, b = own[: len(own) // 2], own[len(own) // 2 :]
    h = made.data[0].x
    for A, c in zip(W[:-2], b[:-2], strict=True):
        h = torch.relu(h @ A.T + c)
    return own, [h @ A.T + c for A, c in zip(W[-2:], b[-2:], strict=True)]


@pytest.mark.parametrize("name", ARMS)
def test_oracle_the_step_of_an_arm_is_the_gradient_of_its_loss(name):
    """All arms side by side in one stack, each against autograd of its loss as it is written."""
    made, s, arm = group(ARMS), ARMS.index(name), students.ARMS[name]
    found = made.direction(made.stack.logits(made.stack.features(made.data[0].x, made.centered)), slice(None))
    own, z = parameters_of(made, s)
    value = arm.ce * F.cross_entropy(z[0], made.data[0].y)
    if arm.second:
        loss, tau = LOSSES[arm.second]
        value = value + 0.7 * loss(z[arm.head - 1], made.T, tau)
    wanted = torch.autograd.grad(value, own, allow_unused=True, materialize_grads=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a[s], b, rtol=1e-4, atol=1e-6)
    assert sum(float(b.abs().sum()) for b in wanted) > 0.1


def test_oracle_alignment_and_rescaling_of_the_whole_gradient():
    """DHKD is `align` of the flattened gradients; the rescaled sum has the length of that of cross-entropy."""
    made = group(("DHKD", "one head, rescaled"), alpha=5.0)
    made.T = -made.T * 3
    found = made.direction(made.stack.logits(made.stack.features(made.data[0].x, made.centered)), slice(None))
    flat = [torch.cat([g[s].flatten() for g in found]).double() for s in range(2)]
    for s, (loss, head) in enumerate(((binary_kl_norm, 1), (binary_kl, 0))):
        own, z = parameters_of(made, s)
        pair = F.cross_entropy(z[0], made.data[0].y), 5 * loss(z[head], made.T, 2.0)
        g1, g2 = (
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(v, own, allow_unused=True, materialize_grads=True, retain_graph=True)
                ]
            ).double()
            for v in pair
        )
        if s == 0:
            assert g1 @ g2 < 0
            wanted = g1 + align(g2, g1)
        else:
            wanted = (g1 + g2) * g1.norm() / (g1 + g2).norm()
        torch.testing.assert_close(flat[s], wanted, rtol=1e-4, atol=1e-5)


def test_oracle_training_is_sgd_of_pytorch():
    """Two students with two rates and decays against torch.optim.SGD with the same batches and drops."""
    made = group(("CE", "one head"))
    start = [p.detach().clone() for p in made.stack.parameters]
    rates, decays = torch.tensor([0.1, 0.02]), torch.tensor([0.0, 0.1])
    stack.train(
        made.stack, made.data[0].x, made.direction, epochs=8, batch_size=5, rates=rates.reshape(-1, 1, 1),
        decays=decays.reshape(-1, 1, 1), centered=made.centered, generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    for s in range(2):
        generator = torch.Generator().manual_seed(3)
        own = [p[s].clone().requires_grad_() for p in start]
        optimizer = torch.optim.SGD(own, lr=float(rates[s]), momentum=0.9, weight_decay=float(decays[s]))
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 6, 7], 0.1)
        for _ in range(8):
            for batch in torch.randperm(12, generator=generator).split(5):
                h = made.data[0].x[batch]
                W, b = own[: len(own) // 2], own[len(own) // 2 :]
                for A, c in zip(W[:-2], b[:-2], strict=True):
                    h = torch.relu(h @ A.T + c)
                z = h @ W[-2].T + b[-2]
                value = F.cross_entropy(z, made.data[0].y[batch])
                if s == 1:
                    value = value + 0.7 * binary_kl(z, made.T[batch], 2.0)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
            schedule.step()
        for a, p in zip(made.stack.parameters, own, strict=True):
            if p.grad is not None:
                torch.testing.assert_close(a[s], p, rtol=1e-4, atol=1e-5)


def test_value_the_better_rate_is_kept_and_the_lower_one_in_a_tie():
    made = group(("CE", "CE", "CE", "KD"))
    z = torch.zeros(4, 8, 4)
    right = F.one_hot(made.data[1].y, 4).float()
    z[1], z[2], z[3] = right, right, -right
    assert made.best([None, z]) == {("CE", 0.7): 1, ("KD", 0.7): 3}


def test_law_labels_are_dealt_anew_for_a_share(table):
    run = Nearness(8, (0.0,), (0.0,), (0.2,), 400, (1,), 50, 0)
    x, y, T = run.task(0.2)
    assert torch.equal(run.relabelled(x, y, T, 0.0)[1], y)
    assert (run.relabelled(x, y, T, 0.3)[1] != y).double().mean() == pytest.approx(0.27, abs=0.07)
    assert (T.argmax(1) == y).double().mean() > 0.95


def test_value_states_are_those_of_the_theorem():
    run = States(5, 3, 2, (2.0,), (0.3,), 7)
    found = run.run()
    cosines = found[found["metric"].isin(["cos_w", "cos_h"])]
    assert len(cosines) == 2 * 2 * (16 + 2 + 2 + 2) and set(cosines.query("states == 'grid'")["theory"]) == {-1.0, 1.0}
    assert (cosines["value"] - cosines["theory"]).abs().max() < 1e-9
    softmax = found.query("metric == 'softmax'").pivot(index="class", columns="shift", values="value")
    assert np.ptp(softmax.to_numpy(), axis=1).max() < 1e-6 and softmax.loc[2, 0] == pytest.approx(0.66524, abs=1e-5)


def test_value_claims_on_a_small_table():
    """Accuracies and cosines by hand: what each claim takes from them."""
    arms = {"CE": 0.6, "one head": 0.5, "BinaryKL alone": 0.45, "refit of CE": 0.6, "refit of one head": 0.58}
    found = [
        {"part": "mixture", "metric": "accuracy", "arm": a, "alpha": 1.0, "seed": s, "value": v + s / 100 * (a == "CE")}
        for a, v in arms.items()
        for s in (0, 1)
    ]
    found += [
        {"part": "mixture", "metric": m, "arm": "one head", "alpha": 1.0, "seed": s, "epoch": e, "value": v}
        for s in (0, 1)
        for e, m, v in ((1, "cos_w", -0.1), (1, "cos_backbone", 0.3), (2, "cos_w", 0.2), (2, "cos_backbone", 0.4))
    ]
    made = pd.DataFrame(found)
    assert claims.deficit(made) == pytest.approx([0.1, 0.11])
    assert claims.trails_both(made) == pytest.approx([-0.05, -0.05])
    assert claims.gap(made) == pytest.approx([0.3, 0.3]) and claims.opposite(made) == [0.5, 0.5]
    by_id = {claim.id: claim for headline in claims.HEADLINES for claim in headline.claims}
    assert by_id["yang2024.where.refit"].ours(made) == pytest.approx([0.03, 0.035])


def test_value_near_points_and_ranks():
    """Three students a seed: two near collapse, and an order of differences that is that of NC1."""
    values = {"nc1": (0.01, 0.04, 1.0), "cos_w": (0.1, 0.2, 0.0), "cos_backbone": (0.15, 0.35, 0.6)}
    made = pd.DataFrame([
        {"part": "nearness", "metric": m, "value": v, "seed": 0, "width": w, "decay": 0.0, "label_noise": 0.0,
         "data_noise": 0.0, "epoch": 1}
        for m, vs in values.items() for w, v in enumerate(vs)
    ])  # fmt: skip
    assert claims.near(made) == pytest.approx([0.1]) and claims.related(last=True)(made) == pytest.approx([1.0])
    gone = made.assign(value=made["value"].mask((made["metric"] == "cos_w") & (made["width"] == 2)))
    assert np.isnan(claims.near(gone)).all() and np.isnan(claims.related(last=False)(gone)).all()


def test_law_runs_are_distinct():
    for profile, count in {"smoke": 6, "laptop": 18}.items():
        runs = STUDY.runs(profile, seed=5)
        assert len({run.key() for run in runs}) == len(runs) == count
        assert {run.seed for run in runs} == set(range(5, 5 + {"smoke": 1, "laptop": 3}[profile]))
    assert {run.epochs for run in STUDY.runs("laptop", epochs=9) if run.NAME == "yang2024.students"} == {9}
    with pytest.raises(ValueError, match="profile = 'huge': must be one of smoke, laptop, paper"):
        STUDY.runs("huge")


def test_figures_claims_and_quotes_of_the_smoke_profile(table):
    judged = judge_all(claims.HEADLINES, table)
    assert len(judged) == 23 and judged["values"].map(len).eq(1).all()
    texts = quoted(table)
    assert "–" not in [text for key, text in texts.items() if key not in ("near", "near-size")]
    assert {row["arm"] for row in views.spread(table).to_dict("records")} >= {"teacher", "DHKD", "refit of one head"}
    for draw, view, panels in (
        (figures.shifted, views.shifted, 2), (figures.conflict, views.conflict, 3), (figures.places, views.places, 1),
        (figures.accuracies, views.accuracies, 2), (figures.cosines, views.cosines, 3),
        (figures.collapse, views.collapse, 4), (figures.nearness, views.nearness, 2),
    ):  # fmt: skip
        made = drawn(draw, view(table))
        assert len(made.axes) == panels and all(axis.lines and axis.get_xlabel() for axis in made.axes)
        plt.close(made)


def tiny(arm, **changes):
    """A run of the paper's kind on 40 digits, narrow, two epochs."""
    run = Network("digits", 4, 2, 2, arm, 1.0, (0.02, 0.06), 2, 12, 5e-4, 0)
    return dataclasses.replace(run, **changes).run("cpu")


@pytest.mark.parametrize("arm", ["one head", NONLINEAR, "one head, rescaled", "CE"])
def test_the_network_gives_the_rows_of_the_students(arm, store):
    """Tiny, on the CPU; the teacher is trained once and found again."""
    found = tiny(arm)
    assert found["value"].notna().all()
    named = {(row.arm, row.metric) for row in found.itertuples()}
    expected = {(arm, m) for m in ("accuracy", "rate", "validation", "nc1", "nc2", "nc3", "angles_w")}
    expected |= {("teacher", "accuracy")}
    expected |= {(arm, "cos_backbone")} if arm != "CE" else set()
    expected |= {(arm, "cos_w")} if arm.startswith("one") else set()
    for name, (backbone, _) in students.HEADS.items():
        if backbone == arm:
            expected |= {(name, m) for m in ("accuracy", "rate", "validation")}
    assert named == expected
    assert len(list((store / "cache").rglob("teacher-*"))) == 1
    pd.testing.assert_frame_equal(tiny(arm), found, check_exact=True)


def test_law_a_killed_run_goes_on_with_the_next_rate(store, monkeypatch):
    """The first of two rates is done; of the second nothing is kept. The table is that of an undisturbed run."""

    class Killed(Exception):
        pass

    whole, train, calls = tiny("one head"), network.Student.train, []
    store_kept = next((store / "cache" / "checkpoints").glob("*.safetensors"))
    assert len(list(store_kept.parent.iterdir())) == 2  # the teacher, and the run, which nobody has stored
    for path in list(store_kept.parent.iterdir()):
        path.unlink()

    def killed(student, split, teacher, generator, name):
        calls.append(teacher is None)
        if len(calls) == 3:
            raise Killed
        return train(student, split, teacher, generator, name)

    monkeypatch.setattr(network.Student, "train", killed)
    with pytest.raises(Killed):
        tiny("one head")
    pd.testing.assert_frame_equal(tiny("one head"), whole, check_exact=True)
    assert calls == [True, False, False, False]  # teacher, first rate, second (killed), second


def test_law_a_run_killed_within_a_rate_goes_on_within_it(store, monkeypatch):
    """Teacher and two students of three epochs of three updates, killed four times: bit for bit."""

    class Killed(Exception):
        pass

    run = Network("digits", 4, 2, 2, "one head", 1.0, (0.05, 0.2), 3, 12, 0.0, 0)
    whole, step, left, done = run.run(), network.Student.step, [], []
    for path in (store / "cache" / "checkpoints").iterdir():
        path.unlink()

    def killed(student, x, y, T):
        done.append(student.arm)
        if not left:
            raise Killed
        left.pop()
        step(student, x, y, T)

    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(network.Student, "step", killed)
    for steps in range(4, 8):
        left[:] = [0] * steps
        with pytest.raises(Killed):
            run.run()
    left[:] = [0] * 99
    pd.testing.assert_frame_equal(run.run(), whole, check_exact=True)
    assert 27 < len(done) - 4 <= 27 + 4 * 2  # of each kill at most two of an epoch's three updates are done again
    run.forget()
    assert {path.name[:7] for path in (store / "cache" / "checkpoints").iterdir()} == {"teacher", run.key()[:7]}


def made_on_images():
    """Rows as archived runs on CIFAR-10 would give them: one value an arm and seed."""
    found = [
        {"metric": m, "arm": a, "alpha": 1.0, "seed": s, "value": 0.1 * i + s / 100, "run": f"{a} {s}"}
        for i, a in enumerate(dict.fromkeys((*views.COLLAPSED, *views.ARMS, *views.PLACES)))
        for m in ("accuracy", *views.MEASURES)
        for s in range(3)
    ]  # fmt: skip
    return pd.DataFrame(found).assign(part="CIFAR-10", beside="CIFAR-10 at paper scale", experiment="yang2024.network")


def test_value_archived_images_have_panels_of_their_own(table):
    both = pd.concat([table, made_on_images()], ignore_index=True)
    for draw, view, panels in (
        (figures.accuracies, views.accuracies, 3),
        (figures.collapse, views.collapse, 8),
        (figures.places, views.places, 2),
    ):
        assert len(drawn(draw, view(both)).axes) == panels
        plt.close("all")
    rows = views.accuracies(both).query("panel == 'CIFAR-10'")
    assert set(rows["line"]) == set(views.ARMS) and len(rows) == 21
    assert sorted(rows.query("line == 'DHKD'")["value"]) == pytest.approx([0.7, 0.71, 0.72])
    assert views.accuracies(both)["panel"].unique().tolist() == ["mixture", "digits", "CIFAR-10"]
    assert quoted(both)["archived"] == str(3 * len(made_on_images()["arm"].unique()))
    assert quoted(table)["archived"] == "none" and quoted(both)["deficit"] == quoted(table)["deficit"]


def test_value_augmented_images_are_shifted_and_flipped():
    x = torch.arange(2 * 25.0).reshape(2, 1, 5, 5) + 1
    seen, generator = set(), torch.Generator().manual_seed(0)
    allowed = {
        tuple(F.pad(one, (4,) * 4)[0, a : a + 5, b : b + 5].flatten().tolist())
        for image in x for one in (image, image.flip(-1)) for a in range(9) for b in range(9)
    }  # fmt: skip
    for _ in range(300):
        made = network.augmented(x, network.drawn(len(x), generator))
        for image, drawn_image in zip(x, made, strict=True):
            own = tuple(drawn_image.flatten().tolist())
            seen.add(own)
            assert own in allowed and set(own) <= {0.0, *image.flatten().tolist()}
    assert len(seen) > 200


def test_oracle_an_update_of_the_network_is_that_of_its_loss():
    """One step of two heads with the Norm against autograd of `dual_head`."""
    run = Network("digits", 4, 2, 2, "two heads, Norm", 1.0, (0.1,), 1, 12, 0.0, 0)
    student = network.Student(run, 0.1, "cpu")
    x, y, T = torch.randn(6, 1, 8, 8), torch.arange(6), 3 * torch.randn(6, 10)
    other = copy.deepcopy(student)
    student.step(x, y, T)
    own = [*other.model.parameters(), *other.auxiliary.parameters()]
    z = other.forward(x)
    wanted = torch.autograd.grad(dual_head(z[0], z[1], T, y, alpha=1.0), own)
    for p, g in zip(student.parameters, wanted, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-4, atol=1e-6)


def test_law_paper_runs_are_queued():
    runs = STUDY.runs("paper", data="cifar10")
    assert len({run.key() for run in runs}) == len(runs) == 30 and all(run.needs_gpu() for run in runs)
    queued = [run.NAME for task in campaign.pending() for run in task.runs]
    assert queued.count("yang2024.network") == 30
    with pytest.raises(ValueError, match="data = 'cifar10': must be cifar10, at profile paper alone"):
        STUDY.runs("laptop", data="cifar10")


def test_value_claims_at_paper_scale_are_about_cifar(store):
    """Rows as archived runs would give them: judged are the claims on students, the others are not at this scale."""
    arms = {"CE": 0.9, "one head": 0.87, "BinaryKL alone": 0.88, "two heads": 0.9, "DHKD": 0.91, "KD": 0.9}
    made = pd.DataFrame([
        {"part": "CIFAR-10", "metric": "accuracy", "arm": a, "alpha": 1.0, "seed": s, "value": v, "beside": "paper"}
        for a, v in arms.items() for s in range(3)
    ])  # fmt: skip
    cosines = [
        {"metric": m, "value": v, "seed": s, "epoch": 1}
        for m, v in (("cos_w", -0.1), ("cos_backbone", 0.2)) for s in range(3)
    ]  # fmt: skip
    cosines = pd.DataFrame(cosines).assign(part="CIFAR-10", arm="one head", alpha=1.0, beside="paper")
    made = pd.concat([made, cosines], ignore_index=True)
    judged = judge_all(claims.HEADLINES, made).query("beside == 'paper'").set_index("id")["verdict"]
    assert judged["yang2024.one-head.trails-ce"] == judged["yang2024.one-head.trails-both"] == "holds"
    assert judged["yang2024.two-heads.kd"] == judged["yang2024.asymmetry.signs"] == "holds"
    assert set(judged[judged.index.str.contains("conflict|nearness|where.mean")]) == {"not at this scale"}
