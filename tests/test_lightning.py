"""The callback for Lightning: in a small loop with the hooks of 2.6.6 in their order, and in Lightning where it is."""

import builtins
import math
import sys

import pytest
import torch
from torch import nn

from nclib.adapters import lightning
from nclib.adapters.lightning import Collapse
from nclib.conventions import measure
from nclib.metrics import ncc_agreement
from nclib.statistics import ClassStatistics

K, D = 4, 6
MAY_LOG = ("on_validation_epoch_end", "on_test_epoch_end")


class Net(nn.Module):
    """A LightningModule as the hooks see it: `log_dict` in the hooks that may log, `log` without dicts."""

    def __init__(self):
        super().__init__()
        self.body, self.drop = nn.Sequential(nn.Linear(5, D), nn.ReLU(inplace=True)), nn.Dropout(0.5)
        self.fc = nn.Linear(D, K)
        self.hook, self.logged = None, []

    def forward(self, x):
        return self.fc(self.drop(self.body(x)))

    def log(self, name, value):
        if isinstance(value, dict):
            raise ValueError(f"self.log({name}, {value}) was called, but dict values cannot be logged")

    def log_dict(self, values, **options):
        assert self.hook in MAY_LOG and not any(isinstance(value, dict) for value in values.values())
        self.logged.append((self.hook, values))


class Loop:
    """Lightning's order of hooks: a sanity check, epochs with a validation each, a test."""

    def __init__(self, callback, validation):
        self.callback, self.val_dataloaders, self.test_dataloaders = callback, validation, validation[:1]
        self.sanity_checking = False

    def call(self, module, hook):
        module.hook = hook
        if hasattr(self.callback, hook):
            getattr(self.callback, hook)(self, module)

    @torch.inference_mode()
    def evaluate(self, module, stage, batches):
        module.eval()
        for hook in ("start", "epoch_start"):
            self.call(module, f"on_{stage}_{hook}")
        for x, _ in batches:
            module(x)
        for hook in ("epoch_end", "end"):
            self.call(module, f"on_{stage}_{hook}")
        module.train()

    def run(self, module, training, epochs=2):
        optimizer = torch.optim.SGD(module.parameters(), 0.1)
        self.sanity_checking = True
        self.evaluate(module, "validation", self.val_dataloaders[:1])
        self.sanity_checking = False
        for _ in range(epochs):
            for x, y in training:
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(x), y).backward()
                optimizer.step()
            self.evaluate(module, "validation", self.val_dataloaders)
        self.evaluate(module, "test", self.test_dataloaders)


def batches(seed, count=3):
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(12, 5, generator=generator), torch.randint(K, (12,), generator=generator)) for _ in range(count)
    ]


def by_hand(module, data):
    """(the numbers, the statistics) from features computed outside of any hook."""
    module.eval()
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    with torch.no_grad():
        H = module.body(x)
    stats = ClassStatistics.from_features(H, y, K)
    W, b = module.fc.weight.detach(), module.fc.bias.detach()
    return measure(stats, W, agreement=ncc_agreement(H, W, b, stats.means)), stats


def test_oracle_numbers_of_each_validation_are_those_of_the_features():
    torch.manual_seed(0)
    module, training, validation = Net(), batches(0), batches(1)
    callback = Collapse(training, num_classes=K)
    Loop(callback, validation).run(module, training)
    assert [hook for hook, _ in module.logged] == ["on_validation_epoch_end"] * 2 + ["on_test_epoch_end"]
    wanted, stats = by_hand(module, training)
    assert module.logged[-1][1] == {f"collapse/{key}": value for key, value in callback.values.items()}
    assert callback.values == pytest.approx(wanted, rel=1e-6) and 0 < wanted["ncc_agreement"] < 1
    assert module.logged[0][1]["collapse/nc1"] != module.logged[1][1]["collapse/nc1"]
    torch.testing.assert_close(callback.statistics.means, stats.means)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_oracle_without_a_loader_the_trainers_batches_are_measured():
    torch.manual_seed(0)
    module, validation = Net(), batches(1)
    callback = Collapse(num_classes=K, classifier="fc", prefix="test_")
    loop = Loop(callback, validation)
    loop.evaluate(module, "validation", validation)
    assert callback.values == pytest.approx(by_hand(module, validation)[0], rel=1e-6)
    loop.evaluate(module, "test", validation[:1])
    assert "test_nc3" in module.logged[1][1]
    assert callback.values == pytest.approx(by_hand(module, validation[:1])[0], rel=1e-6)


