"""Language models and classifiers of transformers that were measured as something else: what is measured now."""

import json

import pytest
import torch
from test_cli import call
from torch import nn

from nclib.collect import collect
from nclib.conventions import measure
from nclib.data.corpora import documents
from nclib.measuring import causal_lm
from nclib.measuring.passes import Checkpoint, Passes
from nclib.statistics import ClassStatistics

transformers = pytest.importorskip("transformers", reason="needs the extra: pip install -e .[huggingface]")

V, T, d = 60, 12, 16
SIZE = {"hidden_size": d, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
ENCODER_DECODER = {"d_model": d, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
ENCODER_DECODER |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
T5 = {"d_model": d, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}


def made(kind, config, **options):
    torch.manual_seed(0)
    model = kind(config(vocab_size=V, **options)).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def tokens(seed=0, n=24):
    return torch.randint(4, V, (n, T), generator=torch.Generator().manual_seed(seed))


def callback(data, **options):
    from nclib.adapters.huggingface import CollapseCallback

    return CollapseCallback(data, batch_size=5, **options)


def ratio(H, y):
    return measure(ClassStatistics.from_features(H.detach().flatten(0, -2), y.flatten(), V))["nc1_trace_ratio"]


def test_oracle_a_masked_model_predicts_its_own_token():
    model = made(transformers.BertForMaskedLM, transformers.BertConfig, **SIZE)
    ids = tokens()
    labels = ids.masked_fill(torch.arange(T) % 3 > 0, -100)
    data = [{"input_ids": i, "labels": y} for i, y in zip(ids, labels, strict=True)]
    found = callback(data).measure(model)["nc1_trace_ratio"]
    H = model.cls.predictions.transform(model.bert(ids).last_hidden_state)
    assert found == pytest.approx(ratio(H, labels), rel=1e-4)
    shifted = callback(data, shift=True).measure(model)["nc1_trace_ratio"]
    assert shifted == pytest.approx(ratio(H[:, :-1], labels[:, 1:]), rel=1e-4) != pytest.approx(found, rel=0.01)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_oracle_an_encoder_decoder_is_given_its_labels(name, given):
    """With and without decoder_input_ids: never shifted, and the decoder is never fed the encoder's input."""
    kind, config, options = {
        "t5": (transformers.T5ForConditionalGeneration, transformers.T5Config, T5),
        "bart": (transformers.BartForConditionalGeneration, transformers.BartConfig, ENCODER_DECODER),
    }[name]
    model = made(kind, config, **options)
    ids, y = tokens(), tokens(1)
    start = model.config.decoder_start_token_id
    inputs = torch.cat([torch.full((len(y), 1), start), y[:, :-1]], dim=1)
    data = [
        {"input_ids": i, "labels": t, **({"decoder_input_ids": s} if given else {})}
        for i, t, s in zip(ids, y, inputs, strict=True)
    ]
    with torch.no_grad(), causal_lm.inputs_of(model.lm_head) as kept:
        model(input_ids=ids, decoder_input_ids=inputs)
    assert callback(data).measure(model)["nc1_trace_ratio"] == pytest.approx(ratio(kept[0], y), rel=1e-4)


def test_oracle_a_causal_model_is_shifted_and_a_loss_of_its_own_is_believed():
    model = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE)
    ids = tokens()
    H = model.gpt_neox(ids).last_hidden_state
    assert callback(ids).measure(model)["nc1_trace_ratio"] == pytest.approx(ratio(H[:, :-1], ids[:, 1:]), rel=1e-4)
    forward = model.forward

    def silent(labels=None, **inputs):
        return forward(**inputs)

    model.forward = silent
    with pytest.raises(ValueError, match="does not say whether it predicts the next token: set shift="):
        callback(ids).measure(model)


class Adapter(nn.Module):
    """A LoRA on an output embedding, as peft has it: its weight is the frozen one."""

    def __init__(self, base):
        super().__init__()
        self.base_layer, self.down, self.up = base, nn.Linear(d, 2, bias=False), nn.Linear(2, V, bias=False)

    @property
    def weight(self):
        return self.base_layer.weight

    def forward(self, h):
        return self.base_layer(h) + 4 * self.up(self.down(h))


def adapted():
    model = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE)
    model.set_output_embeddings(Adapter(model.get_output_embeddings()))
    return model


def test_oracle_self_duality_is_that_of_the_weight_with_its_adapter():
    model, ids = adapted(), tokens()
    head = model.get_output_embeddings()
    whole = (head.weight + 4 * head.up.weight @ head.down.weight).detach()
    H, y = model.gpt_neox(ids).last_hidden_state[:, :-1].detach(), ids[:, 1:]
    stats = ClassStatistics.from_features(H, y, V)
    wanted = measure(stats, whole)["self_duality"]
    assert callback(ids).measure(model)["self_duality"] == pytest.approx(wanted, rel=1e-3)
    assert measure(stats, head.weight)["self_duality"] != pytest.approx(wanted, rel=0.05)
    torch.testing.assert_close(causal_lm.classifier(model)[0], whole, rtol=1e-4, atol=1e-5)


