"""Tables for a terminal, plain text elsewhere."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

PLAIN_WIDTH = 160  # columns where the output is no terminal and says nothing of its width


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command, which ends alike however it printed."""
        self.quiet = True
        raise BrokenPipeError


def make_console(is_error: bool = False) -> Console:
    """A console that wraps at the terminal's width, and late elsewhere; without colours where there is no terminal."""
    console = _Console(stderr=is_error, highlight=False, emoji=False)
    return (
        console if console.is_terminal else _Console(width=PLAIN_WIDTH, stderr=is_error, highlight=False, emoji=False)
    )


def show(console: Console, part: RenderableType) -> None:
    """Print a part; plain lines are broken by a terminal's width alone, so that a file of them can be searched."""
    console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)
