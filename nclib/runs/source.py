"""A digest of the code behind an experiment: of everything that its module imports of this library."""

import ast
import functools
import hashlib
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
ORIGINS = "this code", "other code", "code that is not recorded"
UNSEEN = {"kind", "type_comment", "type_ignores", "type_params", "ctx", "returns"}


def digest(experiment) -> str:
    """sha256 of the statements of the module of an experiment, a run or its class, and of all that it imports of nclib,
    directly or through another module: comments, formatting, docstrings and the declared types of what is returned do
    not count. 16 hexadecimal digits."""
    kind = experiment if isinstance(experiment, type) else type(experiment)
    return _of_file(Path(sys.modules[kind.__module__].__file__).resolve())


def origin(manifest, classes) -> str:
    """By which code a stored run was made: one of `ORIGINS`. classes: {NAME: class} of the experiments here."""
    made, kind = manifest.get("code"), classes.get(manifest["experiment"])
    if made is None or kind is None:
        return ORIGINS[2]
    return ORIGINS[0] if made == digest(kind) else ORIGINS[1]


@functools.cache
def _of_file(path):
    text = "".join(f"{file.name}\n{statements(file)}\n" for file in closure(path))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def closure(path) -> list[Path]:
    """A file and the files of nclib that it imports, directly or through another, sorted."""
    found, waiting = set(), {Path(path)}
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= imported(file) - found
    return sorted(found)


@functools.cache
def imported(path) -> set[Path]:
    """Files of nclib that a file imports, anywhere in it."""
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
    """A file's syntax tree without docstrings, as text that does not depend on the version of Python."""
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