def test_value_logits_of_something_else_are_refused():
    model = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE)
    forward = model.forward

    def other(**inputs):
        out = forward(**inputs)
        out.logits = out.logits + 3 * torch.arange(V)
        return out

    model.forward = other
    for measured in (lambda: causal_lm.classifier(model), lambda: callback(tokens(), shift=True).measure(model)):
        with pytest.raises(ValueError, match=r"logits are no increasing function .*classifier="):
            measured()


def test_value_a_softcap_is_an_increasing_function():
    config = {"final_logit_softcapping": 2.0, "head_dim": 8, "num_key_value_heads": 1}
    model = made(transformers.Gemma2ForCausalLM, transformers.Gemma2Config, **SIZE, **config)
    W, b = causal_lm.classifier(model)
    assert W.shape == (V, d) and b is None


def test_value_causality_is_probed_with_ordinary_tokens():
    config = {"emb_dim": d, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 64}
    model = made(transformers.XLMWithLMHeadModel, transformers.XLMConfig, **config)
    ids = causal_lm.probe(model, special={20, 24})
    assert not {*range(6), 20, 24} & set(ids.unique().tolist())
    assert (ids[1:] != ids[0]).equal(torch.eye(8, dtype=bool)[1:])
    with pytest.raises(ValueError, match="XLMWithLMHeadModel looks at later tokens"):
        causal_lm.check_causal(model, "xlm")
    causal_lm.check_causal(made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE), "neox")


def test_value_a_byte_order_mark_is_no_text(tmp_path):
    for text in ("One.\n<|endoftext|>\nTwo.", "<|endoftext|>\nOne.\n<|endoftext|>\nTwo."):
        (tmp_path / "a.txt").write_text(text, encoding="utf-8-sig")
        assert list(documents(tmp_path / "a.txt")) == ["One.", "Two."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model, with a word-level tokenizer that opens each text with <s>, and a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("word")
    vocabulary = {"<s>": 0, **{f"w{i}": i for i in range(1, V)}}
    words = Tokenizer(models.WordLevel(vocabulary))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>").save_pretrained(folder / "words")
    ids = tokens(2, 40).flatten().tolist()
    (folder / "text.txt").write_text(" ".join(f"w{i}" for i in ids))
    (folder / "unknown.txt").write_text("w1 w2 nonsense")
    model = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, max_position_embeddings=T, **SIZE)
    model.config.return_dict = False
    model.save_pretrained(folder / "model")
    config = {"d_model": d, "n_heads": 2, "n_layers": 1, "max_seq_len": T}
    made(transformers.MptForCausalLM, transformers.MptConfig, **config).save_pretrained(folder / "mpt")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "x", "peft_type": "LORA"}')
    return folder


def command(capsys, folder, name, *options, text="text.txt"):
    arguments = [folder / name, "--text", folder / text, "--tokenizer", folder / "words", "--device", "cpu", *options]
    return call(capsys, "measure-lm", *map(str, arguments), "--json", "-")


