from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.annotation import Annotation, ReferenceForm, Step, Substep
from mmassist.core.errors import ItemError
from mmassist.dialog.annotation import MAX_TEXT_CHARS, ClipRule, cut_clips, render_description

STEP = re.compile(r"\[([\d.]+)s-([\d.]+)s\] (.*?)(?: \(((?:mistake|correction).*)\))?")
MARKER = re.compile(r"- \[([\d.]+)s\] (start)")
SPEECH = re.compile(r' ?- \[([\d.]+)s\] (user|assistant): "(.*)"')
ACTION = re.compile(r" - \[([\d.]+)s-([\d.]+)s\] (.*?)(?: \(ERROR: (.*)\))?")


FORMS = {
    "wtag": ReferenceForm(is_flush_left=True),
    "egoexolearn": ReferenceForm(has_last_line_end=False),
    "epickitchens": ReferenceForm(has_last_line_end=False),
    "assembly101": ReferenceForm(window_cut_s=1.0),
}


def annotation_of_text(text: str, dataset: str) -> Annotation:
    """Read a published description back into an annotation."""
    steps: list[Step] = []
    summary = ""
    for line in text.splitlines():
        if m := STEP.fullmatch(line):
            steps.append(Step(float(m[1]), float(m[2]), m[3], note=m[4] or ""))
        elif m := MARKER.fullmatch(line):
            steps.append(Step(float(m[1]), float(m[1]), m[2], is_marker=True))
        elif m := SPEECH.fullmatch(line):
            steps[-1] = replace(steps[-1], substeps=(*steps[-1].substeps, Substep(float(m[1]), m[3], role=m[2])))
        elif m := ACTION.fullmatch(line):
            substep = Substep(float(m[1]), m[3], float(m[2]), note=m[4] or "")
            steps[-1] = replace(steps[-1], substeps=(*steps[-1].substeps, substep))
        else:
            assert line.startswith("Summary: "), line
            summary = line.removeprefix("Summary: ")
    form = FORMS.get(dataset, ReferenceForm())
    return Annotation(dataset, "x", "d", "k", "", tuple(steps), 1000.0, 1.0, summary=summary, reference_form=form)


def published(sample_data: Path, dataset: str) -> dict[str, Any]:
    (path,) = (sample_data / "extra" / "proassist-outputs" / dataset / "generated_dialogs").glob("*.json")
    return json.loads(path.read_text())["parsed_video_anns"]


# The window size of each published file; HoloAssist's, EPIC's and EgoExoLearn's differ from the released code's.
RULES = {
    "holoassist": ClipRule(10, "units"),
    "wtag": ClipRule(6, "steps"),
    "egoexolearn": ClipRule(9, "steps", num_before=5, num_after=4),
    "epickitchens": ClipRule(9, "steps", num_before=5, num_after=4),
    "assembly101": ClipRule(6, "steps"),
}


@pytest.mark.parametrize("dataset", RULES)
def test_the_reference_rules_give_the_published_text_and_windows(sample_data: Path, dataset: str) -> None:
    expected = published(sample_data, dataset)
    annotation = annotation_of_text(expected["all_step_descriptions"], dataset)
    assert render_description(annotation, compat=True) == expected["all_step_descriptions"]
    clips = cut_clips(annotation, RULES[dataset], compat=True)[: len(expected["clips"])]
    assert [clip.text for clip in clips] == [text for _, _, text in expected["clips"]]
    for clip, (start_s, end_s, _) in zip(clips, expected["clips"], strict=True):
        assert clip.start_s == pytest.approx(start_s, abs=0.051)
        assert clip.end_s == pytest.approx(end_s, abs=0.051)


def test_every_kind_of_line(tea: Annotation) -> None:
    assert render_description(tea, compat=False).splitlines() == [
        "[2.0s-9.0s] fill kettle",
        "[10.0s-18.0s] boil water",
        ' - [13.0s] user: "is that enough?"',
        ' - [14.0s] assistant: "yes that is plenty"',
        "[20.0s-28.0s] add sugar",
        " - [24.0s-26.0s] grab salt (ERROR: wrong jar)",
        "[30.0s-36.0s] stir (mistake: wrong order)",
        "[40.0s-50.0s] serve",
        "Summary: Somebody makes tea.",
    ]


def test_substeps_are_shown_inside_the_window_only(tea: Annotation) -> None:
    first, second = cut_clips(tea, ClipRule(3, "units"), compat=False)
    assert "is that enough?" in first.text and "wrong jar" not in first.text
    assert "wrong jar" in second.text and "is that enough?" not in second.text
    assert all("[40.0s-50.0s] serve" in clip.text and "Summary" in clip.text for clip in (first, second))


