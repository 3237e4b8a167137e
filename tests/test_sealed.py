"""Injected damage: what is read back is what was written, or it is named and redone or refused.

A kind of file is how one is written and how it is read; the damages are the same for all.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import torch
import toy

from nclib import data
from nclib.evidence import ledger
from nclib.evidence.claims import Claim, Headline, at_least, judge_all
from nclib.measuring import passes
from nclib.pages._language_models import language_model
from nclib.plotting import publish
from nclib.runs import seal, source, work
from nclib.runs import store as files
from nclib.runs.experiment import experiments
from nclib.statistics import ClassStatistics
from nclib.training import checkpoint, language

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
import imports as workflow_imports
import pages

FLIPS = 24


class Net(torch.nn.Module):
    """The smallest language model that `fit` takes."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.wte = torch.nn.Parameter(torch.randn(5, 3))

    classifier = property(lambda self: self.wte)

    def loss(self, ids):
        logits = self.wte[ids[:, :-1]] @ self.wte.T
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())

    def clip_grad_norm(self, bound):
        torch.nn.utils.clip_grad_norm_(self.parameters(), bound)


class Kind:
    """`write(n)` gives the path of a file of content n (1 is whose file is read, 2 another's); `read(path)` what is in
    it, plain."""

    def __init__(self, folder):
        self.folder = folder


class Statistics(Kind):
    def write(self, n):
        path = self.folder / f"{n}.safetensors"
        features = torch.arange(12.0).reshape(6, 2).square() + n
        ClassStatistics.from_features(features, torch.arange(6) % 3, 3, scatter=True).save(path)
        return path

    def read(self, path):
        found = ClassStatistics.load(path)
        return [getattr(found, name).tolist() for name in ("counts", "means", "spread", "scatter")]

    def other(self):
        """Statistics have no name of their own: what is foreign is another kind of file."""
        return Training(self.folder).write(2)


class Training(Kind):
    def write(self, n):
        path = self.folder / f"{n}.checkpoint"
        tables = [pd.DataFrame({"value": [0.1 * n, float("nan")], "layer": ["", "W1"]})]
        checkpoint.Checkpoint(path, {"key": n}, tables).save({"w": torch.arange(4.0) * n, "values": torch.ones(n)})
        return path

    def read(self, path):
        rows = []
        tensors = checkpoint.Checkpoint(path, {"key": 1}, rows).load()
        return {name: tensors[name].tolist() for name in tensors}, [table.to_csv() for table in rows]


class Fit(Kind):
    def write(self, n):
        path = self.folder / f"{n}.fit"
        self.fit(n, path)
        return path

    def fit(self, n, path):
        windows = (torch.arange(40) * 3 % 5).reshape(8, 5)
        settings = {"epochs": 1, "batch_tokens": 8, "lr": 0.1, "weight_decay": 0.0, "seed": n}
        settings = language.Settings(**settings)
        return language.fit(net := Net(n), windows, settings, checkpoint=language.Keep(path)), net

    def read(self, path):
        losses, net = self.fit(1, path)
        return losses.tolist(), net.wte.tolist()


class Measuring(Kind):
    def write(self, n):
        path = self.folder / f"{n}.passes"
        passes.Checkpoint(path, {"files": n}).save({"a.done": torch.tensor(n), "a.total": torch.ones(3) / n})
        return path

    def read(self, path):
        return {name: tensor.tolist() for name, tensor in passes.Checkpoint(path, {"files": 1}).tensors.items()}


class Rows(Kind):
    def run(self, n):
        sizes = {"tokens": 9, "vocab": 262, "context": 4, "local": 2, "width": 4, "depth": 1, "heads": 1, "epochs": 2}
        more = {"measured": (2,), "weight_decay": 0.0, "batch": 8, "rate": 0.1, "seed": n}
        return language_model.LanguageModel(corpus="reference", **sizes, **more)

    def write(self, n):
        found = language_model.at({"loss": 1 / 3 * n}).assign(step=1).astype(language_model.AT)
        language_model.keep_rows(self.run(n), found[list(language_model.KINDS)])
        return files.unfinished(self.run(n).key(), "json")

    def read(self, path):
        (table,) = language_model.kept_rows(self.run(1))
        return table.to_csv()


class Tokens(Kind):
    kept = "*.safetensors"

    def corpus(self, n):
        folder = self.folder / f"text{n}"
        folder.mkdir(exist_ok=True)
        document = f"A sentence about {'cats ' * n}and words that say words again and again.\n<|endoftext|>\n"
        (folder / "train.txt").write_text(3 * document)
        return folder

    def write(self, n):
        before = set((self.folder / "cache").rglob(self.kept))
        data.tokens(self.corpus(n), 262)
        (path,) = set((self.folder / "cache").rglob(self.kept)) - before
        return path

    def read(self, path):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = data.tokens(self.corpus(1), 262)
        assert all(str(path) in str(warning.message) and "damaged" in str(warning.message) for warning in said)
        return found.train.tolist(), found.validation.tolist(), found.strings, found.sha256


