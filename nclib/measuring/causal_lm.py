"""Collapse of a causal language model: its classes are the tokens of its vocabulary, its features predict the next one.

With transformers, for any model that AutoModelForCausalLM loads. The feature h_t of position t is the input of the
output embedding W (V, d), and its class is token t + 1 (Wu & Papyan 2024, section 3). transformers is imported where a
model is loaded, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from nclib import nulls
from nclib.collect import evaluating, uncompiled
from nclib.data.corpora import documents
from nclib.data.text import windows
from nclib.measuring.heads import effective, gives
from nclib.measuring.passes import Passes, warn
from nclib.nearest import NearestMean

DTYPES = ("auto", "float32", "float64", "bfloat16", "float16")
BOS = ("auto", "yes", "no")
CONTEXT = 1024  # the default where the model allows more
_LOGITS = 512  # rows of logits in float32 at a time


def load(path, *, tokenizer=None, dtype="auto", device="cpu") -> tuple:
    """(model, tokenizer) of a local folder or a name on the Hugging Face Hub; a folder needs no network.

    tokenizer: where the tokenizer is, by default with the model. dtype: one of DTYPES, auto is the one of the files.
    Raises ValueError, in one line, for what transformers cannot load, weights that are missing, and a model whose
    features depend on later tokens. Code that lies in a folder is never run. Weights of the files that the model does
    not use, as of layers beyond those of its configuration, are one line on the standard error.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}, must be one of {', '.join(DTYPES)}")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, info = _pretrained(
        "causal language model",
        transformers.AutoModelForCausalLM,
        path,
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        output_loading_info=True,
    )
    if info["missing_keys"]:
        raise ValueError(f"{path}: holds no weights for {sorted(info['missing_keys'])[0]}: not a whole language model")
    if unused := sorted(info["unexpected_keys"]):
        warn(f"{path}: {len(unused)} weights of its files are not used by {type(model).__name__}: {unused[0]}, ...")
    words = _pretrained("tokenizer", transformers.AutoTokenizer, tokenizer or path)
    if not _reads(words):  # an empty one is made where its files are missing
        raise ValueError(f"{tokenizer or path}: holds no tokenizer, name one with --tokenizer")
    for config in {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}.values():
        config.return_dict = True  # a file may say otherwise, and parts of a model read their own
    model = model.to(device).eval()
    with uncompiled(model):
        check_causal(model, path, special={*words.all_special_ids})
    return model, words


def _reads(words) -> bool:
    """Whether a tokenizer makes tokens of a text; one of whole words may refuse those that it does not know."""
    try:
        return bool(encode(words, "a b", ""))
    except ValueError:
        return bool(words.get_vocab())


def encode(words, text, path) -> list[int]:
    """Token ids of a text, without special tokens. Raises ValueError, in one line, for what the tokenizer refuses."""
    try:
        return words(text, add_special_tokens=False, verbose=False)["input_ids"]
    except Exception as error:  # of any kind: it may have no token for a word that it does not know
        raise ValueError(f"{path}: the tokenizer cannot read {text[:20]!r}: {_line(error)}") from None


def beginning(words, bos: str = "auto") -> int | None:
    """The token that opens every window, or None. auto: the beginning-of-sequence token where the tokenizer sets it.

    Raises ValueError for "yes" where there is none.
    """
    if bos not in BOS:
        raise ValueError(f"--bos {bos}: must be one of {', '.join(BOS)}")
    token = words.bos_token_id
    if bos == "yes" and token is None:
        raise ValueError("--bos yes: the tokenizer has no beginning-of-sequence token")
    if bos == "auto":
        own = words("", verbose=False)["input_ids"][:1]
        return token if token is not None and own == [token] else None
    return token if bos == "yes" else None


def _pretrained(what, kind, path, **options):
    if not Path(path).exists() and (str(path).startswith((".", "/", "~")) or str(path).count("/") > 1):
        raise ValueError(f"{path}: no such folder")
    try:
        # Without its last argument a folder's own code would be run after a question that a pipe can answer.
        local = Path(path).exists()
        return kind.from_pretrained(str(path), local_files_only=local, trust_remote_code=False, **options)
    except Exception as error:  # of any kind: configurations, weights, network
        if (Path(path) / "adapter_config.json").is_file() and find_spec("peft") is None:
            raise ValueError(f"{path}: holds an adapter, for which install peft: pip install peft") from None
        raise ValueError(f"{path}: transformers loads no {what} from it: {_line(error)}") from None


