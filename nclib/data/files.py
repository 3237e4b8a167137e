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
# The archive and both members as published by their sha256; tests/test_data.py reads real files where they are.
CIFAR100_URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
CIFAR100_SHA256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
CIFAR100 = {
    "train.bin": "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
    "test.bin": "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
}
GPT2_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
GPT2 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
MEASUREMENTS_COMMIT = "9e250206e47ef07a999d3e90f034d4dd07ee58d4"
MEASUREMENTS_URL = f"https://raw.githubusercontent.com/rhubarbwu/linguistic-collapse/{MEASUREMENTS_COMMIT}/artifacts/"
MEASUREMENTS = {
    "lc-2024_05_18.csv": "a8a43624be87fb380dee400b438dbfc1aef922f57ce319b7a2b70696fe30387f",
    "lc-2024_10_24.csv": "8496ad8ab0816948e2d28b1951f7adcd6d5cdca91874ba8fffda1e28ad90511e",
}
TEXTS = {
    "tinystories": {
        "TinyStories-train.txt": "675a7d5256562050be65afb9e9034edf34a83b54a928eb26d085e6b884bb8de8",
        "TinyStories-valid.txt": "f5da925304fa846570c1b725912aa6ddd4907dedb5751d1db5f5e1179b40c01c",
    },
    "books": {
        "train.txt": "da9ab4720e356a48def1c4ba5a9900deff01c5d644793efaa7780908306a58e5",
        "valid.txt": "6b99ef4551f3f9282458cba1f0b843e0b54d9c339a70491d7f902944d7a07559",
        "SOURCES.csv": "d70393fc2dc2a73ae988b8ee2f0b68b50ba97ddaa2457c6248f86642ad7b47d4",
    },
}


class DataError(ValueError):
    """A data file that is missing and cannot be downloaded, or whose checksum is wrong."""


def data_folder() -> Path:
    """The folder of data sets: the variable `NCLIB_DATA`, or `build/data` of the project where it is unset.

    Raises DataError where it, or what should be a folder above it, is a file."""
    from nclib.runs.manifest import ROOT

    folder = Path(os.environ.get("NCLIB_DATA") or ROOT / "build" / "data").expanduser()
    wrong = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    if wrong:
        raise DataError(f"NCLIB_DATA = {folder}: {wrong} is a file, must be a folder")
    return folder


def fashion_mnist_file(name) -> Path:
    """Path of one of Fashion-MNIST's four idx files, `NCLIB_DATA/fashion-mnist/<name>`, verified."""
    return _file("fashion-mnist", name, FASHION_MNIST, FASHION_MNIST_URL)


def cifar10_file(name) -> Path:
    """Path of one of CIFAR-10's six binary files, `NCLIB_DATA/cifar-10-batches-bin/<name>`, verified."""
    return _member("cifar-10-batches-bin", name, CIFAR10, CIFAR10_URL, f"md5:{CIFAR10_MD5}")


def cifar100_file(name) -> Path:
    """Path of `train.bin` or `test.bin` of CIFAR-100, `NCLIB_DATA/cifar-100-binary/<name>`, verified."""
    return _member("cifar-100-binary", name, CIFAR100, CIFAR100_URL, f"sha256:{CIFAR100_SHA256}")


def gpt2_file(name) -> Path:
    """Path of `encoder.json` or `vocab.bpe`, GPT-2's byte-level BPE: `NCLIB_DATA/gpt2-tokenizer/<name>`, verified."""
    return _file("gpt2-tokenizer", name, GPT2, GPT2_URL)


def authors_measurements(name) -> Path:
    """Path of the authors' measurements of 230 language models (Wu and Papyan 2024), verified.

    name   "lc-2024_05_18.csv" or "lc-2024_10_24.csv", as in their repository (commit `MEASUREMENTS_COMMIT`); kept as
           `NCLIB_DATA/linguistic-collapse/<name>`.
    """
    return _file("linguistic-collapse", name, MEASUREMENTS, MEASUREMENTS_URL)


