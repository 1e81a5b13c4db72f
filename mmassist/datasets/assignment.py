"""Which side of the split a recording is on: decided once, before any dialog exists, and never changed afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmassist.core.errors import ConfigError
from mmassist.core.item import Item
from mmassist.core.rng import seed_of

SIDES = ("train", "val", "test")
EVAL_RULES = ("halve_val", "own_test")
GROUP_BY = ("participant", "recording")


@dataclass(frozen=True)
class Move:
    """A recording that is not on the side the source's own split asks for, or is on none (``side`` "")."""

    recording: str
    official: str
    side: str
    reason: str


@dataclass(frozen=True)
class SideRow:
    """What a side holds; moved counts recordings that came from another official split."""

    side: str
    num_recordings: int
    num_participants: int
    num_dialogs: int
    num_moved: int


@dataclass(frozen=True)
class Audit:
    """The table that shows the split is clean.

    ``shared_participants`` maps a participant to the sides he or she is found on, if several; always empty when
    grouped by participant, unless earlier assignments already shared that person.
    """

    rows: tuple[SideRow, ...]
    moves: tuple[Move, ...]
    shared_participants: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Assignment:
    """Recording -> side, with the audit of the recordings at hand. Recordings without a side are in no sample."""

    sides: dict[str, str]
    audit: Audit

    def counts(self) -> dict[str, int]:
        """Number of assigned recordings per side, with those no longer listed by the source."""
        found = Counter(self.sides.values())
        return {side: found[side] for side in SIDES}

    def to_json(self) -> dict[str, Any]:
        """Plain values in a fixed order, for ``assignment.json``."""
        return {
            "recordings": dict(sorted(self.sides.items())),
            "audit": {
                "sides": [vars(row).copy() for row in self.audit.rows],
                "moved": [vars(move).copy() for move in self.audit.moves],
                "shared_participants": {who: list(on) for who, on in sorted(self.audit.shared_participants.items())},
            },
        }


@dataclass(slots=True)
class _Recording:
    name: str
    official: str  # the source's split; a recording with parts in several counts as the one nearest to training
    splits: tuple[str, ...]
    participants: tuple[str, ...] = ()
    num_dialogs: int = 0


def assign(
    items: Sequence[Item],
    existing: Mapping[str, str],
    seed: int,
    eval_rule: str,
    group_by: str,
    keep_eval: float = 0.0,
) -> Assignment:
    """Put every recording of ``items`` (dialog items) on one side; independent of the order of ``items``.

    Recordings of one participant form a group (``group_by="recording"``: every recording is its own), and a group is
    never divided. ``existing`` entries stay as they are, and new recordings join their group's side. A group with a
    training recording goes to train as a whole. Among the others ``halve_val`` gives val groups to val and test in
    turn, in an order drawn from ``seed``, always to the side with fewer recordings; ``own_test`` keeps the source's
    side. A group with an official test recording and none of training is test under both rules.

    ``keep_eval`` above 0: where groups that mix training and evaluation would leave less than that share of the
    official evaluation recordings, mixed groups go to evaluation instead, in seeded order, until the share is met.

    A new recording that connects groups on different sides is assigned to none, and the audit says so. Raises
    ConfigError for an unknown rule or side.
    """
    _check("split.official_eval", eval_rule, EVAL_RULES)
    _check("split.group_by", group_by, GROUP_BY)
    for name, side in existing.items():
        _check(f"side of {name}", side, SIDES)
    recordings = _collect(items)
    sides = dict(existing)
    moves: list[Move] = []
    groups, bridges = _without_bridges(recordings, existing, group_by)
    for name in bridges:
        moves.append(Move(name, recordings[name].official, "", "connects groups that are on different sides"))
    fresh = []
    for group in groups:
        known = sorted({existing[name] for name in group if name in existing})
        if known:
            sides.update(dict.fromkeys((name for name in group if name not in existing), known[0]))
        else:
            fresh.append(group)
    fresh.sort(key=lambda group: (seed_of(seed, "assignment", group[0]), group[0]))
    to_eval = _refill(fresh, recordings, sides, keep_eval)
    counts = Counter(sides.values())
    for group in fresh:
        side = _choose_side({recordings[name].official for name in group}, counts, eval_rule, group[0] in to_eval)
        sides.update(dict.fromkeys(group, side))
        counts[side] += len(group)
    moves += _list_moves(recordings, sides, existing, eval_rule)
    moves.sort(key=lambda move: move.recording)
    return Assignment(dict(sorted(sides.items())), _audit(recordings, sides, moves))


def _choose_side(official: set[str], counts: Counter[str], eval_rule: str, is_eval: bool) -> str:
    if "train" in official and not is_eval:
        return "train"
    if "test" in official:
        return "test"
    if eval_rule == "own_test":
        return "val"
    return "val" if counts["val"] <= counts["test"] else "test"