def test_corrected_windows_count_lines_and_the_reference_line_breaks(tea: Annotation) -> None:
    assert [(c.first_step, c.last_step) for c in cut_clips(tea, ClipRule(3, "units"), compat=False)] == [(0, 2), (2, 5)]
    assert [(c.first_step, c.last_step) for c in cut_clips(tea, ClipRule(3, "units"), compat=True)] == [(0, 3), (3, 5)]


def test_seven_steps_a_window() -> None:
    steps = tuple(Step(10.0 * n, 10.0 * n + 5, f"step {n}", substeps=(Substep(10.0 * n, "x"),) * 3) for n in range(16))
    annotation = Annotation("d", "k", "", "", "", steps, 200.0, 1.0)
    clips = cut_clips(annotation, ClipRule(6, "steps"), compat=False)
    assert [(c.first_step, c.last_step) for c in clips] == [(0, 7), (7, 14), (14, 16)]


def test_the_reference_ends_windows_of_one_source_a_second_early() -> None:
    steps = (Step(10.0, 12.5, "attach wheel"), Step(20.0, 22.0, "attach roof"))
    annotation = Annotation("x", "k", "", "", "", steps, 12.0, 1.0, start_s=8.0, reference_form=FORMS["assembly101"])
    assert [(c.start_s, c.end_s) for c in cut_clips(annotation, ClipRule(0, "steps"), True)] == [
        (10.0, 11.5),
        (20.0, 21.0),
    ]
    assert [(c.start_s, c.end_s) for c in cut_clips(annotation, ClipRule(0, "steps"), False)] == [
        (10.0, 12.5),
        (20.0, 22.0),
    ]


def test_a_corrected_window_covers_late_speech_and_early_speech() -> None:
    steps = (
        Step(10.0, 12.0, "a", substeps=(Substep(4.0, "hello", role="user"), Substep(17.0, "fine", role="user"))),
        Step(20.0, 22.0, "b"),
    )
    annotation = Annotation("d", "k", "", "", "", steps, 30.0, 1.0)
    assert [(c.start_s, c.end_s) for c in cut_clips(annotation, ClipRule(0, "steps"), False)] == [
        (4.0, 17.0),
        (20.0, 22.0),
    ]
    assert [(c.start_s, c.end_s) for c in cut_clips(annotation, ClipRule(0, "steps"), True)] == [
        (10.0, 12.0),
        (20.0, 22.0),
    ]


def test_a_step_that_ends_behind_the_video_does_not_stretch_the_window() -> None:
    annotation = Annotation("d", "k", "", "", "", (Step(10.0, 30.08, "a"),), 30.03, 1.0)
    assert cut_clips(annotation, ClipRule(), False)[0].end_s == 30.0


times = st.floats(0, 500, allow_nan=False).map(lambda t: round(t, 2))
step_lists = st.lists(st.tuples(times, st.floats(0, 20).map(lambda t: round(t, 2))), min_size=1, max_size=20)


@given(step_lists, st.integers(0, 8), st.sampled_from(["steps", "units"]))
def test_corrected_windows_hold_every_step_once_and_never_overlap(
    spans: list[tuple[float, float]], max_units: int, counts: Any
) -> None:
    steps = tuple(Step(start, start + length, "do it") for start, length in sorted(spans))
    annotation = Annotation("d", "k", "", "", "", steps, 0.0, 1.0)
    clips = cut_clips(annotation, ClipRule(max_units, counts), compat=False)
    assert [i for c in clips for i in range(c.first_step, c.last_step)] == list(range(len(steps)))
    assert all(clip.start_s < clip.end_s for clip in clips)
    assert all(left.end_s <= right.start_s for left, right in pairwise(clips))
    for clip in clips:
        for step in steps[clip.first_step : clip.last_step]:
            assert clip.start_s <= step.start_s <= clip.end_s + 0.1


def test_long_texts_are_cut_in_the_description(tea: Annotation) -> None:
    long = replace(tea, steps=(Step(2.0, 9.0, "word " * 1000, note="why" * 1000),), summary="")
    (line,) = render_description(long, compat=False).splitlines()
    assert line.startswith("[2.0s-9.0s] word word") and line.count("...") == 2
    assert len(line) < 2 * MAX_TEXT_CHARS + 20
    assert len(render_description(long, compat=True)) > 8000


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("end_s", [1e8, 1.7e308])
def test_times_that_no_answer_can_hold_fail_the_item(tea: Annotation, end_s: float, compat: bool) -> None:
    endless = replace(tea, steps=(Step(0.0, end_s, "hold"),), duration_s=end_s)
    with pytest.raises(ItemError, match="beyond 1000000 s"):
        cut_clips(endless, ClipRule(), compat)


def test_a_step_without_end_is_cut_at_the_end_of_the_video(tea: Annotation) -> None:
    (clip,) = cut_clips(replace(tea, steps=(Step(0.0, 1.7e308, "hold"),)), ClipRule(), compat=False)
    assert (clip.start_s, clip.end_s) == (0.0, 60.0)
