"""English prose that ships with the project's dependencies: the docstrings of the scientific stack.

A document is the docstring of a module, class or function in a .py file of `PACKAGES`, longer than 200 characters, each
text once, in the order of package, file and line; folders and files of tests are left out. The source is parsed, never
imported. At the locked versions these are 15,695 documents, 18 MB, with the sha256 `SHA256`; other versions give
another text, whose versions and sha256 are named wherever it is used.
"""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import warnings
from pathlib import Path

from nclib.data.bpe import END
from nclib.data.files import DataError
from nclib.runs.seal import Damaged, contents, remove, sealed, unsealed, write_atomic

PACKAGES = {  # of requirements.lock: {import name: (distribution, version)}
    "numpy": ("numpy", "2.4.6"),
    "scipy": ("scipy", "1.17.1"),
    "pandas": ("pandas", "3.1.1"),
    "sklearn": ("scikit-learn", "1.9.1"),
    "matplotlib": ("matplotlib", "3.11.2"),
    "torch": ("torch", "2.13.0"),
}
SHA256 = "7fa75334d927c0ba4f7164b03b626ba2caea78291566ac3ae30c0910a6ae50e9"
FORM = 2  # of the file in the cache
SHORTEST = 200  # characters
TESTS = {"tests", "testing", "test"}


def versions() -> dict[str, str]:
    """{distribution: version} of the packages here, without builds such as +cpu. DataError names a missing one."""
    found = {}
    for package, (distribution, _) in PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            raise DataError(f"corpus = 'documentation': {distribution} is not installed; install requirements.lock")
        found[distribution] = importlib.metadata.version(distribution).partition("+")[0]
    return found


def source() -> dict[str, str]:
    """{name with versions: sha256} of the text of the packages that are installed here."""
    return {name(): _digest(documents())}


def name() -> str:
    """What the text is called, with the versions that it is of."""
    return f"docstrings of {', '.join(' '.join(pair) for pair in versions().items())}"


def locked() -> bool:
    """Whether the text here is that of the locked versions, byte for byte."""
    return _digest(documents()) == SHA256


def split() -> tuple[list[str], list[str]]:
    """(training, validation): documents in the order of the sha256 of their number, the last 5 % for validation.

    The rule looks at no document, and the first so many of either part are a fair sample of all packages.
    """
    order = sorted(range(len(documents())), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    shuffled = [documents()[i] for i in order]
    kept = len(shuffled) - len(shuffled) // 20
    return shuffled[:kept], shuffled[kept:]


@functools.cache
def documents() -> list[str]:
    """All documents, in the order of package, file and line: from the cache folder, or read from the packages anew."""
    from nclib.runs.store import cache_folder

    key = hashlib.sha256(json.dumps([FORM, versions()]).encode()).hexdigest()[:16]
    path = cache_folder() / "texts" / f"documentation-{key}.json"
    if path.exists():
        try:
            return unsealed(contents(path), key=key)["documents"]
        except Damaged:
            warnings.warn(f"{path}: damaged; it is made again", stacklevel=2)
            remove(path)
    found = list(dict.fromkeys(text for package in PACKAGES for text in _of_package(package)))
    write_atomic(path, sealed({"key": key, "documents": found}))
    return found


def _of_package(package):
    root = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        if TESTS.isdisjoint(path.relative_to(root).parts) and not path.name.startswith("test_"):
            yield from docstrings(path.read_bytes())


def docstrings(code) -> "Iterator[str]":  # noqa: F821
    """Yield the docstrings in a source (bytes) that are longer than `SHORTEST`, by line, without trailing blanks."""
    with warnings.catch_warnings(action="ignore"):  # of invalid escape sequences in other people's strings
        tree = ast.parse(code)
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    nodes = [node for node in (tree, *_statements(tree)) if isinstance(node, kinds)]
    for node in sorted(nodes, key=lambda node: getattr(node, "lineno", 0)):
        text = "\n".join(line.rstrip() for line in (ast.get_docstring(node) or "").split("\n")).strip()
        if len(text) > SHORTEST and "\0" not in text:
            yield text


def _statements(node):
    """All statements within one, at any depth; expressions, which hold no definition, are not entered."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)


def _digest(documents):
    return hashlib.sha256(f"\n{END}\n".join(documents).encode()).hexdigest()
