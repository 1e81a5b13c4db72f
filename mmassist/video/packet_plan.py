"""Which packets must be decoded to get the wanted pictures, and nothing else. Knows packets, decodes none.

A picture is needed if it is wanted, or if it is a reference that stands before a wanted picture and behind the last
place from which that one can be decoded. So what is saved is the end of every group of pictures, behind its last wanted
one, and pictures that no other needs. The wanted ones come out exactly as they do when everything is decoded.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mmassist.video.bitstream import Role

if TYPE_CHECKING:
    import av

# Given the times of all pictures, rising: the positions of those that are wanted; -1 is the last.
Choose = Callable[[Iterable[Fraction]], Collection[int]]

_ENTRY, _REFERENCE, _HIDDEN = 1, 2, 4
_MAX_REORDER = 16  # pictures that a decoder holds back at most; stamps that jump further are broken


@dataclass(frozen=True)
class PacketPlan:
    """For every packet of the stream, in the file's order: whether it is needed, and whether to start afresh there."""

    needed: bytearray
    fresh: frozenset[int]  # packets in front of which the decoder must be emptied: references before them are left out
    wanted: Sequence[int]  # presentation time stamps of the wanted pictures, rising
    last_pts: int  # of all pictures that are shown
    last_duration: int


class PacketTable:
    """The facts about all packets of a stream in 17 bytes each: a day of video fits into memory."""

    def __init__(self) -> None:
        self._pts, self._duration = array("q"), array("q")
        self._flags, self._layer = bytearray(), bytearray()
        self._last_dts: int | None = None
        self._is_sound = True

    def add(self, packet: av.Packet, role: Role) -> None:
        """Note the next packet."""
        pts, dts = packet.pts, packet.dts
        goes_back = dts is not None and self._last_dts is not None and dts < self._last_dts
        if pts is None or packet.is_corrupt or goes_back:
            self._is_sound = False
            return
        self._last_dts = dts if dts is not None else self._last_dts
        self._pts.append(pts)
        self._duration.append(packet.duration or 0)
        self._layer.append(role.layer)
        hidden = _HIDDEN if packet.is_discard else 0  # by an edit list: decoded for others, never shown
        self._flags.append(_ENTRY * role.is_entry | _REFERENCE * role.is_reference | hidden)

    def plan(self, choose: Choose, time_of: Callable[[int], Fraction]) -> PacketPlan | None:
        """Find what is needed; None where the packets give no ground for that, or where it is all of them.

        The first picture is always wanted: it says what the stream's pictures are like.
        """
        if not self._is_sound or not self._flags or not self._flags[0] & _ENTRY:
            return None
        pts = np.frombuffer(self._pts, np.int64)
        shown = np.sort(pts[np.frombuffer(self._flags, np.uint8) & _HIDDEN == 0])
        if not len(shown) or not np.diff(shown).all() or _reordering(pts) > _MAX_REORDER:
            return None
        wanted = sorted({int(shown[place]) for place in (0, *choose(time_of(int(time)) for time in shown))})
        self._settle_references()
        needed, fresh = self._walk(set(wanted))
        if all(needed):
            return None
        last = int(shown[-1])
        return PacketPlan(needed, frozenset(fresh), wanted, last, self._duration[self._pts.index(last)])

    def _settle_references(self) -> None:
        """A non-reference of a lower temporal layer can serve a higher one; one of the highest serves nobody."""
        highest = max(self._layer)
        for place, layer in enumerate(self._layer):
            if layer < highest:
                self._flags[place] |= _REFERENCE

    def _walk(self, wanted: set[int]) -> tuple[bytearray, list[int]]:
        needed, fresh = bytearray(len(self._pts)), []
        entries = [place for place, flags in enumerate(self._flags) if flags & _ENTRY]
        groups = list(pairwise([*entries, len(self._pts)]))
        goes_on = False  # a later group's leading pictures are built on this one, up to its end
        for begin, end in reversed(groups):
            goes_on = self._need_group(begin, end, wanted, needed, goes_on)
        has_gap = False
        for begin, end in groups:
            # an entry counts as a reference: a group that is left out whole is a gap
            leaves_gap = any(self._flags[k] & (_REFERENCE | _ENTRY) and not needed[k] for k in range(begin, end))
            if has_gap and needed[begin]:
                fresh.append(begin)
                self._drop_leading(begin, end, needed)
            has_gap = leaves_gap
        return needed, fresh

    def _need_group(self, begin: int, end: int, wanted: set[int], needed: bytearray, goes_on: bool) -> bool:
        """Mark what one group needs of itself; tell whether it needs all references of the one before."""
        leads = False
        for place in range(end - 1, begin, -1):
            is_wanted = self._pts[place] in wanted and not self._flags[place] & _HIDDEN
            if is_wanted or (goes_on and self._flags[place] & _REFERENCE):
                needed[place] = goes_on = True
            leads |= is_wanted and self._pts[place] < self._pts[begin]
        if goes_on or (self._pts[begin] in wanted and not self._flags[begin] & _HIDDEN):
            needed[begin] = True
        return leads

    def _drop_leading(self, begin: int, end: int, needed: bytearray) -> None:
        """Leave out pictures shown before their group's first: they are built on what is not there."""
        for place in range(begin + 1, end):
            if self._pts[place] < self._pts[begin]:
                needed[place] = False


def _reordering(pts: np.ndarray) -> int:
    """How far a packet stands from its place in the order of presentation, at most."""
    place = np.argsort(np.argsort(pts, kind="stable"), kind="stable")
    return int(np.abs(place - np.arange(len(pts))).max())
