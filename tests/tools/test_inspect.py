"""One item beside the publisher's records: by key, by recording, by the key of its video, and for mistaken users."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmassist.core.adapter import Content
from mmassist.core.annotation import Caption, CaptionTrack
from mmassist.core.errors import ConfigError, ItemError, Kind
from mmassist.core.item import Drop, Item, ItemKind, Listing, Medium
from tests.mmassist.datasets.test_captaincook4d import ERRORS, GRAPH, STEPS
from tools.console import make_console
from tools.doctor.words import open_jobs
from tools.inspect.__main__ import main
from tools.inspect.look import find_item, look_at_item, plain_value
from tools.inspect.render import MAX_CHARS, MAX_ROWS, print_keys, print_look, shorten

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def ask(demo_root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``ask(words…)`` gives exit code and output over the demonstration's data."""

    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "models=tiny", f"paths.data_root={demo_root}"])
        return code, capsys.readouterr().out

    return run


def test_an_item_beside_its_records(ask) -> None:
    code, text = ask("dataset=wtag", "key=T1")
    assert code == 0
    for words in (
        "dialog item of recording 'T1', official split train, side train",
        "annotation time 0 is second 0 of media item T1",
        "datasets/WTaG/T1/Video/Video.mpeg",
        "1 of 1 files there",
        "cooking recipe",
        "enough for min_ann_ratio 0.3",
        "- [",  # the model's text
        "generation windows",
        "T1/StepDetection/StepDetection.txt line 1",
        "before the start",
        "1 records repaired or left out in this item",
    ):
        assert words in text, words


def test_everything_whole_as_json(ask) -> None:
    row = json.loads(ask("dataset=holoassist", "key=R904-6May-Lamp", "--json")[1])
    assert (row["kind"], row["item"]["key"], row["side"]) == ("dialog", "R904-6May-Lamp", "val")
    assert row["dialogs"] == ["R904-6May-Lamp"] and row["media"]["medium"] == "video"
    assert row["sources"][0]["is_there"] and row["sources"][0]["num_bytes"] > 1000
    assert row["annotation"]["steps"] and row["description"].startswith("[")
    assert row["windows"][0]["first_step"] == 0
    assert row["windows"][-1]["last_step"] == len(row["annotation"]["steps"])
    (drop,) = row["drops"]["item"]
    ids = [record["value"].get("id") for record in row["records"][1:]]
    assert drop["record"] == f"event {ids[ids.index(31)]}"  # the drop's record is one of those shown
    assert "events" not in row["records"][0]["value"] and "videoMetadata" in row["records"][0]["value"]
    assert row["errors"] == [] and row["unusable"] == ""


def test_settings_shape_what_is_shown(ask) -> None:
    def windows(*words: str) -> int:
        return len(json.loads(ask("dataset=wtag", "key=T1", "--json", *words)[1])["windows"])

    assert windows("generate.clip_max_units=1") > windows()
    row = json.loads(ask("dataset=wtag", "key=T1", "--json", "generate.min_ann_ratio=1.0")[1])
    assert row["unusable"] == "low_coverage"


def test_the_reference_reads_it_in_its_own_way(ask) -> None:
    here = json.loads(ask("dataset=wtag", "key=T1", "--json")[1])
    reference = json.loads(ask("dataset=wtag", "key=T1", "--json", "compat=reference")[1])
    assert " - [" in here["description"] and "\n- [" not in here["description"].partition("\n")[2]
    assert "\n- [" in reference["description"].partition("\n")[2]
    assert reference["records"] == here["records"]


def test_without_a_key_the_first_keys(ask) -> None:
    code, text = ask("dataset=wtag")
    assert code == 0 and "3 dialog items" in text and "  T47  val" in text
    assert json.loads(ask("dataset=wtag", "--json")[1])["dialogs"] == ["T1", "T47", "T5"]


