"""Digests of code: what a job's result depends on beside its settings and inputs."""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# What jobs import, of envs/run.txt; what reads a single data set is left to that.
_IMPORTED = (
    *("torch", "kornia", "cv2", "pytorch_lightning", "numpy", "pandas", "pyarrow", "safetensors"),
    *("statsmodels", "sklearn", "matplotlib", "seaborn", "jinja2"),
)

_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def code_digest(*modules: str) -> str:
    """Digest what the modules, by full names, and those of the same package that they import, do.

    It changes when code changes; comments, docstrings, layout and timestamps do not count.
    Nothing is imported. Imports are followed where they are written out, also inside functions,
    and also to the user's own modules in the working directory.

    Returns:
        16 hexadecimal digits.

    Raises:
        ModuleNotFoundError: if a module has no source file.
    """
    found: dict[str, str] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name not in found:
            found[name], imported = _read(name)
            pending += imported
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()[:16]


def missing_packages() -> list[str]:
    """Name the packages that jobs need and this Python does not have; nothing is imported."""
    return [package for package in _IMPORTED if find_spec(package) is None]


@cache
def _source(module: str) -> Path | None:
    """Find the file of a module without importing its parents; None if it is no module."""
    package, *rest = module.split(".")
    spec = find_spec(package)
    if spec is None:
        return None
    if not rest and spec.origin and spec.has_location:
        return Path(spec.origin)
    for root in spec.submodule_search_locations or ():
        base = Path(root).joinpath(*rest)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def _read(module: str) -> tuple[str, list[str]]:
    """Digest what a module does by itself, and list the modules that it imports."""
    path = _source(module)
    if path is None:
        raise ModuleNotFoundError(f"there is no source of {module}", name=module)
    tree = ast.parse(path.read_bytes(), filename=str(path))
    imported: list[str] = []
    for node in (tree, *_statements(tree.body)):
        imported += _imports(node, module)
        if isinstance(node, _WITH_DOCSTRING) and _is_docstring(node.body[:1]):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imported


def _statements(body: list[Any]) -> Iterator[Any]:
    """List statements at any depth. Expressions, which are most of a tree, hold none."""
    for node in list(body):
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


def _is_docstring(first: list[Any]) -> bool:
    value = getattr(first[0], "value", None) if first and isinstance(first[0], ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _imports(node: ast.AST, module: str) -> Iterator[str]:
    """Name the modules of the same package, or of the working directory, that are imported."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        # `from package import x`: x may be a module of the package or a name in it.
        origin = _origin(node, module)
        names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    for name in names:
        top = name.partition(".")[0]
        if (top == module.partition(".")[0] or _is_the_user_s(top)) and _source(name):
            yield name


def _origin(node: ast.ImportFrom, module: str) -> str:
    """Name in full what a `from … import` takes from; dots lead up from where `module` lies."""
    if not node.level:
        return node.module or ""
    source = _source(module)
    parts = module.split(".")
    inside = len(parts) - node.level + (source is not None and source.name == "__init__.py")
    return ".".join([*parts[: max(inside, 0)], *([node.module] if node.module else [])])


def _is_the_user_s(package: str) -> bool:
    return Path(f"{package}.py").is_file() or Path(package, "__init__.py").is_file()
