"""The adapters, with the real libraries."""

import copy
import math
import os
import pickle
import subprocess
import sys

import pytest
import torch

from nclib import ClassStatistics
from nclib.conventions import PRESETS, measure

torchmetrics = pytest.importorskip("torchmetrics", reason="needs the extra: pip install -e .[torchmetrics]")
from nclib.adapters.torchmetrics import NeuralCollapse  # noqa: E402

K, D, N = 5, 6, 200
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()


def samples(seed=0, N=N):
    torch.manual_seed(seed)
    y = torch.randint(0, K, (N,))
    H = torch.randn(K, D)[y] + torch.randn(N, D) + 1000
    y[::9] = -100
    return H, y


def expected(*parts, preset="textbook", scatter=None):
    H, y = (torch.cat(part) for part in zip(*parts, strict=True))
    return measure(ClassStatistics.from_features(H, y, K, scatter=scatter), preset=preset)


def assert_values(found, wanted):
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name].dtype == torch.float64 and found[name].shape == ()
        assert float(found[name]) == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scatter", [None, False])
@pytest.mark.parametrize("preset", PRESETS)
def test_oracle_batches_give_the_numbers_of_the_whole(preset, scatter, device):
    H, y = samples()
    metric = NeuralCollapse(K, D, preset=preset, scatter=scatter).to(device)
    for h, t in zip(H.split(7), y.split(7), strict=True):
        metric.update(h.to(device), t.to(device))
    assert_values(metric.compute(), expected((H, y), preset=preset, scatter=scatter))


def test_law_forward_gives_the_batch_and_keeps_the_whole():
    H, y = samples()
    metric = NeuralCollapse(K, D)
    first = metric(H[:80], y[:80])
    assert_values(first, expected((H[:80], y[:80])))
    alone = metric(H[80:83], torch.tensor([2, 2, 2]))  # one class has no geometry
    assert list(alone) == list(first) and all(math.isnan(value) for value in alone.values())
    metric(H[83:], y[83:])
    assert_values(metric.compute(), expected((H[:80], y[:80]), (H[80:83], torch.tensor([2, 2, 2])), (H[83:], y[83:])))
    metric.reset()
    metric.update(H[:80], y[:80])
    assert_values(metric.compute(), first_values(first))


def first_values(values):
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize("convert", ["half", "float", "bfloat16"])
def test_law_state_stays_float64(convert):
    H, y = samples()
    metric = NeuralCollapse(K, D)
    metric.update(H[:100], y[:100])
    model = torch.nn.ModuleDict({"metric": metric})  # as in a Lightning module
    getattr(model, convert)()
    model.to(torch.float16)
    metric.set_dtype(torch.float16)
    assert metric.means.dtype == metric.scatter.dtype == torch.float64 and metric.counts.dtype == torch.int64
    metric.update(H[100:], y[100:])
    assert_values(metric.compute(), expected((H, y)))
    metric.reset()
    assert metric.means.dtype == torch.float64


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_law_state_is_saved_and_goes_on(way):
    H, y = samples()
    metric = NeuralCollapse(K, D)
    assert not metric.state_dict()
    metric.persistent(True)
    metric.update(H[:100], y[:100])
    if way == "state_dict":
        other = NeuralCollapse(K, D)
        other.persistent(True)
        other.load_state_dict(metric.state_dict())
    else:
        other = pickle.loads(pickle.dumps(metric)) if way == "pickle" else copy.deepcopy(metric)
    for each in (metric, other):
        each.update(H[100:], y[100:])  # neither works on the other's state
        assert_values(each.compute(), expected((H, y)))


def test_law_collection_shares_the_state_of_presets():
    H, y = samples()
    presets = {preset: NeuralCollapse(K, D, preset=preset) for preset in PRESETS}
    collection = torchmetrics.MetricCollection({**presets, "wide": NeuralCollapse(K + 1, D)})
    for h, t in zip(H.split(50), y.split(50), strict=True):
        collection.update(h, t)
    assert len(collection.compute_groups) == 2
    found = collection.compute()
    for preset in PRESETS:
        values = {key.removeprefix(f"{preset}_"): value for key, value in found.items() if key.startswith(preset)}
        assert_values(values, expected((H, y), preset=preset))


