"""The documentation as data: pages with their headings, links, code blocks and code spans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = re.compile(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARSER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Text:
    """A piece of a page: a link's target, a code span or a code block."""

    page: str  # path from the repository's root
    line: int  # of its beginning, or of the beginning of its paragraph
    text: str
    language: str = ""  # of a block, as written behind the fence

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Page:
    """One Markdown file. ``path`` is that from the repository's root."""

    path: str
    source: str

    @cached_property
    def tokens(self) -> list[Token]:
        return PARSER.parse(self.source)

    @cached_property
    def anchors(self) -> set[str]:
        """What ``#…`` may name: headings as GitHub turns them into anchors, the second of a name with ``-1``."""
        found: Counter[str] = Counter()
        anchors = set()
        for opening, inline in zip(self.tokens, self.tokens[1:], strict=False):
            if opening.type == "heading_open":
                name = _anchor("".join(child.content for child in inline.children or []))
                anchors.add(f"{name}-{found[name]}" if found[name] else name)
                found[name] += 1
        return anchors

    @cached_property
    def links(self) -> list[Text]:
        """Targets of links and pictures."""
        return [
            Text(self.path, line, str(child.attrGet("href") or child.attrGet("src")))
            for child, line in self._iter_inline()
            if child.type in ("link_open", "image")
        ]

    @cached_property
    def spans(self) -> list[Text]:
        """Code within sentences and cells of tables."""
        return [
            Text(self.path, line, child.content.replace("\\|", "|"))
            for child, line in self._iter_inline()
            if child.type == "code_inline"
        ]

    @cached_property
    def blocks(self) -> list[Text]:
        """Code blocks; lines count from the first one inside."""
        return [
            Text(self.path, (token.map or [0])[0] + 2, token.content, token.info.strip())
            for token in self.tokens
            if token.type == "fence"
        ]

    @cached_property
    def files(self) -> dict[str, str]:
        """Files that the page tells to write: a path alone on its line, then a block with the content."""
        return dict(FILE.findall(self.source))

    def _iter_inline(self) -> Iterator[tuple[Token, int]]:
        line = 0
        for token in self.tokens:
            line = token.map[0] + 1 if token.map else line  # cells of a table have the line of their row
            for child in token.children or []:
                yield child, line


@cache
def pages() -> tuple[Page, ...]:
    """All documentation that users read."""
    paths = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("slurm/*.md")]
    return tuple(Page(str(path.relative_to(REPOSITORY)), path.read_text()) for path in sorted(paths))


def page_of(path: str) -> Page:
    """The page of that path."""
    return next(page for page in pages() if page.path == path)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
