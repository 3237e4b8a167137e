"""Images, their files, and imbalanced subsets."""

import gzip
import hashlib
import io
import tarfile
import threading
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from nclib import data
from nclib.data import files, images
from nclib.data.longtail import long_tail_counts, step_counts, subset


def need(name):
    path = data.data_folder() / name
    if not path.exists():
        pytest.skip(f"{path} is missing: set NCLIB_DATA to a folder that has it")
    return path


@pytest.fixture
def tiny():
    y = torch.tensor([2, 0, 1, 0, 2, 0, 1, 2, 0])
    return data.Images(torch.arange(9.0).view(9, 1, 1, 1), y, ("cat", "dog", "emu"), {})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "data"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    handler = partial(Quiet, directory=tmp_path / "served")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{http.server_address[1]}/"
        http.shutdown()
        thread.join()


def test_value_long_tail_counts():
    assert long_tail_counts(10, 5000, 100) == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    assert long_tail_counts(3, 90, 9) == (90, 30, 10)
    assert long_tail_counts(4, 1000, 1000) == (1000, 100, 10, 1)
    assert int(98 * 49**-1.0) == 1 and long_tail_counts(3, 98, 49) == (98, 14, 2)
    assert long_tail_counts(2, 160, Fraction(2 * 10**20 + 1, 10**20)) == (160, 79)
    assert long_tail_counts(2, 1227, 15.3375) == (1227, 80)
    assert long_tail_counts(1, 7, 5) == (7,)
    assert long_tail_counts(3, 7, 1) == (7, 7, 7)


@pytest.mark.parametrize(("K", "largest", "ratio"), [(7, 4913, 17), (4, 343, 343), (100, 500, 50), (26, 4800, 2.5)])
def test_oracle_long_tail_counts_are_the_exact_floor(K, largest, ratio):
    with localcontext() as context:
        context.prec = 60
        tiny = Decimal(10) ** -40
        real = [largest * Decimal(ratio) ** (-Decimal(k) / (K - 1)) for k in range(K)]
        assert long_tail_counts(K, largest, ratio) == tuple(int(n + tiny) for n in real)


def test_value_step_counts():
    assert step_counts(5, 100, 10, 2) == (100, 100, 100, 10, 10)
    assert step_counts(3, 6, 2, 0) == (6, 6, 6) and step_counts(3, 6, 2, 3) == (2, 2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: long_tail_counts(0, 10, 2), "num_classes = 0"),
        (lambda: long_tail_counts(3, 10, 0.5), "ratio = 0.5"),
        (lambda: long_tail_counts(3, 10, 11), "ratio = 11"),
        (lambda: long_tail_counts(3, 10.5, 2), "largest = 10.5"),
        (lambda: step_counts(3, 10, 0, 1), "smallest = 0"),
        (lambda: step_counts(3, 10, 11, 1), "smallest = 11"),
        (lambda: step_counts(3, 10, 2, 4), "num_minority = 4"),
        (lambda: data.load("mnist"), "name = 'mnist': must be one of digits, fashion-mnist, cifar10, cifar100$"),
        (lambda: files.cifar100_file("valid.bin"), "name = 'valid.bin': must be one of train.bin, test.bin"),
        (lambda: files.cifar10_file("data_batch_6.bin"), "name = 'data_batch_6.bin': must be one of data_batch_1.bin"),
        (lambda: data.load("digits", "valid"), "split = 'valid': must be one of train, test"),
    ],
)
def test_law_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_value_subset_takes_the_first(tiny):
    chosen = subset(tiny, (3, 1, 2))
    assert chosen.x.flatten().tolist() == [1, 3, 5, 2, 0, 4]
    assert chosen.y.tolist() == [0, 0, 0, 1, 2, 2]
    assert chosen.classes == tiny.classes


