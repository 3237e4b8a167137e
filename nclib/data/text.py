"""Text as token ids: docstrings, Python's reference, stories, books, a story grammar, or a folder of your own."""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from nclib import _files
from nclib.data import bpe, corpora
from nclib.data.bpe import END
from nclib.data.files import GPT2, TEXTS, DataError, data_folder
from nclib.runs.seal import Damaged, contents, remove, sealed, unsealed, write_atomic

VERSION = 2  # of the cached tokens: raise it when the same text gives other tokens, or a file has another form
GRAMMAR_TOKENS = 400_000, 50_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """A tokenized corpus. train (N,) and validation (M,) int32 token ids, each document followed by <|endoftext|>;
    vocab: the number of token ids; strings: the text of each token, by id; sha256: {file: hexadecimal digest} of what
    the tokens were made from; titles: of the documents, training first, where the corpus names them."""

    train: torch.Tensor
    validation: torch.Tensor
    vocab: int
    strings: list[str]
    sha256: dict[str, str]
    titles: list[str]


def tokens(corpus, vocab, *, limit=None) -> Tokens:
    """The tokens of a corpus.

    corpus   "documentation": the docstrings of the locked scientific packages, `nclib.data.documentation`.
             "reference": the topics of Python's own reference, `pydoc_data.topics`, in alphabetical order; every 20th,
             from the 11th on, is validation (5 %). It changes with the Python version: see `sha256`.
             "tinystories": a sample of TinyStories. "books": 448 + 26 public-domain novels and children's books.
             "grammar": words of `nclib.data.grammar.Grammar()`; `limit` words (400,000) of training text, 50,000 of
             validation.
             The path of a folder with train.txt and valid.txt; without the latter the last 5 % of the documents of
             train.txt (at least one) are validation. UTF-8; documents are separated by a line <|endoftext|>.
    vocab    a whole number from 258 on: byte-level BPE of so many tokens trained on the whole training text, whatever
             the limit; "gpt2": GPT-2's 50,257 tokens. For "grammar": None, or the number of its words.
    limit    only the first so many training tokens (all there are, if fewer); no more text is encoded than needed.

    Kept in the cache folder, below `tokens/`, under the sha256 of the text, vocab and limit; tokens of a named corpus
    that are there need its files no more. What is damaged is made again.

    Raises ValueError for arguments outside these, its subclass DataError for a text that is missing, is not the named
    one, is empty, or holds NUL or bytes that are no UTF-8.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit = {limit!r}: must be None or a whole number of tokens > 0")
    if corpus == "grammar":
        return _grammar(vocab, limit)
    if vocab != "gpt2" and (isinstance(vocab, bool) or not isinstance(vocab, int) or vocab < bpe.SMALLEST):
        raise ValueError(f"vocab = {vocab!r}: must be 'gpt2' or a whole number from {bpe.SMALLEST} on")
    sources = corpora.sources(corpus)
    path = _cache(sources, vocab, limit)
    found = _load(path)
    if found is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # of several processes that need them, one makes them
            found = _load(path)
            if found is None:
                _save(path, _make(corpus, sources, vocab, limit))
                found = _load(path)
    return found


def windows(tokens, context) -> torch.Tensor:
    """Windows (n, T + 1) int32 of a text (N,), a view: window i is tokens i T .. i T + T, with T = context.

    Its first T tokens are inputs and its last T the targets, so every token but the first of the text is a target once
    (the last, incomplete window is left out). Raises ValueError for a text shorter than T + 1.
    """
    if isinstance(context, bool) or not isinstance(context, int) or context < 1:
        raise ValueError(f"context = {context!r}: must be a whole number > 0")
    if tokens.ndim != 1 or len(tokens) < context + 1:
        raise ValueError(f"tokens has shape {tuple(tokens.shape)}: must be (N,) with N > context = {context}")
    return tokens.int().unfold(0, context + 1, context)


def available(corpus, vocab=None, *, limit=None) -> bool:
    """Whether the files of a corpus are on this machine, or, where vocab is given, its tokens are in the cache.

    Nothing is downloaded, and no checksum of a named corpus is read. Raises ValueError for an unknown corpus.
    """
    if corpus in TEXTS:
        there = all((data_folder() / corpus / name).exists() for name in TEXTS[corpus])
        return there or (vocab is not None and _cache(corpora.sources(corpus), vocab, limit).exists())
    corpora.check(corpus)
    return corpus in corpora.NAMES or (Path(corpus) / "train.txt").exists()


def _make(corpus, sources, vocab, limit):
    text = corpora.read(corpus)
    if not any(text.train()) or not any(text.validation()):
        raise DataError(f"corpus = {str(corpus)!r}: its training or validation text is empty")
    tokenizer, files = bpe.gpt2() if vocab == "gpt2" else (_tokenizer(text, sources, vocab), {})
    train = bpe.encode(tokenizer, text.train(), limit)
    end = tokenizer.token_to_id(END)
    read = int((train[:-1] == end).sum()) + 1
    return Tokens(
        train=torch.from_numpy(train),
        validation=torch.from_numpy(bpe.encode(tokenizer, text.validation())),
        vocab=tokenizer.get_vocab_size(),
        strings=bpe.strings(tokenizer),
        sha256=sources | files,
        titles=[*text.titles[0][:read], *text.titles[1]],
    )


def _tokenizer(text, sources, vocab):
    """The BPE of a corpus, kept beside its tokens: it is the same for every limit."""
    from tokenizers import Tokenizer

    path = _cache(sources, vocab, "bpe").with_suffix(".json")
    if path.exists():
        try:
            return Tokenizer.from_str(unsealed(contents(path), key=path.stem)["tokenizer"])
        except Damaged:
            warnings.warn(f"{path}: damaged; it is made again", stacklevel=2)
            remove(path)
    tokenizer = bpe.train(text.train(), vocab)
    write_atomic(path, sealed({"key": path.stem, "tokenizer": tokenizer.to_str()}))
    return tokenizer


def _cache(sources, vocab, limit):
    from nclib.runs.store import cache_folder

    files = sources | (GPT2 if vocab == "gpt2" else {})
    text = json.dumps([VERSION, files, vocab, limit], sort_keys=True)
    return cache_folder() / "tokens" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


def _save(path, made):
    """Ids in 16 bits where the vocabulary fits, sealed under the name of the file."""
    dtype = torch.uint16 if made.vocab <= 2**16 else torch.int32
    ids = {name: getattr(made, name).to(dtype) for name in ("train", "validation")}
    about = json.dumps([made.vocab, made.strings, made.sha256, made.titles])
    _files.save(path, ids, {"key": path.stem, "about": about})


def _load(path):
    """The tokens in a cache file; None where there is none or it is damaged."""
    if not path.exists():
        return None
    try:
        ids, found = _files.load(path, key=path.stem)
    except (Damaged, OSError):
        warnings.warn(f"{path}: damaged; it is made again", stacklevel=3)
        remove(path)
        return None
    return Tokens(ids["train"].int(), ids["validation"].int(), *json.loads(found["about"]))


def _grammar(vocab, limit):
    from nclib.data.grammar import Grammar

    grammar = Grammar()
    words = grammar.vocabulary
    if vocab not in (None, len(words)):
        raise ValueError(f"vocab = {vocab!r}: must be None or {len(words)}, the words of the grammar")
    sizes = limit or GRAMMAR_TOKENS[0], GRAMMAR_TOKENS[1]
    train, validation = (torch.from_numpy(grammar.sample(n, seed).astype(np.int32)) for seed, n in enumerate(sizes))
    return Tokens(train, validation, len(words), list(words), {"grammar": grammar.sha256}, [])