def _line(error) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def head(model) -> nn.Module:
    """The output embedding, whose input are the features. Raises ValueError where a model has none."""
    found = model.get_output_embeddings()
    if found is None or getattr(found, "weight", None) is None:
        raise ValueError(f"{type(model).__name__} has no output embedding with a weight, so no classifier and features")
    return found


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds a copy of the input of the module's last call, without gradient."""
    kept: list[Tensor] = []

    def keep(module, args, kwargs):
        kept[:] = [(args[0] if args else next(iter(kwargs.values()))).detach().clone()]

    handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield kept
    finally:
        handle.remove()


@torch.no_grad()
def features(model, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Features (B, T, d) and logits (B, T, V) of token ids (B, T). Raises ValueError where the model cannot run."""
    return _run(model, ids)


def _run(model, ids):
    with inputs_of(head(model)) as kept:
        try:
            logits = model(input_ids=ids, use_cache=False, return_dict=True).logits
        except Exception as error:  # of any kind: a model may want an argument, or a setting, of its own
            raise ValueError(
                f"{type(model).__name__} cannot run on {tuple(ids.shape)} token ids: {_line(error)}"
            ) from error
    return kept[0], logits


def classifier(model) -> tuple[Tensor, Tensor | None]:
    """W (V, d) and b of the output embedding, with its adapter or parametrization.

    Raises ValueError unless the model's logits are one strictly increasing function of H W^T + b, a softcap or a scale.
    """
    found = head(model)
    outputs = []
    handle = found.register_forward_hook(lambda module, args, output: outputs.append(output.detach().clone()))
    try:
        with torch.no_grad():
            H, logits = _run(model, probe(model)[:1])
    finally:
        handle.remove()
    if not outputs or not gives(outputs[-1], logits):
        raise ValueError(
            f"{type(model).__name__}: its logits are no increasing function of H W^T + b for the output embedding, "
            "measure a module's features with nclib.collect(layer=) or name one with classifier="
        )
    return effective(found, H)


def probe(model, special=(), length=8) -> Tensor:
    """Token ids (length, length): ordinary ones, of which row j > 0 has another token at position j alone."""
    config, V = model.config.get_text_config(), vocabulary(model)
    named = {getattr(config, f"{name}_token_id", None) for name in ("pad", "bos", "eos", "sep", "cls", "mask", "unk")}
    named |= {
        getattr(config, name, None) for name in ("pad_index", "eos_index", "bos_index", "unk_index", "mask_index")
    }
    barred = set(special).union(*(one if isinstance(one, (list, tuple)) else {one} for one in named))
    ordinary = [i for i in range(V) if i not in barred] or list(range(V))
    step = max(1, len(ordinary) // (2 * length + 1))
    chosen = [ordinary[(i + 1) * step % len(ordinary)] for i in range(2 * length)]
    ids = torch.tensor(chosen[:length], device=model.device).repeat(length, 1)
    for j in range(1, length):
        ids[j, j] = chosen[length + j]
    return ids


def vocabulary(model) -> int:
    """The number of classes V."""
    weight = head(model).weight
    return getattr(head(model), "out_features", None) or len(weight)


def check_causal(model, path, special=()) -> None:
    """Raises ValueError if another token at one position changes the features of earlier ones by more than sqrt(eps),
    relative; each position is tried, with ordinary tokens. And for features that are not finite.

    Rounding changes them by a few eps, if at all; a bidirectional model (BERT, say) by some percent.
    """
    H = features(model, probe(model, special))[0]
    if not H.isfinite().all():
        raise ValueError(f"{path}: features of {type(model).__name__} hold NaN or inf on ordinary tokens")
    for j in range(1, len(H)):
        change = (H[0, :j].double() - H[j, :j].double()).norm() / H[0, :j].double().norm()
        if change > torch.finfo(H.dtype).eps ** 0.5:
            raise ValueError(f"{path}: {type(model).__name__} looks at later tokens, must be a causal language model")


def read_tokens(path, tokenizer, vocab: int) -> Tensor:
    """Token ids (N,) of a text file in UTF-8. Documents are separated by a line <|endoftext|>; the tokenizer's
    end-of-text token stands between them, where it has one.

    Raises ValueError for a file that is missing, empty or no text, and ids outside the model's vocabulary.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    parts = []
    for text in documents(path):
        ids = encode(tokenizer, text, path)
        parts.append(torch.tensor(end + ids if parts else ids, dtype=torch.int64))
    tokens = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.int64)
    if not len(tokens):
        raise ValueError(f"{path}: holds no text")
    if tokens.max() >= vocab:
        raise ValueError(
            f"{path}: token id {int(tokens.max())} is not in the model's 0..{vocab - 1}: another's tokenizer"
        )
    return tokens