def test_law_modes_are_put_back_and_training_goes_on():
    module = Net().train()
    module.body.eval()
    modes = [m.training for m in module.modules()]
    Collapse(num_classes=K).measure(module, batches(0))
    assert [m.training for m in module.modules()] == modes
    module(batches(0)[0][0]).sum().backward()
    assert module.fc.weight.grad is not None


def test_oracle_a_submodule_and_a_convolution_as_the_head():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, D, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(D, K, 1), nn.Flatten())
    module = nn.ModuleDict({"net": net})
    x, y = torch.randn(30, 2, 6, 6), torch.arange(30) % K
    found = Collapse(num_classes=K, model="net").measure(module, [(x, y)])
    with torch.no_grad():
        H = net[:3](x).flatten(1)
    W, b = net[3].weight.detach().flatten(1), net[3].bias.detach()
    stats = ClassStatistics.from_features(H, y, K)
    assert found == pytest.approx(measure(stats, W, agreement=ncc_agreement(H, W, b, stats.means)), rel=1e-5)


def test_value_bad_input_is_refused():
    with pytest.raises(ValueError, match="preset='vogue', must be one of"):
        Collapse(num_classes=K, preset="vogue")
    with pytest.raises(ValueError, match="model='net' is no module, must be one such as"):
        Collapse(num_classes=K, model="net").measure(Net(), batches(0))
    with pytest.raises(ValueError, match="loader yielded no batches"):
        Collapse(num_classes=K).measure(Net(), [])
    with pytest.raises(AttributeError, match="no attribute 'Callback'"):
        lightning.Callback  # noqa: B018


def test_value_without_lightning_there_is_one_line(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] in ("lightning", "pytorch_lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return real(name, *args, **kwargs)

    monkeypatch.delitem(vars(lightning), "CollapseCallback", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("lightning", "pytorch_lightning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(lightning.importlib, "import_module", lambda name: missing(name))
    with pytest.raises(ImportError, match="CollapseCallback needs Lightning: pip install lightning, or pytorch-light"):
        lightning.CollapseCallback  # noqa: B018


@pytest.mark.filterwarnings("default")  # of its own dependencies
def test_oracle_lightning_itself(tmp_path):
    """The logged numbers are those of the features, in single precision."""
    pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning: pip install lightning")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            net = Net()
            self.body, self.drop, self.fc = net.body, net.drop, net.fc

        def forward(self, x):
            return self.fc(self.drop(self.body(x)))

        def training_step(self, batch, i):
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def validation_step(self, batch, i):
            self.log("loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    torch.manual_seed(0)
    module, x, y = Module(), torch.randn(36, 5), torch.randint(K, (36,))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 12)
    callback = lightning.CollapseCallback(loader, num_classes=K)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(
        callbacks=callback, max_epochs=2, enable_model_summary=False, default_root_dir=tmp_path, **options
    )
    trainer.fit(module, loader, loader)
    wanted = by_hand(module, [(x, y)])[0]
    assert callback.values == pytest.approx(wanted, rel=1e-6)
    for key, value in wanted.items():
        assert float(trainer.callback_metrics[f"collapse/{key}"]) == pytest.approx(value, rel=1e-5, nan_ok=True)
    assert not math.isnan(wanted["nc3"])
