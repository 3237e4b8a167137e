"""What a page quotes from its runs: numbers and short words under keys, as text, and tables with their texts in full.

A study turns its table into {key: text}, one cell of the page keeps it by `glue`, and a sentence says
{glue:text}`key`: so it cannot contradict the figure above it. The text is made here and not by a format in the
sentence, for a value that a small run lacks has no digits to format.
"""

import math
import re
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.display import HTML

MISSING = "–"


def number(value, spec=".2f") -> str:
    """A number as text by a format such as ".3f", ".0%" or ",.0f"; `MISSING` where it is None, NaN or infinite.

    Powers of ten are raised, a minus is as long as a plus, and what is rounded to zero has no sign.

    >>> number(0.98765, ".0%"), number(-0.98765), number(-1e-7, ".0e"), number(2e-7, ".0e"), number(-1e-7)
    ('99%', '−0.99', '−10⁻⁷', '2×10⁻⁷', '0.00')
    """
    if not known(value):
        return MISSING
    text = re.sub(r"([\d.]+)e([+-]\d+)", _power, format(float(value), spec))
    return re.sub(r"^-", "−", re.sub(r"^[+-](0(?:\.0+)?%?)$", r"\1", text))


def _power(found):
    from nclib.plotting import RAISED

    factor, power = found[1], int(found[2])
    if not power:
        return factor
    return f"{'' if float(factor) == 1 else f'{factor}×'}10{str(power).translate(RAISED)}"


def word(change, below, above, otherwise) -> str:
    """`below` where a change is negative, `above` where it is positive, else (0, None, NaN) `otherwise`.

    `otherwise` takes their place in the sentence, as "goes" does for "falls" and "rises".
    """
    return otherwise if not known(change) or not change else above if change > 0 else below


def known(value) -> bool:
    """Whether a value is a finite number."""
    return value is not None and math.isfinite(value)


def glue(values) -> None:
    """Keep {key: text or number} in the output of the cell that calls it, where the prose of its page finds them.

    Nothing is shown. A number is kept as `number` gives it in six digits. Raises ValueError for a key that a sentence
    cannot name and for text that would leave a hole in it; TypeError for other values than text and numbers.
    """
    from IPython.display import display

    kept = {key: _text(key, value) for key, value in values.items()}
    for key, text in kept.items():
        # The form that MyST-NB reads: a type of its own, so that no reader shows it, and the key in the metadata.
        prefix = "application/papermill.record/"
        scrapbook = {"scrapbook": {"name": key, "mime_prefix": prefix}}
        display({f"{prefix}text/plain": repr(text)}, raw=True, metadata=scrapbook)


def _text(key, value):
    if not re.fullmatch(r"[a-z0-9-]+", key):
        raise ValueError(f"key = {key!r}: must be lower-case letters, digits and hyphens")
    if value is None or (isinstance(value, Real) and not isinstance(value, bool)):
        return number(value, ".6g")
    if not isinstance(value, str):
        raise TypeError(f"{key} = {value!r}: must be text or a number, made by glued.number or glued.word")
    if not value.strip():
        raise ValueError(f"{key} is empty: must be text that a sentence can hold")
    return value


def table(frame) -> "HTML":
    """A table for a reader, its texts in full, under one line of names and without the numbers of its rows: as a
    notebook shows it, pandas cuts texts after 50 characters. Numbers that are not whole have four digits."""
    import pandas as pd
    from IPython.display import HTML

    if any(frame.index.names):
        frame = frame.reset_index()
    numbered = isinstance(frame.index, pd.RangeIndex)
    if numbered:
        frame = frame.rename_axis(columns=None)
    frame = frame.map(lambda value: number(value, ".4g") if isinstance(value, float) else value)
    wordy = numbered and frame.iloc[:, 0].astype(str).str.len().max() > 12  # a phone leaves such a column its room
    with pd.option_context("display.max_colwidth", None):
        return HTML(frame.to_html(border=0, index=not numbered, classes="nc-words" if wordy else None))
