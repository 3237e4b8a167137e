"""One language model, trained on a text and measured as Wu & Papyan (2024) measure theirs: one run of grid and seeds.

The classes are the tokens of the vocabulary, the feature of a position is the output of the last LayerNorm, and its
label is the next token. NC1 to NC3 are those of a pass over the training text, over the classes that occur there; NC4
is that of the validation text. `step` counts epochs; `convention` is that of a metric (see nclib.conventions).
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import pandas as pd

from nclib import conventions, nulls
from nclib.data import corpora, text
from nclib.distributed import rank
from nclib.models.gpt import GPT
from nclib.models.gpt_stack import GPTStack
from nclib.runs import source, store
from nclib.runs.experiment import Experiment, later, rows
from nclib.runs.seal import Damaged, contents, sealed, unsealed, write_atomic
from nclib.training import language, language_measures, seed_everything

EVALUATED = 16_384  # tokens in a batch of a pass without gradients
AT = {"step": "Int64", "convention": "str", "split": "str"}  # where a row stands, beside metric, value and theory
KINDS = {"metric": "str", "value": "float64", "theory": "float64"} | AT


@dataclass(frozen=True)
class LanguageModel(Experiment):
    """A GPT-Neo of a width, depth and number of heads, its text and its training.

    corpus, tokens, vocab: text, length of its training part in tokens, and size of its byte-level BPE. context: tokens
    in a window; local layers see `local` of them. batch: tokens in an update. The learning rate falls linearly from
    `rate` to 0 over `epochs`, after a linear rise over the first `warmup` updates; collapse is measured after the
    epochs of `measured`, the losses after every one.

    Under torchrun each process takes its part of every batch.
    """

    NAME: ClassVar[str] = "wu2024.language_model"
    DISTRIBUTED: ClassVar[bool] = True

    corpus: str
    tokens: int
    vocab: int
    context: int
    local: int
    width: int
    depth: int
    heads: int
    epochs: int
    measured: tuple
    weight_decay: float
    batch: int
    rate: float
    seed: int
    warmup: int = later(0)

    def reads(self):
        """{file: sha256} of the text."""
        return text.tokens(self.corpus, self.vocab, limit=self.tokens).sha256

    def own(self):
        """{file: sha256} of a folder of the reader's own."""
        return corpora.own(self.corpus)

    def at_hand(self):
        """The text of a named corpus that changes with what is installed."""
        return corpora.at_hand(self.corpus)

    def needs_gpu(self):
        """Whether the run would take a processor more than about ten minutes."""
        return 6 * parameters(self) * self.tokens * self.epochs > 3e13

    def together(self):
        """What runs share that can be trained as one batch on a GPU: all but seed, weight decay and rate.

        None for a model of more than 6 million parameters: on an H200 five models of 4 x 256, 5.3 million each, were
        done 2.1 times as fast as one after another, larger ones have not been tried.
        """
        return replace(self, seed=0, weight_decay=0.0, rate=1.0) if parameters(self) < 6e6 else None

    def forget(self):
        """Remove what the run, or the batch of runs that it ends, kept to go on from after a kill."""
        for path in store.cache_folder().glob(f"checkpoints/*{self.key()}.*"):
            path.unlink(missing_ok=True)

    def run(self, device="cpu"):
        """Losses after every epoch, collapse in every convention after those of `measured`.

        Beside the metrics of `conventions.measure` there are their values for directions drawn at random, `theory` of
        no convention, the training loss of the measured model, and the number of updates. The rows of a run that was
        killed are kept beside its checkpoint. With torch.distributed initialized, all ranks train one model on their
        parts of each batch; each of them then measures over the whole text, so that none waits for another.
        """
        (table,) = self.run_together([self], device)
        return table

    @classmethod
    def run_together(cls, runs, device):
        """The tables of runs that are alike, by `together`, each as by `run`; their models are trained as one batch."""
        first = runs[0]
        windows = {split: found.to(device) for split, found in texts(first).items()}
        tables = [kept_rows(run) for run in runs]

        def evaluate(epoch, trained):
            for net, done, run in zip(trained.models() if len(runs) > 1 else [trained], tables, runs, strict=True):
                refuse_gaps(run, done, epoch)
                found = losses_and_collapse(net, windows, first) if epoch in first.measured else validate(net, windows)
                done.append(found.assign(step=epoch).astype(AT))
                if rank() == 0:
                    keep_rows(run, pd.concat(done)[list(KINDS)])

        _, losses = train(runs, device, windows["train"], evaluate, tuple(range(1, first.epochs + 1)))
        done = at({"updates": len(losses), "parameters": parameters(first)}).assign(step=first.epochs)
        same = ["metric", *AT]
        return [
            pd.concat([*found, done], ignore_index=True).drop_duplicates(same).astype(KINDS)[list(KINDS)]
            for found in tables
        ]