def _refill(
    fresh: list[list[str]], recordings: Mapping[str, _Recording], sides: Mapping[str, str], keep_eval: float
) -> set[str]:
    """First names of the mixed groups that go to evaluation so that it is not drained."""
    official = {name: recordings[name].official for name in recordings}
    wanted = keep_eval * sum(split != "train" for split in official.values())
    kept = sum(sides.get(name, "train") != "train" for name in recordings)
    kept += sum(len(group) for group in fresh if all(official[name] != "train" for name in group))
    chosen = set()
    for group in fresh:
        if kept >= wanted:
            break
        if len({official[name] == "train" for name in group}) == 2:
            chosen.add(group[0])
            kept += len(group)
    return chosen


def _collect(items: Iterable[Item]) -> dict[str, _Recording]:
    recordings: dict[str, _Recording] = {}
    for item in items:
        if item.split not in SIDES:
            _check(f"split of {item.key}", item.split, SIDES)
        recording = recordings.get(item.recording)
        if recording is None:
            recording = recordings[item.recording] = _Recording(item.recording, item.split, (item.split,))
        elif item.split not in recording.splits:
            recording.splits += (item.split,)
            recording.official = min(recording.splits, key=SIDES.index)
        recording.num_dialogs += 1
        if item.participant and item.participant not in recording.participants:
            recording.participants += (item.participant,)
    return recordings


def _without_bridges(
    recordings: Mapping[str, _Recording], existing: Mapping[str, str], group_by: str
) -> tuple[list[list[str]], list[str]]:
    """Connected groups (sorted names, ordered by first name), and the new recordings that must stay out.

    Groups on different sides can only be joined by a recording with several participants, so those go first; what
    still touches two sides shares a person whom earlier assignments already put on both.
    """
    rest = set(recordings)
    bridges: set[str] = set()
    if not existing:
        return _connect(recordings, rest, group_by), []
    for is_suspect in (lambda name: len(recordings[name].participants) > 1, lambda name: True):
        for group in _connect(recordings, rest, group_by):
            if len({existing[name] for name in group if name in existing}) > 1:
                bridges |= {name for name in group if name not in existing and is_suspect(name)}
        rest -= bridges
    groups = []
    for group in _connect(recordings, rest, group_by):
        known = [name for name in group if name in existing]
        groups += [[name] for name in known] if len({existing[name] for name in known}) > 1 else [group]
    return sorted(groups), sorted(bridges)


def _connect(recordings: Mapping[str, _Recording], names: Iterable[str], group_by: str) -> list[list[str]]:
    """Union-find over recordings and their participants."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    ordered = sorted(names)
    for name in ordered:
        root = find(("recording", name))
        for participant in recordings[name].participants if group_by == "participant" else ():
            parent[find(("participant", participant))] = root
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in ordered:
        groups[find(("recording", name))].append(name)
    return sorted(groups.values())


def _list_moves(
    recordings: Mapping[str, _Recording], sides: Mapping[str, str], existing: Mapping[str, str], eval_rule: str
) -> list[Move]:
    moves = []
    for name, recording in recordings.items():
        side = sides.get(name, "")
        is_halved = eval_rule == "halve_val" and recording.official == "val" and side == "test"
        official = "+".join(side for side in SIDES if side in recording.splits)
        if not side or (len(recording.splits) == 1 and (side == official or is_halved)):
            continue
        if len(recording.splits) > 1:
            reason = "its parts are in several official splits"
        elif name in existing:
            reason = "assigned earlier"
        elif side == "train":
            reason = "shares a participant with training"
        elif official == "train":
            reason = "shares a participant with evaluation"
        else:
            reason = "shares a participant with the other evaluation side"
        moves.append(Move(name, official, side, reason))
    return moves


def _audit(recordings: Mapping[str, _Recording], sides: Mapping[str, str], moves: Iterable[Move]) -> Audit:
    found: dict[str, set[str]] = defaultdict(set)
    for name, recording in recordings.items():
        for participant in recording.participants if name in sides else ():
            found[participant].add(sides[name])
    moved = Counter(move.side for move in moves)
    rows = []
    for side in SIDES:
        here = [recording for name, recording in recordings.items() if sides.get(name) == side]
        people = {participant for recording in here for participant in recording.participants}
        rows.append(SideRow(side, len(here), len(people), sum(r.num_dialogs for r in here), moved[side]))
    shared = {who: tuple(s for s in SIDES if s in on) for who, on in sorted(found.items()) if len(on) > 1}
    return Audit(tuple(rows), tuple(moves), shared)


def _check(key: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"'{key}' is {value!r}; it must be one of {', '.join(allowed)}")
