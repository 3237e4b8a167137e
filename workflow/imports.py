"""Which files of the library a notebook uses: the closure of its imports, read from the source and never run."""

import ast
import json
from pathlib import Path


def of_notebook(notebook, root):
    """Files of `nclib` that a notebook imports, directly or through another module, sorted; root: nclib's folder."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    found, waiting = set(), _imported(code, Path(root))
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= _imported(path.read_text(), Path(root)) - found
    return sorted(found)


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
