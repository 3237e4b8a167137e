import os
import sys

import pytest

# Long files first, so that no worker has one to itself at the end. The first of them builds the book; those that need
# it, or its runs, come after what the second worker does in the meantime.
ORDER = (
    *("notebooks", "workflow_runs", "live", "campaign", "commands", "adapters", "build", "measure_lm", "measure_cli"),
    *("publish", "language", "language_ddp", "kills", "conventions", "structure", "runs", "sealed", "warm"),
    *("book", "pages", "pages_linguistic_scaling", "prose"),
)


def pytest_collection_modifyitems(items):
    """Files in that order, the others behind them as they are."""
    rank = {f"test_{name}.py": place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """matplotlib warns of the twenty-first, in whatever test that is."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Empty build, cache and archive folders for one test."""
    for name in ("build", "cache", "results"):
        monkeypatch.setenv(f"NCLIB_{name.upper()}", str(tmp_path / name))
    return tmp_path


@pytest.fixture(scope="module")
def stored_runs(tmp_path_factory):
    """The runs at smoke that several tests look at: each is done once, by the worker that needs it first. They are also
    those of this session's book, from when its build was killed and begun again."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return base / "book" / "cache" if (base / "book" / "killed").exists() else base / "runs"


@pytest.fixture(scope="module")
def smoke_table(tmp_path_factory, stored_runs):
    """A function of a study and its overrides that gives its table at smoke; the folder of builds is a module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCLIB_BUILD", str(tmp_path_factory.mktemp("build")))
        patch.setenv("NCLIB_CACHE", str(stored_runs))
        yield lambda study, **given: study.table("smoke", "cpu", **given)


@pytest.fixture
def few_images():
    """Three real images of CIFAR-10 a class."""
    from nclib import data

    try:
        return data.subset(data.load("cifar10", "test"), [3] * 10)
    except data.DataError as error:
        pytest.skip(f"no CIFAR-10: {error}")
