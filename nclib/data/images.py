"""Images as tensors: scikit-learn's digits, Fashion-MNIST, CIFAR-10 and CIFAR-100."""

import gzip
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import torch

from nclib.data.files import CIFAR10, CIFAR100, FASHION_MNIST, cifar10_file, cifar100_file, fashion_mnist_file, sha256

SPLITS = ("train", "test")
DIGITS_TRAIN = 140

# Channel means and standard deviations of the training pixels in [0, 1], from exact integer sums over the pinned files:
# so the test split needs no training file. tests/test_data.py recomputes them.
FASHION_MNIST_STATISTICS = ((0.2860405969887955,), (0.3530242445149226,))
CIFAR10_STATISTICS = (
    (0.49139967861519607, 0.48215840839460783, 0.44653091444546567),
    (0.24703223246328201, 0.24348512800005553, 0.2615878417279645),
)
# As published: 255 N mean and 255^2 N (std^2 + mean^2) are integers to rounding for N = 50,000 x 1,024, as exact sums
# of bytes are.
CIFAR100_STATISTICS = (
    (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
    (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
)
CIFAR100_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor "
    "train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images. x (N, C, H, W) float32, standardized per channel; y (N,) int64; classes: K names, by label;
    sha256: {source file name: hexadecimal digest}."""

    x: torch.Tensor
    y: torch.Tensor
    classes: tuple[str, ...]
    sha256: dict[str, str]


def load(name, split="train") -> Images:
    """The images of one split, in the order of the source files.

    Pixels are scaled to [0, 1], then standardized per channel, (x - mean_c) / std_c, with the mean and the population
    standard deviation of all pixels of the channel over the whole *training* split, whichever split is asked for (and
    before any subset).

    name    "digits": scikit-learn's 1,797 images of 8 x 8; train is 140 of each class (1,400), drawn without
    replacement
            by `numpy.random.RandomState(0)` class after class, test is the other 397. "fashion-mnist": 60,000 + 10,000
            of 28 x 28. "cifar10": 50,000 + 10,000 of 32 x 32 in colour. "cifar100": as many, with the fine labels.
    split   "train" or "test"; only the files of that split are read.

    Files are looked for in `NCLIB_DATA` (default `build/data` of the project), downloaded where missing, and verified
    at each load. Raises ValueError for an unknown name or split, its subclass DataError for a file that is missing or
    wrong.
    """
    if name not in READERS:
        raise ValueError(f"name = {name!r}: must be one of {', '.join(READERS)}")
    if split not in SPLITS:
        raise ValueError(f"split = {split!r}: must be one of {', '.join(SPLITS)}")
    return READERS[name](split)


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
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    return _cifar([cifar10_file(name) for name in names], 1, CIFAR10, CIFAR10_STATISTICS, classes)


def _cifar100(split):
    paths = [cifar100_file(f"{split}.bin")]  # records begin with the coarse and the fine label
    return _cifar(paths, 2, CIFAR100, CIFAR100_STATISTICS, tuple(CIFAR100_CLASSES.split()))


def _cifar(paths, labels, pinned, statistics, classes):
    """Records of so many labels, of which the last one is taken, and 3 x 32 x 32 bytes."""
    records = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, labels + 3072) for path in paths])
    x = _standardize(records[:, labels:].reshape(-1, 3, 32, 32), *statistics, scale=255)
    y = torch.from_numpy(records[:, labels - 1].astype(np.int64))
    return Images(x, y, classes, {path.name: pinned[path.name] for path in paths})


READERS = {"digits": _digits, "fashion-mnist": _fashion_mnist, "cifar10": _cifar10, "cifar100": _cifar100}
NAMES = tuple(READERS)


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
