import pytest


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Empty build, cache and archive folders for one test."""
    for name in ("build", "cache", "results"):
        monkeypatch.setenv(f"NCLIB_{name.upper()}", str(tmp_path / name))
    return tmp_path
