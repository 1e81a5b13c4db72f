import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmassist.core.errors import ConfigError, ItemError
from mmassist.datasets.wtag import split_of
from mmassist.datasets.wtag_recipe import RECIPES, choose_recipe, choose_recipe_compat, load_knowledge
from tests.mmassist.datasets.source_samples import reasons, render

BASE = 133149280500000007  # odd on purpose: as a float it would move by up to 8 ticks


def ticks(seconds):
    return BASE + round(seconds * 10_000_000)


def rows(*entries):
    return "".join(f"{ticks(a)}\t{ticks(b)}\t{text}\n" for a, b, text in entries)


TIMING = f"{BASE}\n{ticks(100)}\n"
STEPS = [(0, 20, "start"), (21, 40, "Heat: the kettle"), (45, 60, "Grind beans"), (60, 65, "Done")]
GUIDE = [(4, 6, "welcome to the kitchen"), (42, 44, "grind  them: finely"), (70, 72, "well done")]
USER = [(30, 32, "like this?")]
EXPECTED = """\
- [10.0s] start
[21.0s-43.0s] Heat: the kettle
- [31.0s] user: "like this?"
- [43.0s] assistant: "grind them: finely"
[45.0s-60.0s] Grind beans
[60.0s-71.0s] Done
- [71.0s] assistant: "well done"
"""


