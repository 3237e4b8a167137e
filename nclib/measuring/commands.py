"""What `nclib measure`, `measure-lm` and `merge` do: input checked first, then the passes, then files that are whole.

Each returns the text for the standard output, None on ranks other than the first.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from pathlib import Path

from nclib import rosetta
from nclib.collect import uncompiled
from nclib.conventions import PRESETS, find_preset
from nclib.distributed import rank, ranks, world_size
from nclib.measuring import features, sources
from nclib.measuring.passes import Checkpoint, Passes, check_output, fingerprint, measure_samples, warn
from nclib.measuring.report import FIGURES, as_csv, as_json, draw, report, table
from nclib.runs.store import write_atomic
from nclib.statistics import ClassStatistics


@dataclass(frozen=True)
class Options:
    """preset: see `conventions.PRESETS`; bootstrap: draws, 0 for none; shuffled: whether to measure shuffled labels;
    pairs: auto, exact or sample, as in `conventions.measure`."""

    preset: str = "textbook"
    bootstrap: int = 0
    shuffled: bool = False
    pairs: str = "auto"

    @property
    def published(self) -> bool:
        """Whether the preset is of `nclib.rosetta`."""
        return self.preset == "all" or self.preset in rosetta.CODES

    def check(self) -> None:
        if self.published and (self.bootstrap or self.shuffled):
            raise ValueError(
                f"--preset {self.preset}: has no --bootstrap and no --null, they are of {', '.join(PRESETS)}"
            )
        if not self.published:
            find_preset(self.preset)
        if self.pairs not in ("auto", "exact", "sample"):
            raise ValueError(f"--pairs {self.pairs}: must be auto, exact or sample")
        if self.published and self.pairs == "sample":
            raise ValueError(f"--preset {self.preset}: visits all pairs, --pairs sample is of {', '.join(PRESETS)}")
        if self.bootstrap and self.bootstrap < 100:
            raise ValueError(f"--bootstrap {self.bootstrap}: must be 0 or at least 100 draws")


@dataclass(frozen=True)
class Outputs:
    """Where results go: paths or None. json "-" is the standard output, in place of the table."""

    json: str | None = None
    csv: Path | None = None
    figure: Path | None = None
    save: Path | None = None
    checkpoint: Path | None = None
    every: float = 30.0

    def check(self, *inputs) -> None:
        """Raises ValueError, before the work, for what cannot be written, is an input, or is named twice."""
        paths = [self.json if self.json != "-" else None, self.csv, self.figure, self.save, self.checkpoint]
        paths = [Path(path) for path in paths if path is not None]
        for path in paths:
            check_output(path, inputs=inputs)
        if len({path.resolve() for path in paths}) < len(paths):
            raise ValueError("--json, --csv, --figure, --save and --checkpoint: two of them name the same file")
        if self.figure is not None and self.figure.suffix not in FIGURES:
            raise ValueError(f"{self.figure}: a figure must end in {', '.join(FIGURES)}")
        if self.save is not None:
            _check_statistics_name(self.save)

    def write(self, found, stats) -> str:
        """Write the files, each whole or not at all, and return what belongs on the standard output."""
        if self.csv is not None:
            write_atomic(self.csv, as_csv(found))
        if self.figure is not None:
            write_atomic(self.figure, draw(found, self.figure.suffix[1:]))
        if self.save is not None:
            stats.save(self.save)
        if self.json == "-":
            return as_json(found).decode()
        if self.json is not None:
            write_atomic(self.json, as_json(found))
        return table(found) + "\n"

    def write_compared(self, found, stats) -> str:
        """The same for formulas of public codebases, of which there is no figure."""
        if self.figure is not None:
            raise ValueError(f"{self.figure}: conventions of codebases have no figure, name a --preset of the table")
        if self.csv is not None:
            write_atomic(self.csv, sources.as_csv(found))
        if self.save is not None:
            stats.save(self.save)
        if self.json == "-":
            return sources.as_json(found).decode()
        if self.json is not None:
            write_atomic(self.json, sources.as_json(found))
        return sources.table(found)


@dataclass(frozen=True)
class Language:
    """A causal language model and the text to measure it on, as in `nclib measure-lm`."""

    model: str
    text: Path
    validation: Path | None = None
    context: int | None = None
    batch: int = 4
    dtype: str = "auto"
    tokenizer: str | None = None
    bos: str = "auto"


@dataclass(frozen=True)
class Layout:
    """Which axis of the features is d (None: the last), and the label of samples to leave out."""

    feature_axis: int | None = None
    ignore_index: int = -100


def measure(
    path,
    labels,
    classifier,
    num_classes,
    options: Options,
    outputs: Outputs,
    device="auto",
    layout: Layout = Layout(),
) -> str | None:
    """`nclib measure`: of features with labels, or of statistics. num_classes=None: of the classifier, or by labels."""
    options.check()
    outputs.check(path, labels, classifier)
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"--num-classes {num_classes}: must be at least 1")
    W, b = (None, None) if classifier is None else features.read_classifier(classifier)
    if features.is_statistics(path):
        return _measure_statistics(path, labels, W, b, num_classes, options, outputs)
    samples = features.read_samples(path, labels, feature_axis=layout.feature_axis, ignore_index=layout.ignore_index)
    if W is None and num_classes is None:
        samples = features.dense(samples)
        if (void := features.void_label(samples)) is not None:
            warn(f"label {void} lies far above the others: if it marks samples of no class, use --ignore-index {void}")
    if W is not None and W.shape[1] != samples.dim:
        raise ValueError(f"{classifier}: weight is {tuple(W.shape)}, must be (K, {samples.dim}) for {path}")
    if W is not None and num_classes not in (None, len(W)):
        raise ValueError(f"{classifier}: weight is {tuple(W.shape)}, must be ({num_classes}, {samples.dim})")
    K = features.number_of_classes(samples, num_classes if W is None else len(W))
    with ranks(device) as place:
        identity = {
            "files": outputs.checkpoint and fingerprint(path, labels, classifier),
            "classes": K,
            "null": options.shuffled,
            "ranks": world_size(),
            "layout": [layout.feature_axis, layout.ignore_index],
        }
        checkpoint = Checkpoint(outputs.checkpoint, identity, every=outputs.every)
        passes = Passes(checkpoint)
        stats, agreement, other = measure_samples(
            samples, K, None if W is None else (W, b), passes, device=place, shuffled=options.shuffled
        )
        settings = {"features": str(path), "dimension": samples.dim, **samples.notes}
        return _finish(stats, W, agreement, other, options, outputs, settings, checkpoint, bias=b)


def _measure_statistics(path, labels, W, b, num_classes, options, outputs):
    for name, value in {"--labels": labels, "--null": options.shuffled, "--checkpoint": outputs.checkpoint}.items():
        if value:
            raise ValueError(f"{path}: holds statistics, so {name} has no use: it needs the features themselves")
    stats = ClassStatistics.load(path)
    K, d = stats.means.shape
    if num_classes not in (None, K):
        raise ValueError(f"{path}: holds statistics of {K} classes, not of --num-classes {num_classes}")
    if W is not None and W.shape != stats.means.shape:
        raise ValueError(f"--classifier has a weight {tuple(W.shape)}, must be {(K, d)} for {path}")
    settings = {"statistics": str(path), "dimension": d}
    return _finish(stats, W, None, None, options, outputs, settings, Checkpoint(None, {}), bias=b)


def measure_lm(source: Language, options: Options, outputs: Outputs, device="auto") -> str | None:
    """`nclib measure-lm`."""
    from nclib.measuring import causal_lm

    options.check()
    outputs.check(source.text, source.validation)
    if source.batch < 1:
        raise ValueError(f"--batch {source.batch}: must be at least 1")
    if source.bos not in causal_lm.BOS:
        raise ValueError(f"--bos {source.bos}: must be one of {', '.join(causal_lm.BOS)}")
    for text in filter(None, (source.text, source.validation)):
        if not Path(text).is_file():
            raise ValueError(f"{text}: no such file")
    with ranks(device) as place:
        model, words = causal_lm.load(source.model, tokenizer=source.tokenizer, dtype=source.dtype, device=place)
        with uncompiled(model):
            W, b = causal_lm.classifier(model)
        bos = causal_lm.beginning(words, source.bos)
        context = causal_lm.context_length(model, source.context)
        train, validation = (
            text and causal_lm.text_windows(causal_lm.read_tokens(text, words, len(W)), context, text, bos)
            for text in (source.text, source.validation)
        )
        folder = source.model if Path(source.model).is_dir() else None
        identity = {
            "files": outputs.checkpoint and fingerprint(source.text, source.validation, folder),
            "model": [source.model, getattr(model.config, "_commit_hash", None), str(model.dtype)],
            "tokenizer": [source.tokenizer, len(words)],
            "windows": [context, source.batch, bos],
            "null": options.shuffled,
            "ranks": world_size(),
        }
        checkpoint = Checkpoint(outputs.checkpoint, identity, every=outputs.every)
        stats, agreement, loss, other = causal_lm.measure_windows(
            model, train, validation, batch=source.batch, passes=Passes(checkpoint), shuffled=options.shuffled
        )
        settings = {
            "model": source.model,
            "text": str(source.text),
            "NC4 and loss over": str(source.validation or source.text),
            "context": context,
            "beginning-of-sequence token": "none" if bos is None else f"{bos} ({source.bos})",
            "dimension": W.shape[1],
            "dtype": str(model.dtype).removeprefix("torch."),
            "loss in nats": round(loss, 6),
        }
        return _finish(stats, W, agreement, other, options, outputs, settings, checkpoint, bias=b)


def merge(files, output) -> str:
    """`nclib merge`: the sum of saved statistics. Raises ValueError that names the file that does not fit the first."""
    if len(files) < 2:
        raise ValueError(f"{files[0]}: one file alone, name at least two to merge")
    check_output(output, inputs=files)
    _check_statistics_name(output)
    parts = []
    for file in files:
        if not features.is_statistics(file):
            raise ValueError(f"{file}: holds no statistics, must be a file that --save wrote")
        parts.append(ClassStatistics.load(file))
        K, d = parts[0].means.shape
        if parts[-1].means.shape != (K, d):
            raise ValueError(f"{file}: means are {tuple(parts[-1].means.shape)}, must be {(K, d)} as in {files[0]}")
        if (parts[-1].scatter is None) != (parts[0].scatter is None):
            raise ValueError(f"{file}: must hold a scatter where {files[0]} does, and none where it does not")
    if len({Path(file).resolve() for file in files}) < len(files):
        raise ValueError(f"{', '.join(map(str, files))}: one file is named twice, its samples would count twice")
    total = functools.reduce(operator.add, parts)
    total.save(output)
    return f"{output}: {int(total.counts.sum())} samples of {int(total.present.sum())} classes, dimension {d}\n"


def _check_statistics_name(path):
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"{path}: statistics must be saved in a file that ends in .safetensors")


def _finish(stats, W, agreement, other, options, outputs, settings, checkpoint, bias=None):
    text = None
    if rank() == 0 and options.published:
        found = sources.compared(stats, W, bias, agreement, preset=options.preset, settings=settings)
        text = outputs.write_compared(found, stats)
    elif rank() == 0:
        found = report(
            stats,
            W,
            preset=options.preset,
            agreement=agreement,
            shuffled=other,
            draws=options.bootstrap,
            pairs=options.pairs,
            settings=settings,
        )
        text = outputs.write(found, stats)
    checkpoint.remove()
    return text
