"""Commands in the documentation: what a reader would type, taken apart as a shell does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.docs.pages import Page, Text, page_of, pages

# Programs that a block of commands may name. A block whose first line is none of them is a listing or an output.
PROGRAMS = (
    *("python", ".venv/bin/python", ".venv-vllm/bin/python", "make", "pytest"),
    *("cp", "ffmpeg", "git", "hf", "sinfo", "squeue", "scontrol", "srun", "sacctmgr"),
)
SHELL = ("export", "eval", "time", "grep", "&&")  # the shell's own words, and what only stands behind a bar
SPAN = re.compile(r"(python|\.venv(-vllm)?/bin/python) -m |make [a-z]|pytest ")  # a code span that is a command


@dataclass(frozen=True)
class Command:
    """A program with its words. ``variables`` are those set in front of it."""

    place: str
    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def module(self) -> str:
        """What ``python -m`` is told to run, empty for other programs."""
        is_python = self.program.endswith("python") and self.words[1:2] == ("-m",)
        return self.words[2] if is_python else ""

    @property
    def arguments(self) -> list[str]:
        """The words behind the program, or behind the module."""
        return list(self.words[3 if self.module else 1 :])

    @property
    def shown(self) -> str:
        return f"{self.place}: {shlex.join(self.words)}"


@cache
def commands() -> tuple[Command, ...]:
    """All commands of all pages, in blocks and in sentences.

    Not those of CONTRIBUTING.md: they are about files that its recipes write, and are run by the tests of the recipes.
    """
    return tuple(command for page in pages() if page.path != "CONTRIBUTING.md" for command in iter_commands(page))


def commands_of(path: str) -> list[Command]:
    """The commands in the blocks of one page, in their order."""
    return [command for block in page_of(path).blocks if is_commands(block) for command in iter_block(block)]


def iter_commands(page: Page) -> Iterator[Command]:
    """Commands of a page. Raises ValueError for a line among commands that is none."""
    for block in page.blocks:
        if is_commands(block):
            yield from iter_block(block)
    for span in page.spans:
        if SPAN.match(span.text):
            yield from split_line(span.text, span.place)


def is_commands(block: Text) -> bool:
    """Whether a code block shows commands and not files, outputs or a program."""
    first = next((line for line in block.text.splitlines() if line.strip() and not line.startswith("#")), "")
    word = re.sub(r"^([A-Z_]+=\S+ +)*", "", first).split(" ")[0]
    return block.language in ("", "bash", "sh") and word in (*PROGRAMS, *SHELL)


def iter_block(block: Text) -> Iterator[Command]:
    """The commands of a block, lines that end in a backslash joined."""
    number, text = 0, ""
    for offset, line in enumerate(block.text.splitlines()):
        number = number if text else block.line + offset
        text += line
        if text.endswith("\\"):
            text = text[:-1]
            continue
        yield from split_line(text, f"{block.page}:{number}")
        text = ""


def split_line(line: str, place: str) -> Iterator[Command]:
    """The commands of one line: those between ``;``, ``|`` and ``&&``, and those in ``$(…)``.

    Raises ValueError for a program that is not among PROGRAMS.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word.strip(";|&"):
            words.append(word)
            continue
        yield from _command(words, place)
        words = []


def _command(words: list[str], place: str) -> Iterator[Command]:
    variables = {}
    while words and (words[0] in SHELL or re.match(r"[A-Z_]+=", words[0])):
        name, equals, value = words.pop(0).partition("=")
        if equals:
            variables[name] = value
        elif name in ("export", "grep"):
            return
        elif name == "eval":
            yield from split_line(words.pop(0).removeprefix("$(").removesuffix(")"), place)
    if not words:
        return
    if words[0] not in PROGRAMS:
        raise ValueError(f"{place}: {words[0]!r} is no program that the documentation uses")
    yield Command(place, tuple(words), variables)
