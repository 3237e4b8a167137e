"""The `nclib` command: measure collapse in features or a language model, run studies, show the claims."""

import dataclasses
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Study = Annotated[str, typer.Argument(help="A study, such as depth or wu2024.grid.")]
Profile = Annotated[str, typer.Option(help="smoke (seconds), laptop (minutes) or paper (the paper's own setting).")]
Seed = Annotated[int | None, typer.Option(help="The first of the consecutive seeds; default: the study's.")]
Text = Annotated[str | None, typer.Option(help="For a study of language models: a corpus by name, or a folder.")]

Preset = Annotated[
    str,
    typer.Option(
        help="textbook, wu-papyan-2024-05 or wu-papyan-2024-10: whose definitions; or a codebase such as zhu-2021; or "
        "all of them side by side."
    ),
]
Bootstrap = Annotated[
    int, typer.Option(metavar="N", help="Draws of classes for 95 % intervals (100 or more; 0: none).")
]
Null = Annotated[bool, typer.Option("--null", help="Measure once more with shuffled labels, to compare with.")]
Pairs = Annotated[str, typer.Option(help="auto (all pairs of classes up to 50,000 of them), exact or sample.")]
Json = Annotated[str | None, typer.Option("--json", help="Write JSON here; - prints it in place of the table.")]
Csv = Annotated[Path | None, typer.Option(help="Write the table here.")]
Figure = Annotated[Path | None, typer.Option(help="Draw a figure here (.png, .svg, .pdf).")]
Save = Annotated[Path | None, typer.Option(help="Write the class statistics here (.safetensors), to merge or measure.")]
Kept = Annotated[Path | None, typer.Option(help="Save the state here now and then, go on from it after a kill.")]
Every = Annotated[float, typer.Option(metavar="SECONDS", help="How often the checkpoint is saved.")]
Device = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu or cuda.")]


def _runs(name, profile, seed, corpus):
    """A study, and its runs."""
    from nclib import pages
    from nclib.data import corpora

    study = pages.study(name)
    if corpus is not None:
        if "corpus" not in inspect.signature(study.parts).parameters:
            raise ValueError(f"corpus = {corpus!r}: the runs of {name} read no text")
        corpora.check(corpus)
    return study, study.runs(profile, seed=seed, corpus=corpus)


@app.command()
def runs(study: Study, profile: Profile = "laptop", seed: Seed = None, corpus: Text = None) -> None:
    """List the runs of a study: index, experiment, key, where it is stored, parameters."""
    from nclib.runs import store

    for index, one in enumerate(_runs(study, profile, seed, corpus)[1]):
        folder = store.folder_of(one)
        where = "-" if folder is None else "archive" if store.archive_folder() in folder.parents else "cache"
        typer.echo(f"{index:3d}  {one.NAME}  {one.key()}  {where:7s}  {json.dumps(dataclasses.asdict(one))}")


@app.command()
def run(
    study: Study,
    profile: Profile = "laptop",
    index: Annotated[
        list[int] | None, typer.Option(help="Only this run of the list that `nclib runs` prints; may be given again.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto (a GPU where the run needs one), cpu or cuda.")] = "auto",
    seed: Seed = None,
    corpus: Text = None,
) -> None:
    """Do the runs of a study that are not stored yet; on a CPU side by side. Those of profile paper go to results/.

    A run that diverges or does not fit into memory is named on stderr; the others are done, and the exit code is 2.

    `torchrun --nproc-per-node N -m nclib run linguistic_scaling --index I` trains one language model on N processes.
    """
    from nclib.runs import store, together
    from nclib.runs.experiment import MissingRun

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(store.cache_folder() / "compiled"))  # shared by all processes

    page, found = _runs(study, profile, seed, corpus)
    for i in index or ():
        if not 0 <= i < len(found):
            raise ValueError(f"index = {i}: must be from 0 to {len(found) - 1}")
    if together.processes() > 1 and len(index or ()) != 1:
        together.refuse(f"torchrun does one run at a time: name it, --index from 0 to {len(found) - 1}")
    chosen, failed = list(index or range(len(found))), False
    done = together.each([found[i] for i in chosen], device, store.root_for(profile))
    for turn, position in enumerate(chosen, 1):
        one = found[position]
        try:
            next(done)
        except MissingRun as reason:
            raise ValueError(f"run {position}: {reason}; {page.advice(profile)}") from None
        except (FloatingPointError, MemoryError, RuntimeError) as error:
            if not _resources(error) and not isinstance(error, FloatingPointError):
                raise
            reason = " ".join(str(error).split())
            typer.echo(f"nclib: run {position}, {one.NAME} {one.key()}: {reason}", err=True)
            failed, rest = True, [found[i] for i in chosen[turn:]]
            done = together.each(rest, device, store.root_for(profile))
            continue
        if together.first():
            folder, seconds = store.entry(one.NAME, one.key()), store.find(one)[1]["wall_seconds"]
            typer.echo(f"{position:3d}  {one.NAME}  {one.key()}  {seconds:.1f} s  {folder}")
    if failed:
        sys.exit(2)


