"""Corpora, byte-level BPE, the cache of tokens, and where text files come from."""

import json
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from nclib import data
from nclib.data import bpe, corpora, files, text
from nclib.data.bpe import END
from nclib.data.grammar import Grammar

STORIES = [f"Tom has {n} cats.\n\nThe cats of Tom like the {w}." for n, w in zip("123456", "abcdef", strict=True)]


def need(*names):
    for name in names:
        if not (data.data_folder() / name).exists():
            pytest.skip(f"{data.data_folder() / name} is missing: set NCLIB_DATA to a folder that has it")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "data"


@pytest.fixture
def own(tmp_path, store):
    data.write_corpus(tmp_path / "own", STORIES, ["Tom likes cats.", "ab €"])
    return tmp_path / "own"


def shown(ids, found):
    return "".join(found.strings[i] for i in ids)


def naive_bpe(merges, word):
    """Join the first merge of the list that applies, everywhere from the left, until none does."""
    rank = {pair: i for i, pair in enumerate(merges)}
    while len(word) > 1:
        best = min(pairwise(word), key=lambda pair: rank.get(pair, 1e9))
        if best not in rank:
            break
        joined, i = [], 0
        while i < len(word):
            if tuple(word[i : i + 2]) == best:
                joined.append(word[i] + word[i + 1])
                i += 2
            else:
                joined.append(word[i])
                i += 1
        word = joined
    return word


def test_value_windows():
    cut = data.windows(torch.arange(10, 20, dtype=torch.int32), 3)
    assert cut.tolist() == [[10, 11, 12, 13], [13, 14, 15, 16], [16, 17, 18, 19]] and cut.dtype == torch.int32
    assert data.windows(torch.arange(9), 3).tolist() == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert data.windows(torch.arange(4), 3).shape == (1, 4)
    for bad in (torch.arange(3), torch.zeros(5, 5)):
        with pytest.raises(ValueError, match=r"tokens has shape .*: must be \(N,\) with N > context = 3"):
            data.windows(bad, 3)
    with pytest.raises(ValueError, match="context = 0: must be a whole number > 0"):
        data.windows(torch.arange(3), 0)


def test_value_trained_merges_by_hand():
    """Words xyz 4, xy 2, xq 1: the pair xy comes 6 times, then (xy)z 4 times, and xq only once."""
    tokenizer = bpe.train(["xyz\nxyz\nxyz\nxy\nxy", "xyz\nxq"], 259)
    assert bpe.strings(tokenizer)[257:] == ["xy", "xyz"] and bpe.strings(tokenizer)[0] == END
    assert len(set(bpe.strings(tokenizer))) == 259
    q, x, newline = (bpe.strings(tokenizer).index(c) for c in "qx\n")
    ids = bpe.encode(tokenizer, ["xyzxy\nxq", "xy"])
    assert ids.tolist() == [258, 257, newline, x, q, 0, 257, 0] and ids.dtype == np.int32
    assert bpe.encode(tokenizer, ["xyzxy\nxq", "xy"], 3).tolist() == [258, 257, newline]
    with pytest.raises(ValueError, match="vocab = 260: this text gives at most 259 tokens"):
        bpe.train(["xyz\nxyz\nxyz\nxy\nxy", "xyz\nxq"], 260)


def test_value_tokens_of_a_folder(own):
    found = data.tokens(own, 262)
    assert shown(found.train, found) == "".join(story + END for story in STORIES)
    euro = "".join(f"\\x{byte:02x}" for byte in "€".encode())
    assert shown(found.validation, found) == f"Tom likes cats.{END}ab {euro}{END}"
    assert found.train.dtype == found.validation.dtype == torch.int32
    assert (found.vocab, len(found.strings), found.titles) == (262, 262, [])
    assert found.sha256 == {name: files.sha256(own / name) for name in ("train.txt", "valid.txt")}
    assert any(len(string) > 2 for string in found.strings[257:])


def test_value_the_last_twentieth_is_validation(tmp_path, store):
    folder = tmp_path / "own"
    data.write_corpus(folder, [f"text {i} " + "la " * 9 for i in range(41)], [])
    (folder / "valid.txt").unlink()
    found = data.tokens(str(folder), 260)
    assert shown(found.validation, found) == "".join(f"text {i} {'la ' * 8}la{END}" for i in (39, 40))
    assert shown(found.train, found).count(END) == 39
    data.write_corpus(folder, ["la la la la", "lo lo lo"], [])
    (folder / "valid.txt").unlink()
    assert shown(data.tokens(folder, 258).validation, found)[0] == "l"


