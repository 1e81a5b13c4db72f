"""Which fields of config dataclasses some code reads, found in its syntax trees.

A field counts as read where something that this code base calls a config has it looked up: ``config.fps``,
``self._config.grids``, ``stage.configs["encode"].batch_size``, ``self.model`` in the config's own class. What
``__post_init__`` looks at is checked, not used, and does not count.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = tuple(REPOSITORY / name for name in ("mmassist", "launchers", "tools"))
CONFIGS = {"config", "_config", "stage_config", "cluster", "command", "setup", "_setup", "_encoder", "split"}
TABLES = {"values", "sections", "_sections"}  # of plain values, by key
Read = tuple[str, str]  # owner: CONFIG, or the class whose ``self`` it is; field
CONFIG = ""


def find_unread(classes: Iterable[type], roots: Iterable[Path] = CODE) -> set[str]:
    """``Class.field`` for every field that no code below ``roots`` reads."""
    reads = set[Read]().union(*(_reads_in(path) for root in roots for path in root.rglob("*.py")))
    unread = set()
    for cls in classes:
        owners = {CONFIG, *(one.__name__ for one in cls.__mro__)}
        for field in dataclasses.fields(cls):
            if not any((owner, field.name) in reads for owner in owners):
                unread.add(f"{cls.__name__}.{field.name}")
    return unread


def _reads_in(path: Path) -> frozenset[Read]:
    return _reads_of_text(path.read_text())


@functools.lru_cache(maxsize=1000)
def _reads_of_text(text: str) -> frozenset[Read]:
    return frozenset(_iter_reads(ast.parse(text)))


def _iter_reads(tree: ast.Module) -> Iterator[Read]:
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, cls = waiting.pop()
        if isinstance(node, ast.FunctionDef) and node.name == "__post_init__":
            continue
        if isinstance(node, ast.ClassDef):
            cls = node.name
        yield from _reads_of(node, cls)
        waiting += ((child, cls) for child in ast.iter_child_nodes(node))


def _reads_of(node: ast.AST, cls: str) -> Iterator[Read]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        if _is_config(node.value):
            yield CONFIG, node.attr
        elif _name_of(node.value) == "self":
            yield cls, node.attr
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and _is_table(node.value):
        yield CONFIG, str(node.slice.value)
    elif isinstance(node, ast.Call) and _name_of(node.func) == "get" and isinstance(node.func, ast.Attribute):
        keys = [one.value for one in node.args[:1] if isinstance(one, ast.Constant)]
        yield from ((CONFIG, str(key)) for key in keys if _is_table(node.func.value))


def _is_config(node: ast.expr) -> bool:
    return _name_of(node) in CONFIGS or (isinstance(node, ast.Subscript) and _name_of(node.value) == "configs")


def _is_table(node: ast.expr) -> bool:
    """``values``, or ``job.sections["extract"]``."""
    return _name_of(node.value if isinstance(node, ast.Subscript) else node) in TABLES


def _name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
