"""Images as tensors: scikit-learn's digits, Fashion-MNIST, CIFAR-10."""

import gzip
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import torch

from nclib.data.files import CIFAR10, FASHION_MNIST, cifar10_file, fashion_mnist_file, sha256

NAMES = ("digits", "fashion-mnist", "cifar10")
SPLITS = ("train", "test")
DIGITS_TRAIN = 140

# Channel means and standard deviations of the training pixels in [0, 1], from exact integer sums over the pinned files:
# so the test split needs no training file. tests/test_data.py recomputes them.
FASHION_MNIST_STATISTICS = ((0.2860405969887955,), (0.3530242445149226,))
CIFAR10_STATISTICS = (
    (0.49139967861519607, 0.48215840839460783, 0.44653091444546567),
    (0.24703223246328201, 0.24348512800005553, 0.2615878417279645),
)


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images. x (N, C, H, W) float32, standardized per channel; y (N,) int64; classes: K names, by label;
    sha256: {source file name: hexadecimal digest}."""

    x: torch.Tensor
    y: torch.Tensor
    classes: tuple[str, ...]
    sha256: dict[str, str]


def load(name, split="train"):
    """The images of one split, in the order of the source files.

    Pixels are scaled to [0, 1], then standardized per channel, (x - mean_c) / std_c, with the mean and the population
    standard deviation of all pixels of the channel over the whole *training* split, whichever split is asked for (and
    before any subset).

    name    "digits": scikit-learn's 1,797 images of 8 x 8; train is 140 of each class (1,400), drawn without
    replacement
            by `numpy.random.RandomState(0)` class after class, test is the other 397. "fashion-mnist": 60,000 + 10,000
            of 28 x 28. "cifar10": 50,000 + 10,000 of 32 x 32 in colour.
    split   "train" or "test"; only the files of that split are read.

    Files are looked for in `NCLIB_DATA` (default `build/data` of the project), downloaded where missing, and verified
    at each load. Raises ValueError for an unknown name or split, its subclass DataError for a file that is missing or
    wrong.
    """
    if name not in NAMES:
        raise ValueError(f"name = {name!r}: must be one of {', '.join(NAMES)}")
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: must be one of {', '.join(SPLITS)}")
    return {"digits": _digits, "fashion-mnist": _fashion_mnist, "cifar10": _cifar10}[name](split)


def _digits(split):
    from sklearn.datasets import load_digits

    pixels, y = load_digits(return_X_y=True)
    random = np.random.RandomState(0)
    train = np.zeros(len(y), dtype=bool)
    for k in range(10):
        train[random.permutation(np.flatnonzero(y == k))[:DIGITS_TRAIN]] = True
    pixels = pixels.reshape(-1, 1, 8, 8) / 16
    statistics = [pixels[train].mean()], [pixels[train].std()]
    rows = train if split == "train" else ~train
    with as_file(files("sklearn.datasets") / "data" / "digits.csv.gz") as source:
        digest = {source.name: sha256(source)}
    return Images(
        _standardize(pixels[rows], *statistics), torch.from_numpy(y[rows]).long(), tuple("0123456789"), digest
    )


def _fashion_mnist(split):
    prefix = "train" if split == "train" else "t10k"
    names = [f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"]
    pixels, y = (_idx(fashion_mnist_file(name)) for name in names)
    x = _standardize(pixels[:, None], *FASHION_MNIST_STATISTICS, scale=255)
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    return Images(x, torch.from_numpy(y.astype(np.int64)), classes, {name: FASHION_MNIST[name] for name in names})


def _cifar10(split):
    names = [name for name in CIFAR10 if name.startswith("test") == (split == "test")]
    records = np.concatenate([np.fromfile(cifar10_file(name), np.uint8).reshape(-1, 3073) for name in names])
    x = _standardize(records[:, 1:].reshape(-1, 3, 32, 32), *CIFAR10_STATISTICS, scale=255)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return Images(x, torch.from_numpy(records[:, 0].astype(np.int64)), classes, {name: CIFAR10[name] for name in names})


def _idx(path):
    """An idx file of bytes: magic 0 0 8 (number of axes), the axes as big-endian int32, the bytes."""
    with gzip.open(path) as file:
        content = file.read()
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _standardize(pixels, mean, std, scale=1):
    """Pixels (N, C, H, W) of 0..scale -> float32 (pixels/scale - mean)/std, one copy."""
    mean, std = (torch.tensor(s, dtype=torch.float64).view(1, -1, 1, 1) * scale for s in (mean, std))
    x = torch.from_numpy(pixels.astype(np.float32))
    return x.sub_(mean.float()).div_(std.float())
