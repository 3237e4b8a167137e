"""Public data files: found in one folder, downloaded by name where missing, read only if their sha256 is the pinned
one."""

import hashlib
import os
import tarfile
from pathlib import Path

FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


class DataError(ValueError):
    """A data file that is missing and cannot be downloaded, or whose checksum is wrong."""


def data_folder():
    """The folder of data sets: the variable `NCLIB_DATA`, or `build/data` of the project where it is unset."""
    from nclib.results import ROOT

    return Path(os.environ.get("NCLIB_DATA") or ROOT / "build" / "data").expanduser()


def fashion_mnist_file(name):
    """Path of one of Fashion-MNIST's four idx files, `NCLIB_DATA/fashion-mnist/<name>`, verified."""
    path = data_folder() / "fashion-mnist" / name
    if not path.exists():
        _download(FASHION_MNIST_URL + name, f"sha256:{FASHION_MNIST[name]}", path)
    return verified(path, FASHION_MNIST[name])


def cifar10_file(name):
    """Path of one of CIFAR-10's six binary files, `NCLIB_DATA/cifar-10-batches-bin/<name>`, verified."""
    path = data_folder() / "cifar-10-batches-bin" / name
    if not path.exists():
        archive = data_folder() / CIFAR10_URL.rpartition("/")[2]
        _download(CIFAR10_URL, f"md5:{CIFAR10_MD5}", archive, wanted=path)
        unpack(archive, path.parent, CIFAR10)
        archive.unlink()
    return verified(path, CIFAR10[name])


def state():
    """{data set: how many of its files are in the data folder}, in words; checksums are not read."""
    folder = data_folder()
    found = {"fashion-mnist": (folder / "fashion-mnist", FASHION_MNIST)}
    found["cifar10"] = (folder / "cifar-10-batches-bin", CIFAR10)
    return {
        name: f"{sum((path / file).exists() for file in pinned)} of {len(pinned)} files in {path}"
        for name, (path, pinned) in found.items()
    }


def sha256(path):
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path, expected):
    """`path` itself if its sha256 is `expected`; else the file is removed and DataError says so."""
    found = sha256(path)
    if found != expected:
        path.unlink()
        raise DataError(
            f"{path}: sha256 is {found}, must be {expected}; the file was removed, load again to download it"
        )
    return path


def unpack(archive, folder, names):
    """Write the members called `names` (whatever their folder in the archive) below `folder`, each under its name only
    when whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            if name in names:
                partial = folder / f"{name}.{os.getpid()}.part"
                partial.write_bytes(tar.extractfile(member).read())
                partial.replace(folder / name)


def _download(url, known_hash, path, wanted=None):
    """`url` -> `path` through pooch, which checks `known_hash` on a temporary file and then renames it."""
    wanted = wanted or path
    try:
        import pooch

        path.parent.mkdir(parents=True, exist_ok=True)
        fetch = pooch.HTTPDownloader(progressbar=True, timeout=20)
        pooch.retrieve(url, known_hash, fname=path.name, path=path.parent, downloader=fetch)
    except (ImportError, OSError, ValueError) as error:
        folder = data_folder()
        variable = "NCLIB_DATA" if os.environ.get("NCLIB_DATA") else "NCLIB_DATA (unset: default)"
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"{variable} = {folder} lacks {wanted.relative_to(folder)}: get it from {url}, or set NCLIB_DATA to "
            f"a folder that has it; the automatic download failed with {type(error).__name__}: {reason}"
        ) from error
