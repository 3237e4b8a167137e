import pytest


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Empty build, cache and archive folders for one test."""
    for name in ("build", "cache", "results"):
        monkeypatch.setenv(f"NCLIB_{name.upper()}", str(tmp_path / name))
    return tmp_path


@pytest.fixture(scope="module")
def smoke_table(tmp_path_factory):
    """A function of a study and its overrides that gives its table at smoke; folders of builds and runs are a module's
    own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("build", "cache"):
            patch.setenv(f"NCLIB_{name.upper()}", str(tmp_path_factory.mktemp(name)))
        yield lambda study, **given: study.table("smoke", "cpu", **given)


@pytest.fixture
def few_images():
    """Three real images of CIFAR-10 a class."""
    from nclib import data

    try:
        return data.subset(data.load("cifar10", "test"), [3] * 10)
    except data.DataError as error:
        pytest.skip(f"no CIFAR-10: {error}")