def test_many_keys_are_counted(capsys) -> None:
    items = tuple(Item("toy", f"k{n:03d}", ItemKind.DIALOG, "train", (), "0", f"k{n:03d}") for n in range(30))
    print_keys(make_console(), "toy", Listing(items, items))
    text = capsys.readouterr().out
    assert "k019" in text and "k020" not in text and "and 10 more" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=wtag", "key=T48"], "did you mean 'T47'"),
        (["dataset=wtag", "key=zzzz"], "leave key= out"),
        (["dataset=wtag", "key="], "say key=KEY once"),
        (["dataset=wtag", "key=T1", "key=T5"], "say key=KEY once"),
        (["key=T1"], "'dataset' is not given"),
        (["dataset=wtag,holoassist", "key=T1"], "one source"),
        (["dataset=wtg", "key=T1"], "Did you mean 'wtag'"),
        (["dataset=wtag", "stage=pack", "key=T1"], "leave it out"),
        (["dataset=captaincook4d", "key=8_3"], "does not exist"),
        (["dataset=wtag", "key=T1", "--jsn"], "unknown option"),
        (["dataset=wtag", "key=T1", "split.seed=soon"], "'split.seed' is 'soon'"),
        (["dataset=wtag", "key=T1", "pack.image_tokens=0"], "'pack.image_tokens' is 0"),
        (["dataset=wtag", "key=a\nb"], "key=a b: wtag has no such item"),
    ],
)
def test_a_mistake_is_one_line(demo_root: Path, capsys, words: list[str], message: str) -> None:
    assert main([*words, f"paths.data_root={demo_root}"]) == 2
    output = capsys.readouterr()
    assert message in output.err and output.err.count("\n") == 1 and output.out == ""