@pytest.mark.parametrize("scatter", [True, False])
def test_law_states_merge(scatter):
    parts = [samples(seed) for seed in range(3)]
    metrics = [NeuralCollapse(K, D, scatter=scatter) for _ in parts]
    for metric, part in zip(metrics, parts, strict=True):
        metric.update(*part)
    metrics[0].compute()
    metrics[0].merge_state(metrics[1])
    metrics[0].merge_state(
        {name: getattr(metrics[2], name) for name in ("counts", "means", "spread", "scatter", "invalid")}
    )
    assert_values(metrics[0].compute(), expected(*parts, scatter=scatter))
    assert_values(metrics[1].compute(), expected(parts[1], scatter=scatter))  # as it was
    metrics[0].update(*samples(4))
    assert_values(metrics[0].compute(), expected(*parts, samples(4), scatter=scatter))
    for other, message in (({}, "incoming_state is a dict"), (NeuralCollapse(K + 1, D, scatter=scatter), "same")):
        with pytest.raises(ValueError, match=message):
            metrics[0].merge_state(other)


def one_rank(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for scatter in (True, False):
        metric = NeuralCollapse(K, D, scatter=scatter)
        parts = [samples(0), samples(1, N=33)]
        metric.update(*parts[rank])
        values = metric.compute()
        metric.update(*parts[1 - rank])  # after the sync the state is this rank's own again
        both = metric(*samples(2 + rank))
        torch.save([values, metric.compute(), both], f"{folder}/{scatter}-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_law_two_processes_agree_with_one(tmp_path):
    torch.multiprocessing.start_processes(one_rank, (str(tmp_path),), nprocs=2, start_method="spawn")
    for scatter in (True, False):
        ranks = [torch.load(tmp_path / f"{scatter}-{rank}.pt") for rank in (0, 1)]
        parts = [samples(0), samples(1, N=33)]
        for rank, (values, later, own) in enumerate(ranks):
            assert_values(values, expected(*parts, scatter=scatter))
            assert_values(later, expected(*parts, *parts, samples(2), samples(3), scatter=scatter))
            assert_values(own, expected(samples(2 + rank), scatter=scatter))  # forward does not sync
        assert all(torch.equal(ranks[0][0][name], ranks[1][0][name]) for name in ranks[0][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "vogue"}, "preset='vogue', must be one of"),
        ({"num_classes": 0}, "num_classes=0, must be at least 1"),
        ({"dim": 0}, "dim=0, must be at least 1"),
    ],
)
def test_value_bad_metric_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NeuralCollapse(**{"num_classes": K, "dim": D, **arguments})


def test_value_bad_batch_is_refused_and_changes_nothing():
    H, y = samples()
    metric = NeuralCollapse(K, D)
    metric.update(H, y)
    for bad, message in ((y + K, "labels must be 0"), (y[1:], "y has shape"), (y.double(), "integer dtype")):
        with pytest.raises(ValueError, match=message):
            metric.update(H, bad)
    with pytest.raises(ValueError, match="its last dimension must be dim=6"):
        metric.update(H[:, :4], y)
    assert_values(metric.statistics() and metric.compute(), expected((H, y)))


def test_value_importing_nclib_needs_no_adapter():
    code = "import sys, nclib, nclib.adapters; print({'torchmetrics', 'transformers', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.stdout == "set()\n", done.stderr


V, T = 30, 12


@pytest.fixture(scope="module")
def hugging():
    pytest.importorskip("accelerate", reason="transformers.Trainer needs it: pip install -e .[huggingface]")
    return pytest.importorskip("transformers", reason="needs the extra: pip install -e .[huggingface]")


def language_model(transformers):
    torch.manual_seed(0)
    size = {"num_layers": 2, "hidden_size": 8, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    return transformers.GPTNeoForCausalLM(
        transformers.GPTNeoConfig(vocab_size=V, max_position_embeddings=16, embed_dropout=0.5, **size, **ids)
    )


def trainer(transformers, model, data, callback, folder):
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=4,
        eval_strategy="steps",
        eval_steps=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=4,
    )
    return transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data, callbacks=[callback])


