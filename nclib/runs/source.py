"""The digest of the code behind an experiment: its module and everything of this library that it imports."""

import ast
import functools
import hashlib
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ORIGINS = "this code", "other code", "code that is not recorded"
UNSEEN = {"kind", "type_comment", "type_ignores", "type_params", "ctx", "returns"}


def digest(experiment) -> str:
    """The first 16 hexadecimal digits of a sha256 of the code of an experiment, a run or its class.

    The code is that of its module and of everything of nclib that it imports, directly or through other modules.
    Comments, formatting, docstrings and return annotations do not count.
    """
    kind = experiment if isinstance(experiment, type) else type(experiment)
    return _of_file(Path(sys.modules[kind.__module__].__file__).resolve())


def origin(manifest, classes) -> str:
    """Say by which code a stored run was made, as one of `ORIGINS`. classes: {NAME: class} of the experiments here."""
    made, kind = manifest.get("code"), classes.get(manifest["experiment"])
    if made is None or kind is None:
        return ORIGINS[2]
    return ORIGINS[0] if made == digest(kind) else ORIGINS[1]


@functools.cache
def _of_file(path):
    text = "".join(f"{file.name}\n{statements(file)}\n" for file in closure(path))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def closure(path) -> list[Path]:
    """Return a file and all files of nclib that it imports, directly or through others, sorted."""
    found, waiting = set(), {Path(path)}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported(file) - found
    return sorted(found)


@functools.cache
def imported(path) -> set[Path]:
    """Return the files of nclib that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for parts in (name.split(".") for name in names):
        if parts[0] == "nclib":
            for n in range(1, len(parts)):
                below = PACKAGE.joinpath(*parts[1 : n + 1])
                files |= {below.with_suffix(".py"), below / "__init__.py"}
    return {file for file in files if file.exists()}


@functools.cache
def statements(path) -> str:
    """Return the syntax tree of a file without docstrings, as text that is the same in every version of Python."""
    return _text(_tree(path))


def _tree(path):
    return ast.parse(path.read_bytes())


def _text(node):
    if isinstance(node, list):
        return "[" + ",".join(map(_text, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    body = fields.get("body")
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and _is_text(body[0].value):
        fields["body"] = body[1:]
    shown = [
        f"{name}={_text(value)}" for name, value in fields.items() if name not in UNSEEN and value not in (None, [])
    ]
    return f"{type(node).__name__}({','.join(shown)})"


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