def text_file(corpus, name) -> Path:
    """Path of a file of the corpus "tinystories" (a sample) or "books", `NCLIB_DATA/<corpus>/<name>`, verified.

    Nothing is downloaded, and a file that differs is left where it is: it may be the reader's own text.
    """
    path = data_folder() / corpus / name
    if not path.exists():
        raise DataError(
            f"{_variable()} lacks {corpus}/{name}: set NCLIB_DATA to a folder that has it, or give as corpus the path "
            "of a folder of your own with train.txt"
        )
    if (found := sha256(path)) != TEXTS[corpus][name]:
        raise DataError(
            f"{path}: sha256 is {found}, must be {TEXTS[corpus][name]} for the corpus {corpus!r}; as a text of your "
            "own, give as corpus the path of a folder with train.txt"
        )
    return path


def _file(folder, name, pinned, url):
    """A file of a data set whose files lie below one address, downloaded where missing, verified."""
    if name not in pinned:
        raise ValueError(f"name = {name!r}: must be one of {', '.join(pinned)}")
    path = data_folder() / folder / name
    if not path.exists():
        _download(url + name, f"sha256:{pinned[name]}", path)
    return verified(path, pinned[name])


def _member(folder, name, pinned, url, known_hash):
    """A file of a data set that is one archive, downloaded and unpacked where missing, verified."""
    if name not in pinned:
        raise ValueError(f"name = {name!r}: must be one of {', '.join(pinned)}")
    path = data_folder() / folder / name
    if not path.exists():
        archive = data_folder() / url.rpartition("/")[2]
        _download(url, known_hash, archive, wanted=path)
        unpack(archive, path.parent, pinned)
        archive.unlink()
    return verified(path, pinned[name])


def state() -> dict[str, str]:
    """{data set: how many of its files are in the data folder}, in words; checksums are not read."""
    folder = data_folder()
    found = {"fashion-mnist": (folder / "fashion-mnist", FASHION_MNIST)}
    found["cifar10"] = (folder / "cifar-10-batches-bin", CIFAR10)
    found["cifar100"] = (folder / "cifar-100-binary", CIFAR100)
    found["gpt2-tokenizer"] = (folder / "gpt2-tokenizer", GPT2)
    found["linguistic-collapse"] = (folder / "linguistic-collapse", MEASUREMENTS)
    found |= {name: (folder / name, pinned) for name, pinned in TEXTS.items()}
    return {
        name: f"{sum((path / file).exists() for file in pinned)} of {len(pinned)} files in {path}"
        for name, (path, pinned) in found.items()
    }


def sha256(path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verified(path, expected) -> Path:
    """`path` itself if its sha256 is `expected`; else the file gets another name, since it may be the user's own, and
    DataError says so."""
    found = sha256(path)
    if found != expected:
        aside = path.with_name(f"{path.name}.sha256-{found[:8]}")
        path.replace(aside)
        raise DataError(
            f"{path}: sha256 is {found}, must be {expected}; the file is now called {aside.name}, load again to "
            "download the right one"
        )
    return path


def unpack(archive, folder, names) -> None:
    """Write the members called `names` (whatever their folder in the archive) below `folder`, each under its name only
    when whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            if name in names:
                if not member.isfile():
                    raise DataError(f"{archive}: {member.name} is a folder, link or device, must be a plain file")
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
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"{_variable()} lacks {wanted.relative_to(data_folder())}: get it from {url}, or set NCLIB_DATA to "
            f"a folder that has it; the automatic download failed with {type(error).__name__}: {reason}"
        ) from error


def _variable():
    """The data folder and where it comes from, for messages."""
    return f"{'NCLIB_DATA' if os.environ.get('NCLIB_DATA') else 'NCLIB_DATA (unset: default)'} = {data_folder()}"
