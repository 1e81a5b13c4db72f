"""Large JSON files: walked element by element, one decoded at a time, each found again by its place in the file.

Memory is that of the largest element, time is linear. The publishers' files have up to a gigabyte; their parsed form is
several times that.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

CHUNK_BYTES = 4 << 20
_BLANK = re.compile(r"[ \t\n\r]*")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
Outermost = Literal["any", "list", "object"]
_BRACKETS = {"any": ("[", "{"), "list": ("[",), "object": ("{",)}
_BOM = b"\xef\xbb\xbf"
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Element:
    """One entry of the file's outermost container, or of one of its opened entries.

    ``parent`` is the opened entry's key ("" for the outermost container), ``key`` a name or a position from 0.
    ``start`` and ``end`` are byte offsets of the value. ``is_odd``: bytes that are not UTF-8 became U+FFFD.
    """

    parent: str
    key: str | int
    value: Any
    start: int
    end: int
    is_odd: bool = False


class JsonError(ValueError):
    """The file is no valid JSON, or its outermost value is no list or object."""


def iter_elements(path: Path, opened: Collection[str] = (), outermost: Outermost = "any") -> Iterator[Element]:
    """Yield the entries of a JSON list or object in the file's order.

    ``opened`` are keys of an outermost object whose own lists or objects are walked likewise, one level down, instead
    of being decoded whole. A key that occurs twice is yielded twice. Raises JsonError when the outermost value is not
    what it has to be, and where the file stops making sense, after all entries before; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        yield from _Walker(file).walk(opened, outermost)


def read_element(path: Path, start: int, end: int) -> Any:
    """The value at a place that ``iter_elements`` gave. Raises JsonError when something else lies there by now."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(end - start)
    try:
        text = data.decode("utf-8", "surrogateescape")
        return _mend(json.loads(text), text)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"no JSON value at bytes {start} to {end} any more ({error})") from error


def replace_surrogates(value: Any) -> Any:
    """Replace what no file can hold in the texts of a JSON value.

    A lone surrogate, which JSON can spell ``\\ud800``, becomes "?"; a byte that was not UTF-8 becomes U+FFFD.
    """
    if isinstance(value, str):
        return (
            _UNDECODABLE.sub("\ufffd", value).encode("utf-8", "replace").decode() if _SURROGATE.search(value) else value
        )
    if isinstance(value, list):
        return [replace_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(entry) for key, entry in value.items()}
    return value


def _mend(value: Any, text: str) -> Any:
    has_odd_bytes = not text.isascii() and _SURROGATE.search(text)
    has_escapes = "\\u" in text and _ESCAPED_SURROGATE.search(text)
    return replace_surrogates(value) if has_odd_bytes or has_escapes else value


class _Walker:
    """A window of decoded text that moves over the file; ``_at`` is the place in it that was read up to."""

    def __init__(self, file: BinaryIO):
        self._file = file
        # Odd bytes survive decoding, so that the text's length in bytes is that of the file.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text, self._at = "", 0
        self._base = 0  # byte offset of ``_text[_counted]``
        self._counted = 0
        self._is_ascii = True
        self._is_end = False

    def walk(self, opened: Collection[str], outermost: Outermost) -> Iterator[Element]:
        head = self._file.read(len(_BOM))
        if head == _BOM:
            self._base = len(_BOM)
        else:
            self._extend(head)
        bracket = self._peek()
        if bracket not in _BRACKETS[outermost]:
            what = "list or object" if outermost == "any" else outermost
            raise JsonError(f"is not a JSON {what}, " + (f"it begins with {bracket!r}" if bracket else "it is empty"))
        yield from self._iter_container("", opened)
        if self._peek():
            raise JsonError(f"is not valid JSON, there is more behind its end at byte {self._offset(self._at)}")

    def _iter_container(self, parent: str, opened: Collection[str]) -> Iterator[Element]:
        bracket = self._peek()
        close = "]" if bracket == "[" else "}"
        self._at += 1
        if self._peek() == close:
            self._at += 1
            return
        position = 0
        while True:
            self._forget()
            key: str | int = position if bracket == "[" else self._read_key()
            if bracket == "{" and key in opened and self._peek() in ("[", "{"):
                yield from self._iter_container(str(key), ())
            else:
                yield self._read_element(parent, key)
            position += 1
            mark = self._peek()
            self._at += 1
            if mark == close:
                return
            if mark != ",":
                found = f"has {mark!r}" if mark else "ends too early"
                raise JsonError(f"is not valid JSON, it {found} at byte {self._offset(self._at - 1)}")

    def _read_key(self) -> str:
        if self._peek() != '"':
            raise JsonError(f"is not valid JSON, it has no key at byte {self._offset(self._at)}")
        key = str(self._decode_value()[0])
        if self._peek() != ":":
            raise JsonError(f"is not valid JSON, it has no ':' at byte {self._offset(self._at)}")
        self._at += 1
        return key

    def _read_element(self, parent: str, key: str | int) -> Element:
        self._peek()
        start = self._offset(self._at)
        value, is_odd = self._decode_value()
        return Element(parent, key, value, start, self._offset(self._at), is_odd)

    def _decode_value(self) -> tuple[Any, bool]:
        """The value at the current place, reading on for as long as it may not be all there."""
        while True:
            try:
                value, end = _decode(self._text, self._at)
                if end + 3 < len(self._text) or not self._grow():  # "1", "1." and "1e+" may go on
                    break
            except (ValueError, RecursionError) as error:
                if isinstance(error, RecursionError) or not self._grow():
                    place = self._offset(min(getattr(error, "pos", self._at), len(self._text)))
                    raise JsonError(f"is not valid JSON at byte {place} ({getattr(error, 'msg', error)})") from error
        start, self._at = self._at, end
        if self._is_ascii and self._text.find("\\u", start, end) < 0:
            return value, False
        text = self._text[start:end]
        try:
            return _mend(value, text), _UNDECODABLE.search(text) is not None
        except RecursionError as error:
            raise JsonError(f"is nested too deeply at byte {self._offset(start)}") from error

    def _peek(self) -> str:
        """The next character that is not blank, "" at the end of the file; the place moves to it."""
        while True:
            found = _BLANK.match(self._text, self._at)
            assert found is not None, "the pattern matches nothing at all as well"
            self._at = found.end()
            if self._at < len(self._text) or not self._grow():
                return self._text[self._at : self._at + 1]

    def _grow(self) -> bool:
        """Read on, each time as much again as is held, so that a large element is decoded few times."""
        if self._is_end:
            return False
        data = self._file.read(max(CHUNK_BYTES, len(self._text)))
        self._extend(data)
        self._is_end = not data
        return True

    def _extend(self, data: bytes) -> None:
        text = self._decoder.decode(data, final=not data)
        self._is_ascii = self._is_ascii and text.isascii()
        self._text += text

    def _forget(self) -> None:
        if self._at > CHUNK_BYTES:
            self._offset(self._at)
            self._text, self._at, self._counted = self._text[self._at :], 0, 0
            self._is_ascii = self._text.isascii()

    def _offset(self, at: int) -> int:
        """Byte offset of a place; those asked for never go back."""
        if at < self._counted:
            return self._base
        part = self._text[self._counted : at]
        self._base += at - self._counted if self._is_ascii else len(part.encode("utf-8", "surrogateescape"))
        self._counted = at
        return self._base
