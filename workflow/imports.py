"""Which files of the library a notebook uses: the closure of its imports, read from the source and never run."""

import ast
import functools
import hashlib
import json
from pathlib import Path


def of_notebook(notebook, root):
    """Files of `nclib` that a notebook imports, directly or through another module, sorted; root: nclib's folder."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found, waiting = set(), _imported(code, Path(root))
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= _imported(path.read_text(encoding="utf-8"), Path(root)) - found
    return sorted(found)


def digest(files):
    """sha256 of files by name and content: dates say nothing of what tar, rsync or a clock set back has put there."""
    found = hashlib.sha256()
    for path in sorted(map(str, files)):
        found.update(f"{Path(path).name} {_of_file(path)}\n".encode())
    return found.hexdigest()[:16]


@functools.cache
def _of_file(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _imported(code, root):
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names if name.split(".")[0] == "nclib"]
    prefixes = {tuple(part[: n + 1]) for part in parts for n in range(len(part))}
    files = {root.joinpath(*prefix).with_suffix(".py") for prefix in prefixes}
    files |= {root.joinpath(*prefix, "__init__.py") for prefix in prefixes}
    return {path for path in files if path.exists()}