@pytest.fixture
def write(tmp_path):
    """``write(name, steps, guide, user)`` adds a recording of 100 s; None leaves a file out, text is written as is."""

    def make(name="T1", steps=STEPS, guide=GUIDE, user=USER, timing=TIMING):
        folder = tmp_path / "datasets" / "WTaG" / name
        files = {
            "Video/VideoMpegTiming.txt": timing,
            "StepDetection/StepDetection.txt": steps,
            "TextASR/InstructorAnnotations_intent.txt": guide,
            "TextASR/UserAnnotations_intent.txt": user,
        }
        for file, content in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                text = content if isinstance(content, (str, bytes)) else rows(*content)
                (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


@pytest.fixture
def load(write, make_adapter):
    def annotate(compat=False, **files):
        adapter = make_adapter("wtag", write(**files), compat)
        return adapter.load_annotation(adapter.list_items().dialogs[0])

    return annotate


def test_a_step_is_what_the_step_file_says(load):
    annotation = load()
    assert render(annotation, is_wtag=True) == EXPECTED
    assert [step.is_marker for step in annotation.steps] == [True, False, False, False]
    assert annotation.duration_s == 100.0
    assert annotation.ann_ratio == pytest.approx((19 + 15 + 5) / 100)
    assert reasons(annotation.drops) == {"InstructorAnnotations_intent.txt:1": "before the start"}
    assert (annotation.goal, annotation.domain) == ("Make pour-over coffee", "cooking")


def test_compat_takes_a_colon_for_speech(load):
    annotation = load(compat=True)
    assert [step.text for step in annotation.steps] == ["start", "Grind beans", "Done"]
    assert annotation.steps[0].substeps[0].text == "Heat: the kettle"
    assert annotation.goal == "Make a mug cake"  # nobody says "coffee"


def test_times_are_exact_to_the_tick(load):
    steps = f"{BASE + 1}\t{BASE + 3}\tPlace tortilla\n"
    annotation = load(steps=steps, guide=[], user=[])
    assert (annotation.steps[0].start_s, annotation.steps[0].end_s) == (1e-7, 3e-7)


def test_rows_in_any_order_give_the_same(load):
    mixed = [STEPS[2], STEPS[0], STEPS[3], STEPS[1], STEPS[2]]
    annotation = load(steps=mixed, guide=GUIDE[::-1])
    assert render(annotation, is_wtag=True) == EXPECTED
    assert reasons(annotation.drops)["StepDetection.txt:5"] == "copy of another row"


def test_a_bad_row_costs_only_itself(load):
    bad = (
        "\n\nnot a row\n1e17\t2e17\tfloats\n"
        + f"{ticks(50)}\t{ticks(51)}\t  \n"
        + f"{ticks(200)}\t{ticks(201)}\tlate\n"
    )
    annotation = load(steps="\ufeff" + rows(*STEPS).replace("\n", "\r\n") + bad)
    assert render(annotation, is_wtag=True) == EXPECTED
    assert {record: reason for record, reason in reasons(annotation.drops).items() if record.startswith("Step")} == {
        "StepDetection.txt:7": "no text",
        "StepDetection.txt:8": "no start time",
        "StepDetection.txt:9": "no text",
        "StepDetection.txt:10": "beyond the video",
    }


def test_repaired_rows_stay(load):
    annotation = load(steps=[(0, 20, "START"), (90, 130, "Grind beans"), (50, 40, "Set timer")], guide=[], user=[])
    assert [(step.text, step.start_s, step.end_s) for step in annotation.steps] == [
        ("start", 10.0, 20.0),
        ("Set timer", 50.0, 50.0),
        ("Grind beans", 90.0, 100.0),
    ]
    assert sorted(reasons(annotation.drops).values()) == [
        "end cut to the video",
        "no usable end time, made an instant",
    ]


def test_without_a_start_row_nothing_is_cut_off(load):
    annotation = load(steps=STEPS[1:])
    assert [step.text for step in annotation.steps] == ["Heat: the kettle", "Grind beans", "Done"]
    assert annotation.steps[0].substeps[0].text == "welcome to the kitchen"


def test_missing_speech_and_odd_bytes_are_survived(load):
    annotation = load(guide=None, user=b"%d\t%d\tcaf\xe9 ready\n" % (ticks(30), ticks(32)))
    assert annotation.steps[1].substeps[0].text == "caf\ufffd ready"
    assert reasons(annotation.drops) == {
        "InstructorAnnotations_intent.txt": "file missing",
        "UserAnnotations_intent.txt": "not wholly UTF-8, the odd bytes became U+FFFD",
    }


def test_only_a_start_is_no_annotation(load):
    annotation = load(steps=STEPS[:1])
    assert annotation.ann_ratio == 0.0
    assert "no step" in reasons(annotation.drops).values()


def test_listing_ignores_what_is_no_recording(write, make_adapter):
    for name in ("T1", "T9", "T10", "T55a"):
        root = write(name)
    write("T2", steps=None)
    write("T3", timing="12\n")
    write("T4", timing="20\n10\n")
    folder = root / "datasets" / "WTaG"
    (folder / "notes.txt").write_text("stray")
    (folder / "assets").mkdir()
    (folder / "backup").mkdir()
    adapter = make_adapter("wtag", root)
    listing = adapter.list_items()
    assert [(i.key, i.split, i.participant, i.duration_s) for i in listing.dialogs] == [
        ("T1", "train", None, 100.0),
        ("T10", "train", None, 100.0),
        ("T9", "val", None, 100.0),
    ]
    assert listing.media[0].sources == ("datasets/WTaG/T1/Video/Video.mpeg",)
    assert {drop.recording: drop.reason for drop in listing.drops} == {
        "T2": "no StepDetection/StepDetection.txt",
        "T3": "no usable Video/VideoMpegTiming.txt",
        "T4": "no usable Video/VideoMpegTiming.txt",
        "T55a": "in dataset.ignored",
        "": "no usable recipe_coffee.txt, recipe_pinwheel.txt, recipe_cake.txt in assets; "
        "a short built-in list of the main actions is used",
        "backup": "not a recording folder",
        "notes.txt": "not a recording folder",
    }
    (folder / "T1" / "Video" / "VideoMpegTiming.txt").unlink()
    with pytest.raises(ItemError, match="VideoMpegTiming"):
        adapter.load_annotation(listing.dialogs[0])


def test_only_validation_recordings_is_no_data_set(write, make_adapter):
    with pytest.raises(ConfigError, match="no annotated training recording"):
        make_adapter("wtag", write("T9")).list_items()


def test_digest_follows_text_and_recipes(write, make_adapter):
    def digests(**files):
        root = write(**files)
        return root, make_adapter("wtag", root).list_items().dialogs[0].digest

    root, first = digests()
    assert digests()[1] == first
    assert digests(user=[])[1] != first
    assets = root / "datasets" / "WTaG" / "assets"
    assets.mkdir()
    (assets / "recipe_cake.txt").write_text("Cake\n1. Bake.\n")
    assert digests()[1] != first


def test_digest_is_free_of_order_line_ends_and_what_is_not_read(write, make_adapter):
    def digest(compat=False, **files):
        return make_adapter("wtag", write(**files), compat).list_items().dialogs[0].digest

    same = [
        {"steps": STEPS[::-1]},
        {"guide": rows(*GUIDE).replace("\n", "\r\n")},
        {"guide": "\ufeff" + rows(*GUIDE).replace("\n", "\tInstruction\tDetails\n")},
        {"timing": TIMING.replace("\n", " \r\n")},
    ]
    first = digest()
    assert [digest(**files) for files in same] == [first] * len(same)
    assert digest(steps=[*STEPS[:-1], (60, 66, "Done")]) != first
    # the reference keeps the file's order where times are equal
    assert digest(compat=True) != digest(compat=True, steps=STEPS[::-1])


def test_a_line_ends_with_its_line_end_alone(load, write, make_adapter):
    """Speech may hold characters that some call line ends."""
    annotation = load(user=rows((30, 32, "like\u2028this?\x85Or\x0bso")))
    assert [s.text for step in annotation.steps for s in step.substeps if s.role == "user"] == ["like this? Or so"]
    assert [drop.reason for drop in annotation.drops] == ["before the start"]
    assert len(load(user=rows(*USER).replace("\n", "\r")).steps[1].substeps) == 2


def test_a_file_that_may_not_be_read_costs_its_recording(write, make_adapter, monkeypatch):
    write("T2")
    root = write("T1")
    read_bytes = Path.read_bytes

    def refuse(path):
        if "T1" in path.parts and path.name == "VideoMpegTiming.txt":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)  # the tests may run as root, who may read everything
    listing = make_adapter("wtag", root).list_items()
    assert [item.key for item in listing.dialogs] == ["T2"]
    assert reasons(listing.drops)["T1"] == "no usable Video/VideoMpegTiming.txt"


