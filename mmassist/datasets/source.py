"""Where a source lies on disk, and how its recordings become items."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmassist.core.adapter import RawRecord
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.fingerprint import bytes_digest, digest
from mmassist.core.item import KEY_PATTERN, UPRIGHT, Drop, Geometry, Item, ItemKind, Listing, Medium
from mmassist.datasets.json_file import Element, JsonError, Outermost, iter_elements, read_element, replace_surrogates
from mmassist.datasets.table import BadRow, Row, iter_records, iter_rows

WHICH = ("needed", "all")
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def item_key(source_id: str) -> str:
    """Turn a source's id into an item key; a pure function of the id, so later recordings never change it.

    An id that is a valid key stays as it is. Otherwise every other character becomes ``_``, the text is cut to 90
    characters, and ``-`` plus eight hex digits of the id's SHA-256 keep different ids apart. The id itself stays
    readable in ``Item.recording``.
    """
    if KEY_PATTERN.fullmatch(source_id):
        return source_id
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", source_id)[:90]
    return f"{plain}-{hashlib.sha256(source_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def record_digest(*records: Any) -> str:
    """Digest of raw annotation records as read; unlike ``core.fingerprint.digest`` it takes NaN and odd text."""
    return bytes_digest(json.dumps(records, sort_keys=True, default=str).encode())


def unordered_digest(records: Iterable[Any]) -> str:
    """Digest of records whose order in the file says nothing; each as ``record_digest`` sees it."""
    return record_digest(sorted(json.dumps(record, sort_keys=True, default=str) for record in records))


def check_group_pattern(name: str, pattern: str) -> None:
    """Raise ValueError for what is no regular expression with exactly one group."""
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{name} {pattern!r} is no regular expression: {error}") from error
    if num_groups != 1:
        raise ValueError(f"{name} {pattern!r} must have exactly one group")


def dropped_lines(drops: Iterable[Drop], file: str, recording: str) -> set[int]:
    """Lines of ``file`` that drops of a recording name, for showing them beside the rows that were taken."""
    begin = f"{file} line "
    found = (drop.record.removeprefix(begin) for drop in drops if drop.recording == recording)
    return {int(number) for number in found if number.isdecimal()}


@dataclass(frozen=True)
class Source:
    """One publisher's folder below ``DATA_ROOT_DIR/datasets``.

    ``video_pattern`` is relative to ``raw_dir`` and holds ``{recording}`` where the recording's name goes; "" for
    sources whose pictures are found in another way.
    """

    dataset: str
    data_root: Path
    raw_dir: str
    video_pattern: str
    licence: str
    _names: dict[str, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.video_pattern and "{recording}" not in self.video_pattern:
            raise ConfigError(f"'dataset.video_pattern' is {self.video_pattern!r}; it must contain {{recording}}")

    @cached_property  # asked for once per item
    def root(self) -> Path:
        return self.data_root / "datasets" / self.raw_dir

    def relative(self, path: str) -> str:
        """Path below ``raw_dir`` as a path relative to DATA_ROOT_DIR."""
        return f"datasets/{self.raw_dir}/{path}"

    def require(self, path: str) -> Path:
        """Absolute path of an annotation file or folder. Raises ConfigError when it does not exist."""
        found = self.root / path
        if not found.exists():
            raise ConfigError(
                f"data set {self.dataset}: {found} does not exist; put the publisher's file there, or set "
                f"DATA_ROOT_DIR (now {self.data_root}) to the folder that holds datasets/{self.raw_dir}"
            )
        return found

    def refuse(self, path: str, reason: str) -> ConfigError:
        """Make the error that says why a file of the publisher is of no use, in one line."""
        return ConfigError(f"data set {self.dataset}: {self.root / path} {' '.join(reason.split())}; fetch it again")

    def read_text(self, path: str) -> tuple[str, str]:
        """Content of a text file without byte order mark, and a remark ("" = none).

        Bytes that are not UTF-8 become U+FFFD and cost nothing else. Raises ConfigError when there is no such file, or
        it may not be read.
        """
        found = self.require(path)
        if not found.is_file():  # a folder; or a pipe, on which reading would wait for ever
            raise self.refuse(path, "is no file")
        try:
            content = found.read_bytes()
        except (IsADirectoryError, PermissionError) as error:
            raise self.refuse(path, f"cannot be read as a file ({error.strerror})") from error
        try:
            return content.decode("utf-8-sig"), ""
        except UnicodeDecodeError:
            return content.decode("utf-8-sig", "replace"), "not wholly UTF-8, the odd bytes became U+FFFD"

    def read_json(self, path: str) -> tuple[Any, str]:
        """Content of a JSON file without lone surrogates, and a remark ("" = none).

        Raises ConfigError when the file is absent or no valid JSON.
        """
        text, remark = self.read_text(path)
        try:
            return replace_surrogates(json.loads(text)), remark
        except (ValueError, RecursionError) as error:
            raise self.refuse(path, f"is not valid JSON ({error})") from error

    def list_names(self, folder: str) -> frozenset[str]:
        """Names in a folder below ``raw_dir``, none for an absent one; read once, since a folder may hold 200,000."""
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(f"{self.root}/{folder}"))  # noqa: PTH208 - no Path per name
            except OSError as error:
                if error.errno not in _NO_FOLDER:
                    raise
                self._names[folder] = frozenset()
        return self._names[folder]

    def media_item(
        self,
        recording: str,
        split: str,
        duration_s: float | None = None,
        participant: str | None = None,
        geometry: Geometry = UPRIGHT,
        key: str | None = None,
        videos: tuple[str, ...] | None = None,
    ) -> Item:
        """The video of a recording. Its digest covers path, size in bytes (None: absent) and geometry.

        ``videos`` are the files' paths below ``raw_dir`` in playing order; None: the one of ``video_pattern``. ``key``
        None: that of the recording.
        """
        names = videos if videos is not None else (self.video_pattern.replace("{recording}", recording),)
        paths = tuple(map(self.relative, names))
        facts: dict[str, Any] = {"sources": [[path, self._num_bytes(path)] for path in paths]}
        return Item(
            dataset=self.dataset,
            key=key or item_key(recording),
            kind=ItemKind.MEDIA,
            split=split,
            sources=paths,
            digest=digest(facts | _turn(geometry)),
            recording=recording,
            duration_s=duration_s,
            participant=participant,
            geometry=geometry,
            licence=self.licence,
        )

    def group_item(
        self,
        key: str,
        split: str,
        medium: Medium,
        files: Sequence[str],
        weight_s: float,
        geometry: Geometry = UPRIGHT,
    ) -> Item:
        """Images or clips that are kept in one frame store, one file per annotated record; a file may occur twice.

        ``files`` are paths below ``raw_dir``. The digest covers them and which of them are there: whole folders are
        listed, since asking a file server for every single size takes hours. ``weight_s`` is the expected work in
        seconds of video.
        """
        present = [name in self.list_names(folder) for folder, _, name in (path.rpartition("/") for path in files)]
        facts: dict[str, Any] = {"sources": list(zip(files, present, strict=True)), "medium": medium}
        return Item(
            dataset=self.dataset,
            key=item_key(key),
            kind=ItemKind.MEDIA,
            split=split,
            sources=tuple(map(self.relative, files)),
            digest=digest(facts | _turn(geometry)),
            recording=key,
            duration_s=weight_s,
            geometry=geometry,
            licence=self.licence,
            medium=medium,
        )

    def dialog_item(
        self,
        recording: str,
        split: str,
        annotation_files: tuple[str, ...],
        records: str,
        duration_s: float | None = None,
        participant: str | None = None,
        key: str | None = None,
        media_key: str | None = None,
    ) -> Item:
        """What is annotated of a recording, by default of all of it, shown by the media item of the same key.

        ``records`` is the digest of everything raw that shapes the annotation (``record_digest``);
        ``annotation_files`` are relative to ``raw_dir``.
        """
        return Item(
            dataset=self.dataset,
            key=key or item_key(recording),
            kind=ItemKind.DIALOG,
            split=split,
            sources=tuple(self.relative(path) for path in annotation_files),
            digest=records,
            recording=recording,
            duration_s=duration_s,
            participant=participant,
            licence=self.licence,
            media_key=media_key or item_key(recording),
        )

    def _num_bytes(self, path: str) -> int | None:
        try:
            status = (self.data_root / path).stat()
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None
            raise
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def iter_json(self, path: str, opened: Collection[str] = (), outermost: Outermost = "any") -> Iterator[Element]:
        """Walk a large JSON file (``json_file.iter_elements``). Raises ConfigError when it is absent or no JSON."""
        found = self.require(path)
        try:
            yield from iter_elements(found, opened, outermost)
        except JsonError as error:
            raise self.refuse(path, str(error)) from error
        except (IsADirectoryError, PermissionError) as error:
            raise self.refuse(path, f"cannot be read as a file ({error.strerror})") from error

    def read_json_at(self, path: str, start: int, end: int) -> Any:
        """The element that ``iter_json`` found there. Raises ItemError when the file has changed since."""
        try:
            return read_element(self.root / path, start, end)
        except (JsonError, FileNotFoundError) as error:
            raise ItemError(Kind.PERMANENT, f"{self.root / path} has changed since it was listed: {error}") from error

    def iter_table(
        self,
        path: str,
        columns: Sequence[str],
        drops: list[Drop],
        aliases: Mapping[str, str] | None = None,
        delimiter: str = ",",
        owner: str = "",
    ) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield ``(line, {column: cell})`` of a table with a header (``table.iter_records``).

        Bad rows become drops of the recording that column ``owner`` names, as far as that can be told. Bytes that are
        not UTF-8 become U+FFFD. Raises ConfigError when the file is absent, unreadable or lacks a column.
        """
        found = self.require(path)
        try:
            with found.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                for row in iter_records(file, columns, aliases, delimiter, owner):
                    if isinstance(row, BadRow):
                        drops.append(Drop(row.owner, f"{path} line {row.line}", row.reason))
                    else:
                        yield row
        except KeyError as error:
            raise self.refuse(path, f"has no column {error.args[0]}") from error
        except (IsADirectoryError, PermissionError) as error:
            raise self.refuse(path, f"cannot be read as a file ({error.strerror})") from error

    def read_raw_rows(self, path: str, lines: Collection[int], delimiter: str = ",") -> list[RawRecord]:
        """The rows of a table that begin at ``lines``, by column, as they are written: for people to look at.

        A row whose cells do not fit the header is a list. Reads the whole file. Raises ItemError when it is absent.
        """
        header: list[str] | None = None
        found = []
        try:
            with (self.root / path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
                for row in iter_rows(file, delimiter):
                    cells = row.cells if isinstance(row, Row) else list(row.cells or (row.row.cells if row.row else ()))
                    if header is None:
                        header = cells
                    elif row.line in lines:
                        is_whole = len(cells) == len(header)
                        value = dict(zip(header, cells, strict=True)) if is_whole else cells
                        found.append(RawRecord(f"{path} line {row.line}", value))
        except FileNotFoundError as error:
            raise ItemError(Kind.PERMANENT, f"{self.root / path} does not exist") from error
        return found

    def recordings_on_disk(self) -> list[str]:
        """Names of all recordings whose video file exists, sorted."""
        before, after = self.video_pattern.split("{recording}", 1)
        pattern = self.video_pattern.replace("{recording}", "*")
        name = re.compile(re.escape(before) + "([^/]+?)" + re.escape(after).replace(r"\{recording\}", r"\1"))
        paths = (path.relative_to(self.root).as_posix() for path in self.root.glob(pattern) if path.is_file())
        return sorted(match[1] for match in map(name.fullmatch, paths) if match)

    def listing(
        self, dialogs: Iterable[Item], drops: Iterable[Drop], which: str, media: Iterable[Item] | None = None
    ) -> Listing:
        """Both kinds of items in key order.

        ``media`` None: one video per recording, by ``video_pattern``, and with ``which="all"`` one for every other
        video found on disk. Such extra media carry the split ``test``: nothing is made from them but frames and
        features. Raises ConfigError when no dialog item is left for training.
        """
        if which not in WHICH:
            raise ConfigError(f"'which' is {which!r}; it must be one of {', '.join(WHICH)}")
        listed = sorted(dialogs, key=lambda item: item.key)
        if not any(item.split == "train" for item in listed):
            raise ConfigError(
                f"data set {self.dataset}: no annotated training recording found in {self.root}; "
                "check its split lists and annotation files"
            )
        if media is None:
            media = [self.media_item(d.recording, d.split, d.duration_s, d.participant) for d in listed]
            if which == "all":
                known = {item.recording for item in media}
                media += [self.media_item(name, "test") for name in self.recordings_on_disk() if name not in known]
        ordered = sorted(drops, key=lambda drop: (drop.recording, drop.record, drop.reason))
        return Listing(tuple(sorted(media, key=lambda item: item.key)), tuple(listed), tuple(ordered))


def _turn(geometry: Geometry) -> dict[str, Any]:
    facts: dict[str, Any] = {"rotation_deg": geometry.rotation_deg}
    return facts if geometry.fit == UPRIGHT.fit else facts | {"fit": geometry.fit}
