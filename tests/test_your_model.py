"""The snippets of the page on models of one's own, each run as it is printed."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import nclib

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "your-model.md").read_text(encoding="utf-8")
README = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
SNIPPETS = {title: code for title, code in re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", PAGE, re.M | re.S)}
TITLES = ["A module of your own", "A model of timm", "A Hugging Face classifier", "A language model with LoRA"]


def run(title, **given):
    """(the names after the snippet, what it printed last)."""
    torch.manual_seed(0)
    printed, names = [], {"nclib": nclib, "print": lambda *values: printed.extend(values), **given}
    exec(README if title == "README" else SNIPPETS[title], names)
    return names, printed[-1]


def same(values, H, y, W):
    stats = nclib.ClassStatistics.from_features(H, y, len(W))
    wanted = nclib.measure(stats, W)
    for key, value in wanted.items():
        assert values[key] == pytest.approx(value, rel=1e-4, nan_ok=True), key


def test_law_the_page_has_four_snippets():
    assert [title for title in SNIPPETS if title in TITLES] == TITLES


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Sequential(nn.Linear(5, 12), nn.ReLU()), nn.Linear(12, 10)

    def forward(self, x):
        return self.fc(self.body(x))


@pytest.mark.parametrize("title", ["README", "A module of your own"])
def test_oracle_a_module_of_ones_own(title):
    torch.manual_seed(1)
    model, x, y = Net(), torch.randn(60, 5), torch.arange(60) % 10
    _, values = run(title, model=model, loader=[(x[:25], y[:25]), (x[25:], y[25:])])
    same(values, model.body(x).detach(), y, model.fc.weight.detach())


@pytest.mark.filterwarnings("default")
def test_oracle_a_model_of_timm():
    pytest.importorskip("timm", reason="needs timm: pip install timm")
    x, y = torch.randn(40, 3, 32, 32), torch.arange(40) % 10
    names, values = run("A model of timm", loader=[(x, y)])
    model = names["model"].eval()
    with torch.no_grad():
        H = model.forward_head(model.forward_features(x), pre_logits=True)
    same(values, H, y, model.get_classifier().weight.detach())
    _, values = run("README", model=model, loader=[(x, y)])
    same(values, H, y, model.fc.weight.detach())


def test_oracle_a_hugging_face_classifier():
    transformers = pytest.importorskip("transformers", reason="needs the extra: pip install -e .[huggingface]")
    torch.manual_seed(1)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=20, num_labels=4, **size)
    model = transformers.BertForSequenceClassification(config)
    ids, y = torch.randint(1, 20, (24, 6)), torch.arange(24) % 4
    _, values = run("A Hugging Face classifier", model=model, loader=[{"input_ids": ids, "labels": y}])
    with torch.no_grad():
        H = model.eval().bert(ids).pooler_output
    same(values, H, y, model.classifier.weight.detach())


@pytest.mark.filterwarnings("default")
def test_oracle_a_language_model_with_lora():
    transformers = pytest.importorskip("transformers", reason="needs the extra: pip install -e .[huggingface]")
    pytest.importorskip("peft", reason="needs peft: pip install peft")
    torch.manual_seed(1)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=12, num_key_value_heads=2, **size))
    windows = torch.randint(0, 12, (20, 9))
    names, values = run("A language model with LoRA", model=model, windows=windows)
    adapted = names["model"].eval()
    with torch.no_grad():
        out = adapted(windows, output_hidden_states=True)
    head = adapted.get_output_embeddings()
    W = head.get_delta_weight("default").detach() + head.base_layer.weight.detach()
    same(values, out.hidden_states[-1][:, :-1].flatten(0, 1), windows[:, 1:].flatten(), W)
