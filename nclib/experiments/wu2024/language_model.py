"""One language model, trained on a text and measured as Wu & Papyan (2024) measure theirs: one run of grid and seeds.

The classes are the tokens of the vocabulary, the feature of a position is the output of the last LayerNorm, and its
label is the next token. NC1 to NC3 are those of a pass over the training text, over the classes that occur there; NC4
is that of the validation text. `step` counts epochs; `layer` is the convention (see nclib.conventions) of a metric.
"""

import hashlib
from dataclasses import asdict, dataclass, replace

import pandas as pd

from nclib import conventions, language, language_measures, nulls, results
from nclib.data import text
from nclib.distributed import rank
from nclib.models.gpt import GPT
from nclib.models.gpt_stack import GPTStack
from nclib.runs.store import unfinished
from nclib.training import seed_everything

VERSION = 1
DISTRIBUTED = True  # under torchrun each process takes its part of every batch
EVALUATED = 16_384  # tokens in a batch of a pass without gradients


@dataclass(frozen=True)
class Config:
    """A GPT-Neo of a width, depth and number of heads, its text and its training.

    corpus, tokens, vocab: text, length of its training part in tokens, and size of its byte-level BPE. context: tokens
    in a window; local layers see `local` of them. batch: tokens in an update. The learning rate falls linearly from
    `rate` to 0 over `epochs`; collapse is measured after the epochs of `measured`, the losses after every one.
    """

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


def data(config):
    """{file: sha256} of the text."""
    return text.tokens(config.corpus, config.vocab, limit=config.tokens).sha256


def needs_gpu(config):
    """Whether the run would take a processor more than about ten minutes."""
    return 6 * parameters(config) * config.tokens * config.epochs > 3e13


def parameters(config):
    """Number of parameters: embeddings of tokens and positions, 12 d^2 + 10 d a layer, the last LayerNorm."""
    d = config.width
    return (config.vocab + config.context) * d + config.depth * (12 * d**2 + 10 * d) + 2 * d


def model(config):
    """The untrained model of a run."""
    seed_everything(config.seed)
    return GPT(config.vocab, config.context, config.width, config.depth, config.heads, window=config.local)


def texts(config):
    """{"train", "validation": windows (n, context + 1)}; the validation text is cut to a fifth of the training text."""
    tokens = text.tokens(config.corpus, config.vocab, limit=config.tokens)
    validation = tokens.validation[: max(len(tokens.train) // 5, config.context + 1)]
    return {
        "train": text.windows(tokens.train, config.context),
        "validation": text.windows(validation, config.context),
    }


def train(configs, device, windows, evaluate=None, measured=()):
    """Train the model of a run, or those of several (alike, by `together`) as one GPTStack. Returns it and the losses.

    It resumes from where a killed process left it.
    """
    config, models = configs[0], [model(config) for config in configs]
    net = (GPTStack(models) if len(models) > 1 else models[0]).to(device)
    each = {name: [getattr(config, name) for config in configs] for name in ("seed", "weight_decay")}
    if len(configs) == 1:
        each = {key: value for key, (value,) in each.items()}
    gpu = net.classifier.is_cuda
    losses = language.fit(
        net,
        windows,
        epochs=config.epochs,
        batch_tokens=config.batch,
        lr=config.rate,
        **each,
        measure_at=measured,
        evaluate=evaluate,
        checkpoint=checkpoint(configs),
        identity=asdict(config),
        precision="bfloat16" if gpu else "float32",
        compiled=gpu,
    )
    return net, losses


def checkpoint(configs):
    """Where the training of one model, or of several as one, keeps its state."""
    keys = [results.key(config) for config in configs]
    return unfinished(keys[0] if len(keys) == 1 else hashlib.sha256("".join(keys).encode()).hexdigest()[:16])


def forget(configs):
    """Remove what the runs kept to go on from after a kill."""
    for path in (checkpoint(configs), *(unfinished(results.key(config), "csv") for config in configs)):
        path.unlink(missing_ok=True)


def together(config):
    """What runs share that can be trained as one batch on a GPU: all but the seed and the weight decay.

    None for a model of more than 4 million parameters, which fills a GPU by itself; an estimate, not measured.
    """
    return replace(config, seed=0, weight_decay=0.0) if parameters(config) < 4e6 else None


def run(config, device):
    """The tidy table of one run: losses after every epoch, collapse in every convention after those of `measured`.

    Beside the metrics of `conventions.measure` there are their values for directions drawn at random (source
    "theory"), the training loss of the measured model, and the number of updates. The rows of a run that was killed
    are kept beside its checkpoint. With torch.distributed initialized, all ranks train one model on their parts of each
    batch; each of them then measures over the whole text, so that none waits for another.
    """
    (table,) = run_together([config], device)
    return table


def run_together(configs, device):
    """The tables of runs that are alike, by `together`, each as by `run`; their models are trained as one batch."""
    config = configs[0]
    windows = {split: found.to(device) for split, found in texts(config).items()}
    kept = [unfinished(results.key(config), "csv") for config in configs]
    rows = [[results.read_csv(file)] if file.exists() else [] for file in kept]

    def evaluate(epoch, trained):
        for net, done, file in zip(trained.models() if len(configs) > 1 else [trained], rows, kept, strict=True):
            found = measure(net, windows, config) if epoch in config.measured else validate(net, windows)
            done.append(found.assign(step=epoch))
            if rank() == 0:
                results.write_atomic(file, results.csv_bytes(pd.concat(done)))

    _, losses = train(configs, device, windows["train"], evaluate, tuple(range(1, config.epochs + 1)))
    done = results.rows({"updates": len(losses), "parameters": parameters(config)}, step=config.epochs)
    same = ["step", "layer", "split", "source", "metric"]
    return [pd.concat([*found, done], ignore_index=True).drop_duplicates(same) for found in rows]


def validate(net, windows):
    """The validation loss."""
    loss = language_measures.cross_entropy(net, windows["validation"], EVALUATED)
    return results.rows({"loss": loss}, split="validation")


def measure(net, windows, config):
    """Both losses, and the metrics of every convention with their null."""
    stats, loss = language_measures.statistics(net, windows["train"], config.vocab, EVALUATED)
    share, validation = language_measures.agreement(net, windows["validation"], stats, EVALUATED)
    W = net.classifier.detach()
    found = [results.rows({"loss": loss}), results.rows({"loss": validation}, split="validation")]
    for preset in conventions.PRESETS:
        metrics = conventions.measure(stats, W, preset=preset, agreement=share)
        found.append(results.rows(metrics, layer=preset))
    null = nulls.uniform_directions(int(stats.present.sum()), config.width)
    return pd.concat([*found, results.rows(null, source="theory")], ignore_index=True)
