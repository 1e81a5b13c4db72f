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
    return f"{plain}-{hashlib.sha256(source_id.encode()).hexdigest()[:8]}"


def record_digest(*records: Any) -> str:
    """Digest of raw annotation records as read; unlike ``core.fingerprint.digest`` it takes NaN and odd text."""
    return bytes_digest(json.dumps(records, sort_keys=True, default=str).encode())


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

    def read_json(self, path: str) -> Any:
        """Content of a JSON file. Raises ConfigError when it is absent or cut off."""
        found = self.require(path)
        try:
            return json.loads(found.read_text(encoding="utf-8-sig"))
        except ValueError as error:
            raise ConfigError(
                f"data set {self.dataset}: {found} is not valid JSON ({error}); fetch it again"
            ) from error

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