def test_value_documents(tmp_path):
    (tmp_path / "t.txt").write_bytes(f"\n{END}\n a\r\nb \n\n{END}\n{END} \n  {END}\nc{END}d\n\n".encode())
    assert list(corpora.documents(tmp_path / "t.txt")) == ["a\nb", f"c{END}d"]


@pytest.mark.parametrize("limit", [1, 7, 41, 10_000])
def test_law_limit_is_a_prefix(own, limit):
    whole, part = data.tokens(own, 262), data.tokens(own, 262, limit=limit)
    assert torch.equal(part.train, whole.train[:limit]) and torch.equal(part.validation, whole.validation)
    assert part.strings == whole.strings


def test_law_limit_encodes_no_more_than_needed(monkeypatch):
    monkeypatch.setattr(bpe, "BATCH", 100)
    read = []
    tokenizer = bpe.train(STORIES, 260)
    bpe.encode(tokenizer, (read.append(story) or story for story in STORIES), 60)
    assert 1 <= len(read) < 4


def test_law_pieces_have_the_tokens_of_the_whole(monkeypatch):
    words = "go\n\nup  \n\n\n to \nthe\n\n\tbig\n\n \nred\n\nhouse ,\n\n' s it's\n\n9 1\n\n--\n\n"
    random = np.random.default_rng(0)
    document = "".join(random.choice([*words.split(" "), " ", "\n\n", "a\n\nb"], size=4_000))
    tokenizer = bpe.train([document, " go house"], 300)
    whole = tokenizer.encode(document).ids
    monkeypatch.setattr(bpe, "PIECE", 50)
    cut = list(bpe.pieces(document))
    assert len(cut) > 30 and "".join(cut) == document
    assert bpe.encode(tokenizer, [document]).tolist() == [*whole, 0]


def test_law_reference_is_split_over_the_alphabet(store):
    found = data.tokens("reference", 1024)
    assert len(found.train) > 100_000 and 2_000 < len(found.validation) < 0.1 * len(found.train)
    from pydoc_data.topics import topics

    held_out = sorted(topics)[10::20]
    assert found.titles[-len(held_out) :] == held_out and sorted(found.titles) == sorted(topics)
    assert len(held_out) / len(topics) == pytest.approx(0.05, abs=0.01)
    assert shown(found.train, found).count(END) == len(topics) - len(held_out)
    part = data.tokens("reference", 1024, limit=20_000)
    read = shown(part.train[:-1], part).count(END) + 1
    assert part.titles == [*found.titles[:read], *held_out] and read < 30


def test_law_cache_is_read_and_damage_repaired(own, store, monkeypatch):
    first = data.tokens(own, 262)
    (path,) = (store / "cache" / "tokens").glob("*.safetensors")
    monkeypatch.setattr(text, "_make", lambda *_: pytest.fail("made again"))
    again = data.tokens(own, 262)
    for name in ("train", "validation"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert (first.strings, first.sha256, first.titles) == (again.strings, again.sha256, again.titles)
    monkeypatch.undo()
    monkeypatch.setenv("NCLIB_CACHE", str(store / "cache"))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for damaged in (whole[:-5], b"", bytes(flipped), whole.replace(b"xe2", b"xe3")):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match="damaged; it is made again"):
            assert torch.equal(data.tokens(own, 262).train, first.train)
        assert path.read_bytes() == whole
    (kept,) = (store / "cache" / "tokens").glob("*.json")
    whole = kept.read_bytes()
    for damaged in (b"{", json.dumps({"sha256": "", "tokenizer": "{}"}).encode()):
        kept.write_bytes(damaged)
        path.unlink()
        with pytest.warns(UserWarning, match="damaged; it is made again"):
            assert torch.equal(data.tokens(own, 262).train, first.train)
        assert kept.read_bytes() == whole
    with open(own / "train.txt", "a") as file:
        file.write("More.")
    assert len(data.tokens(own, 262).train) > len(first.train)


