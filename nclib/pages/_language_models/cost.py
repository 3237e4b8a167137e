"""What the grid of Wu & Papyan (2024) costs in floating-point operations (FLOP), a multiplication and an addition each.

A product with N weights is 2 N FLOP a token forward and 4 N backward. The weights that are multiplied are 12 d^2 a
layer and, once, the V d of the vocabulary product (looking tokens up is no product). Attention is 4 d FLOP a token,
layer and position attended, forward: causal ones alone, and within the window in local layers. What an implementation
computes only to mask it is not counted, nor are norms, softmax and the optimizer.
"""

from types import SimpleNamespace

import pandas as pd

from nclib.glued import number
from nclib.pages._language_models.language_model import parameters

# Section 3 and Table 2: GPT-Neo with GPT-2's vocabulary, windows of 2048 tokens (2047 targets) of TinyStories.
VOCAB, POSITIONS, LOCAL = 50_257, 2048, 256
WIDTHS, DEPTHS = (64, 128, 256, 512, 768, 1024), (1, 2, 4, 8, 12)
TRAIN, VALIDATION = 229_367 * 2047, 2_303 * 2047  # tokens
EPOCHS = 1 + 1 + 3 + 10 + 10  # of an architecture
MEASUREMENTS = 7  # of an architecture, two of each run of 10 epochs
SEEDS, SEEDED = 20, (768, 2)  # further seeds of a width and depth, an epoch and a measurement each
H200, USED = 989e12, 0.4  # FLOP/s of dense bfloat16 products in the data sheet, and the share assumed


def attended(context, window=None):
    """The mean number of positions that a token of a window of `context` attends to, itself included."""
    w = min(window or context, context)
    return (w * (w + 1) / 2 + (context - w) * w) / context


def forward(vocab, context, width, depth, local=LOCAL):
    """FLOP of a token, forward. Even layers are global, odd ones local."""
    positions = sum(attended(context, local if layer % 2 else None) for layer in range(depth))
    return 2 * (12 * depth * width**2 + vocab * width) + 4 * width * positions


def training(vocab, context, width, depth, local=LOCAL):
    """FLOP of a token in training: forward, and twice as many backward."""
    return 3 * forward(vocab, context, width, depth, local)


def paper():
    """One row for each model shape of the paper and one for its further seeds: width, depth, models, parameters,
    training and measuring (FLOP). A measurement is one pass over the training text and one over the validation text."""
    shapes = [(d, L, MEASUREMENTS, EPOCHS) for d in WIDTHS for L in DEPTHS] + [(*SEEDED, SEEDS, SEEDS)]
    return pd.DataFrame(
        {
            "width": d,
            "depth": L,
            "models": models,
            "seeds": models == SEEDS,
            "parameters": parameters(SimpleNamespace(vocab=VOCAB, context=POSITIONS, width=d, depth=L)),
            "training": epochs * TRAIN * training(VOCAB, POSITIONS - 1, d, L),
            "measuring": models * (TRAIN + VALIDATION) * forward(VOCAB, POSITIONS - 1, d, L),
        }
        for d, L, models, epochs in shapes
    )


def table(rates):
    """`paper` summed over depths, in the units of a budget, with a last row for all 230 models.

    rates: FLOP/s that training reached on one core here, (low, high). "days" are of one core, where all of the work
    went at those rates; "GPU hours" are those of the data sheet's rate times `USED`, and not measured.
    """
    shapes = paper()
    rows = [(f"{d}, depths 1 to 12", part) for d, part in shapes[~shapes["seeds"]].groupby("width")]
    rows += [(f"{SEEDED[0]}, depth {SEEDED[1]}, {SEEDS} seeds", shapes[shapes["seeds"]]), ("all", shapes)]
    found = []
    for name, part in rows:
        train, measure = part["training"].sum(), part["measuring"].sum()
        days = [(train + measure) / rate / 86_400 for rate in sorted(rates, reverse=True)]
        found.append(
            {
                "width": name,
                "models": int(part["models"].sum()),
                "million parameters": span(part["parameters"] / 1e6),
                "training FLOP": number(train, ".2g"),
                "measuring FLOP": number(measure, ".2g"),
                "days of one core": span(pd.Series(days)),
                "GPU hours": f"{(train + measure) / (H200 * USED) / 3600:,.2f}",
            }
        )
    return pd.DataFrame(found)


def span(values):
    """The least and the largest of some numbers, in three digits."""
    low, high = (f"{float(f'{value:.3g}'):,.10g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def speeds(timings):
    """The training rows of results/benchmarks/language.csv with the FLOP/s that their tokens a second are."""
    chosen = timings[timings["tokens_per_second"].notna()]
    columns = ["device", "vocab", "context", "width", "depth", "batch", "precision", "tokens_per_second"]
    flop = [training(row.vocab, row.context, row.width, row.depth) for row in chosen.itertuples()]
    return chosen[columns].assign(flop_per_second=chosen["tokens_per_second"] * flop)
