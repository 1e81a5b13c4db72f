"""Where a source lies on disk, and how its recordings become items."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import bytes_digest, digest
from mmassist.core.item import KEY_PATTERN, Drop, Geometry, Item, ItemKind, Listing

WHICH = ("needed", "all")


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


def replace_surrogates(value: Any) -> Any:
    """Put "?" for every lone surrogate in the texts of a JSON value: JSON can say ``\\ud800``, no file can hold it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [replace_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(entry) for key, entry in value.items()}
    return value


@dataclass(frozen=True)
class Source:
    """One publisher's folder below ``DATA_ROOT_DIR/datasets``.

    ``video_pattern`` is relative to ``raw_dir`` and holds ``{recording}`` where the recording's name goes.
    """

    dataset: str
    data_root: Path
    raw_dir: str
    video_pattern: str
    licence: str

    def __post_init__(self) -> None:
        if "{recording}" not in self.video_pattern:
            raise ConfigError(f"'dataset.video_pattern' is {self.video_pattern!r}; it must contain {{recording}}")

    @property
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

    def media_item(
        self,
        recording: str,
        split: str,
        duration_s: float | None = None,
        participant: str | None = None,
        geometry: Geometry | None = None,
    ) -> Item:
        """The video of a recording. Its digest covers path, size in bytes (None: absent) and geometry."""
        turn = geometry or Geometry()
        video = self.relative(self.video_pattern.replace("{recording}", recording))
        path = self.data_root / video
        num_bytes = path.stat().st_size if path.is_file() else None
        facts = {"sources": [[video, num_bytes]], "rotation_deg": turn.rotation_deg}
        return Item(
            dataset=self.dataset,
            key=item_key(recording),
            kind=ItemKind.MEDIA,
            split=split,
            sources=(video,),
            digest=digest(facts),
            recording=recording,
            duration_s=duration_s,
            participant=participant,
            geometry=turn,
            licence=self.licence,
        )

    def dialog_item(
        self,
        recording: str,
        split: str,
        annotation_files: tuple[str, ...],
        records: str,
        duration_s: float | None = None,
        participant: str | None = None,
    ) -> Item:
        """The dialog of a whole recording, shown by the media item of the same key.

        ``records`` is the digest of everything raw that shapes the annotation (``record_digest``);
        ``annotation_files`` are relative to ``raw_dir``.
        """
        return Item(
            dataset=self.dataset,
            key=item_key(recording),
            kind=ItemKind.DIALOG,
            split=split,
            sources=tuple(self.relative(path) for path in annotation_files),
            digest=records,
            recording=recording,
            duration_s=duration_s,
            participant=participant,
            licence=self.licence,
            media_key=item_key(recording),
        )

    def recordings_on_disk(self) -> list[str]:
        """Names of all recordings whose video file exists, sorted."""
        before, after = self.video_pattern.split("{recording}", 1)
        pattern = self.video_pattern.replace("{recording}", "*")
        name = re.compile(re.escape(before) + "([^/]+?)" + re.escape(after).replace(r"\{recording\}", r"\1"))
        paths = (path.relative_to(self.root).as_posix() for path in self.root.glob(pattern) if path.is_file())
        return sorted(match[1] for match in map(name.fullmatch, paths) if match)

    def listing(self, dialogs: Iterable[Item], drops: Iterable[Drop], which: str) -> Listing:
        """Both kinds of items in key order; ``which="all"`` adds a media item for every other video found on disk.

        Such extra media carry the split ``test``: nothing is made from them but frames and features. Raises
        ConfigError when no dialog item is left for training.
        """
        if which not in WHICH:
            raise ConfigError(f"'which' is {which!r}; it must be one of {', '.join(WHICH)}")
        listed = sorted(dialogs, key=lambda item: item.key)
        if not any(item.split == "train" for item in listed):
            raise ConfigError(
                f"data set {self.dataset}: no annotated training recording found in {self.root}; "
                "check its split lists and annotation files"
            )
        media = [self.media_item(d.recording, d.split, d.duration_s, d.participant) for d in listed]
        if which == "all":
            known = {item.recording for item in media}
            media += [self.media_item(name, "test") for name in self.recordings_on_disk() if name not in known]
        ordered = sorted(drops, key=lambda drop: (drop.recording, drop.record, drop.reason))
        return Listing(tuple(sorted(media, key=lambda item: item.key)), tuple(listed), tuple(ordered))


@dataclass(frozen=True)
class SourceConfig:
    """What every source's config says; the YAML of each explains the values."""

    name: str
    raw_dir: str
    video_pattern: str
    domain: str
    knowledge_type: str
    licence: str


class SourceAdapter:
    """What every adapter begins with. Reads nothing yet."""

    def __init__(self, config: Any, data_root: Path, compat: bool):
        self.name: str = config.name
        self.config = config
        self.compat = compat
        self.source = Source(config.name, data_root, config.raw_dir, config.video_pattern, config.licence)