def test_law_named_corpus_is_verified_and_then_read_from_the_cache(own, folder, monkeypatch):
    own.rename(folder.parent / "moved")
    folder.mkdir()
    (folder.parent / "moved").rename(folder / "tinystories")
    pinned = {name: files.sha256(folder / "tinystories" / name) for name in ("train.txt", "valid.txt")}
    monkeypatch.setitem(files.TEXTS, "tinystories", pinned)
    found = data.tokens("tinystories", 260)
    assert data.available("tinystories") and found.sha256 == pinned
    assert files.state()["tinystories"].startswith("2 of 2 files in ")
    assert files.state()["books"].startswith("0 of 3 files in ")
    (folder / "tinystories" / "train.txt").write_text("mine")
    with pytest.raises(data.DataError, match=r"train.txt: sha256 is .*, must be .* for the corpus 'tinystories'"):
        data.tokens("tinystories", 261)
    assert (folder / "tinystories" / "train.txt").read_text() == "mine"
    (folder / "tinystories" / "train.txt").unlink()
    assert torch.equal(data.tokens("tinystories", 260).train, found.train)
    assert not data.available("tinystories") and data.available("tinystories", 260)
    assert not data.available("tinystories", 260, limit=5)
    with pytest.raises(data.DataError, match=r"NCLIB_DATA = .* lacks tinystories/train.txt: set NCLIB_DATA"):
        data.tokens("tinystories", 261)


def test_value_grammar_corpus():
    found = data.tokens("grammar", None, limit=2_000)
    g = Grammar()
    assert found.train.tolist() == g.sample(2_000, seed=0).tolist() and found.train.dtype == torch.int32
    assert found.validation.tolist() == g.sample(50_000, seed=1).tolist()
    assert found.strings == g.vocabulary and found.vocab == len(g.vocabulary)
    assert found.sha256 == {"grammar": g.sha256} and g.sha256 != Grammar(seed=1).sha256
    assert len(data.tokens("grammar", found.vocab).train) == 400_000
    with pytest.raises(ValueError, match=rf"vocab = 2048: must be None or {found.vocab}"):
        data.tokens("grammar", 2048)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (b"", "its training or validation text is empty"),
        (f"\n{END}\n \n{END}\n".encode(), "its training or validation text is empty"),
        (b"ab\0cd", "train.txt: holds a NUL character; it must be text in UTF-8"),
        (b"ab\xffcd", "train.txt: holds a byte that is not UTF-8"),
        (b"ab ab ab", "vocab = 300: this text gives at most 25[89] tokens"),
    ],
)
def test_value_bad_text(own, train, message):
    (own / "train.txt").write_bytes(train)
    with pytest.raises(ValueError, match=message) as error:
        data.tokens(own, 300)
    assert "\n" not in str(error.value)


def test_value_bad_arguments(own, tmp_path):
    for vocab in (257, 0, True, "gpt3", None, 300.0):
        with pytest.raises(ValueError, match=r"vocab = .*: must be 'gpt2' or a whole number from 258 on"):
            data.tokens(own, vocab)
    for limit in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"limit = .*: must be None or a whole number of tokens > 0"):
            data.tokens(own, 262, limit=limit)
    for call in (partial(data.tokens, vocab=300), data.available):
        with pytest.raises(
            ValueError, match="corpus = 'novels': must be one of documentation, reference, tinystories, books, grammar"
        ):
            call("novels")
    assert data.available(own) and not data.available(tmp_path) and data.available("reference")
    with pytest.raises(data.DataError, match=r"the folder has no train.txt"):
        data.tokens(tmp_path, 300)
    (own / "valid.txt").unlink()
    (own / "train.txt").write_text("one document\n")
    with pytest.raises(data.DataError, match="holds one document, so none can be left out for validation"):
        data.tokens(own, 300)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_law_files_are_downloaded_and_verified(own, folder, tmp_path, monkeypatch):
    (tmp_path / "served").mkdir()
    content = {"encoder.json": b"{}", "vocab.bpe": b"#version", "lc.csv": b"a,b\n1,2\n"}
    for name, served in content.items():
        (tmp_path / "served" / name).write_bytes(served)
    digests = {name: files.sha256(tmp_path / "served" / name) for name in content}
    for names in (files.GPT2, files.MEASUREMENTS):
        monkeypatch.setitem(names, "lc.csv", digests["lc.csv"])
    monkeypatch.setitem(files.GPT2, "encoder.json", digests["encoder.json"])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served")) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        for name in ("GPT2_URL", "MEASUREMENTS_URL"):
            monkeypatch.setattr(files, name, f"http://127.0.0.1:{http.server_address[1]}/")
        assert files.gpt2_file("encoder.json") == folder / "gpt2-tokenizer" / "encoder.json"
        assert files.authors_measurements("lc.csv").read_bytes() == content["lc.csv"]
        with pytest.raises(data.DataError, match=r"lacks gpt2-tokenizer/vocab.bpe: get it from http"):
            files.gpt2_file("vocab.bpe")  # what is served is not the pinned file
        http.shutdown()
        thread.join()
    for name in ("GPT2_URL", "MEASUREMENTS_URL"):
        monkeypatch.setattr(files, name, "http://127.0.0.1:9/")
    with pytest.raises(
        data.DataError, match=r"lacks gpt2-tokenizer/vocab.bpe: get it from http://127.0.0.1:9/"
    ) as error:
        data.tokens(own, "gpt2")
    assert "\n" not in str(error.value)
    (folder / "linguistic-collapse" / "lc.csv").write_text("a,b\n")
    with pytest.raises(data.DataError, match="the file is now called"):
        files.authors_measurements("lc.csv")
    with pytest.raises(ValueError, match=r"name = 'x.csv': must be one of lc-2024_05_18.csv, lc-2024_10_24.csv"):
        files.authors_measurements("x.csv")


