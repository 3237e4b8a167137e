"""The objectives' scaling, the loop, seeding."""

import random

import numpy as np
import pytest
import torch

from nclib.models import MLP, FreeFeatures, HeavyBall, LinearHead, ResNet18, UnconstrainedFeatures, direct_descent
from nclib.training import (
    SCALES,
    effective_lambda,
    fit_scale,
    log_steps,
    objective,
    seed_everything,
    train,
)

F64 = {"dtype": torch.float64}
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")


def small():
    """Z = H P^T (+ b) for H = I, W_1 = diag(1, 2), W_2 = [[1, 0], [1, 1]], b = (0, 1): Z = [[1, 2], [0, 3]]; labels 0,
    1."""
    head = LinearHead(2, 2, 2, bias_last=True).double()
    with torch.no_grad():
        for p, value in zip(head.parameters(), ([[1, 0], [0, 2]], [[1, 0], [1, 1]], [0, 1]), strict=True):
            p.copy_(torch.tensor(value))
    H = torch.eye(2, **F64)
    return head(H), torch.tensor([0, 1]), H, head


def test_value_objective():
    Z, y, H, head = small()
    assert Z.tolist() == [[1, 2], [0, 3]]
    # |Z - Y|^2 = 8, N = 2, |W_1|^2 = 5, |W_2|^2 = 3, |H|^2 = 2, |b|^2 = 1
    assert objective(Z, y, H, head).item() == 2
    assert objective(Z, y, H, head, lam_W=0.5, lam_H=0.25, lam_b=4.0).item() == 2 + 2 + 0.25 + 2
    assert objective(Z, y, H, head, lam_W=(2.0, 4.0)).item() == 2 + 5 + 6
    assert objective(Z, torch.eye(2, **F64), H, head).item() == 2
    assert objective(Z, y, H, head, lam_H=1.0, scale="authors-imbalanced").item() == 1 + 1
    assert objective(Z, y, H, head, lam_H=1.0, scale="authors-balanced").item() == 2 + 1
    assert objective(Z, y, H, head, lam_H=1.0, num_samples=10).item() == 2 + 5
    ce = (np.log(1 + np.e) + np.log(1 + np.exp(-3))) / 2
    assert abs(objective(Z, y, H, head, lam_H=1.0, loss="cross-entropy").item() - ce - 1) < 1e-15


def test_oracle_authors_scales_are_torch_means():
    Z, y, H, head = small()
    Z = torch.cat([Z, Z[:1]], 0)
    y = torch.tensor([0, 1, 1])
    mean = torch.nn.functional.mse_loss(Z, torch.nn.functional.one_hot(y).double()).item()
    assert abs(objective(Z, y, H, head, scale="authors-imbalanced").item() - mean / 2) < 1e-15
    assert abs(objective(Z, y, H, head, scale="authors-balanced").item() - mean) < 1e-15


@pytest.mark.parametrize("scale", SCALES)
def test_law_effective_lambda(scale):
    """The gradient of `scale` with lambda is c times that of the paper's objective with the effective lambda."""
    torch.manual_seed(0)
    K, y = 3, torch.tensor([0, 1, 2, 2, 0])
    model = UnconstrainedFeatures(5, 4, K, 2, std_H=1.0, std_W=1.0).double()

    def gradient(**terms):
        return torch.autograd.grad(objective(model(), y, model.H, model.head, **terms), list(model.parameters()))

    theirs = gradient(lam_W=0.03, lam_H=0.02, scale=scale)
    lam_W, lam_H = (effective_lambda(lam, K, scale) for lam in (0.03, 0.02))
    ours = gradient(lam_W=lam_W, lam_H=lam_H)
    for g, f in zip(theirs, ours, strict=True):
        torch.testing.assert_close(g, fit_scale(K, scale) * f, rtol=1e-13, atol=1e-15)
    assert abs(lam_W - {"paper": 0.03, "authors-imbalanced": 0.09, "authors-balanced": 0.045}[scale]) < 1e-16