@app.command()
def campaign(
    minutes: Annotated[float, typer.Option(help="Start nothing and stop what runs after this time.")] = 60.0,
    jobs: Annotated[int, typer.Option(help="How many runs share the GPU.")] = 3,
    profile: Profile = "paper",
    device: Annotated[str, typer.Option(help="auto (a GPU where the run needs one), cpu or cuda.")] = "auto",
    only: Annotated[str, typer.Option(help="Only studies whose name begins so.")] = "",
    show: Annotated[bool, typer.Option("--list", help="Say what is pending, and its minutes; do nothing.")] = False,
) -> None:
    """Do what is pending of the papers' own scale, the most valuable first, several runs at a time on one GPU.

    Called again it goes on where it was stopped. Runs whose data is not on this machine and cannot be had are skipped.
    """
    from nclib.pages import campaign as work
    from nclib.runs.work import has_gpu

    if jobs < 1 or not minutes > 0:
        raise ValueError(f"jobs, minutes = {jobs}, {minutes}: must be at least 1 and > 0")
    gpu = has_gpu(device)
    tasks = [task for task in work.pending(profile, together=gpu) if task.study.startswith(only)]
    if show:
        for line in work.listing(tasks, profile, jobs):
            typer.echo(line)
        return
    if profile == "paper" and not gpu and device != "cpu":
        raise ValueError("no CUDA GPU here, and the runs of profile paper need one; --device cpu does them, in weeks")
    skipped = [task for some in work.without_data(tasks, typer.echo).values() for task in some]
    chosen = [task for task in tasks if task not in skipped]
    left = work.work(chosen, profile, device, jobs, 60 * minutes, typer.echo)
    done = sum(len(task.runs) for task in chosen) - sum(len(task.runs) for task in left)
    typer.echo(f"{done} runs done; {work.summary([*left, *skipped], jobs)}")