def context_length(model, context: int | None) -> int:
    """`context`, by default the longest that the model takes, up to CONTEXT. ValueError for more than it takes."""
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
    longest = next((value for name in names if isinstance(value := getattr(config, name, None), int)), None)
    if context is None:
        return min(longest or CONTEXT, CONTEXT)
    if context < 1 or (longest and context > longest):
        raise ValueError(f"context={context}, must be from 1 to {longest or 'the longest that the model takes'}")
    return context


def text_windows(tokens: Tensor, context: int, path, bos: int | None = None) -> Tensor:
    """Windows (n, T + 1) of a text, T = context; with bos, each begins with it and has one token of the text less.

    Raises ValueError for a text of fewer tokens.
    """
    if len(tokens) <= context:
        raise ValueError(f"{path}: {len(tokens)} tokens, must be more than the context, {context}: choose --context")
    if bos is None:
        return windows(tokens, context)
    parts = tokens[: len(tokens) // context * context].reshape(-1, context).int()
    return torch.cat([parts.new_full((len(parts), 1), bos), parts], dim=1)


def measure_windows(
    model, train: Tensor, validation: Tensor | None, *, batch: int, passes: Passes, shuffled=False
) -> tuple:
    """(statistics, NC4 agreement or None, mean loss in nats, statistics of shuffled targets or None).

    train, validation (n, T + 1): token ids; `batch` windows go through the model at a time. Statistics are those of
    `train`. Agreement and loss come from one pass over `validation`, over `train` where it is None. The agreement is
    the share of tokens for which the model's choice and the nearest class mean are the same, both among the classes
    present in `train`; tokens whose class is absent there do not count (Wu & Papyan 2024, NC4).
    """
    V, d = vocabulary(model), head(model).weight.shape[-1]
    device = model.device
    shape = {"num_classes": V, "dim": d, "device": device}

    def forward(windows, i):
        ids = windows[i * batch : (i + 1) * batch].to(device, torch.int64)
        return (*features(model, ids[:, :-1]), ids[:, 1:])

    def sample(i):
        H, _, y = forward(train, i)
        return H, y

    with evaluating(model), uncompiled(model):
        stats = passes.statistics("statistics", -(-len(train) // batch), sample, **shape)
        nearest = NearestMean(stats, torch.promote_types(model.dtype, torch.float32))
        held_out = train if validation is None else validation

        def compare(i):
            H, logits, y = forward(held_out, i)
            return torch.stack([*nearest.count(H, logits, y), loss_sum(logits, y), _count(y)])

        hits, seen, loss, samples = passes.total(
            "agreement", -(-len(held_out) // batch), compare, 4, stats.means.device
        ).tolist()
        other = _shuffled(train, forward, batch, passes, shape) if shuffled else None
    return stats, hits / seen if seen else None, loss / samples, other


def _shuffled(train, forward, batch, passes, shape):
    """Statistics with the targets of `train` in random order."""
    y = nulls.shuffle(train[:, 1:].long(), 0)

    def sample(i):
        return forward(train, i)[0], y[i * batch : (i + 1) * batch]

    return passes.statistics("shuffled labels", -(-len(train) // batch), sample, **shape)


def loss_sum(logits: Tensor, y: Tensor) -> Tensor:
    """Sum of the cross-entropies of logits (..., V) in nats, float64, over labels y (...) that are not negative."""
    logits, y = logits.flatten(0, -2), y.flatten()
    parts = [
        nn.functional.cross_entropy(z.float(), t, ignore_index=-100, reduction="none").double().sum()
        for z, t in zip(logits.split(_LOGITS), y.split(_LOGITS), strict=True)
    ]
    return torch.stack(parts).sum()


def _count(y):
    return (y >= 0).sum().double()