@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_law_batch_objective_is_unbiased(loss):
    torch.manual_seed(0)
    N, K = 12, 3
    H, head, y = torch.randn(N, 4, **F64), LinearHead(4, K, 2).double(), torch.randint(K, (N,))
    terms = {"lam_W": (0.3, 0.1), "lam_H": 0.2, "loss": loss}
    full = objective(head(H), y, H, head, **terms)
    batches = torch.randperm(N).split(3)
    parts = torch.stack([objective(head(H[i]), y[i], H[i], head, num_samples=N, **terms) for i in batches])
    assert parts.std() > 0.01
    torch.testing.assert_close(parts.mean(), full, rtol=1e-14, atol=0)


def test_oracle_train_is_direct_descent():
    counts, terms = (6, 4, 2), {"lam_W": 4e-3, "lam_H": 3e-3}
    states, problem = {}, FreeFeatures(counts, 5, 3, **terms, bias=True)
    direct_descent(problem, HeavyBall(30, seeds=(8,)), states.__setitem__, record_at=(0, 30))
    model = UnconstrainedFeatures(12, 5, 3, 3, bias_last=True).double()
    with torch.no_grad():
        for p, q in zip([model.H, *model.head.weights], [states[0].H, *states[0].W], strict=True):
            p.copy_(q[0])
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    values = train(model, torch.arange(12), y, optimizer=sgd, epochs=30, **terms)
    assert values.shape == (30,) and values.dtype == torch.float64 and values[-1] < values[0]
    ours = [model.H, *model.head.weights, model.head.bias]
    for p, q in zip(ours, [states[30].H, *states[30].W, states[30].b], strict=True):
        torch.testing.assert_close(p.detach(), q[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_law_train_weighs_batches_as_the_full_objective(batch_size):
    torch.manual_seed(0)
    model, y = UnconstrainedFeatures(12, 4, 3, 2, std_H=1.0, std_W=1.0).double(), torch.arange(12) % 3
    terms = {"lam_W": 0.1, "lam_H": 0.2}
    full = objective(model(), y, model.H, model.head, **terms).detach()
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    values = train(model, torch.arange(12), y, optimizer=still, epochs=1, batch_size=batch_size, **terms)
    torch.testing.assert_close(values.mean(), full, rtol=1e-13, atol=0)


def run(seed, device="cpu", **options):
    generator = seed_everything(seed)
    model = MLP(6, 16, 2, 3, 2, batch_norm=True).to(device)
    x, y = torch.randn(50, 6), torch.randint(3, (50,))
    options = {"optimizer": torch.optim.Adam(model.parameters(), 1e-3), "epochs": 3, "batch_size": 16, **options}
    return train(model, x, y, generator=generator, lam_W=1e-3, lam_H=1e-4, **options), model


@pytest.mark.parametrize("device", DEVICES)
def test_law_seeds_reproduce_bit_for_bit(device):
    (a, m), (b, n), (c, _) = run(3, device), run(3, device), run(4, device)
    assert len(a) == 3 * 4 and torch.equal(a, b) and not torch.equal(a, c)
    assert all(map(torch.equal, m.state_dict().values(), n.state_dict().values()))


def test_law_seed_everything_seeds_all():
    draws = []
    for _ in range(2):
        generator = seed_everything(5)
        numpy = np.random.rand()  # noqa: NPY002
        draws.append((random.random(), numpy, torch.rand(1).item(), torch.rand(1, generator=generator).item()))
    assert draws[0] == draws[1] and draws[0][0] != draws[0][1]


def test_law_every_epoch_visits_every_sample_once():
    seen = []

    class Spy(UnconstrainedFeatures):
        def features(self, i=None):
            seen.append(i)
            return super().features(i)

    model = Spy(10, 3, 2)
    options = {"optimizer": torch.optim.SGD(model.parameters(), 0.1), "epochs": 2, "batch_size": 4}
    train(model, torch.arange(10), torch.arange(10) % 2, **options)
    assert [len(i) for i in seen] == [4, 4, 2] * 2
    assert all(sorted(torch.cat(seen[e : e + 3]).tolist()) == list(range(10)) for e in (0, 3))
    assert torch.cat(seen[:3]).tolist() != torch.cat(seen[3:]).tolist()


def test_law_evaluate_and_schedule():
    calls = []

    def evaluate(step, model):
        calls.append((step, model.training, torch.is_grad_enabled(), model.head.weights[0].clone()))

    _, model = run(0, evaluate=evaluate, evaluate_at=(0, 5, 12, 100))
    assert [call[:3] for call in calls] == [(0, False, False), (5, False, False), (12, False, False)]
    assert model.training and torch.equal(calls[-1][3], model.head.weights[0])
    assert not torch.equal(calls[0][3], calls[1][3])

    model = UnconstrainedFeatures(4, 3, 2)
    sgd = torch.optim.SGD(model.parameters(), 0.5)
    schedule = torch.optim.lr_scheduler.StepLR(sgd, 2, 0.1)
    train(model, torch.arange(4), torch.arange(4) % 2, optimizer=sgd, epochs=5, batch_size=2, schedule=schedule)
    assert abs(sgd.param_groups[0]["lr"] - 0.005) < 1e-15


@pytest.mark.parametrize("device", DEVICES)
def test_law_resnet_learns(device):
    seed_everything(0)
    y = torch.arange(12) % 3
    x = torch.randn(3, 1, 8, 8)[y] + 0.1 * torch.randn(12, 1, 8, 8)
    model = ResNet18(3, 2, in_channels=1).to(device)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    values = train(model, x, y, optimizer=adam, epochs=6, loss="cross-entropy")
    assert values[0] > 0.5 and values[-1] < 0.05


def test_value_log_steps():
    assert log_steps(1000, 4) == [0, 1, 10, 100, 1000]
    assert log_steps(5, 50) == [0, 1, 2, 3, 4, 5]
    assert log_steps(1, 1) == [0, 1]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"lam_H": -1e-3}, "lam_W, lam_H, lam_b = 0.0, -0.001"),
        ({"lam_W": (1e-3,)}, "lam_W one number or 2"),
        ({"loss": "hinge"}, "loss, scale = 'hinge'"),
        ({"scale": "torch"}, "loss, scale = 'mse', 'torch'"),
        ({"loss": "cross-entropy", "scale": "authors-balanced"}, "'cross-entropy' with 'paper'"),
        ({"batch_size": 60}, "batch_size = 60: must be between 1 and the number of samples, 50"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"epochs": 0}, "epochs = 0"),
    ],
)
def test_law_bad_arguments_are_named(terms, message):
    generator, model = seed_everything(0), MLP(6, 16, 2, 3, 2)
    options = {"optimizer": torch.optim.SGD(model.parameters(), 0.1), "epochs": 1, "generator": generator, **terms}
    with pytest.raises(ValueError, match=message) as error:
        train(model, torch.randn(50, 6), torch.randint(3, (50,)), **options)
    assert "\n" not in str(error.value)