class Tokenizer(Tokens):
    kept = "*.json"

    def read(self, path):
        for file in path.parent.glob("*.safetensors"):
            file.unlink()
        return super().read(path)


class Claims(Kind):
    def write(self, n):
        claim = Claim("x.y", "words", at_least(1.0 * n), lambda table: 2.0)
        judged = judge_all([Headline("x", "head", [claim], "check", "here", "derived")], pd.DataFrame({"beside": [""]}))
        ledger.record(judged, f"0{n}-x", "smoke")
        return ledger.folder("smoke") / f"0{n}-x.json"

    def read(self, path):
        return ledger.rows(path)


class Manifest(Kind):
    def write(self, n):
        run = toy.STUDY.runs("smoke")[n - 1]
        work.get(run)
        return files.place(run, files.cache_folder()) / "manifest.json"

    def read(self, path):
        (found,) = publish.run_manifests(
            pd.DataFrame({"experiment": [path.parent.parent.name], "run": [path.parent.name]})
        )
        return found


class Page(Kind):
    def write(self, n):
        path = self.folder / f"{n}.ipynb"
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# Title {n}", id="a")])
        path.write_text(pages.seal(nbformat.writes(book)))
        return path

    def read(self, path):
        return pages.promoted(path)

    def other(self):
        """A page of another name is noticed by what it says of itself, not here: another kind of file."""
        return Training(self.folder).write(2)