@pytest.mark.parametrize("bos", ["auto", "yes", "no"])
def test_oracle_each_window_begins_with_the_tokenizers_own_token(folder, capsys, bos):
    code, out, error = command(capsys, folder, "model", "--bos", bos)
    assert code == 0, error
    ids = torch.tensor([int(word[1:]) for word in (folder / "text.txt").read_text().split()])
    if bos == "no":
        windows = ids.unfold(0, T + 1, T)
    else:
        windows = torch.cat([torch.zeros(len(ids) // T, 1, dtype=int), ids[: len(ids) // T * T].reshape(-1, T)], 1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    H = model.gpt_neox(windows[:, :-1])[0]
    found = json.loads(out)
    assert found["values"]["nc1_trace_ratio"] == pytest.approx(ratio(H, windows[:, 1:]), rel=1e-4)
    said = found["settings"]["beginning-of-sequence token"]
    assert said == {"auto": "0 (auto)", "yes": "0 (yes)", "no": "none"}[bos]


BAD = {
    "bos": ("model", ["--bos", "maybe"], "text.txt", "--bos maybe: must be one of auto, yes, no"),
    "context": ("mpt", ["--context", T + 1], "text.txt", f"context={T + 1}, must be from 1 to {T}"),
    "unknown word": ("model", [], "unknown.txt", "unknown.txt: the tokenizer cannot read 'w1 w2 nonsense'"),
    "adapter": ("adapter", [], "text.txt", "install peft"),
}


@pytest.mark.parametrize("name", BAD)
def test_value_bad_language_input_is_one_line(folder, capsys, name):
    model, options, text, message = BAD[name]
    code, out, error = command(capsys, folder, model, *options, text=text)
    assert (code, out) == (2, "") and message in error and len(error.splitlines()) == 1


def test_oracle_a_compiled_model_is_measured_uncompiled():
    model, ids = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE), tokens()
    wanted = callback(ids).measure(model)
    model.compile(backend="eager")
    assert callback(ids).measure(model) == pytest.approx(wanted, nan_ok=True)


def test_value_a_model_that_wants_more_is_one_line_that_names_it():
    """X-MOD wants a language to be set first, and raises a ValueError of its own."""
    config = transformers.XmodConfig(vocab_size=V, is_decoder=True, **SIZE)
    model = transformers.XmodForCausalLM(config).eval()
    with pytest.raises(ValueError, match=r"XmodForCausalLM cannot run on \(8, 8\) token ids: Input language unknown"):
        causal_lm.check_causal(model, "xmod")


@pytest.mark.parametrize("name", ["GPT2", "Llama"])
def test_oracle_a_decoder_that_classifies_sequences(name):
    """Its head is called on every token; the feature is that of the last one that is not padded."""
    kind, config = (getattr(transformers, f"{name}{part}") for part in ("ForSequenceClassification", "Config"))
    size = {"n_embd": d, "n_layer": 1, "n_head": 2} if name == "GPT2" else SIZE
    model = made(kind, config, num_labels=3, pad_token_id=0, bos_token_id=1, eos_token_id=2, **size)
    ids, y = tokens(), torch.arange(24) % 3
    lengths = 4 + torch.arange(24) % 7
    ids = ids.masked_fill(torch.arange(T) >= lengths[:, None], 0)
    mask = (ids != 0).long()
    with torch.no_grad():
        H = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1][torch.arange(24), lengths - 1]
    wanted = measure(ClassStatistics.from_features(H, y, 3), model.score.weight)
    data = [{"input_ids": i, "attention_mask": m, "labels": int(t)} for i, m, t in zip(ids, mask, y, strict=True)]
    found = callback(data).measure(model)
    for key, value in wanted.items():
        assert found[key] == pytest.approx(value, rel=1e-4, abs=1e-5, nan_ok=True), key
    loader = [{"input_ids": ids[s], "attention_mask": mask[s], "labels": y[s]} for s in (slice(0, 9), slice(9, 24))]
    stats = collect(model, loader, num_classes=3)
    torch.testing.assert_close(stats.means, ClassStatistics.from_features(H, y, 3).means, rtol=1e-5, atol=1e-6)


def test_value_an_output_embedding_of_zeros_is_known_all_the_same():
    model, ids = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE), tokens()
    model.get_output_embeddings().weight.data[:] = 0
    assert causal_lm.classifier(model)[0].abs().max() == 0
    H = model.gpt_neox(ids).last_hidden_state
    found = callback(ids, shift=True).measure(model)["nc1_trace_ratio"]
    assert found == pytest.approx(ratio(H[:, :-1], ids[:, 1:]), rel=1e-4)


def test_value_weights_that_are_not_numbers_are_named():
    model = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE)
    model.gpt_neox.final_layer_norm.weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="x: features of GPTNeoXForCausalLM hold NaN or inf on ordinary tokens"):
        causal_lm.check_causal(model, "x")


def test_value_weights_that_a_model_leaves_out_are_said(folder, tmp_path, capsys):
    """Of a configuration with fewer layers than its files have: what is measured is another model."""
    import shutil

    shutil.copytree(folder / "model", tmp_path / "model")
    shutil.copytree(folder / "words", tmp_path / "words")
    shutil.copy(folder / "text.txt", tmp_path)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 0}))
    code, _, error = command(capsys, tmp_path, "model")
    assert code == 0 and len(error.splitlines()) == 1
    assert "weights of its files are not used by GPTNeoXForCausalLM: gpt_neox.layers.0." in error
    assert command(capsys, folder, "model")[2] == ""


def test_value_byte_order_marks_of_joined_files_are_no_text(tmp_path):
    mark = "\ufeff"
    (tmp_path / "a.txt").write_text(f"{mark}{mark}One.\n{mark}<|endoftext|>\n{mark}Two.", encoding="utf-8")
    assert list(documents(tmp_path / "a.txt")) == ["One.", "Two."]


def test_law_a_byte_order_mark_changes_no_number(folder, tmp_path, capsys):
    for name in ("model", "words"):
        (tmp_path / name).symlink_to(folder / name)
    text = "\n<|endoftext|>\n" + (folder / "text.txt").read_text()
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    plain = command(capsys, tmp_path, "model")[1]
    (tmp_path / "text.txt").write_text(text, encoding="utf-8-sig")
    assert json.loads(plain)["values"]["samples"] > 100 and command(capsys, tmp_path, "model")[1] == plain


def test_law_a_compiled_language_model_is_measured_uncompiled():
    model, ids = made(transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig, **SIZE), tokens()

    def measured():
        return causal_lm.measure_windows(model, ids, None, batch=5, passes=Passes(Checkpoint(None, {}), quiet=True))

    stats, share, loss, _ = measured()
    model.compile(backend="eager")
    compiled, *others, _ = measured()
    torch.testing.assert_close(compiled.means, stats.means)
    assert others == [share, pytest.approx(loss)]
