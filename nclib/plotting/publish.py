"""Publishing figures: each is written with the rows that it draws and the manifests of the runs behind them."""

import contextlib
import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nclib.runs import store
from nclib.runs.experiment import experiments
from nclib.runs.manifest import commit, versions
from nclib.runs.seal import sealed, write_atomic
from nclib.runs.source import origin

if TYPE_CHECKING:
    import IPython.display
    import PIL.Image
    from matplotlib.transforms import Bbox

# The kinds of columns that a CSV gives back as they were, and how each is read from its text.
KINDS = {
    "str": str,
    "float64": float,
    "int64": int,
    "Int64": lambda text: pd.NA if text == "nan" else int(text),
    "bool": {"True": True, "False": False}.__getitem__,
    "boolean": {"True": True, "False": False, "nan": pd.NA}.__getitem__,
}
LOOKS = (str, int, float, bool, type(None))
WHITE = 0xFFFFFF  # red, green, blue
HEAVY = 100_000  # bytes from which an SVG is left out: what has thousands of points is better seen as PNG
STORE = ("command", "format", "kinds", "outputs", "seal")  # of a run's manifest what says nothing of a figure
LEVEL = 8  # of compression: 9 takes two and a half times as long for a twentieth of the bytes
DPI, NARROW_DPI = 200, 144  # dots an inch of the image, and of the one for phones
NARROW = 5.6  # inches with its margins: a wider figure for a phone has type of less than 9 pixels there


def laid_out(figure, dpi=DPI) -> "Bbox":
    """Lay a figure out for good, and return the box to save, in inches: what is drawn and a margin.

    Each of its files is then drawn once, where `savefig` draws twice for `bbox_inches="tight"`, and for any layout
    engine.
    """
    import matplotlib.pyplot as plt

    figure.set_dpi(dpi)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    with plt.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # "none" leaves one that does nothing
    return figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])


def png(figure, run, box, dpi=DPI) -> bytes:
    """Return a figure as PNG bytes, which are the same for the same figure and versions. Their metadata hold `run`."""
    from PIL.PngImagePlugin import PngInfo

    buffer, note = io.BytesIO(), PngInfo()
    note.add_text("nclib:run", run)
    image = few_colors(pixels(figure, box, dpi))
    image.save(buffer, format="png", compress_level=LEVEL, pnginfo=note, dpi=(dpi, dpi))
    return buffer.getvalue()