def flip(path, bit):
    found = bytearray(path.read_bytes())
    found[bit // 8] ^= 1 << bit % 8
    path.write_bytes(found)


def replace(path, content):
    path.write_bytes(content)


def directory(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "truncated": lambda path, other: replace(path, path.read_bytes()[:-9]),
    "half": lambda path, other: replace(path, path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path, other: replace(path, b""),
    "list": lambda path, other: replace(path, b"[]"),
    "deep": lambda path, other: replace(path, b"[" * 100_000),
    "number": lambda path, other: replace(path, b"3"),
    "header": lambda path, other: replace(path, (2**62).to_bytes(8, "little") + path.read_bytes()[8:]),
    "directory": lambda path, other: directory(path),
    "foreign": lambda path, other: shutil.copy(other, path),
}
KINDS = [Statistics, Training, Fit, Measuring, Rows, Tokens, Tokenizer, Claims, Manifest, Page]


def attempt(kind, path):
    """What is read, or None where it is refused in one line that names the file or its reason."""
    try:
        return kind.read(path)
    except ValueError as reason:
        assert len(str(reason).splitlines()) == 1
        assert isinstance(reason, seal.Damaged) or path.name in str(reason)
        return None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("damage", [*DAMAGES, *range(FLIPS)], ids=str)
def test_law_damage_is_never_read_as_a_value(store, kind, damage):
    made = kind(store)
    path = made.write(1)
    expected = made.read(path)
    if kind in (Tokens, Tokenizer):
        path = made.write(1) if not path.exists() else path
    whole = path.read_bytes()
    if damage in DAMAGES:
        other = made.other() if hasattr(made, "other") else made.write(2)
        assert kind in (Statistics, Page) or other.read_bytes() != whole
        DAMAGES[damage](path, other)
    else:
        flip(path, (8 * len(whole) - 1) * (2 * damage + 1) // (2 * FLIPS))
    assert path.is_dir() or path.read_bytes() != whole
    found = attempt(made, path)
    assert found is None or (kind in (Tokens, Tokenizer) and found == expected)
    assert found is None or (path.read_bytes() == whole), "what was damaged is made again"


def test_value_a_seal_is_of_content_and_place():
    data = seal.sealed({"key": "a", "x": 1 / 3})
    assert seal.unsealed(data, key="a") == {"key": "a", "x": 1 / 3} and b'"x": 0.3333333333333333' in data
    with pytest.raises(seal.Damaged, match="its key is 'a', must be 'b'"):
        seal.unsealed(data, key="b")
    content = json.loads(data)
    with pytest.raises(seal.Damaged, match="its seal does not fit"):
        seal.unsealed(json.dumps(content | {"x": 0.5}).encode())


def test_value_training_that_lost_its_rows_is_refused(store):
    made = Rows(store)
    with pytest.raises(ValueError, match=r"lacks the epochs \[1\] before 2; remove .*safetensors to start again"):
        language_model.refuse_gaps(made.run(1), [], 2)
    language_model.refuse_gaps(made.run(1), [], 1)


def test_law_scratch_files_of_killed_processes_are_swept_and_others_left(tmp_path):
    old, new, path = (tmp_path / name for name in (".x.1.part", ".x.2.part", "x"))
    old.write_text(""), new.write_text("")
    os.utime(old, (0, 0))
    seal.write_atomic(path, b"content")
    assert path.read_bytes() == b"content" and not old.exists() and new.exists()


def test_law_the_text_of_a_folder_is_part_of_the_key_and_a_named_corpus_is_not(tmp_path):
    """Nor does a date that is set back hide a change; two folders of one text differ by their paths alone."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "train.txt").write_text("some text")
    run = dataclasses.replace(Rows(tmp_path).run(1), corpus=str(one))
    first = run.key()
    assert run.key() == first and run.own() == {"train.txt": hashlib.sha256(b"some text").hexdigest()}
    status = (one / "train.txt").stat()
    (one / "train.txt").write_text("same size")
    os.utime(one / "train.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = run.key()
    (one / "valid.txt").write_text("more")
    assert len({first, second, run.key()}) == 3
    named = Rows(tmp_path).run(1)
    assert named.own() == {} and named.key() == "49c69ad123b367d5"


def test_law_a_text_that_changes_during_a_run_is_not_stored(store, monkeypatch):
    monkeypatch.setattr(toy.Toy, "own", lambda run: {"train.txt": str(len(toy.calls))})
    with pytest.raises(ValueError, match=r"toy [0-9a-f]{16}: the files that it reads were changed while it was done"):
        work.get(toy.Toy())
    assert not list((store / "cache").rglob("table.csv"))


def test_law_a_cached_run_of_another_text_is_done_again_an_archived_one_kept(store, monkeypatch):
    toy.calls.clear()
    monkeypatch.setattr(toy.Toy, "reads", lambda run: {"a": "1", "b": "2"})
    monkeypatch.setattr(toy.Toy, "at_hand", lambda run: {"a": "1", "b": None})
    work.get(toy.Toy()), work.get(toy.Toy()), work.get(toy.Toy(seed=1), root=store / "results")
    assert len(toy.calls) == 2
    for other in ({"a": "2"}, {"c": None}):
        monkeypatch.setattr(toy.Toy, "at_hand", lambda run, other=other: other)
        work.get(toy.Toy(seed=1))
        assert files.find(toy.Toy()) is None and files.find(toy.Toy(seed=1)) is not None
        monkeypatch.setattr(toy.Toy, "at_hand", lambda run: {"a": "1", "b": None})
        work.get(toy.Toy())
    assert len(toy.calls) == 4


def test_law_a_cached_run_on_other_digits_is_done_again_an_archived_one_kept(store, monkeypatch):
    """The images come with scikit-learn, of whichever version: what a run read of them stands in its manifest."""
    read = data.load("digits").sha256
    assert read == {name: files.installed(name) for name in files.INSTALLED}
    monkeypatch.setattr(toy.Toy, "reads", lambda run: read)
    work.get(toy.Toy()), work.get(toy.Toy(seed=1), root=store / "results")
    assert files.find(toy.Toy()) is not None
    monkeypatch.setattr(files, "installed", lambda name: "0" * 64)
    assert files.find(toy.Toy()) is None and files.find(toy.Toy(seed=1)) is not None


def test_value_the_code_behind_a_run_is_named():
    assert experiments()["wu2024.language_model"] is language_model.LanguageModel
    classes = {"toy": toy.Toy}
    made = {"experiment": "toy", "code": source.digest(toy.Toy())}
    assert source.digest(toy.Toy) == made["code"]
    found = [source.origin(manifest, classes) for manifest in (made, made | {"code": "0"}, {"experiment": "toy"})]
    assert found == ["this code", "other code", "code that is not recorded"]


def test_law_a_measurement_goes_on_only_with_the_same_bytes(tmp_path):
    path = tmp_path / "x"
    path.write_text("abc")
    before, status = passes.fingerprint(path, None, tmp_path), path.stat()
    path.write_text("abd")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert before == {str(path): hashlib.sha256(b"abc").hexdigest()} != passes.fingerprint(path)
    assert workflow_imports.digest([path]) != workflow_imports.digest([Path(__file__)])


def test_law_dates_set_back_change_what_the_build_looks_at(tmp_path):
    """Of two checkouts: in one process a file is read once."""
    digests = []
    for n, text in enumerate(("one", "two", "one")):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / "a.py").write_text(text)
        os.utime(tmp_path / str(n) / "a.py", (0, 0))
        digests.append(workflow_imports.digest([tmp_path / str(n) / "a.py"]))
    assert digests[0] == digests[2] != digests[1]
