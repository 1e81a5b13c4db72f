"""Plans over made-up streams whose pictures say what they are built on: a decoder of our own checks every plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from mmassist.video.bitstream import Role
from mmassist.video.packet_plan import PacketPlan, PacketTable


@dataclass
class Packet:
    pts: int
    dts: int | None
    built_on: set[int] = field(default_factory=set)  # places of the pictures it refers to
    is_entry: bool = False
    is_reference: bool = True
    is_corrupt: bool = False
    is_discard: bool = False
    duration: int = 1


@st.composite
def streams(draw) -> list[Packet]:
    """Groups of pictures, open and closed, with reference and disposable B pictures, in decoding order."""
    packets: list[Packet] = []
    pts = 0
    for group in range(draw(st.integers(1, 5))):
        num_leading = draw(st.integers(0, 3)) if group else 0
        # what is shown after an entry is built on nothing that is decoded before it or shown before it
        last = max((k for k, p in enumerate(packets) if p.is_entry), default=0)
        since = [k for k in range(last, len(packets)) if packets[k].pts >= packets[last].pts]
        before = [k for k in since if packets[k].is_reference][-3:]
        entry = len(packets)
        packets.append(Packet(pts + num_leading, None, is_entry=True))
        for lead in range(num_leading):  # shown before the entry, built on it and on the group before
            packets.append(Packet(pts + lead, None, {entry, *before}, is_reference=draw(st.booleans())))
        pts += num_leading + 1
        references = [entry]
        for _ in range(draw(st.integers(0, 5))):
            num_b = draw(st.integers(0, 3))
            anchor = len(packets)
            packets.append(Packet(pts + num_b, None, set(references[-2:])))
            references.append(anchor)
            for b in range(num_b):
                is_reference = draw(st.booleans())
                packets.append(Packet(pts + b, None, set(references[-2:]), is_reference=is_reference))
                if is_reference:
                    references.append(len(packets) - 1)
            pts += num_b + 1
    for place, packet in enumerate(packets):
        packet.dts = place
    return packets


def plan_of(packets: list[Packet], chosen: set[int]) -> PacketPlan | None:
    table = PacketTable()
    for packet in packets:
        table.add(packet, Role(packet.is_entry, packet.is_reference))
    return table.plan(lambda times: {place for place, _ in enumerate(times) if place in chosen}, Fraction)


def decode(packets: list[Packet], plan: PacketPlan) -> list[int]:
    """What a decoder shows that is fed only what is needed, and holds nothing once it has been emptied."""
    shown, held = [], set()
    for place, packet in enumerate(packets):
        if not plan.needed[place]:
            continue
        if place in plan.fresh:
            assert packet.is_entry
            held = set()
        assert packet.built_on <= held, f"picture {packet.pts} lacks what it is built on"
        if packet.is_reference:
            held.add(place)
        shown.append(packet.pts)
    return sorted(shown)


@given(streams(), st.sets(st.integers(0, 80), max_size=12))
def test_every_wanted_picture_has_all_that_it_is_built_on(packets, chosen):
    plan = plan_of(packets, chosen)
    if plan is None:
        return
    shown = decode(packets, plan)
    assert set(plan.wanted) <= set(shown)
    assert plan.wanted[0] == min(p.pts for p in packets)
    assert plan.last_pts == max(p.pts for p in packets)


@given(streams(), st.sets(st.integers(0, 80), max_size=12))
def test_nothing_is_fed_that_could_be_spared(packets, chosen):
    plan = plan_of(packets, chosen)
    if plan is None:
        return
    for place, packet in enumerate(packets):
        if plan.needed[place] and packet.pts not in plan.wanted:
            assert packet.is_reference, "only wanted pictures and references are decoded"
            later = [k for k in range(place + 1, len(packets)) if plan.needed[k]]
            assert later, "nothing is decoded behind the last wanted picture"


@given(streams())
def test_a_gap_is_always_followed_by_a_fresh_start(packets):
    plan = plan_of(packets, {0, 20})
    if plan is None:
        return
    has_gap = False
    for place, packet in enumerate(packets):
        if plan.needed[place]:
            assert not has_gap or place in plan.fresh
            has_gap = False
        elif packet.is_reference and not (packet.pts < max(p.pts for p in packets[: place + 1])):
            has_gap = True


def test_the_tail_of_a_group_and_disposable_pictures_are_left_out():
    order = [(0, True, True), (3, False, True), (1, False, False), (2, False, False), (4, False, True), (5, True, True)]
    packets = [Packet(pts, k, set(), entry, ref) for k, (pts, entry, ref) in enumerate(order)]
    plan = plan_of(packets, {0, 2, 5})
    assert plan is not None
    assert list(plan.needed) == [1, 1, 0, 1, 0, 1]
    assert plan.fresh == {5}
    assert list(plan.wanted) == [0, 2, 5]


def test_stamps_that_cannot_be_trusted_give_no_plan():
    def sound() -> list[Packet]:
        return [Packet(k, k, is_entry=k % 10 == 0) for k in range(40)]

    assert plan_of(sound(), {0, 20}) is not None
    for break_it in (
        lambda p: setattr(p[7], "pts", None),
        lambda p: setattr(p[7], "pts", 8),  # twice
        lambda p: setattr(p[7], "dts", 3),  # backwards
        lambda p: setattr(p[7], "pts", 39_000),  # far from its place
        lambda p: setattr(p[7], "is_corrupt", True),
        lambda p: setattr(p[0], "is_entry", False),
    ):
        packets = sound()
        break_it(packets)
        if packets[7].pts == 39_000:
            packets[7].pts = 100
            packets[8:8] = [Packet(41 + k, 7) for k in range(30)]
        assert plan_of(packets, {0, 20}) is None


def test_hidden_pictures_are_fed_but_never_wanted():
    packets = [Packet(k - 3, k, is_entry=k in (0, 6), is_discard=k < 3) for k in range(12)]
    plan = plan_of(packets, {0, 1})
    assert plan is not None
    assert list(plan.wanted) == [0, 1]
    assert list(plan.needed) == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_where_all_is_needed_there_is_no_plan():
    assert plan_of([Packet(k, k, is_entry=k == 0) for k in range(10)], {9}) is None


def test_layers_below_the_highest_are_references():
    table = PacketTable()
    roles = [Role(True, True, 0), Role(False, False, 0), Role(False, False, 1), Role(True, True, 0)]
    for place, role in enumerate(roles):
        table.add(Packet(place, place, is_entry=role.is_entry), role)
    plan = table.plan(lambda times: {0, 2}, Fraction)
    assert plan is not None and list(plan.needed) == [1, 1, 1, 0]