def test_the_split_is_a_function_of_the_name():
    names = [f"T{number}" for number in range(1, 55)]
    val = [name for name in names if split_of(name) == "val"]
    assert sorted(val) == ["T46", "T47", "T48", "T49", "T5", "T50", "T51", "T52", "T53", "T54", "T6", "T7", "T8", "T9"]
    assert split_of("T99") == "train"


@pytest.mark.parametrize(
    ("steps", "said", "goal", "reference"),
    [
        (["Assemble filter cone"], [], "Make pour-over coffee", "Make a mug cake"),
        (["Whisk batter"], ["use the coffee mug"], "Make a mug cake", "Make pour-over coffee"),
        (["Place Tortilla"], ["I want coffee now"], "Make pinwheels", "Make pour-over coffee"),
        (["Repeat"], ["we make pinwheels"], "Make pinwheels", "Make a mug cake"),
        (["Repeat"], [], "Make a mug cake", "Make a mug cake"),
    ],
)
def test_choice_of_the_recipe(steps, said, goal, reference):
    recipe, is_known = choose_recipe(steps, said)
    assert recipe.goal == goal
    assert choose_recipe_compat([*steps, *said]).goal == reference
    assert is_known == (steps != ["Repeat"] or bool(said))


def test_knowledge_is_the_publishers_text_where_it_is_there():
    coffee = RECIPES[0]
    text, is_published = load_knowledge(coffee, ["", "no steps here"])
    assert text.splitlines()[:2] == ["Pour-over Coffee", f"1. {coffee.steps[0]}"] and not is_published
    published = "My Coffee\n\nIngredients\n1 cup\n\nSteps\n1. Take 1\u20442-\ninch\n of it.\n2. Drink.\n"
    assert load_knowledge(coffee, ["", published]) == ("My Coffee\n1. Take 1/2-inch of it.\n2. Drink.", True)


def test_the_built_in_recipes_are_named_once_per_listing(write, make_adapter):
    assets = write() / "datasets" / "WTaG" / "assets"
    assets.mkdir()
    (assets / "recipe_coffee.txt").write_bytes(b"Caf\xe9\n1. Brew.\n")
    write("T2")
    adapter = make_adapter("wtag", assets.parents[2])
    listing = adapter.list_items()
    (told,) = [drop for drop in listing.drops if drop.record == "recipes"]
    assert told.reason.startswith("no usable recipe_pinwheel.txt, recipe_cake.txt in assets; a short built-in list")
    annotation = adapter.load_annotation(listing.dialogs[0])
    assert annotation.knowledge == "Caf\ufffd\n1. Brew."
    assert reasons(annotation.drops)["recipe_coffee.txt"] == "not wholly UTF-8, the odd bytes became U+FFFD"


@pytest.mark.parametrize(
    ("steps", "texts", "reason"),
    [
        ([(0, 4000, "start"), *STEPS[1:]], ["start", "Heat: the kettle", "Grind beans", "Done"], "cut there"),
        ([(0, 30, "start"), *STEPS[1:]], ["start", "Heat: the kettle", "Grind beans", "Done"], "cut there"),
        ([*STEPS[1:], (70, 75, "Start")], ["Heat: the kettle", "Grind beans", "Done"], "among the steps, ignored"),
        ([STEPS[1], (70, 75, "Start")], ["Heat: the kettle"], "among the steps, ignored"),
        ([*STEPS, (70, 75, "Start")], ["start", "Heat: the kettle", "Grind beans", "Done"], "among the steps, ignored"),
        (
            [(0, 2, "Wash"), (3, 20, "start"), *STEPS[1:]],
            ["start", "Heat: the kettle", "Grind beans", "Done"],
            "before",
        ),
    ],
)
def test_a_wrong_start_row_costs_no_step(load, steps, texts, reason):
    annotation = load(steps=steps, guide=[])
    assert [step.text for step in annotation.steps] == texts
    assert any(reason in found for found in reasons(annotation.drops).values())
    assert annotation.ann_ratio >= 0.19


