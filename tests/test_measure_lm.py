import io
import json
import os
import shutil
import subprocess
import sys
from pydoc_data.topics import topics

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_cli import call

from nclib import ClassStatistics
from nclib.conventions import measure
from nclib.measuring import causal_lm

transformers = pytest.importorskip("transformers", reason="needs the extra: pip install -e .[huggingface]")

V, T = 300, 32
FAMILIES = {
    "neox": ("GPTNeoXConfig", {"intermediate_size": 32}),
    "llama": ("LlamaConfig", {"intermediate_size": 32, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "bert": ("BertConfig", {"intermediate_size": 32, "is_decoder": False}),
    "t5": ("T5Config", {"d_kv": 8, "d_ff": 32}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny models with random weights, a tokenizer trained here, and texts of Python's own reference."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("lm")
    text = "\n".join(topics[name] for name in sorted(topics)[:6])
    (folder / "text.txt").write_text(text[:4000] + "\n<|endoftext|>\n" + text[4000:6000])
    (folder / "valid.txt").write_text(text[6000:8000])
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"special_tokens": ["<|endoftext|>"], "initial_alphabet": alphabet, "show_progress": False}
    bpe.train_from_iterator([text], trainers.BpeTrainer(vocab_size=V, **options))
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")
    words.save_pretrained(folder / "words")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name, (kind, more) in FAMILIES.items():
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
        config = getattr(transformers, kind)(vocab_size=V, bos_token_id=0, eos_token_id=0, **size, **more)
        if name == "t5":
            config.save_pretrained(folder / name)
            continue
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
        model.save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    return folder


def run(capsys, folder, name, *options, validation=True):
    arguments = ["measure-lm", folder / name, "--text", folder / "text.txt", "--dtype", "float64", "--device", "cpu"]
    arguments += ["--validation", folder / "valid.txt"] if validation else []
    code, out, error = call(capsys, *map(str, [*arguments, "--context", T, *options, "--json", "-"]))
    assert code == 0, error
    return json.loads(out)


def by_hand(folder, name, windows, stats=None):
    """Statistics, or NC4 and loss against them, one window and one token at a time."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float64).eval()
    W, H, y, Z = model.get_output_embeddings().weight.detach(), [], [], []
    with torch.no_grad():
        for window in windows:
            out = model(window[None, :-1], output_hidden_states=True)
            H.append(out.hidden_states[-1][0])
            y.append(window[1:])
            Z.append(out.logits[0])
    H, y, Z = torch.cat(H), torch.cat(y), torch.cat(Z)
    torch.testing.assert_close(H @ W.T, Z)
    if stats is None:
        return ClassStatistics.from_features(H, y, V), W
    hits = seen = 0
    label = stats.present.nonzero()[:, 0]
    for h, target, z in zip(H, y, Z, strict=True):
        if stats.present[target]:
            seen += 1
            hits += int((h - stats.means[label]).norm(dim=1).argmin() == z[label].argmax())
    return hits / seen, float(torch.nn.functional.cross_entropy(Z, y))


def token_windows(folder, file, words):
    parts = (folder / file).read_text().split("\n<|endoftext|>\n")
    ids = [words(part.strip(), add_special_tokens=False)["input_ids"] for part in parts]
    tokens = [token for part in ids for token in (words.eos_token_id, *part)][1:]
    count = (len(tokens) - 1) // T
    return torch.tensor([tokens[i * T : i * T + T + 1] for i in range(count)])


@pytest.mark.parametrize("name", ["neox", "llama"])
def test_oracle_statistics_agreement_and_loss(folder, capsys, name):
    words = transformers.AutoTokenizer.from_pretrained(folder / name)
    train, held_out = (token_windows(folder, file, words) for file in ("text.txt", "valid.txt"))
    stats, W = by_hand(folder, name, train)
    share, loss = by_hand(folder, name, held_out, stats)
    found = run(capsys, folder, name, "--batch", 3)
    wanted = measure(stats, W, agreement=share)
    assert list(found["values"]) == list(wanted) and 0 < share < 1
    for key, value in wanted.items():
        assert found["values"][key] == (None if value != value else pytest.approx(value, rel=1e-10)), key
    assert found["settings"]["loss in nats"] == pytest.approx(loss, abs=1e-6)
    assert found["settings"]["NC4 and loss over"].endswith("valid.txt")
    alone = run(capsys, folder, name, validation=False)
    share, loss = by_hand(folder, name, train, stats)
    assert alone["values"]["ncc_agreement"] == pytest.approx(share, rel=1e-12)
    assert alone["settings"]["loss in nats"] == pytest.approx(loss, abs=1e-6)
    assert alone["settings"]["NC4 and loss over"].endswith("text.txt")


def test_law_two_processes_measure_as_one(folder, tmp_path, capsys):
    options = ["--batch", "2", "--null", "--save"]
    one = run(capsys, folder, "neox", *options, tmp_path / "one.safetensors")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["nclib", "measure-lm", folder / "neox", "--text", folder / "text.txt", "--dtype", "float64"]
    command += [
        "--validation",
        folder / "valid.txt",
        "--device",
        "cpu",
        "--context",
        T,
        "--json",
        tmp_path / "two.json",
    ]
    command += ["--checkpoint", tmp_path / "c", "--checkpoint-every", 0, *options, tmp_path / "two.safetensors"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("classes in 16 dimensions") == 1  # the first rank alone speaks
    two = json.loads((tmp_path / "two.json").read_text())
    for kind in ("values", "shuffled"):
        for key, value in one[kind].items():
            near = value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-11)
            assert two[kind][key] == near, key
    a, b = (ClassStatistics.load(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert torch.equal(a.counts, b.counts)
    torch.testing.assert_close(a.means, b.means, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(a.spread, b.spread, rtol=1e-12, atol=1e-12)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"one.safetensors", "two.safetensors", "two.json"}  # checkpoints are removed


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop", [4, 50])
def test_law_stopped_and_resumed_is_the_same(folder, tmp_path, capsys, monkeypatch, stop):
    options = ["--null", "--batch", 2]
    whole, features, calls = run(capsys, folder, "neox", *options), causal_lm.features, []

    def stopping(model, ids):
        calls.append(0)
        if len(calls) == stop:
            raise Stopped
        return features(model, ids)

    kept = ["--checkpoint", tmp_path / "c", "--checkpoint-every", 0]
    monkeypatch.setattr(causal_lm, "features", stopping)
    with pytest.raises(Stopped):
        run(capsys, folder, "neox", *options, *kept)
    calls.clear()
    capsys.readouterr()
    monkeypatch.setattr(causal_lm, "features", lambda model, ids: calls.append(0) or features(model, ids))
    assert run(capsys, folder, "neox", *options, *kept) == whole
    first = len(calls)
    calls.clear()
    assert run(capsys, folder, "neox", *options) == whole
    assert first == len(calls) - (stop - 2)  # the first call looks whether the model is causal, and the last was lost


def test_law_lower_precision_is_near(folder, capsys):
    exact = run(capsys, folder, "neox")["values"]
    rough = run(capsys, folder, "neox", "--dtype", "bfloat16")
    assert rough["settings"]["dtype"] == "bfloat16"
    assert rough["values"]["nc1_trace_ratio"] == pytest.approx(exact["nc1_trace_ratio"], rel=0.02)
    assert rough["values"]["nc1_trace_ratio"] != exact["nc1_trace_ratio"]


def bad(folder, more):
    text = ["--text", folder / "text.txt"]
    neox = folder / "neox"
    (more / "empty.txt").write_text("\n \n")
    (more / "short.txt").write_text("A few words.")
    (more / "latin.txt").write_bytes(b"caf\xe9 " * 100)
    (more / "null.txt").write_bytes(b"a\0b")
    partial, small, broken = (more / name for name in ("partial", "small", "broken"))
    for path in (partial, small, broken):
        path.mkdir()
        for name in ("config.json", "generation_config.json"):
            (path / name).write_text((neox / name).read_text())
    tensors = load_file(neox / "model.safetensors")
    save_file(
        {k: v for k, v in tensors.items() if "embed_out" not in k}, partial / "model.safetensors", {"format": "pt"}
    )
    (broken / "model.safetensors").write_text("no weights")
    config = transformers.AutoConfig.from_pretrained(neox)
    config.vocab_size = 60
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(small)
    words = ["--tokenizer", folder / "words"]
    return {
        "no folder": (["./none", *text], "./none: no such folder"),
        "no name": (["none-such-model", *text], "none-such-model: transformers loads no causal language model from it"),
        "no config": ([more, *text], "transformers loads no causal language model from it"),
        "no weights": ([folder / "words", *text], "transformers loads no causal language model from it"),
        "weights broken": ([broken, *text, *words], "transformers loads no causal language model from it"),
        "weights missing": ([partial, *text, *words], "holds no weights for lm_head.weight"),
        "encoder": ([folder / "bert", *text], "BertLMHeadModel looks at later tokens, must be a causal language"),
        "encoder-decoder": ([folder / "t5", *text], "transformers loads no causal language model from it"),
        "no tokenizer": ([small, *text], "tokenizer"),
        "tokenizer missing": ([neox, *text, "--tokenizer", "./none"], "./none: no such folder"),
        "tokenizer of another": ([small, *text, *words], "is not in the model's 0..59: another's tokenizer"),
        "no text": ([neox, "--text", more / "none.txt"], "none.txt: no such file"),
        "no validation": ([neox, *text, "--validation", more / "none.txt"], "none.txt: no such file"),
        "empty text": ([neox, "--text", more / "empty.txt"], "empty.txt: holds no text"),
        "short text": ([neox, "--text", more / "short.txt"], "must be more than the context, 64: choose --context"),
        "short validation": ([neox, *text, "--validation", more / "short.txt"], "short.txt: "),
        "not UTF-8": ([neox, "--text", more / "latin.txt"], "latin.txt"),
        "NUL": ([neox, "--text", more / "null.txt"], "null.txt"),
        "context 0": ([neox, *text, "--context", 0], "context=0, must be from 1 to 64"),
        "context 65": ([neox, *text, "--context", 65], "context=65, must be from 1 to 64"),
        "batch": ([neox, *text, "--batch", 0], "--batch 0: must be at least 1"),
        "dtype": ([neox, *text, "--dtype", "int8"], "dtype='int8', must be one of auto, float32"),
        "preset": ([neox, *text, "--preset", "vogue"], "preset='vogue', must be one of"),
        "output": ([neox, *text, "--csv", more / "no" / "x.csv"], "cannot be written"),
        "output is text": ([neox, *text, "--csv", folder / "text.txt"], "is an input"),
    }


NAMES = """no folder|no name|no config|no weights|weights broken|weights missing|encoder|encoder-decoder|no tokenizer
tokenizer missing|tokenizer of another|no text|no validation|empty text|short text|short validation|not UTF-8|NUL
context 0|context 65|batch|dtype|preset|output|output is text""".replace("\n", "|").split("|")


@pytest.fixture(scope="module")
def bad_cases(folder, tmp_path_factory):
    return bad(folder, tmp_path_factory.mktemp("bad"))


def test_law_every_bad_case_is_run(bad_cases):
    assert sorted(bad_cases) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_value_bad_input_is_one_line_and_nothing_written(bad_cases, tmp_path, capsys, monkeypatch, name):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    arguments, message = bad_cases[name]
    arguments = ["measure-lm", *arguments, "--device", "cpu", "--json", tmp_path / "values.json"]
    code, out, error = call(capsys, *map(str, arguments))
    assert code == 2 and out == "" and message in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_law_the_code_of_a_folder_is_never_run(folder, tmp_path, monkeypatch):
    """Also where a pipe says yes to the question."""
    strange = tmp_path / "strange"
    shutil.copytree(folder / "neox", strange)
    config = json.loads((strange / "config.json").read_text())
    names = {"AutoConfig": "strange.Config", "AutoModelForCausalLM": "strange.Model"}
    (strange / "config.json").write_text(json.dumps(config | {"model_type": "strange", "auto_map": names}))
    (strange / "strange.py").write_text(f"open({str(tmp_path / 'PWNED')!r}, 'w')\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\n"))
    with pytest.raises(ValueError, match=r"strange: transformers loads no causal language model from it: .*"):
        causal_lm.load(strange)
    assert not (tmp_path / "PWNED").exists()
