"""The documents of a corpus: docstrings, Python's reference, TinyStories, public-domain books, or your own folder."""

import csv
import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nclib.data import documentation
from nclib.data.bpe import END
from nclib.data.files import TEXTS, DataError, sha256, text_file

NAMES = ("documentation", "reference", "tinystories", "books", "grammar")
TITLES = {"documentation": "docstrings", "reference": "Python's manual", "tinystories": "TinyStories"}  # for a reader


@dataclass(frozen=True)
class Corpus:
    """Documents to train on and to validate on, as functions that yield them anew, and the titles of both."""

    train: Callable[[], Iterable[str]]
    validation: Callable[[], Iterable[str]]
    titles: tuple[list[str], list[str]] = ((), ())


def sources(corpus) -> dict[str, str]:
    """{file: sha256} of the text of a corpus; the pinned ones of a named corpus, whose files need not be there."""
    check(corpus)
    if corpus in TEXTS:
        return dict(TEXTS[corpus])
    if corpus == "documentation":
        return documentation.source()
    if corpus == "reference":
        text = f"\n{END}\n".join(text for _, text in _topics())
        return {"pydoc_data.topics": hashlib.sha256(text.encode()).hexdigest()}
    if found := own(corpus):
        return found
    raise DataError(f"corpus = {str(corpus)!r}: the folder has no train.txt")


def own(corpus) -> dict[str, str]:
    """{file: sha256} of the text in a folder of one's own; nothing for a named corpus and where there is no text."""
    if corpus in NAMES or not (Path(corpus) / "train.txt").exists():
        return {}
    files = [Path(corpus) / name for name in ("train.txt", "valid.txt")]
    return {path.name: _sha256(path, _version(path)) for path in files if path.exists()}


def at_hand(corpus) -> dict[str, str | None]:
    """{name: sha256} of the text of a named corpus that changes with what is installed, None for a sum that it would
    take long to compute: the name holds the versions."""
    if corpus == "documentation":
        return {documentation.name(): None}
    return sources(corpus) if corpus == "reference" else {}


@functools.lru_cache(64)
def _sha256(path, version):
    return sha256(path)


def _version(path):
    """What changes with every write to a file, also with one that sets its date back."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read(corpus) -> Corpus:
    """The documents of a corpus, whose files are verified."""
    if corpus == "documentation":
        train, validation = documentation.split()
        return Corpus(lambda: train, lambda: validation)
    if corpus == "reference":
        held_out = _topics()[10::20]
        kept = [topic for topic in _topics() if topic not in held_out]
        train, validation = ([text.strip() for _, text in part] for part in (kept, held_out))
        return Corpus(lambda: train, lambda: validation, ([name for name, _ in kept], [name for name, _ in held_out]))
    if corpus in TEXTS:
        train, validation, *more = [text_file(corpus, name) for name in TEXTS[corpus]]
        titles = _titles(more[0]) if more else ([], [])
        return Corpus(lambda: documents(train), lambda: documents(validation), titles)
    train, validation = (Path(corpus) / name for name in ("train.txt", "valid.txt"))
    if validation.exists():
        return Corpus(lambda: documents(train), lambda: documents(validation))
    n = sum(1 for _ in documents(train))
    if n == 1:
        raise DataError(f"{train}: holds one document, so none can be left out for validation: add valid.txt")
    kept = max(0, n - max(1, n // 20))
    return Corpus(lambda: islice(documents(train), kept), lambda: islice(documents(train), kept, None))


def check(corpus) -> None:
    """ValueError unless a corpus is a name or a folder."""
    if corpus not in NAMES and not Path(corpus).is_dir():
        raise ValueError(f"corpus = {str(corpus)!r}: must be one of {', '.join(NAMES)}, or a folder with train.txt")


def documents(path) -> Iterable[str]:
    """Yield the documents of a text file, separated by lines <|endoftext|>, without white space around them; empty ones
    are left out, and so are byte-order marks. Raises DataError for NUL and for bytes that are not UTF-8."""
    lines = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                line = line.lstrip("\ufeff")  # also of files that were joined
                if line.strip() != END:
                    lines.append(line)
                    continue
                if text := _document(path, lines):
                    yield text
                lines = []
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: holds a byte that is not UTF-8 ({error.reason}, 0x{error.object[error.start]:02x})"
        ) from error
    if text := _document(path, lines):
        yield text


def stories(path_or_name="roneneldan/TinyStories", split="train") -> Iterable[str]:
    """Yield the texts of a Hugging Face dataset with a column `text`, one at a time, never all in memory.

    path_or_name   the name of a dataset, or a folder of parquet files in its format.
    split          "train" or "validation".
    Raises DataError, in one line, if it cannot be read.
    """
    from datasets import load_dataset

    try:
        for row in load_dataset(str(path_or_name), split=split, streaming=True):
            yield row["text"]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"stories of {str(path_or_name)!r}, split {split!r}: {type(error).__name__}: {reason}"
        ) from error


def write_corpus(folder, train, validation) -> None:
    """Write texts as a corpus that `tokens` reads, `folder`/train.txt and valid.txt; e.g. `stories()`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, texts in (("train.txt", train), ("valid.txt", validation)):
        partial = folder / f"{name}.part"
        with open(partial, "w", encoding="utf-8") as file:
            for text in texts:
                file.write(f"{text.strip()}\n{END}\n")
        partial.replace(folder / name)


def _topics():
    from pydoc_data.topics import topics

    return sorted(topics.items())


def _titles(path):
    """Titles and authors in SOURCES.csv, whose rows are in the order of the documents: (training, validation)."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        [f"{row['title']}, {row['author']}" for row in rows if row["document_id"].startswith(split)]
        for split in ("train", "valid")
    )


def _document(path, lines):
    text = "".join(lines).strip()
    if "\0" in text:
        raise DataError(f"{path}: holds a NUL character; it must be text in UTF-8")
    return text