def test_law_seeded_subset(tiny):
    draws = [subset(tiny, [2, 1, 2], seed=seed) for seed in range(20)]
    for s in draws:
        assert torch.bincount(s.y).tolist() == [2, 1, 2]
        assert torch.equal(tiny.y[s.x.flatten().long()], s.y) and len(set(s.x.flatten().tolist())) == 5
    assert torch.equal(draws[7].x, subset(tiny, [2, 1, 2], seed=7).x)
    assert len({tuple(s.x.flatten().tolist()) for s in draws}) > 5


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 3, 1), r"counts\[1\] = 3: class 'dog' has only 2"),
        ((1, 0, 1), r"counts\[1\] = 0: must be a positive"),
        ((-2, 1, 1), r"counts\[0\] = -2"),
        ((1, 1), "counts has 2 entries: must be 3"),
    ],
)
def test_law_subset_refuses(tiny, counts, message):
    with pytest.raises(ValueError, match=message):
        subset(tiny, counts)


def test_oracle_digits():
    from sklearn.datasets import load_digits

    train, test = data.load("digits"), data.load("digits", "test")
    assert train.x.shape == (1400, 1, 8, 8) and test.x.shape == (397, 1, 8, 8)
    assert train.x.dtype == torch.float32 and train.y.dtype == torch.int64
    assert torch.bincount(train.y).tolist() == [140] * 10
    x = train.x.double()
    assert abs(x.mean()) < 1e-7 and abs(x.std(correction=0) - 1) < 1e-7
    pixels, y = load_digits(return_X_y=True)
    low, high = float(x.min()), float(x.max())
    back = [np.rint((split.x.double().numpy() - low) * 16 / (high - low)).reshape(-1, 64) for split in (train, test)]
    rows = np.concatenate([np.column_stack([b, s.y]) for b, s in zip(back, (train, test), strict=True)])
    source = np.column_stack([pixels, y])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, source))
    assert list(train.sha256) == ["digits.csv.gz"] and len(train.sha256["digits.csv.gz"]) == 64
    assert torch.equal(train.x, data.load("digits").x)


@pytest.mark.data
def test_oracle_fashion_mnist():
    need("fashion-mnist/train-images-idx3-ubyte.gz")
    pixels = np.frombuffer(gzip.open(files.fashion_mnist_file("train-images-idx3-ubyte.gz")).read()[16:], np.uint8)
    assert np.allclose(exact_statistics(pixels), np.ravel(images.FASHION_MNIST_STATISTICS), rtol=1e-15, atol=0)
    train = data.load("fashion-mnist")
    assert train.x.shape == (60000, 1, 28, 28) and torch.bincount(train.y).tolist() == [6000] * 10
    (mean,), (std,) = images.FASHION_MNIST_STATISTICS
    assert np.allclose(train.x[7].flatten(), (pixels[7 * 784 : 8 * 784] / 255 - mean) / std, rtol=0, atol=3e-7)
    test = data.load("fashion-mnist", "test")
    assert test.x.shape == (10000, 1, 28, 28) and torch.bincount(test.y).tolist() == [1000] * 10
    assert [test.classes[k] for k in test.y[:3]] == ["Ankle boot", "Pullover", "Trouser"]


@pytest.mark.data
def test_oracle_cifar10():
    folder = need("cifar-10-batches-bin/test_batch.bin").parent
    for name, digest in files.CIFAR10.items():
        assert files.verified(folder / name, digest).name == name
    records = [np.fromfile(folder / f"data_batch_{i}.bin", np.uint8).reshape(-1, 3073) for i in range(1, 6)]
    for c in range(3):
        channel = np.concatenate([r[:, 1 + 1024 * c : 1 + 1024 * (c + 1)].ravel() for r in records])
        assert np.allclose(exact_statistics(channel), [s[c] for s in images.CIFAR10_STATISTICS], rtol=1e-15, atol=0)
    test = data.load("cifar10", "test")
    assert test.x.shape == (10000, 3, 32, 32) and torch.bincount(test.y).tolist() == [1000] * 10
    assert list(test.sha256) == ["test_batch.bin"]
    record = np.fromfile(folder / "test_batch.bin", np.uint8)[3073 * 5 : 3073 * 6]
    mean, std = (np.array(s)[:, None] for s in images.CIFAR10_STATISTICS)
    assert test.y[5] == record[0] == test.classes.index("frog")
    assert np.allclose(test.x[5].flatten(1), (record[1:].reshape(3, -1) / 255 - mean) / std, rtol=0, atol=3e-7)