@app.command()
def measure(
    features: Annotated[Path, typer.Argument(help=".npz or .safetensors with features and labels, or .npy.")],
    labels: Annotated[Path | None, typer.Option(help="Labels in a file of their own, such as y.npy.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="weight (K, d) and bias (K,), for NC3 and NC4.")] = None,
    num_classes: Annotated[
        int | None, typer.Option(help="Default: that of the classifier, or largest label + 1.")
    ] = None,
    feature_axis: Annotated[
        int | None, typer.Option(help="The axis of d: 1 for channels first. Needed from four dimensions on.")
    ] = None,
    ignore_index: Annotated[int, typer.Option(help="The label of samples to leave out, such as 255.")] = -100,
    preset: Preset = "textbook",
    bootstrap: Bootstrap = 0,
    null: Null = False,
    pairs: Pairs = "auto",
    json: Json = None,
    csv: Csv = None,
    figure: Figure = None,
    save: Save = None,
    checkpoint: Kept = None,
    checkpoint_every: Every = 30,
    device: Device = "auto",
) -> None:
    """Measure neural collapse in features with labels, or in statistics that --save wrote.

    Features are a floating array (..., d) named features, H or X; labels an integer array (...) named labels or y, -100
    for samples to leave out, or words. They are read in blocks, which `torchrun -m nclib measure ...` shares out over
    processes.
    """
    from nclib.measuring import commands

    outputs = commands.Outputs(json, csv, figure, save, checkpoint, checkpoint_every)
    options = commands.Options(preset, bootstrap, null, pairs)
    layout = commands.Layout(feature_axis, ignore_index)
    _print(commands.measure(features, labels, classifier, num_classes, options, outputs, device, layout))


@app.command()
def measure_lm(
    model: Annotated[
        str, typer.Argument(help="A folder that save_pretrained wrote, or a name on the Hugging Face Hub.")
    ],
    text: Annotated[Path, typer.Option(help="Text in UTF-8; documents are separated by a line <|endoftext|>.")],
    validation: Annotated[Path | None, typer.Option(help="Text for NC4 and the loss. Default: the same text.")] = None,
    context: Annotated[
        int | None, typer.Option(help="Tokens a window. Default: what the model takes, up to 1024.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Windows a forward pass.")] = 4,
    dtype: Annotated[
        str, typer.Option(help="auto (as the weights are), float32, float64, bfloat16 or float16.")
    ] = "auto",
    tokenizer: Annotated[str | None, typer.Option(help="Folder or name, where it is not with the model.")] = None,
    bos: Annotated[
        str,
        typer.Option(help="Open each window with the beginning-of-sequence token: auto (as the tokenizer), yes, no."),
    ] = "auto",
    preset: Preset = "textbook",
    bootstrap: Bootstrap = 0,
    null: Null = False,
    pairs: Pairs = "auto",
    json: Json = None,
    csv: Csv = None,
    figure: Figure = None,
    save: Save = None,
    checkpoint: Kept = None,
    checkpoint_every: Every = 30,
    device: Device = "auto",
) -> None:
    """Measure linguistic collapse in a causal language model: its classes are the tokens of its vocabulary.

    `torchrun --nproc-per-node N -m nclib measure-lm ...` shares the text out over processes and gives the same numbers.
    """
    from nclib.measuring import commands

    outputs = commands.Outputs(json, csv, figure, save, checkpoint, checkpoint_every)
    options = commands.Options(preset, bootstrap, null, pairs)
    source = commands.Language(model, text, validation, context, batch, dtype, tokenizer, bos)
    _print(commands.measure_lm(source, options, outputs, device))


@app.command()
def merge(
    files: Annotated[list[Path], typer.Argument(help="Statistics that --save wrote, of parts of one data set.")],
    output: Annotated[Path, typer.Option(help="Where their sum goes (.safetensors).")],
) -> None:
    """Add the statistics of parts of a data set: exact, in any order."""
    from nclib.measuring import commands

    _print(commands.merge(files, output))


def _print(text):
    """What a command returns; None on all ranks but the first."""
    if text is not None:
        typer.echo(text, nl=False)


@app.command()
def claims(
    verdict: Annotated[str | None, typer.Option(help="Only claims with this verdict.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    profile: Profile = "laptop",
) -> None:
    """Show the claims that the notebooks recorded at a profile, each with its verdict."""
    from nclib.evidence import ledger, report
    from nclib.evidence.claims import VERDICTS

    if verdict not in (None, *VERDICTS):
        raise ValueError(f"verdict = {verdict!r}: must be one of {', '.join(VERDICTS)}")
    frame = ledger.load(ledger.folder(profile))
    frame = frame if verdict is None else frame[frame["verdict"] == verdict]
    if as_json:
        typer.echo(frame.to_json(orient="records", indent=1))
        return
    if frame.empty:
        typer.echo(f"no claims recorded yet at profile {profile}: make book, or run a notebook with papermill")
    for row in frame.itertuples():
        ours = report.ours(row, plain=True)
        typer.echo(f"{row.verdict:18s} {row.id:44s} {ours:36s} {report.rule(row)}  [{row.beside or row.profile}]")


@app.command()
def doctor() -> None:
    """Say what this machine has: versions, devices, folders, data. Exit code 1 where something needed is missing."""
    import platform

    from nclib.data import files
    from nclib.runs import manifest, store

    for name, version in manifest.versions().items():
        typer.echo(f"{name:14s} {version}")
    import torch

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: profile paper needs one for networks"
    typer.echo(f"{'processor':14s} {manifest.hardware('cpu')} ({os.cpu_count()} cores, {platform.machine()})")
    typer.echo(f"{'CUDA device':14s} {cuda}")
    typer.echo(f"{'project':14s} {manifest.ROOT}")
    typer.echo(f"{'cache':14s} {store.cache_folder()}")
    archived = len(list(store.archive_folder().glob("*/*/table.csv")))
    typer.echo(f"{'archive':14s} {store.archive_folder()} ({archived} runs)")
    for name, state in files.state().items():
        typer.echo(f"{name:14s} {state}")
    missing = [name for name in manifest.PACKAGES if name not in manifest.versions()]
    if missing:
        raise ValueError(f"missing packages: {', '.join(missing)}; install with pip install -e .")


@app.callback(help=__doc__)
def root(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    pass  # main looks at it, wherever it stands


# What a defect of ours or of a library raises; a class derived from Exception itself is for whoever calls main.
_UNFORESEEN = (ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError)
_UNFORESEEN += (MemoryError, NameError, RuntimeError, TypeError)


def main() -> None:
    """Run the command; bad input, and a disk or memory that is full, are one line on stderr and exit code 2, and so is
    what nobody foresaw. --debug shows the traceback instead."""
    debug = "--debug" in sys.argv
    sys.argv[:] = [argument for argument in sys.argv if argument != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # for a locale that lacks a sign
    try:
        app()
    except (ValueError, OSError, *_UNFORESEEN) as error:
        if debug:
            raise
        refuse(error, foreseen=_resources(error) or isinstance(error, (ValueError, OSError)))


def _resources(error):
    """Whether memory is full; torch has no type of its own for that of a processor."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)


def refuse(error, foreseen=True) -> NoReturn:
    """Say why in one line, and end."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if not foreseen:
        reason = f"{type(error).__name__}: {reason[:300]} (--debug shows where)"
    typer.echo(f"nclib: {reason}", err=True)
    sys.exit(2)