def by_hand(H, logits, y, W):
    """`measure` with NC4 by a loop over samples, for flat features of one model."""
    stats = ClassStatistics.from_features(H, y, len(W))
    used = [i for i in range(len(y)) if y[i] >= 0]
    label = stats.present.nonzero()[:, 0]
    same = [(H[i].double() - stats.means[label]).norm(dim=1).argmin() == logits[i, label].argmax() for i in used]
    return measure(stats, W, agreement=sum(map(int, same)) / len(used))


def test_oracle_callback_measures_a_language_model_at_each_evaluation(hugging, tmp_path):
    from nclib.adapters.huggingface import CollapseCallback

    model, windows = language_model(hugging), torch.randint(0, V, (20, T))
    callback, seen = CollapseCallback(windows, batch_size=3), []
    model.transformer.wte.register_forward_hook(lambda module, args, out: seen.append(out.requires_grad))
    run = trainer(hugging, model, [{"input_ids": w, "labels": w} for w in windows], callback, tmp_path)
    run.train()
    entries = [entry for entry in run.state.log_history if "collapse/nc3" in entry]
    assert [entry["step"] for entry in entries] == [2, 4]
    assert entries[0]["collapse/nc3"] != entries[1]["collapse/nc3"]
    model.train()
    model.transformer.h[0].eval()
    modes = [module.training for module in model.modules()]
    seen.clear()
    values = callback.measure(model)
    assert [module.training for module in model.modules()] == modes and torch.is_grad_enabled()
    assert seen and not any(seen) and not model.lm_head._forward_pre_hooks
    model.eval()
    with torch.no_grad():
        out = model(windows, output_hidden_states=True)
    H, logits, y = out.hidden_states[-1][:, :-1], out.logits[:, :-1], windows[:, 1:]
    wanted = by_hand(H.flatten(0, 1), logits.flatten(0, 1), y.flatten(), model.lm_head.weight.detach())
    for key, value in wanted.items():
        assert values[key] == pytest.approx(value, rel=1e-4, nan_ok=True), key
    returned = run.evaluate()
    assert returned["collapse/ncc_agreement"] == values["ncc_agreement"] and "eval_loss" in returned
    logged = []
    callback.log = logged.append
    run.evaluate()
    assert logged == [{f"collapse/{key}": value for key, value in values.items()}]


def test_oracle_callback_measures_a_classifier(hugging, tmp_path):
    from nclib.adapters.huggingface import CollapseCallback

    torch.manual_seed(0)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = hugging.BertForSequenceClassification(hugging.BertConfig(vocab_size=V, num_labels=4, **size))
    ids, y = torch.randint(1, V, (24, T)), torch.arange(24) % 4
    data = [{"input_ids": i, "labels": int(t)} for i, t in zip(ids, y, strict=True)]
    callback = CollapseCallback(data, batch_size=5)
    run = trainer(hugging, model, data, callback, tmp_path)
    run.train()
    with torch.no_grad():
        H = model.eval().bert(ids).pooler_output
        wanted = by_hand(H, model.classifier(H), y, model.classifier.weight.detach())
    found = run.evaluate()
    for key, value in wanted.items():
        assert found[f"collapse/{key}"] == pytest.approx(value, rel=1e-4), key
    loader = torch.utils.data.DataLoader(data, 7)
    named = CollapseCallback(loader, classifier="classifier", preset="wu-papyan-2024-05").measure(model)
    assert named["norm_mean"] == pytest.approx(measure(callback.statistics, preset="wu-papyan-2024-05")["norm_mean"])


def test_value_bad_callback_is_refused(hugging):
    from nclib.adapters.huggingface import CollapseCallback

    model, windows = language_model(hugging), torch.randint(0, V, (4, T))
    with pytest.raises(ValueError, match="preset='vogue', must be one of"):
        CollapseCallback(windows, preset="vogue")
    with pytest.raises(ValueError, match="classifier='neck': GPTNeoForCausalLM has no such module"):
        CollapseCallback(windows, classifier="neck").measure(model)
    with pytest.raises(ValueError, match="data gives a dict without labels"):
        CollapseCallback([{"input_ids": w} for w in windows]).measure(model)
    with pytest.raises(ValueError, match=r"labels have shape \(4,\), must be \(4, 12\)"):
        CollapseCallback([{"input_ids": w, "labels": 1} for w in windows]).measure(model)
