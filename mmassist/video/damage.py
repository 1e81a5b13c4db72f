"""Which pictures can be trusted once something in the data was broken."""

from __future__ import annotations

from typing import Protocol


class Packet(Protocol):
    """The facts about a compressed picture that matter here (as PyAV's packets state them)."""

    @property
    def pts(self) -> int | None: ...
    @property
    def dts(self) -> int | None: ...
    @property
    def is_keyframe(self) -> bool: ...
    @property
    def is_corrupt(self) -> bool: ...


class DamageTracker:
    """Follows the packets in decoding order and tells which pictures may show rubbish.

    A decoder that has met a broken packet goes on with the remains: pictures look plausible but smeared until the next
    key picture. So from the damage to the next sound key packet everything is doubtful, and so are the leading
    pictures of that key packet, which are shown before it and built on what came before the damage. Pictures that were
    decoded before the damage but are shown after it count neither: there is a gap in front of them.
    """

    def __init__(self) -> None:
        self._waits_for_key = False
        self._sound_from: int | None = None  # pts of the key packet that ended the last damage
        self._doubtful: set[int] = set()
        self._doubtful_after: int | None = None  # shown later than this and before ``_sound_from``
        self._last_dts: int | None = None

    def feed(self, packet: Packet) -> None:
        """Note a packet that is about to be decoded."""
        if self._waits_for_key and packet.is_keyframe and not packet.is_corrupt:
            self._waits_for_key = False
            self._sound_from = packet.pts
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            leads = self._sound_from is not None and time < self._sound_from
            if self._waits_for_key or leads:
                self._doubtful.add(time)
        self._last_dts = packet.dts

    def hit(self, pts: int | None) -> None:
        """Note that the packet or picture ``pts``, fed last or earlier, is broken.

        None stands for data lost after the packet fed last. No lost picture can then be shown before that packet's
        decoding time, so up to there the pictures have no gap.
        """
        if not self._waits_for_key:
            self._doubtful_after = pts if pts is not None else self._last_dts
        self._waits_for_key = True
        if pts is not None:
            self._doubtful.add(pts)

    def is_trusted(self, pts: int | None) -> bool:
        """Tell whether the picture ``pts``, coming out of the decoder now, shows what was filmed."""
        if pts is None:
            return not self._waits_for_key
        if pts in self._doubtful:
            self._doubtful.discard(pts)
            return False
        is_after = self._doubtful_after is not None and pts > self._doubtful_after
        is_before_key = self._waits_for_key or (self._sound_from is not None and pts < self._sound_from)
        return not (is_after and is_before_key)