def test_law_lengths_and_divergence():
    model = MLP(6, 16, 2, 3)
    sgd = torch.optim.SGD(model.parameters(), 1e6)
    with pytest.raises(ValueError, match="y has 4 rows"):
        train(model, torch.randn(5, 6), torch.zeros(4, dtype=torch.long), optimizer=sgd, epochs=1)
    with pytest.raises(ValueError, match="y has labels from 0 to 3: must be between 0 and 2"):
        train(model, torch.randn(5, 6), torch.arange(5) % 4, optimizer=sgd, epochs=1)
    with pytest.raises(FloatingPointError, match="diverged in epoch"):
        train(model, torch.randn(5, 6), torch.zeros(5, dtype=torch.long), optimizer=sgd, epochs=50)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("batch_size", "precision"), [(None, "float32"), (12, "float32"), (12, "tf32"), (None, "tf32")]
)
def test_oracle_captured_steps_are_those_that_are_not(monkeypatch, batch_size, precision):
    """Bit for bit, a last batch that is smaller and a schedule that lowers the rate among them."""

    def trained(warm):
        monkeypatch.setattr("nclib.training.captured.WARM", warm)
        generator = seed_everything(3)
        model = MLP(20, 64, 2, 5, 2, batch_norm=True, bias_last=True).cuda()
        x, y = torch.randn(50, 20), torch.arange(50) % 5
        adam = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
        schedule = torch.optim.lr_scheduler.StepLR(adam, 8, 0.1)
        options = {"batch_size": batch_size, "precision": precision, "lam_W": 1e-3, "lam_H": 1e-4}
        values = train(model, x, y, optimizer=adam, epochs=20, schedule=schedule, generator=generator, **options)
        return values, torch.cat([p.detach().flatten() for p in model.parameters()])

    values, parameters = trained(3)
    plain_values, plain_parameters = trained(10**9)
    assert torch.equal(values, plain_values) and torch.equal(parameters, plain_parameters)
    assert values[-1] < values[0] / 2


