from __future__ import annotations

import io

from launchers.progress import JobProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


EVENT = {"event": "item", "item": "a", "status": "done"}


def test_without_a_terminal_it_is_plain_lines():
    stream = io.StringIO()
    with JobProgress("extract wtag", 2, stream) as progress:
        progress.add(EVENT)
        progress.add({"event": "start", "item": "b"})
        progress.add(EVENT | {"item": "b"})
    assert stream.getvalue().startswith("extract wtag: 2/2 items, ")
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_on_a_terminal_it_is_a_bar_with_rate_and_time_left():
    stream = Terminal()
    with JobProgress("extract wtag", 2, stream) as progress:
        progress.add(EVENT)
    text = stream.getvalue()
    assert "extract wtag" in text and "1/2" in text and "items/s" in text