@pytest.mark.data
def test_oracle_cifar100():
    folder = need("cifar-100-binary/test.bin").parent
    records = np.fromfile(folder / "train.bin", np.uint8).reshape(-1, 3074)
    for c in range(3):
        channel = records[:, 2 + 1024 * c : 2 + 1024 * (c + 1)]
        assert np.allclose(exact_statistics(channel), [s[c] for s in images.CIFAR100_STATISTICS], rtol=1e-12, atol=0)
    train, test = data.load("cifar100"), data.load("cifar100", "test")
    assert torch.bincount(train.y).tolist() == [500] * 100 and torch.bincount(test.y).tolist() == [100] * 100
    assert train.x.shape == (50000, 3, 32, 32)


def test_value_published_statistics_of_cifar100_are_those_of_integers():
    """A mean of N bytes over 255 and their mean square have numerators that are whole: to rounding, 1e-13 of 1e12."""
    for mean, std in zip(*images.CIFAR100_STATISTICS, strict=True):
        S, Q = 255 * 51_200_000 * mean, 255**2 * 51_200_000 * (mean**2 + std**2)
        assert abs(S - round(S)) < 1e-5 and abs(Q - round(Q)) < 2e-3


def test_value_cifar100_has_its_fine_labels(folder, monkeypatch):
    """Three images in the real format: the coarse label, the fine one, then red, green and blue rows."""
    classes = tuple(images.CIFAR100_CLASSES.split())
    assert len(set(classes)) == 100 and list(classes) == sorted(classes)
    fine, pixels = [3, 99, 0], np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), np.uint8)
    content = b"".join(bytes([7, k]) + one.tobytes() for k, one in zip(fine, pixels, strict=True))
    (folder / "cifar-100-binary").mkdir(parents=True)
    (folder / "cifar-100-binary" / "test.bin").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(files.CIFAR100, "test.bin", digest)
    test = data.load("cifar100", "test")
    assert test.y.tolist() == fine and [test.classes[k] for k in fine] == ["bear", "worm", "apple"]
    mean, std = (np.array(s)[:, None, None] for s in images.CIFAR100_STATISTICS)
    assert np.allclose(test.x, (pixels / 255 - mean) / std, rtol=0, atol=3e-7)
    assert test.sha256 == {"test.bin": digest} and files.state()["cifar100"].startswith("1 of 2 files in ")


def exact_statistics(pixels):
    h = np.bincount(pixels.ravel(), minlength=256).tolist()
    N, S, Q = sum(h), sum(i * c for i, c in enumerate(h)), sum(i * i * c for i, c in enumerate(h))
    return S / (255 * N), ((N * Q - S * S) / (255 * N) ** 2) ** 0.5


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-batches-bin/test_batch.bin"),
        ("cifar100", "cifar-100-binary/test.bin"),
        ("fashion-mnist", "fashion-mnist/t10k-images-idx3-ubyte.gz"),
    ],
)
def test_law_wrong_checksum_is_refused_and_moved_aside(folder, name, file):
    """It may be the user's own file, or a link to it."""
    path = folder / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the data")
    with pytest.raises(data.DataError, match=r"sha256 is .*, must be .*; the file is now called") as error:
        data.load(name, "test")
    assert not path.exists() and path.name in str(error.value) and "\n" not in str(error.value)
    (aside,) = path.parent.iterdir()
    assert aside.read_bytes() == b"not the data" and aside.name in str(error.value)


def test_law_a_link_with_a_wrong_checksum_is_moved_aside_and_its_target_stays(folder, tmp_path_factory):
    path, own = folder / "fashion-mnist" / "t10k-images-idx3-ubyte.gz", tmp_path_factory.mktemp("own") / "mine.gz"
    path.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    path.symlink_to(own)
    with pytest.raises(data.DataError, match="the file is now called"):
        data.load("fashion-mnist", "test")
    (aside,) = path.parent.iterdir()
    assert aside.readlink() == own and own.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist"])
def test_law_missing_file_that_cannot_be_downloaded(folder, monkeypatch, name):
    monkeypatch.setattr(files, "CIFAR10_URL", "http://127.0.0.1:9/cifar.tar.gz")
    monkeypatch.setattr(files, "CIFAR100_URL", "http://127.0.0.1:9/cifar100.tar.gz")
    monkeypatch.setattr(files, "FASHION_MNIST_URL", "http://127.0.0.1:9/")
    missing = {"cifar10": "test_batch.bin", "cifar100": "test.bin", "fashion-mnist": "t10k-images-idx3-ubyte.gz"}[name]
    with pytest.raises(data.DataError, match=rf"NCLIB_DATA = .*data lacks .*{missing}: get it from http") as error:
        data.load(name, "test")
    assert "\n" not in str(error.value) and not list(folder.rglob("*.*"))


