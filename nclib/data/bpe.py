"""Byte-level BPE: trained on a text, or GPT-2's; text -> token ids, with little memory, however long the text."""

import json
import re
from itertools import chain

import numpy as np

from nclib.data.files import GPT2, gpt2_file

END = "<|endoftext|>"
SMALLEST = 258  # 256 bytes, the end of text, and one merge
PIECE = 2**15  # characters of a document that are encoded as one string
BATCH = 2**21  # characters that are encoded in one call: some 100 bytes of memory per token while it lasts


def train(documents, vocab) -> "Tokenizer":  # noqa: F821
    """A byte-level BPE tokenizer (GPT-2's splitting into words) of exactly `vocab` tokens, trained on documents.

    Token 0 is <|endoftext|>, then come the 256 bytes, then the merges in the order in which they were found; a pair
    that occurs once is never merged. The same documents give the same tokenizer.
    Raises ValueError if the text gives fewer tokens than that, or vocab < 258.
    """
    from tokenizers import Tokenizer, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    if isinstance(vocab, bool) or not isinstance(vocab, int) or vocab < SMALLEST:
        raise ValueError(f"vocab = {vocab!r}: must be 'gpt2' or a whole number from {SMALLEST} on")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        min_frequency=2,
        special_tokens=[END],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer = _byte_level(Tokenizer(models.BPE()))
    tokenizer.train_from_iterator(chain.from_iterable(map(pieces, documents)), trainer)
    if tokenizer.get_vocab_size() < vocab:
        raise ValueError(f"vocab = {vocab}: this text gives at most {tokenizer.get_vocab_size()} tokens")
    return tokenizer


def gpt2() -> "tuple[Tokenizer, dict[str, str]]":  # noqa: F821
    """GPT-2's tokenizer (50,257 tokens) from OpenAI's `encoder.json` and `vocab.bpe`, verified; and their sha256."""
    from tokenizers import Tokenizer, models

    vocab = json.loads(gpt2_file("encoder.json").read_text(encoding="utf-8"))
    lines = gpt2_file("vocab.bpe").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines[1:] if line]
    tokenizer = _byte_level(Tokenizer(models.BPE(vocab=vocab, merges=merges)))
    tokenizer.add_special_tokens([END])
    return tokenizer, dict(GPT2)


def encode(tokenizer, documents, limit=None) -> np.ndarray:
    """Token ids (N,) int32 of documents, each followed by <|endoftext|>: the first `limit` of them, or all.

    No document is read that is not needed.
    """
    parts, total = [np.zeros(0, np.int32)], 0
    for batch in _batches(chain.from_iterable((*pieces(document), END) for document in documents)):
        parts += [np.array(piece.ids, np.int32) for piece in tokenizer.encode_batch_fast(batch)]
        total += sum(map(len, parts[-len(batch) :]))
        if limit is not None and total >= limit:
            break
    return np.concatenate(parts)[:limit]


def pieces(document) -> "Iterator[str]":  # noqa: F821
    """A document cut into pieces of at least 2^15 characters that have the tokens of the whole.

    It is cut only between the two line ends of an empty line, with no other white space around: there the splitting
    into words cuts too, and BPE never joins words.
    """
    start = 0
    while cut := re.compile(r"\S\n(?=\n\S)").search(document, start + PIECE):
        yield document[start : cut.end()]
        start = cut.end()
    yield document[start:]


def strings(tokenizer) -> list[str]:
    """The text of each token, by id; bytes that are no text on their own are written as \\xNN."""
    byte = _bytes()
    named = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [
        token if token == END else bytes(byte[c] for c in token).decode("utf-8", "backslashreplace")
        for token, _ in named
    ]


def _byte_level(tokenizer):
    from tokenizers import decoders
    from tokenizers.pre_tokenizers import ByteLevel

    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _batches(texts):
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _bytes():
    """{character: byte} of byte-level BPE: bytes that print stand for themselves, the others for 256, 257, ..."""
    prints = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in prints]
    return {chr(byte): byte for byte in prints} | {chr(256 + i): byte for i, byte in enumerate(others)}