def test_compat_takes_the_start_row_as_it_is(load):
    assert [step.text for step in load(compat=True, steps=[*STEPS[1:], (70, 75, "Start")]).steps] == ["start"]


def test_a_senseless_clock_is_none(write, make_adapter):
    write("T2", timing=f"{BASE}\n{BASE + 10**14}\n")
    drops = make_adapter("wtag", write()).list_items().drops
    assert reasons(drops)["T2"] == "no usable Video/VideoMpegTiming.txt"


def test_parity_with_the_published_reading(sample_root, sample_data, make_adapter):
    published = json.loads((sample_data / "extra/proassist-outputs/wtag/generated_dialogs/T1.json").read_text())
    adapter = make_adapter("wtag", sample_root, compat=True, recipe_dirs=["../extra/wtag-recipes"])
    annotation = adapter.load_annotation(adapter.list_items().dialogs[0])
    parsed = published["parsed_video_anns"]
    assert render(annotation, is_wtag=True) == parsed["all_step_descriptions"]
    assert annotation.duration_s == parsed["duration"]
    assert annotation.ann_ratio == parsed["ann_ratio"]
    assert len(annotation.steps) == parsed["num_steps"]
    assert annotation.goal == published["inferred_goal"]


def test_published_recipes_are_read_whole(sample_data):
    folder = sample_data / "extra" / "wtag-recipes"
    read = [load_knowledge(recipe, [(folder / recipe.file).read_text()]) for recipe in RECIPES]
    texts = [text for text, is_published in read if is_published]
    assert [text.splitlines()[0] for text in texts] == [recipe.title for recipe in RECIPES]
    assert [len(text.splitlines()) - 1 for text in texts] == [8, 12, 12] == [len(r.steps) for r in RECIPES]
    assert not any("\u2044" in text for text in texts)


def test_published_sample(sample_root, make_adapter):
    """The numbers of docs/sources/wtag.md and docs/differences.md."""
    adapter = make_adapter("wtag", sample_root, recipe_dirs=["../extra/wtag-recipes"])
    listing = adapter.list_items()
    assert {drop.recording: drop.reason for drop in listing.drops} == {
        "T55a": "in dataset.ignored",
        "T55b": "in dataset.ignored",
    }
    first = adapter.load_annotation(listing.dialogs[0])
    assert (len(first.steps), sum(len(step.substeps) for step in first.steps)) == (14, 21)
    assert reasons(first.drops) == {"InstructorAnnotations_intent.txt:1": "before the start"}
    assert round(first.ann_ratio, 4) == 0.7272
    assert len(first.knowledge.splitlines()) == 1 + 12


def test_raw_records_are_the_rows_of_all_files(write, make_adapter):
    adapter = make_adapter("wtag", write(steps=f"\n{ticks(1)}\t{ticks(2)}\tcut\tmore\nodd row\n", user=None))
    (item,) = adapter.list_items().dialogs
    records = {record.where: record.value for record in adapter.load_records(item)}
    assert records["T1/StepDetection/StepDetection.txt line 2"] == [str(ticks(1)), str(ticks(2)), "cut", "more"]
    assert records["T1/StepDetection/StepDetection.txt line 3"] == ["odd row"]
    assert records["T1/Video/VideoMpegTiming.txt line 1"] == [str(BASE)]
    assert len(records) == 2 + 2 + len(GUIDE)
    with pytest.raises(ItemError, match="none of its files"):
        adapter.load_records(replace(item, recording="T9"))


@pytest.mark.parametrize(("folders", "expected"), [(["assets"], "assets/"), (["a", "b"], "*/"), ([], "*/")])
def test_needs_are_found_by_pattern(write, make_adapter, folders, expected):
    adapter = make_adapter("wtag", write(), recipe_dirs=folders)
    needs = adapter.list_needs()
    found = {need.path: any(adapter.source.root.glob(need.path)) for need in needs if need.path.startswith("T*")}
    assert len(found) == 4 and all(found.values())
    optional = {need.path for need in needs if not need.is_required}
    assert {f"{expected}{recipe.file}" for recipe in RECIPES} < optional
