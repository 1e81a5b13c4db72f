"""Links lead somewhere, targets of make and tests that are named exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, Page, pages
from tests.docs.shell import Command, iter_commands

TEST_NAME = re.compile(r"(?<![\w.])(tests/[\w/]+|test_\w+(?:\.py)?(?=\W|$))")


def broken_links(page: Page) -> Iterator[str]:
    for link in page.links:
        if re.match(r"[a-z]+:", link.text):
            continue  # of the web
        path, _, anchor = link.text.partition("#")
        target = (REPOSITORY / page.path).parent / path
        if path and not target.exists():
            yield f"{link.place}: there is no {path}"
        elif anchor and anchor not in (_anchors(target.resolve()) if path else page.anchors):
            yield f"{link.place}: {path or page.path} has no heading #{anchor}"


def _anchors(target: Path) -> set[str]:
    return next((page.anchors for page in pages() if REPOSITORY / page.path == target), set())


def unknown_targets(commands: Iterable[Command]) -> Iterator[str]:
    """``make`` commands whose target, or whose variable, the Makefile does not have."""
    text = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    for command in commands:
        if command.program != "make":
            continue
        words = [word.partition("=") for word in command.arguments]
        for name, equals, _ in words:
            if not equals and name not in targets:
                yield f"{command.shown}: there is no target {name!r}"
            if equals and f"$({name})" not in text:
                yield f"{command.shown}: there is no variable {name!r}"


@cache
def _tests() -> tuple[set[str], set[str]]:
    """Names of the test files, and of all tests."""
    files = sorted((REPOSITORY / "tests").rglob("*.py"))
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    return {path.name for path in files}, {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def unknown_tests(page: Page) -> Iterator[str]:
    """Tests that are named in code, alone or in a command, and do not exist. ``test_twenty_...`` is a beginning."""
    files, tests = _tests()
    for span in page.spans:
        for name in TEST_NAME.findall(span.text):
            if name.startswith("tests/"):
                paths = [f"{name}{end}" for end in ("", ".py")]
                exists = any((REPOSITORY / path).exists() or path in page.files for path in paths)
            elif f"{name}..." in span.text:
                exists = any(test.startswith(name) for test in tests)
            else:
                exists = name in files or name in tests or f"{name}.py" in files
            if not exists:
                yield f"{span.place}: there is no test {name}"


def unmatched_selections(commands: Iterable[Command]) -> Iterator[str]:
    """``pytest FILE -k NAMES``: a name that no test and no file there has."""
    for command in commands:
        if command.program != "pytest" or "-k" not in command.arguments:
            continue
        at = command.arguments.index("-k")
        paths = [REPOSITORY / word for word in command.arguments[:at]]
        files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("test_*.py"))]
        text = "".join(f"{file}\n{file.read_text()}" for file in files).lower()
        for name in re.findall(r"\w+", command.arguments[at + 1]):
            if name not in ("and", "or", "not") and name.lower() not in text:
                yield f"{command.shown}: nothing there is called {name}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.path)
def test_what_a_page_points_to_exists(page: Page) -> None:
    found = list(iter_commands(page))
    faults = [*broken_links(page), *unknown_targets(found), *unknown_tests(page), *unmatched_selections(found)]
    assert faults == []


def page_of(*lines: str) -> Page:
    return Page("docs/invented.md", "\n".join(lines))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[a](runing.md)", "docs/invented.md:3: there is no runing.md"),
        ("[a](running.md#where-it-walks)", "running.md has no heading #where-it-walks"),
        ("| [a](../slurm/README.md#here) | b |\n|---|---|", "../slurm/README.md has no heading #here"),
        ("[a](#here,-and-now)", "docs/invented.md has no heading #here,-and-now"),
        ("`make demos`", "there is no target 'demos'"),
        ("```\nmake bench CLIPS=a.mp4\n```", "there is no variable 'CLIPS'"),
        ("`pytest tests/test_imports.py -k other_way`", "nothing there is called other_way"),
        ("`pytest tests/test_outports.py`", "there is no test tests/test_outports"),
        ("T `test_of_nothing`", "there is no test test_of_nothing"),
    ],
)
def test_what_does_not_exist_is_found(line: str, fault: str) -> None:
    page = page_of("# Here, `and` now!", "", line)
    found = list(iter_commands(page))
    faults = [*broken_links(page), *unknown_targets(found), *unknown_tests(page), *unmatched_selections(found)]
    assert len(faults) == 1 and fault in faults[0]


def test_anchors_are_made_as_by_github() -> None:
    page = page_of("# Here, `and_then` now!", "## Rules", "### Rules", "", "[a](#here-and_then-now) [b](#rules-1)")
    assert list(broken_links(page)) == []
    assert page.anchors == {"here-and_then-now", "rules", "rules-1"}


def test_a_line_among_commands_is_a_command() -> None:
    with pytest.raises(ValueError, match=r"docs/invented.md:3: 'pyhton' is no program"):
        list(iter_commands(page_of("```", "make demo", "pyhton -m tools.status", "```")))


def test_commands_are_taken_apart_as_a_shell_does() -> None:
    page = page_of(
        "```",
        "A=1 make demo && time python -m tools.status \\",
        "    --json   # what for",
        'eval "$(python -m slurm.private up)"',
        "```",
    )
    shown = [command.shown.removeprefix("docs/invented.md:") for command in iter_commands(page)]
    assert shown == ["2: make demo", "2: python -m tools.status --json", "4: python -m slurm.private up"]