def identity(run):
    """Whose the rows and the checkpoint are that a run keeps to go on from after a kill."""
    return {"key": run.key(), "code": source.digest(run)}


def keep_rows(run, table):
    """Keep the rows so far beside the checkpoint."""
    rows = store.to_csv(table)[0].decode()
    write_atomic(store.unfinished(run.key(), "json"), sealed({**identity(run), "rows": rows}))


def kept_rows(run):
    """The rows that a killed run kept, as a list of one table, or none. ValueError names a file that is damaged."""
    path = store.unfinished(run.key(), "json")
    if not path.exists():
        return []
    try:
        return [store.from_csv(unsealed(contents(path), **identity(run))["rows"].encode(), KINDS)]
    except Damaged as reason:
        raise ValueError(
            f"{path}: damaged, or of other code ({reason}); remove it and {checkpoint([run])} to start again"
        ) from None


def refuse_gaps(run, tables, epoch):
    """ValueError where training went on from a checkpoint whose rows are gone."""
    missing = set(range(1, epoch)) - {step for table in tables for step in table["step"]}
    if missing:
        raise ValueError(
            f"{store.unfinished(run.key(), 'json')}: lacks the epochs {sorted(missing)} before {epoch}; remove "
            f"{checkpoint([run])} to start again"
        )


def parameters(run):
    """Number of parameters: embeddings of tokens and positions, 12 d^2 + 10 d a layer, the last LayerNorm."""
    d = run.width
    return (run.vocab + run.context) * d + run.depth * (12 * d**2 + 10 * d) + 2 * d


def model(run):
    """The untrained model of a run."""
    seed_everything(run.seed)
    return GPT(run.vocab, run.context, run.width, run.depth, run.heads, window=run.local)


def texts(run):
    """{"train", "validation": windows (n, context + 1)}; the validation text is cut to a fifth of the training text."""
    tokens = text.tokens(run.corpus, run.vocab, limit=run.tokens)
    validation = tokens.validation[: max(len(tokens.train) // 5, run.context + 1)]
    return {
        "train": text.windows(tokens.train, run.context),
        "validation": text.windows(validation, run.context),
    }


def train(runs, device, windows, evaluate=None, measured=()):
    """Train the model of a run, or those of several (alike, by `together`) as one GPTStack. Returns it and the losses.

    It resumes from where a killed process left it.
    """
    first, models = runs[0], [model(run) for run in runs]
    net = (GPTStack(models) if len(models) > 1 else models[0]).to(device)
    each = {"seed": "seed", "weight_decay": "weight_decay", "lr": "rate"}
    each = {name: [getattr(run, field) for run in runs] for name, field in each.items()}
    if len(runs) == 1:
        each = {name: value for name, (value,) in each.items()}
    gpu = net.classifier.is_cuda
    losses = language.fit(
        net,
        windows,
        language.Settings(
            first.epochs,
            first.batch,
            **each,
            warmup=first.warmup,
            precision="bfloat16" if gpu else "float32",
            compiled=gpu,
        ),
        measure_at=measured,
        evaluate=evaluate,
        checkpoint=language.Keep(checkpoint(runs), asdict(first) | {"code": source.digest(first)}),
    )
    return net, losses


def checkpoint(runs):
    """Where the training of one model, or of several as one, keeps its state: named after the last, which is stored
    last, and of several also after all of them."""
    keys = [run.key() for run in runs]
    digest = hashlib.sha256("".join(keys).encode()).hexdigest()[:16]
    return store.unfinished(keys[0] if len(keys) == 1 else f"{digest}-{keys[-1]}")


def at(values, theory=None, convention="", split="train"):
    """`rows` where they stand but for the epoch."""
    return rows(values, theory=theory, convention=convention, split=split)


def validate(net, windows):
    """The validation loss."""
    return at({"loss": language_measures.cross_entropy(net, windows["validation"], EVALUATED)}, split="validation")


def losses_and_collapse(net, windows, run):
    """Both losses, and the metrics of every convention with their null."""
    stats, loss = language_measures.statistics(net, windows["train"], run.vocab, EVALUATED)
    share, validation = language_measures.agreement(net, windows["validation"], stats, EVALUATED)
    W = net.classifier.detach()
    found = [at({"loss": loss}), at({"loss": validation}, split="validation")]
    for preset in conventions.PRESETS:
        metrics = conventions.measure(stats, W, preset=preset, agreement=share)
        found.append(at(metrics, convention=preset))
    null = nulls.uniform_directions(int(stats.present.sum()), run.width)
    return pd.concat([*found, at(dict.fromkeys(null, float("nan")), theory=null)], ignore_index=True)
