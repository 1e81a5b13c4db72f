from __future__ import annotations

from dataclasses import dataclass

from mmassist.video.damage import DamageTracker


@dataclass
class P:
    pts: int | None
    is_keyframe: bool = False
    is_corrupt: bool = False
    dts: int | None = None


def feed(tracker, *packets):
    for packet in packets:
        tracker.feed(packet)


def trusted(tracker, numbers):
    return [n for n in numbers if tracker.is_trusted(n)]


def test_without_damage_every_picture_counts():
    tracker = DamageTracker()
    feed(tracker, P(0, True), P(3), P(1), P(2))
    assert trusted(tracker, range(4)) == [0, 1, 2, 3]


def test_from_the_damage_to_the_next_key_picture_nothing_counts():
    tracker = DamageTracker()
    feed(tracker, P(0, True), P(1), P(2))
    tracker.hit(2)
    feed(tracker, P(3), P(4, True), P(5))
    assert trusted(tracker, range(6)) == [0, 1, 4, 5]


def test_pictures_led_by_the_key_picture_but_built_on_the_damage_do_not_count():
    tracker = DamageTracker()
    feed(tracker, P(0, True), P(1))
    tracker.hit(1)
    feed(tracker, P(5, True), P(3), P(4), P(6))  # 3 and 4 are decoded after key picture 5 and shown before it
    assert trusted(tracker, [0, 1, 3, 4, 5, 6]) == [0, 5, 6]


def test_what_is_shown_after_a_gap_does_not_count_though_it_was_decoded_before_it():
    tracker = DamageTracker()
    feed(tracker, P(0, True, dts=0), P(4, dts=1), P(1, dts=2))  # pictures 2 and 3 are cut off
    tracker.hit(None)
    assert trusted(tracker, [0, 1, 4]) == [0, 1]


def test_a_broken_key_picture_does_not_end_the_damage():
    tracker = DamageTracker()
    tracker.hit(None)
    feed(tracker, P(0, True, is_corrupt=True), P(1), P(2, True))
    assert trusted(tracker, range(3)) == [2]
