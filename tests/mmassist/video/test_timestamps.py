from __future__ import annotations

from mmassist.video.timestamps import TimestampGuesser


def test_sound_presentation_times_are_kept():
    guesser = TimestampGuesser()
    assert [guesser.guess(pts, pts - 2) for pts in (0, 1, 2, 3)] == [0, 1, 2, 3]


def test_presentation_times_that_jump_about_lose_against_decoding_times():
    guesser = TimestampGuesser()
    pairs = [(2, 4), (8, 6), (6, 8), (10, 10), (4, 12), (16, 14)]
    assert [guesser.guess(*pair) for pair in pairs][2:] == [8, 10, 12, 14]


def test_a_missing_stamp_is_replaced_by_the_other():
    guesser = TimestampGuesser()
    assert [guesser.guess(None, 0), guesser.guess(1, None), guesser.guess(None, None)] == [0, 1, None]