def test_law_unset_variable_means_the_default(monkeypatch):
    monkeypatch.delenv("NCLIB_DATA", raising=False)
    assert data.data_folder().parts[-2:] == ("build", "data")


def test_oracle_downloaded_file_is_verified(folder, server, monkeypatch):
    served, url = server
    name, content = "t10k-labels-idx1-ubyte.gz", gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 7]))
    (served / name).write_bytes(content)
    monkeypatch.setattr(files, "FASHION_MNIST_URL", url)
    with pytest.raises(data.DataError, match=r"lacks fashion-mnist/t10k-labels.*ValueError"):
        files.fashion_mnist_file(name)
    assert not any(path.is_file() for path in folder.rglob("*"))
    monkeypatch.setitem(files.FASHION_MNIST, name, hashlib.sha256(content).hexdigest())
    assert files.fashion_mnist_file(name) == folder / "fashion-mnist" / name
    assert images._idx(folder / "fashion-mnist" / name).tolist() == [4, 7]
    assert files.state()["fashion-mnist"] == f"1 of 4 files in {folder / 'fashion-mnist'}"
    assert files.state()["cifar10"].startswith("0 of 6 files in ")


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "DIRTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_value_a_member_that_is_no_plain_file_is_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("data_batch_1.bin")
        info.type, info.linkname = getattr(tarfile, kind), "/etc/hostname"
        tar.addfile(info)
    with pytest.raises(data.DataError, match=r"a.tar: data_batch_1.bin is a folder, link or device"):
        files.unpack(tmp_path / "a.tar", tmp_path / "out", files.CIFAR10)
    assert not list((tmp_path / "out").iterdir())


def test_oracle_downloaded_archive_is_unpacked(folder, server, monkeypatch):
    served, url = server
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as tar:
        for name in [*files.CIFAR10, "readme.html"]:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    monkeypatch.setattr(files, "CIFAR10_URL", url + "cifar.tar.gz")
    monkeypatch.setattr(files, "CIFAR10_MD5", hashlib.md5((served / "cifar.tar.gz").read_bytes()).hexdigest())
    for name in files.CIFAR10:
        monkeypatch.setitem(files.CIFAR10, name, hashlib.sha256(name.encode()).hexdigest())
    assert files.cifar10_file("data_batch_3.bin").read_text() == "data_batch_3.bin"
    assert sorted(path.name for path in folder.rglob("*.*")) == sorted(files.CIFAR10)


def test_oracle_downloaded_archive_of_cifar100_is_unpacked(folder, server, monkeypatch):
    served, url = server
    with tarfile.open(served / "cifar100.tar.gz", "w:gz") as tar:
        for name in [*files.CIFAR100, "fine_label_names.txt"]:
            info = tarfile.TarInfo(f"cifar-100-binary/{name}")
            info.size = len(name)
            tar.addfile(info, io.BytesIO(name.encode()))
    monkeypatch.setattr(files, "CIFAR100_URL", url + "cifar100.tar.gz")
    digest = hashlib.sha256((served / "cifar100.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(files, "CIFAR100_SHA256", digest)
    for name in files.CIFAR100:
        monkeypatch.setitem(files.CIFAR100, name, hashlib.sha256(name.encode()).hexdigest())
    assert files.cifar100_file("train.bin").read_text() == "train.bin"
    assert sorted(path.name for path in folder.rglob("*.*")) == sorted(files.CIFAR100)


@pytest.mark.parametrize("below", ["", "folder"])
def test_law_data_folder_that_is_a_file_is_named(tmp_path, monkeypatch, below):
    (tmp_path / "data").write_text("")
    monkeypatch.setenv("NCLIB_DATA", str(tmp_path / "data" / below))
    for call in (data.data_folder, lambda: data.load("cifar10"), lambda: data.tokens("tinystories", 300)):
        with pytest.raises(data.DataError, match=r"^NCLIB_DATA = .*: .*data is a file, must be a folder$"):
            call()
