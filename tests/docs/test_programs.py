"""Python in the documentation names what there is, and what is installed has its row."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import REPOSITORY, Page, page_of, pages
from tests.docs.shell import Text

WRITTEN = {path.removesuffix(".py").replace("/", ".") for page in pages() for path in page.files}
PROGRAMS = [block for page in pages() for block in page.blocks if block.language == "python"]


def faults(block: Text) -> Iterator[str]:
    """Names of the project that cannot be imported, and calls of them with arguments that they do not take."""
    tree = ast.parse(block.text)
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("mmassist", "launchers", "tools")):
            if node.module in WRITTEN:
                continue  # by what the page tells to write
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if hasattr(module, alias.name):
                    known[alias.asname or alias.name] = getattr(module, alias.name)
                else:
                    yield f"{block.place}: {node.module} has no {alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            try:
                names = {str(word.arg): None for word in node.keywords}
                inspect.signature(known[node.func.id]).bind_partial(*node.args, **names)
            except TypeError as error:
                yield f"{block.place}: {node.func.id}: {error}"


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_programs_name_what_there_is(block: Text) -> None:
    assert list(faults(block)) == []


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("from mmassist.loader import PreparedLoadr", "has no PreparedLoadr"),
        (
            "from mmassist.loader import Collator\n\nCollator(pad=3)",
            "Collator: got an unexpected keyword argument 'pad'",
        ),
    ],
)
def test_a_name_that_is_gone_is_found(program: str, fault: str) -> None:
    (block,) = Page("docs/invented.md", f"```python\n{program}\n```").blocks
    (found,) = faults(block)
    assert fault in found


def test_every_dependency_has_its_row() -> None:
    packages = {
        match[1].lower()
        for match in re.finditer(r"\"([A-Za-z][\w-]+)(?:[<>=]=?[\d.]+,?)+\"", (REPOSITORY / "setup.py").read_text())
    }
    assert {"hydra-core", "torch", "pytest"} <= packages
    rows = page_of("docs/dependencies.md").source.lower()
    assert [name for name in sorted(packages) if not re.search(rf"(?<![\w-]){name}(?![\w-])", rows)] == []
