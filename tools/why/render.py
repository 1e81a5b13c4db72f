"""The way back as text: one block per stage, then the source. Long lists are shortened, ``--json`` has them whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.why.trace import flatten

MAX_FILES = 6
MAX_REASONS = 5
MAX_CHARS = 60  # of one setting
STATES = {
    "same": "the same as there now",
    "changed": "CHANGED since: stale, on_stale=rebuild makes it again",
    "incomplete": "not all of it is there any more, which makes nothing stale",
    "unchecked": "as the run found it; --check lists the source again",
}
LIBRARIES = ("mmassist",)  # named before the others


def iter_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """All of a trace's lines."""
    sample = f", sample {row['sample']}" if row["sample"] else ""
    yield f"{row['dataset']} {row['key']}{sample}"
    for member in row["members"]:
        yield f"  {member['name']}  {member['num_bytes']} bytes at {member['offset']}"
    if row["also_in"]:
        yield f"  also in {', '.join(row['also_in'])}: say unit=FOLDER or setup=NAME"
    for step in row["stages"]:
        yield ""
        yield from _iter_step(step)
    for source in row["sources"]:
        yield ""
        yield from _iter_source(source)
    if row["problem"]:
        yield f"problem: the source cannot be listed: {row['problem']}"


def _iter_step(step: Mapping[str, Any]) -> Iterator[str]:
    yield f"{step['stage']} of {step['key']}: {_status(step)}"
    if step["remark"]:
        yield f"  remark    {step['remark']}"
    if not step["unit"]:
        return
    yield f"  folder    {step['unit']}"
    if "task" in step:
        state = "committed, nothing was made" if step["is_committed"] else "open"
        yield f"  shard     {step['shard'] or 'none'} (task {step['task']}{'' if step['shard'] else ', ' + state})"
        yield from _iter_attempts(step)
    yield f"  settings  {step['fingerprint']}: {_settings(step['settings'])}"
    if step["revisions"]:
        yield f"  models    {_settings(step['revisions'])}"
    if "versions" in step:
        yield f"  code      {_code(step)}"
    if "inputs" in step:
        inputs = step["inputs"]
        parts = ", ".join(f"{name} {part or 'absent'}" for name, part in inputs["parts"].items())
        yield f"  inputs    {inputs['recorded'] or 'not recorded'}: {STATES[inputs['state']]} ({parts})"
    yield from _iter_drops(step.get("drops", []))


def _status(step: Mapping[str, Any]) -> str:
    reason = f" ({step['reason']})" if step.get("reason") else ""
    message = f": {step['message']}" if step.get("message") else ""
    return f"{step['status']}{reason}{message}"


def _iter_attempts(step: Mapping[str, Any]) -> Iterator[str]:
    if step["run_id"]:
        seconds = f", {step['seconds']:.1f} s" if step["seconds"] is not None else ""
        node = f", node {step['node']}" if step["node"] else ""
        gone = "" if step["run_is_there"] else " (its folder is gone)"
        yield f"  made      {step['time']}, attempt {step['attempt']}{seconds}{node}"
        yield f"  run       {step['run_id']}{gone}, writer {step['writer']}"
    for one in step["earlier"]:
        reason = f" ({one['reason']})" if one["reason"] else ""
        message = f": {one['message']}" if one["message"] else ""
        number = f"attempt {one['attempt']} " if one["attempt"] else ""
        yield f"  earlier   {number}{one['status']}{reason}{message}; run {one['run_id']}, {one['time']}"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in flatten(settings)) or "none"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS - 1]}…"


def _code(step: Mapping[str, Any]) -> str:
    versions = step["versions"]
    names = [*(name for name in LIBRARIES if name in versions), *(n for n in sorted(versions) if n not in LIBRARIES)]
    listed = ", ".join(f"{name} {versions[name]}" for name in names)
    since = "" if step["versions_of"] == "run" else " (when the folder was begun; the run noted none)"
    return f"commit {step['commit'] or 'unknown'}, stage version {step['stage_version']}; {listed}{since}"


def _iter_source(source: Mapping[str, Any]) -> Iterator[str]:
    listed = f"as listed by run {source['listed_by']}" if source["listed_by"] else "as listed now"
    yield f"source of {source['key']} ({source['kind']}), {listed}"
    participant = f", participant {source['participant']}" if source["participant"] else ""
    side = f"side {source['side']}" if source["side"] else "on no side of the split"
    yield f"  recording {source['recording']}{participant}, official split {source['split']}, {side}"
    if source["kind"] == "media":
        turn = f", turned {source['rotation_deg']} degrees counter-clockwise" if source["rotation_deg"] else ""
        yield f"  media     {source['medium']}{turn}, fit {source['fit']}"
    else:
        yield f"  time 0    at second {source['time_offset_s']:g} of media item {source['media_key']}"
    yield f"  licence   {source['licence']}"
    yield f"  digest    {source['digest']}{_changed(source)}"
    for file in source["files"][:MAX_FILES]:
        yield f"  file      {file['path']}  {_size(file)}"
    rest = source["files"][MAX_FILES:]
    if rest:
        missing = sum(not file["is_there"] for file in rest)
        yield f"  … and {len(rest)} more files, {missing} of them missing"
    yield from _iter_drops(source["drops"])


def _changed(source: Mapping[str, Any]) -> str:
    if "digest_now" not in source:
        return ""
    now = source["digest_now"]
    return ", the same now" if now == source["digest"] else f", {now or 'the source no longer lists it'} now"


def _size(file: Mapping[str, Any]) -> str:
    return f"{file['num_bytes']} bytes" if file["is_there"] else "MISSING"


def _iter_drops(drops: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    reasons = Counter(str(drop["reason"]) for drop in drops)
    for reason, number in reasons.most_common(MAX_REASONS):
        first = next(drop["record"] for drop in drops if drop["reason"] == reason)
        yield f"  dropped   {number} records repaired or left out: {reason} ({first}{', …' if number > 1 else ''})"
    if len(reasons) > MAX_REASONS:
        yield f"  … for {len(reasons) - MAX_REASONS} more reasons"