def test_oracle_twenty_steps_are_those_of_a_plain_loop():
    """Float32, to 1e-6: batches with a smaller last one, batch normalization, momentum, a rate that falls."""

    def network():
        generator = seed_everything(3)
        model = MLP(20, 64, 2, 5, 2, batch_norm=True, bias_last=True)
        sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
        return generator, model, sgd, torch.optim.lr_scheduler.StepLR(sgd, 2, 0.1)

    x, y = torch.randn(50, 20, generator=torch.Generator().manual_seed(1)), torch.arange(50) % 5
    generator, model, sgd, schedule = network()
    options = {"batch_size": 12, "epochs": 4, "schedule": schedule, "generator": generator, "loss": "cross-entropy"}
    found = train(model, x, y, optimizer=sgd, **options)

    generator, naive, sgd, schedule = network()
    expected = []
    for _ in range(4):
        order = torch.randperm(50, generator=generator)
        for first in range(0, 50, 12):
            batch = order[first : first + 12]
            loss = torch.nn.functional.cross_entropy(naive.head(naive.backbone(x[batch])), y[batch])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
            expected.append(loss.item())
        schedule.step()
    assert len(set(expected)) == 20
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_law_twenty_steps_on_a_gpu_are_those_of_the_cpu():
    """In float32, relative to 1e-5: a GPU adds up in another order."""

    def trained(device):
        generator = seed_everything(3)
        model = MLP(20, 64, 2, 5, 2, batch_norm=True, bias_last=True).to(device)
        x, y = torch.randn(48, 20), torch.arange(48) % 5
        sgd = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, fused=True)
        options = {"batch_size": 12, "lam_W": 1e-3, "lam_H": 1e-4}
        return train(model, x, y, optimizer=sgd, epochs=5, generator=generator, **options)

    torch.testing.assert_close(trained("cuda"), trained("cpu"), rtol=1e-5, atol=0)


def test_law_bfloat16_keeps_head_objective_and_parameters_in_float32():
    """On a CPU too: values near those of float32, not equal to them."""

    def trained(precision):
        generator = seed_everything(3)
        model = MLP(20, 64, 2, 5, 2, batch_norm=True)
        seen = []
        model.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].dtype))
        adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        options = {"batch_size": 16, "precision": precision, "lam_W": 1e-3, "lam_H": 1e-4}
        x, y = torch.randn(50, 20), torch.arange(50) % 5
        values = train(model, x, y, optimizer=adam, epochs=3, generator=generator, **options)
        assert set(seen) == {torch.float32} == {p.dtype for p in model.parameters()}
        return values

    exact, rounded = trained("float32"), trained("bfloat16")
    torch.testing.assert_close(rounded, exact, rtol=0.2, atol=0)
    assert not torch.equal(rounded, exact)
    with pytest.raises(ValueError, match="precision = 'half': must be one of float32, tf32, bfloat16"):
        trained("half")


def test_value_the_error_names_the_first_bad_epoch():
    """Epochs of one step each are looked at every `LOOK` steps, and the epoch named is still the right one."""
    model = MLP(6, 8, 1, 5)
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3)

    def spoil(epoch, model):
        model.head.weights[0].data.fill_(float("nan"))

    with pytest.raises(FloatingPointError, match="in epoch 8: the objective is nan"):
        options = {"evaluate": spoil, "evaluate_at": [7]}
        train(model, torch.randn(5, 6), torch.zeros(5, dtype=torch.long), optimizer=sgd, epochs=100, **options)
