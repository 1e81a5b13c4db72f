from mmassist.core.annotation import Step
from mmassist.datasets.row_steps import TimedRow, build_steps, build_steps_compat
from tests.mmassist.datasets.source_samples import reasons

ROWS = [
    TimedRow(5.0, 7.0, "stir", "b"),
    TimedRow(1.0, 2.0, "fill", "a"),
    TimedRow(1.0, 2.0, "fill", "a again"),
    TimedRow(None, 3.0, "pour", "c"),
    TimedRow(8.0, 30.0, "serve", "d"),
    TimedRow(20.0, 21.0, "wash", "e"),
]


def test_steps_are_in_order_of_time_and_every_row_is_a_step_or_a_drop():
    drops = []
    assert build_steps(ROWS, "x", 10.0, drops) == (
        Step(1.0, 2.0, "fill"),
        Step(5.0, 7.0, "stir"),
        Step(8.0, 10.0, "serve"),
    )
    assert reasons(drops) == {
        "a again": "copy of another step",
        "c": "no start time",
        "d": "end cut to the video",
        "e": "beyond the video",
    }


def test_the_reference_takes_rows_as_they_are():
    drops = []
    steps = build_steps_compat(ROWS, "x", drops)
    assert [step.text for step in steps] == ["fill", "fill", "stir", "serve", "wash"]
    assert steps[3].end_s == 30.0 and reasons(drops) == {"c": "no start or end time"}