def test_law_stories_stream_a_folder_of_parquet(tmp_path, store):
    for split, texts in (("train", STORIES), ("validation", ["Tom likes cats."])):
        pd.DataFrame({"text": texts}).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    assert list(data.stories(tmp_path)) == STORIES
    data.write_corpus(tmp_path / "own", data.stories(tmp_path), data.stories(tmp_path, "validation"))
    found = data.tokens(tmp_path / "own", 262)
    assert shown(found.train, found) == "".join(story + END for story in STORIES)
    assert shown(found.validation, found) == f"Tom likes cats.{END}"
    for bad in (partial(data.stories, tmp_path, "dev"), partial(data.stories, tmp_path / "no" / "folder" / "here")):
        with pytest.raises(data.DataError, match="stories of ") as error:
            next(bad())
        assert "\n" not in str(error.value)


@pytest.mark.data
def test_oracle_gpt2_tokens(store):
    need("gpt2-tokenizer/encoder.json", "gpt2-tokenizer/vocab.bpe", "tinystories/TinyStories-valid.txt")
    tokenizer, digests = bpe.gpt2()
    assert digests == files.GPT2 and bpe.encode(tokenizer, ["Hello world"]).tolist() == [15496, 995, 50256]
    lines = files.gpt2_file("vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    merges = [tuple(line.split()) for line in lines]
    ids = json.loads(files.gpt2_file("encoder.json").read_text())
    path = files.text_file("tinystories", "TinyStories-valid.txt")
    story = "".join(c for c in next(corpora.documents(path)) if c.isalpha() or c == " ").split()
    expected = [ids[t] for i, word in enumerate(story) for t in naive_bpe(merges, [*("Ġ" * (i > 0)), *word])]
    assert len(story) > 50 and bpe.encode(tokenizer, [" ".join(story)])[:-1].tolist() == expected
    assert bpe.strings(tokenizer)[995] == " world" and bpe.strings(tokenizer)[50256] == END
    all_ids = bpe.encode(tokenizer, corpora.documents(path))
    assert len(all_ids) == 609_755 and (all_ids == 50256).sum() == 3_118


@pytest.mark.data
def test_value_books_are_titled_in_the_order_of_their_documents(store):
    need("books/train.txt", "books/valid.txt", "books/SOURCES.csv")
    sources = pd.read_csv(files.text_file("books", "SOURCES.csv"))
    corpus = corpora.read("books")
    first, titles = next(iter(corpus.train())), corpus.titles
    assert (len(titles[0]), len(titles[1])) == (448, 26) and titles[0][0] == "The Two Destinies, Wilkie Collins"
    assert len(first.encode()) == pytest.approx(sources["bytes"][0], abs=3)
    sizes = [len(book.encode()) for book in corpus.validation()]
    np.testing.assert_allclose(sizes, sources["bytes"][448:], atol=3)


@pytest.mark.data
def test_value_measurements_of_230_models():
    need("linguistic-collapse/lc-2024_05_18.csv", "linguistic-collapse/lc-2024_10_24.csv")
    for name in files.MEASUREMENTS:
        assert len(pd.read_csv(files.authors_measurements(name))) >= 230


def test_law_import_needs_no_text_library_and_one_thread_trains_the_same(tmp_path):
    libraries = "{'tokenizers', 'datasets', 'transformers', 'pyarrow', 'pooch'}"
    code = (
        f"import sys; from nclib.data import bpe, corpora; print({libraries} & set(sys.modules)); "
        "print(bpe.train(corpora.read('reference').train(), 2048).to_str())"
    )
    environment = {"RAYON_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = bpe.train(corpora.read("reference").train(), 2048)
    assert done.stdout == f"set()\n{here.to_str()}\n"
