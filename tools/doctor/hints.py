"""Why a publisher's file is not where it is expected: another spelling, an archive, a folder too many."""

from __future__ import annotations

import difflib
import os
import zipfile
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar", ".tar.bz2", ".tar.xz", ".zst")
MAX_FOLDERS = 200  # looked into when searching: a publisher's folder may hold one per recording
MAX_NAMES = 20_000  # compared in one folder
_CLOSE = 0.75
_SIDES = ("train", "val", "test")  # names that differ in one of these mean different files, however alike they look


def explain_missing(root: Path, path: str, known: Collection[str] = ()) -> str:
    """One line that says where ``path`` (below ``root``, may hold ``*``) might be; "" when nothing speaks for anything.

    ``known`` are paths that are something else already. Looks at names alone, and into the table of contents of zip
    files. "" too for a path that does not lie below ``root``.
    """
    if not path or path.startswith("/") or ".." in path.split("/"):
        return ""
    folder, name, rest = _first_missing(root, path)
    here = _shown(root, folder)
    useless = _matching(folder, name)
    if useless:
        return _explain_entry(folder / useless[0], f"{here}{useless[0]}")
    close = _nearest_name(root, folder, name, known)
    if close:
        return f"{here} holds {close!r}; the name wanted is {name!r}"
    archive = _archive_with(root, folder, name, rest)
    if archive:
        return archive
    elsewhere = _elsewhere(root, path)
    if elsewhere:
        return elsewhere
    if folder == root:
        return ""
    return f"{here} is there, but holds no {name!r}" if _names(folder) else f"{here} is there, but empty"


def _explain_entry(path: Path, shown: str) -> str:
    """Why something of the right name is of no use."""
    if path.is_symlink():
        return f"{shown} is a link to {path.readlink()}, which does not exist"
    return f"{shown} is a file, no folder" if path.is_file() else ""


def _first_missing(root: Path, path: str) -> tuple[Path, str, str]:
    """Deepest existing folder on the way, the name that it lacks, and what comes behind that name."""
    folder = root
    parts = path.split("/")
    for place, name in enumerate(parts):
        inside = sorted(found for found in _matching(folder, name) if (folder / found).is_dir())
        if not inside or place == len(parts) - 1:
            return folder, name, "/".join(parts[place + 1 :])
        folder = folder / inside[0]
    return folder, parts[-1], ""


def _matching(folder: Path, name: str) -> list[str]:
    if "*" not in name:
        return [name] if os.path.lexists(folder / name) else []
    return [found for found in _names(folder) if fnmatchcase(found, name)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:MAX_NAMES]  # noqa: PTH208 - no Path per name
    except OSError:
        return []


def _shown(root: Path, folder: Path) -> str:
    return f"{folder.relative_to(root.parent).as_posix()}/"


def _nearest_name(root: Path, folder: Path, name: str, known: Collection[str]) -> str:
    taken = {path.split("/")[len(folder.relative_to(root).parts)] for path in known if _is_below(root, folder, path)}
    names = [found for found in _names(folder) if found not in taken and not found.endswith(ARCHIVE_SUFFIXES)]
    if "*" in name:
        return next((found for found in names if fnmatchcase(found.lower(), name.lower())), "")
    by_small = {found.lower(): found for found in reversed(names)}
    wanted = [side in name.lower() for side in _SIDES]
    alike = [small for small in by_small if [side in small for side in _SIDES] == wanted]
    return next((by_small[small] for small in difflib.get_close_matches(name.lower(), alike, n=1, cutoff=_CLOSE)), "")


def _is_below(root: Path, folder: Path, path: str) -> bool:
    parts, above = path.split("/"), folder.relative_to(root).parts
    return len(parts) > len(above) and tuple(parts[: len(above)]) == above


def _archive_with(root: Path, folder: Path, name: str, rest: str) -> str:
    """An archive between ``root`` and ``folder`` that has the name, or is called like it."""
    wanted = (rest or name).split("/")[-1]
    above = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    for place in above:
        for archive in _names(place):
            if not archive.endswith(ARCHIVE_SUFFIXES):
                continue
            where = f"{_shown(root, place)}{archive}"
            contents = _contents(place / archive)
            if contents is not None and any(fnmatchcase(part, wanted) for part in contents):
                return f"{where} holds it; unpack it there"
            alike = {part.lower() for part in (name, _stem(name), *rest.split("/"))}
            if any(fnmatchcase(_stem(archive), part) for part in alike):
                return f"{where} is there, perhaps not unpacked yet"
    return ""


def _stem(name: str) -> str:
    small = name.lower()
    suffix = next((suffix for suffix in sorted(ARCHIVE_SUFFIXES, key=len, reverse=True) if small.endswith(suffix)), "")
    return small.removesuffix(suffix) if suffix else small.rpartition(".")[0] or small


def _contents(path: Path) -> set[str] | None:
    """Names of files and folders in a zip file; None for other archives, which only reading them whole would tell."""
    if path.suffix != ".zip":
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return {part for entry in archive.namelist() for part in entry.split("/") if part}
    except (OSError, zipfile.BadZipFile, ValueError):
        return None


def _elsewhere(root: Path, path: str) -> str:
    """A folder too many around all of it, or the file itself in another folder."""
    name = path.split("/")[-1]
    for folder in _iter_folders(root):
        where = _shown(root, folder)
        if folder != root and next(folder.glob(path), None) is not None:
            return f"found in {where}: one folder too deep; move what {where} holds to {_shown(root, root)}"
        found = "" if name.startswith("*") else next(iter(_matching(folder, name)), "")
        if found:
            return f"found as {where}{found}; move it to {_shown(root, root)}{path}"
    return ""


def _iter_folders(root: Path) -> Iterator[Path]:
    """The folder itself and those at most three levels below it, nearest first, not more than MAX_FOLDERS."""
    level, count = [root], 0
    for _ in range(4):
        following: list[Path] = []
        for folder in level:
            count += 1
            if count > MAX_FOLDERS:
                return
            yield folder
            try:
                with os.scandir(folder) as entries:
                    following += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue
        level = sorted(following)