def test_a_key_of_digits_stays_as_it_is(tmp_path: Path, make_captaincook4d, capsys) -> None:
    make_captaincook4d(tmp_path)
    assert main(["dataset=captaincook4d", "key=8_33", "models=tiny", f"paths.data_root={tmp_path}", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["item"]["key"] == "8_33" and row["sources"] == [
        {
            "path": "datasets/captaincook4d/captain_cook_4d/gopro/resolution_360p/8_33_360p.mp4",
            "is_there": False,
            "num_bytes": None,
        }
    ]
    wheres = [record["where"].rpartition("/")[2] for record in row["records"]]
    assert wheres[:2] == ["step_annotations.json 8_33 steps[0]", "step_annotations.json 8_33 steps[1]"]
    assert wheres[-2:] == ["video_information.csv 8_33", "task_graphs Hot Cocoa"]
    assert row["records"][-1]["value"] == GRAPH
    assert {drop["reason"] for drop in row["drops"]["item"]} == {"listed out of time order, sorted", "skipped step"}
    assert [drop["reason"] for drop in row["drops"]["listing"]] == ["also in the val list, which wins"]


@pytest.fixture
def make_captaincook4d() -> Callable[[Path], None]:
    """Writes one recording, listed twice, of CaptainCook4D below a DATA_ROOT_DIR."""

    def make(root: Path) -> None:
        steps = {"recording_id": "8_33", "steps": STEPS}
        splits = {"train": ["8_33", "8_1"], "val": ["8_33"]}
        files = {
            "annotation_json/step_annotations.json": {"8_33": steps, "8_1": steps},
            "annotation_json/complete_step_annotations.json": {"8_33": {"activity_name": "Hot Cocoa"}},
            "annotation_json/error_annotations.json": [{"recording_id": "8_33", "step_annotations": ERRORS}],
            "data_splits/recordings_data_split_combined.json": splits,
            "task_graphs/hotcocoa.json": GRAPH,
        }
        for name, content in files.items():
            path = root / "datasets" / "captaincook4d" / "annotations" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        table = root / "datasets" / "captaincook4d" / "annotations" / "metadata" / "video_information.csv"
        table.parent.mkdir()
        table.write_text("recording_id,duration(sec)\n8_33,100\n8_1,100\n")

    return make


# ---- items that the small sources do not have


class Toy:
    """Two dialogs over one video, and a group of captioned pictures whose raw records are odd."""

    def __init__(self, content: Content = Content.DIALOG):
        self.content = content

    def load_annotation(self, item: Item):  # type: ignore[no-untyped-def]
        raise ItemError(Kind.PERMANENT, f"{item.key} lies nowhere")

    def load_records(self, item: Item):  # type: ignore[no-untyped-def]
        raise ItemError(Kind.PERMANENT, f"{item.key} has no records")

    def load_captions(self, item: Item) -> CaptionTrack:
        captions = (Caption("A cup.", 1, record="r1"), Caption("Far away.", 99, record="r2"))
        return CaptionTrack("toy", item.key, captions, (Drop("g", "r0", "empty text"),))


FILM = Item("wtag", "film", ItemKind.MEDIA, "train", ("datasets/WTaG/film.mp4",), "0", "film 1")
FIRST = Item("wtag", "first", ItemKind.DIALOG, "train", ("a.json",), "0", "film 1", media_key="film")
SECOND = Item("wtag", "second", ItemKind.DIALOG, "train", (), "0", "film 1", media_key="film", time_offset_s=7.5)
BOTH = Listing((FILM,), (FIRST, SECOND), (Drop("film 1", "row 3", "copy"), Drop("other", "row 4", "copy")))


@pytest.fixture
def look(demo_root: Path, capsys) -> Callable[..., tuple[dict, str]]:  # type: ignore[no-untyped-def]
    """``look(listing, item, adapter)`` gives an item's JSON row and its text."""
    layout, (job,) = open_jobs(["dataset=wtag", "models=tiny", f"paths.data_root={demo_root}"], "inspect")

    def run(listing: Listing, item: Item, adapter: Toy) -> tuple[dict, str]:
        made = look_at_item(layout, job, adapter, listing, item)  # type: ignore[arg-type]
        print_look(make_console(), made)
        return json.loads(json.dumps(made.to_row(), allow_nan=False)), capsys.readouterr().out

    return run


def test_a_video_lists_what_it_shows(look) -> None:
    row, text = look(BOTH, find_item(BOTH, "film", "wtag"), Toy())
    assert (row["kind"], row["dialogs"], row["annotation"]) == ("media", ["first", "second"], None)
    assert "shows 2 dialog items" in text and "second  from second 7.5" in text and "MISSING" in text
    assert [drop["record"] for drop in row["drops"]["listing"]] == ["row 3"]


def test_a_recordings_own_name_will_do() -> None:
    assert find_item(BOTH, "film 1", "wtag") == FIRST
    with pytest.raises(ConfigError, match="did you mean 'second'"):
        find_item(BOTH, "secnd", "wtag")


def test_what_cannot_be_read_is_said(look) -> None:
    row, text = look(BOTH, SECOND, Toy())
    assert row["errors"] == ["second lies nowhere", "second has no records"]
    assert "problem: second lies nowhere" in text and "the same media shows first as well" in text


def test_captions_name_their_pictures(look) -> None:
    pictures = ("datasets/WTaG/1.jpg", "datasets/WTaG/2.jpg")
    group = Item("wtag", "g", ItemKind.MEDIA, "train", pictures, "0", "g", medium=Medium.IMAGES)
    talk = Item("wtag", "g", ItemKind.DIALOG, "train", (), "0", "g", media_key="g")
    row, text = look(Listing((group,), (talk,)), talk, Toy(Content.CAPTION))
    assert [caption["text"] for caption in row["captions"]] == ["A cup.", "Far away."]
    assert "2.jpg" in text and "member 99" in text and "empty text" in text
    assert row["drops"]["item"] == [{"recording": "g", "record": "r0", "reason": "empty text", "item": "g"}]


def test_long_and_odd_values_are_shortened_for_the_screen_alone() -> None:
    assert len(shorten({"text": "x" * 10_000})) < MAX_CHARS + 40
    assert shorten([float("nan"), "half \ud800"]) == '["nan", "half ?"]'
    assert plain_value({1: (float("inf"), b"a", None, True)}) == {"1": ["inf", "b'a'", None, True]}
    assert MAX_ROWS < 100


def test_the_standard_library_keeps_its_name() -> None:
    code = "import tools.inspect, inspect, dataclasses; print(inspect.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert str(REPOSITORY / "tools") not in done.stdout
    words = [sys.executable, "-m", "tools.inspect", "--help"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "key=T1" in done.stdout


@pytest.mark.parametrize(
    ("dataset", "key"), [("holoassist", "R208-11Nov-ATV"), ("wtag", "T1"), ("captaincook4d", "8_33")]
)
def test_published_excerpts(sample_data: Path, tmp_path: Path, capsys, dataset: str, key: str) -> None:
    (tmp_path / "datasets").symlink_to(sample_data)
    words = [f"dataset={dataset}", f"key={key}", "models=tiny", f"paths.data_root={tmp_path}"]
    assert main(words) == 0
    assert "records of the publisher" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["annotation"]["key"] == key and len(row["records"]) > 5