def pixels(figure, box, dpi) -> "PIL.Image.Image":
    """Return what of a figure stands in a box, on white."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw", dpi=dpi, bbox_inches=box, facecolor="white")
    width = int(box.width * dpi)
    return Image.frombytes("RGBA", (width, len(buffer.getvalue()) // (4 * width)), buffer.getvalue())


def few_colors(image, exact=64) -> "PIL.Image.Image":
    """Return an image in 256 colors, which takes two fifths of the bytes.

    Its `exact` most frequent colors stay as they are. Each of the others becomes the nearest of a palette for which
    they count once each, however few their pixels are.
    """
    from PIL import Image

    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), dtype=np.uint32), -1, 0)
    each = (red << 16 | green << 8 | blue).ravel()
    ink = each != WHITE  # what is left out is most of an image
    where = np.zeros(each.shape, dtype=int)
    where[ink], codes = pd.factorize(each[ink], sort=True)  # np.unique sorts every pixel
    where[~ink], codes = len(codes), np.append(codes, np.uint32(WHITE))
    counts = np.bincount(where, minlength=len(codes))
    order = np.argsort(-counts, kind="stable")
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8)[order]
    index = np.arange(len(codes)).clip(max=255)
    palette = colors[:exact]
    if len(codes) > exact:
        rest = Image.fromarray(colors[None, exact:]).quantize(256 - exact, kmeans=1, dither=Image.Dither.NONE)
        index[exact:] = exact + np.asarray(rest)[0]
        palette = np.concatenate([palette, np.reshape(rest.getpalette()[: 3 * (256 - exact)], (-1, 3))])
    found = np.empty(len(codes), dtype=np.uint8)
    found[order] = index
    few = Image.fromarray(found[where].reshape(red.shape), "P")
    few.putpalette(palette.astype(np.uint8).tobytes())
    return few


class Light(io.BytesIO):
    """A buffer that breaks off with OverflowError where more than `HEAVY` bytes are written."""

    def write(self, data) -> int:
        if self.tell() + len(data) > HEAVY:
            raise OverflowError
        return super().write(data)


def svg(figure, run, box) -> bytes | None:
    """Return a figure as SVG bytes, which are the same for the same figure and versions; None where they are heavy.

    They hold no date, and their identifiers come from `run`. Text remains text, to be searched and edited, in DejaVu
    Sans where that is at hand.
    """
    import matplotlib.pyplot as plt

    buffer = Light()
    with plt.rc_context({"svg.hashsalt": run, "svg.fonttype": "none"}), contextlib.suppress(OverflowError):
        figure.savefig(
            buffer, format="svg", bbox_inches=box, facecolor="white", metadata={"Date": None, "Identifier": run}
        )
        return buffer.getvalue()
    return None


def publish(draw, rows, name, profile="laptop", *, of=None, **options) -> "IPython.display.Image":
    """Publish a figure: write its rows as CSV, draw what is read back, write images and manifest, and return the image.

    draw      a function of a DataFrame and `options` that returns a matplotlib Figure.
    rows      what the figure draws and nothing else, in columns of the `KINDS`.
    name      the figure's label, "fig-<paper>-<what>".
    of        the table, or a tuple of tables, whose runs stand behind the figure; it can be left out where the rows
              name them in columns `experiment` and `run`.
    options   how the figure looks: text, numbers or lists of these, no tables.

    The folder `figures/` of the build folder gets the images of `drawn`, `<name>.csv`, and `<name>.json`, the manifest.
    Images are deterministic, and their metadata hold the id of the rows.
    """
    from IPython.display import Image

    from nclib.plotting.columns import meanings

    refuse_tables(name, options)
    data, kinds = written(name, rows)
    identity = hashlib.sha256(data).hexdigest()[:16]
    files = {f"{name}{end}": image for end, image in drawn(draw, read(data, kinds), options, identity).items()}
    files[f"{name}.csv"] = data
    head, dirty = commit()
    classes, own = experiments(), {"versions": versions()}  # a run has versions of its own where they differ
    stored = [
        {name: value for name, value in run.items() if name not in STORE and own.get(name) != value}
        | {"made by": origin(run, classes)}
        for run in run_manifests(rows if of is None else of)
    ]
    manifest = {
        "figure": name,
        "profile": profile,
        "run": identity,
        "draw": f"{draw.__module__}.{draw.__qualname__}",
        "options": options,
        "columns": kinds,
        "meanings": meanings(name, kinds),
        "commit": head,
        "dirty": dirty,
        **own,
        "runs": stored,
        "wall_seconds": round(sum(run["wall_seconds"] for run in stored), 3),
        "outputs": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
    }
    folder = store.build_folder() / "figures"
    for file, content in files.items():
        write_atomic(folder / file, content)
    write_atomic(folder / f"{name}.json", sealed(manifest, indent=None))
    return Image(files[f"{name}.png"], format="png", metadata={"alt": name})


def drawn(draw, rows, options, identity) -> dict[str, bytes]:
    """Draw rows with `draw`, and return {".png": bytes, ".svg": bytes, "-narrow.png": bytes}; the figure is closed.

    The SVG is left out where it is heavy. The narrow image, which has its panels below one another, is left out where
    it is not narrow.
    """
    import matplotlib.pyplot as plt

    from nclib.plotting import narrow, plain_powers

    figure = draw(rows, **options)
    plain_powers(figure)
    layout, box = figure.get_layout_engine(), laid_out(figure)
    images = {".png": png(figure, identity, box), ".svg": svg(figure, identity, box)}
    if images[".svg"] is None:
        del images[".svg"]
    figure.set_layout_engine(layout)
    narrow(figure)
    box = laid_out(figure, NARROW_DPI)  # the layout makes room for labels inside the figure's width
    if box.width <= NARROW:
        images["-narrow.png"] = png(figure, identity, box, NARROW_DPI)
    plt.close(figure)
    return images


def refuse_tables(name, options) -> None:
    """Raise ValueError for an option that is more than a look: what is drawn must stand in the published rows."""
    for option, value in options.items():
        parts = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(part, LOOKS) for part in parts):
            raise ValueError(
                f"{name}: option {option!r} is a {type(value).__name__}: must be text, a number or a list of these"
            )


def written(name, rows) -> tuple[bytes, dict[str, str]]:
    """Return (CSV bytes, {column: kind}) of rows, from which `read` gives them back, numbered from 0.

    Raises ValueError for rows that it would not give back.
    """
    if not rows.columns.is_unique:
        raise ValueError(f"{name}: two columns of the rows have the same name")
    rows, kinds = rows.reset_index(drop=True), {}
    for column, values in rows.items():
        if values.dtype == object and pd.api.types.infer_dtype(values, skipna=False) in ("string", "empty"):
            rows[column] = values.astype("str")
        kinds[column] = str(rows[column].dtype)
        if kinds[column] not in KINDS or (kinds[column] == "str" and values.isna().any()):
            found = "missing text" if kinds[column] == "str" else kinds[column]
            raise ValueError(f"{name}: column {column!r} of the rows holds {found}: must be one of {', '.join(KINDS)}")
    data = store.csv_bytes(rows)
    if not read(data, kinds).equals(rows):
        raise ValueError(f"{name}: the CSV does not give back the rows that it was written from")
    return data, kinds


def read(data, kinds) -> pd.DataFrame:
    """Return the rows that were written as CSV bytes, each column in its kind."""
    text = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_filter=False)
    return pd.DataFrame({name: pd.Series(map(KINDS[kind], text[name]), dtype=kind) for name, kind in kinds.items()})


def run_manifests(tables) -> list[dict]:
    """Return the manifests of the stored runs behind a table, or a tuple of tables, each once."""
    pairs = []
    for table in tables if isinstance(tables, tuple) else (tables,):
        if {"experiment", "run"} <= set(table):
            pairs += table[["experiment", "run"]].itertuples(index=False, name=None)
    folders = [store.entry(name, run) for name, run in dict.fromkeys(pairs)]
    return [store.manifest_of(folder) for folder in folders if folder]
