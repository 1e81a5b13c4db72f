"""The doctor: what a researcher reads about the folders, and what the exit code says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launchers.compose import list_options
from launchers.jobs import build_stage
from mmassist.core.adapter import Content, Need
from mmassist.core.annotation import Annotation, Step
from mmassist.core.item import Item, ItemKind, Listing, Medium
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout
from tests.test_imports import HEAVY
from tools.doctor.__main__ import main
from tools.doctor.disk import Disk, estimate_bytes
from tools.doctor.examine import examine
from tools.doctor.hints import explain_missing
from tools.doctor.needs import State, look_for_needs
from tools.doctor.pictures import look_for_pictures
from tools.doctor.records import read_records
from tools.doctor.report import Verdict, count_reasons
from tools.doctor.words import open_jobs

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]
ANNOTATIONS = "data-annotation-trainval-v1_1.json"
PLENTY = Disk(10**15, None)


@pytest.fixture
def data_root(demo_root: Path, tmp_path: Path) -> Path:
    """A DATA_ROOT_DIR of its own with the demonstration's two sources, to be damaged at will; videos are links."""
    root = tmp_path / "data"
    shutil.copytree(demo_root / "datasets", root / "datasets", copy_function=_link_videos)
    return root


def _link_videos(source: str, target: str) -> None:
    if Path(source).suffix in (".mp4", ".mpeg"):
        Path(target).symlink_to(source)
    else:
        shutil.copy(source, target)


@pytest.fixture
def ask(data_root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict]]:
    """``ask(words…)`` gives the exit code and the report of ``--json -``."""

    def run(*words: str) -> tuple[int, dict]:
        code = main([*words, "models=tiny", f"paths.data_root={data_root}", "--json", "-"])
        return code, json.loads(capsys.readouterr().out)

    return run


def source_of(report: dict, dataset: str) -> dict:
    return next(row for row in report["sources"] if row["dataset"] == dataset)


# ---- the whole


def test_a_whole_source_is_ready(ask) -> None:
    code, report = ask("dataset=holoassist")
    assert (code, report["exit_code"]) == (0, 0)
    (source,) = report["sources"]
    assert source["verdict"] == "ready" and source["problems"] == source["warnings"] == []
    assert source["contents"]["dialogs_by_split"] == {"train": 1, "val": 2}
    assert source["contents"]["media_by_medium"] == {"video": 3}
    assert source["pictures"]["num_there"] == source["pictures"]["num_files"] == 3
    assert source["pictures"]["num_bytes"] > 100_000
    assert {row["side"]: row["num_recordings"] for row in source["sides"]["sides"]} == dict.fromkeys(
        ("train", "val", "test"), 1
    )
    assert source["sides"]["kept"] == "no assignment yet"
    assert source["records"]["num_items"] == 3 and source["records"]["num_steps"] > 10
    assert set(source["stages"].values()) == {""}
    assert [row["stage"] for row in source["disk"]] == ["extract", "generate", "encode", "pack"]
    assert report["disk"]["fits"]


def test_every_drop_is_in_the_report(ask) -> None:
    source = ask("dataset=wtag")[1]["sources"][0]
    listed = [drop for drop in source["drops"] if not drop["item"]]
    inside = [drop for drop in source["drops"] if drop["item"]]
    assert [drop["record"] for drop in listed] == ["recipes"]
    assert {(drop["recording"], drop["item"], drop["reason"]) for drop in inside} == {
        (name, name, "before the start") for name in ("T1", "T47", "T5")
    }


def test_without_names_only_what_is_there_counts(ask, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = ask()
    assert code == 0
    assert {row["dataset"] for row in report["sources"]} == set(list_options("dataset"))
    assert {row["dataset"] for row in report["sources"] if row["is_there"]} == {"holoassist", "wtag"}
    main(["models=tiny", f"paths.data_root={data_root}"])
    text = capsys.readouterr().out
    assert f"captaincook4d: would lie in {data_root}/datasets/captaincook4d; get it from https://" in text
    assert "holoassist: ready" in text and "wtag: ready" in text


def test_a_folder_of_two_sources_means_the_one_whose_files_are_there(ask, data_root: Path) -> None:
    for name in ("holoassist", "WTaG"):
        shutil.rmtree(data_root / "datasets" / name)
    put(data_root / "datasets" / "ego4d_track2" / "v2" / "annotations" / "goalstep_train.json", b"{}")
    code, report = ask()
    assert code == 1
    assert [row["dataset"] for row in report["sources"] if row["is_counted"]] == ["ego4d"]
    assert [row["dataset"] for row in report["sources"] if row["is_there"]] == ["ego4d", "ego4d_narrations"]


def test_the_tables_say_what_is_there(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset=holoassist", "models=tiny", f"paths.data_root={data_root}"]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text  # no terminal, no colours
    for words in (
        f"{data_root}/datasets/holoassist",
        "CDLA-Permissive-2.0",
        "video_pitch_shifted/{recording}/Export_py/Video_pitchshift.mp4",
        "3 dialog items (1 train, 2 val), 3 recordings, 3 participants",
        "3 of 3 files are there",
        "verb that says nothing about progress",
        "holoassist: ready",
        "fits",
    ):
        assert words in text


def test_nothing_is_written_among_the_data(ask, data_root: Path, tmp_path: Path) -> None:
    before = sorted(data_root.rglob("*"))
    ask("dataset=holoassist,wtag")
    target = tmp_path / "report.json"
    words = ["dataset=wtag", "models=tiny", f"paths.data_root={data_root}"]
    assert main([*words, f"--json={target}"]) == 0
    assert json.loads(target.read_text())["sources"][0]["dataset"] == "wtag"
    assert sorted(data_root.rglob("*")) == before
    assert main([*words, "--json", str(data_root / "report.json")]) == 2
    assert sorted(data_root.rglob("*")) == before


def test_the_command_loads_nothing_heavy(data_root: Path) -> None:
    code = (
        "import sys, contextlib, io\nfrom tools.doctor.__main__ import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    main(['dataset=wtag', 'models=tiny', 'paths.data_root={data_root}'])\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dataset=holo"], "Did you mean 'holoassist'"),
        (["dataset=wtag", "stage=pack"], "leave it out"),
        (["dataset=wtag", "split.sede=1"], "split.seed"),
        (["dataset=wtag", "split.seed=1,2"], "one value"),
        (["dataset=wtag", "--record"], "unknown option"),
        (["dataset=wtag", "--records", "--no-records"], "both given"),
        (["dataset=wtag", "--json"], "without a file"),
        (["dataset=wtag", "--json", "dataset=wtag"], "without a file"),
        (["dataset=wtag", "--json", "/no/such/folder/report.json"], "does not exist"),
        (["dataset=wtag", "--json", "/tmp"], "is a folder"),
        (["dataset=wtag", "--json", "/dev/null"], "is no plain file"),
        (["dataset=wtag", "split.seed=soon"], "'split.seed' is 'soon'"),
        (["dataset=llava", "split.group_by=7"], "split.group_by"),
        (["dataset=llava", "pack.image_tokens=0"], "'pack.image_tokens' is 0"),
        (["dataset=llava", "dataset.raw_dir=null"], "'dataset.raw_dir' is null"),
        (["dataset=sthsthv2", "dataset.video_pattern=''"], "{recording}"),
    ],
)
def test_a_mistake_in_the_command_is_one_line(data_root: Path, capsys, words: list[str], message: str) -> None:
    assert main([*words, f"paths.data_root={data_root}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_unset_data_root_is_a_mistake(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    monkeypatch.delenv("DATA_ROOT_DIR", raising=False)
    assert main(["dataset=wtag"]) == 2
    assert "DATA_ROOT_DIR is not set" in capsys.readouterr().err
    assert main(["dataset=wtag", f"paths.data_root={tmp_path}"]) == 2
    assert "no folder 'datasets'" in capsys.readouterr().err


def test_without_any_source_there_is_nothing_ready(tmp_path: Path, capsys) -> None:
    (tmp_path / "datasets").mkdir()
    assert main([f"paths.data_root={tmp_path}"]) == 1
    assert "none of the sources lies in" in capsys.readouterr().out


# ---- folders and files


def test_an_absent_folder_is_named_with_what_it_may_be(ask, data_root: Path) -> None:
    (data_root / "datasets" / "holoassist").rename(data_root / "datasets" / "HoloAssist")
    code, report = ask("dataset=holoassist,captaincook4d")
    assert code == 1
    (problem,) = source_of(report, "holoassist")["problems"]
    assert "does not exist" in problem and "'HoloAssist'" in problem
    (problem,) = source_of(report, "captaincook4d")["problems"]
    assert "get it from https://" in problem
    assert set(source_of(report, "captaincook4d")["stages"].values()) == {"the folder is not there"}


def test_a_missing_file_says_so_and_where_it_may_be(ask, data_root: Path) -> None:
    folder = data_root / "datasets" / "holoassist"
    (folder / ANNOTATIONS).rename(folder / "data-annotation-trainval-v1_2.json")
    code, report = ask("dataset=holoassist")
    (source,) = report["sources"]
    need = next(need for need in source["needs"] if need["path"] == ANNOTATIONS)
    assert (code, need["state"], need["page"]) == (1, "missing", "https://holoassist.github.io")
    assert "'data-annotation-trainval-v1_2.json'" in need["hint"]
    assert source["contents"] is None and len(source["problems"]) == 2
    assert set(source["stages"].values()) == {"the source cannot be listed"}


def test_an_optional_file_may_be_missing(ask, data_root: Path) -> None:
    (data_root / "datasets" / "holoassist" / "test-v1_2.txt").unlink()
    code, report = ask("dataset=holoassist")
    assert code == 0 and report["sources"][0]["verdict"] == "ready"


def test_a_useless_file_is_the_problem(ask, data_root: Path) -> None:
    (data_root / "datasets" / "holoassist" / ANNOTATIONS).write_text("<html>not found</html>")
    (data_root / "datasets" / "holoassist" / "test-v1_2.txt").write_bytes(b"")
    code, report = ask("dataset=holoassist,wtag")
    source = source_of(report, "holoassist")
    assert code == 1 and ANNOTATIONS in source["problems"][0]
    assert "test-v1_2.txt is empty" in source["warnings"]
    assert source_of(report, "wtag")["verdict"] == "ready"


def put(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("there", "wanted", "words"),
    [
        ("goalstep_valid.json", "goalstep_val.json", "holds 'goalstep_valid.json'"),
        ("Annotations/a.csv", "annotations/a.csv", "holds 'Annotations'"),
        ("a/LABELS.JSON", "a/labels.json", "holds 'LABELS.JSON'"),
        ("a.json.gz", "a.json", "perhaps not unpacked"),
        ("videos.tar", "videos/1.mp4", "perhaps not unpacked"),
        ("src/ann/a.csv", "ann/a.csv", "one folder too deep"),
        ("src/T1/x.txt", "T*/x.txt", "one folder too deep"),
        ("a.csv", "ann/a.csv", "found as src/a.csv; move it to src/ann/a.csv"),
        ("ann/b.csv", "ann/zebra.json", "is there, but holds no 'zebra.json'"),
        ("T1/Clock.txt", "T*/clock.txt", "holds 'Clock.txt'"),
        ("other.bin", "wanted.json", ""),
        ("train-list.txt", "test-list.txt", ""),
    ],
)
def test_hints(tmp_path: Path, there: str, wanted: str, words: str) -> None:
    root = tmp_path / "src"
    put(root / there)
    hint = explain_missing(root, wanted)
    assert words in hint and "\n" not in hint
    assert bool(hint) == bool(words)


def test_a_name_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    root = tmp_path / "src"
    (root / "a").mkdir(parents=True)
    (root / "a" / "labels.json").symlink_to("gone.json")
    put(root / "videos")
    for wanted in ("a/labels.json", "a/*els.json"):
        assert explain_missing(root, wanted) == "src/a/labels.json is a link to gone.json, which does not exist"
    assert explain_missing(root, "videos/1.mp4") == "src/videos is a file, no folder"


@pytest.mark.parametrize("wanted", ["", "/etc/labels.json", "../labels.json", "a/../../labels.json"])
def test_there_are_no_hints_outside_the_folder(tmp_path: Path, wanted: str) -> None:
    put(tmp_path / "labels.json")
    put(tmp_path / "src" / "a" / "labels.json")
    assert explain_missing(tmp_path / "src", wanted) == ""


def test_a_setting_may_name_a_file_elsewhere(tmp_path: Path) -> None:
    put(tmp_path / "labels.json")
    (tmp_path / "src").mkdir()
    needs = (Need(str(tmp_path / "labels.json"), "one"), Need("/no/such/file", "two"))
    states = look_for_needs(tmp_path / "src", needs, "")
    assert [(one.state, one.found) for one in states] == [
        (State.THERE, str(tmp_path / "labels.json")),
        (State.MISSING, ""),
    ]


def test_a_whole_folder_in_a_zip_file_beside_it_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        archive.writestr("src/labels.json", "{}")
    assert explain_missing(tmp_path, "src").endswith("/download.zip holds it; unpack it there")
    (tmp_path / "download.zip").rename(tmp_path / "other.tar")
    put(tmp_path / "a" / "train.json.gz")
    assert explain_missing(tmp_path, "a/*train.json").endswith("a/train.json.gz is there, perhaps not unpacked yet")


def test_hints_look_into_zip_files_alone(tmp_path: Path) -> None:
    root = tmp_path / "src"
    root.mkdir()
    with zipfile.ZipFile(root / "download.zip", "w") as archive:
        archive.writestr("inner/labels.json", "{}")
    put(root / "broken.zip")
    assert explain_missing(root, "labels.json") == "src/download.zip holds it; unpack it there"
    assert explain_missing(root, "clips/other.json") == ""


def test_a_name_that_is_needed_itself_is_no_hint(tmp_path: Path) -> None:
    put(tmp_path / "src" / "list_a1.txt")
    needs = (Need("list_a1.txt", "one"), Need("list_a2.txt", "two"), Need("folder", "three", page="https://x"))
    states = look_for_needs(tmp_path / "src", needs, "https://home")
    assert [(one.state, one.hint, one.page) for one in states] == [
        (State.THERE, "", "https://home"),
        (State.MISSING, "", "https://home"),
        (State.MISSING, "", "https://x"),
    ]


names = st.text("abT1._", min_size=1, max_size=6).filter(lambda name: name.strip(".") == name)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=6), st.lists(names | st.just("*")))
def test_hints_never_stumble(tmp_path_factory, there: set[str], wanted: list[str]) -> None:
    root = tmp_path_factory.mktemp("hints") / "src"
    root.mkdir()
    for path in sorted(there):
        if not any(parent.is_file() for parent in (root / path).parents) and not (root / path).exists():
            put(root / path)
    path = "/".join(wanted)
    if path:
        assert "\n" not in explain_missing(root, path)


@pytest.mark.parametrize("dataset", list_options("dataset"))
def test_every_source_says_what_it_needs(tmp_path: Path, dataset: str) -> None:
    (tmp_path / "datasets").mkdir()
    layout, (job,) = open_jobs([f"dataset={dataset}", "models=tiny", f"paths.data_root={tmp_path}"], "doctor")
    needs = job.adapter(layout).list_needs()
    assert any(need.is_required for need in needs)
    for need in needs:
        assert need.what and not need.path.startswith("/") and need.page.startswith(("", "https://"))
    assert len({need.path for need in needs}) == len(needs)
    report = examine(layout, job, True, None, PLENTY)
    assert report.verdict is Verdict.NOT_READY and report.homepage.startswith("https://") and report.licence


# ---- pictures


def test_some_missing_videos_are_a_warning(ask, data_root: Path) -> None:
    (data_root / "datasets" / "WTaG" / "T5" / "Video" / "Video.mpeg").unlink()
    (data_root / "datasets" / "WTaG" / "T1" / "Video" / "Video.mpeg").unlink()
    put(data_root / "datasets" / "WTaG" / "T1" / "Video" / "Video.mpeg", b"")
    code, report = ask("dataset=wtag")
    (source,) = report["sources"]
    assert (code, source["verdict"]) == (0, "ready with warnings")
    assert source["pictures"]["missing"] == ["datasets/WTaG/T5/Video/Video.mpeg"]
    assert source["pictures"]["empty"] == ["datasets/WTaG/T1/Video/Video.mpeg"]
    assert source["warnings"] == ["1 of 3 videos or pictures are missing", "1 videos or pictures are files of 0 bytes"]


def test_without_any_video_the_stages_of_text_are_possible(ask, data_root: Path) -> None:
    folder = data_root / "datasets" / "holoassist"
    (folder / "video_pitch_shifted").rename(folder / "Video_pitch_shifted")
    code, report = ask("dataset=holoassist")
    (source,) = report["sources"]
    assert code == 1
    assert [name for name, reason in source["stages"].items() if not reason] == ["generate", "judge", "split"]
    assert "'Video_pitch_shifted'" in source["problems"][0]


def group(key: str, *sources: str, medium: Medium = Medium.IMAGES, **more) -> Item:
    return Item("toy", key, ItemKind.MEDIA, "train", sources, "0", key, medium=medium, **more)


def test_pictures_of_groups_are_counted_by_folder(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        put(tmp_path / name, b"1234")
    items = [
        group("one", "a/1.jpg", "a/2.jpg", "a/1.jpg"),
        group("two", "b/3.jpg", "b/4.jpg"),
        group("three", "c/5.jpg"),
        group("film", "a/1.jpg", "b/4.jpg", medium=Medium.VIDEO),
        group("nothing"),
    ]
    found = look_for_pictures(tmp_path, items)
    assert found.missing == ["b/4.jpg", "b/4.jpg", "c/5.jpg"]  # as a video's part and as a group's member
    assert found.usable == {"one", "two"}
    assert found.num_bytes == 4 * 4


@pytest.mark.parametrize("medium", Medium)
def test_files_of_0_bytes_cannot_be_used(tmp_path: Path, medium: Medium) -> None:
    put(tmp_path / "a" / "1.jpg", b"")
    put(tmp_path / "a" / "2.jpg", b"1234")
    items = [group("one", "a/1.jpg", medium=medium), group("two", "a/2.jpg", medium=medium)]
    found = look_for_pictures(tmp_path, items)
    assert (found.num_there, found.missing, found.empty, found.usable) == (2, [], ["a/1.jpg"], {"two"})


def test_a_source_with_files_of_0_bytes_alone_is_not_ready(ask, data_root: Path) -> None:
    for name in ("T1", "T47", "T5"):
        path = data_root / "datasets" / "WTaG" / name / "Video" / "Video.mpeg"
        path.unlink()
        put(path, b"")
    code, report = ask("dataset=wtag")
    (source,) = report["sources"]
    assert code == 1
    assert source["problems"] == ["none of the videos or pictures can be used: files are missing or of 0 bytes"]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 30), st.booleans()), st.sampled_from(Medium))
def test_every_file_is_there_or_missing(tmp_path_factory, files: dict[int, bool], medium: Medium) -> None:
    root = tmp_path_factory.mktemp("pictures")
    for number, is_there in files.items():
        if is_there:
            put(root / f"{number % 3}" / str(number), b"12")
    items = [group(f"k{number}", f"{number % 3}/{number}", medium=medium) for number in files]
    found = look_for_pictures(root, items)
    assert found.missing == sorted(f"{number % 3}/{number}" for number, is_there in files.items() if not is_there)
    assert found.usable == {f"k{number}" for number, is_there in files.items() if is_there}
    assert found.num_bytes == 2 * found.num_there


# ---- sides, annotations, disk


def test_an_assignment_that_exists_is_compared(ask, data_root: Path) -> None:
    path = Layout(data_root).unit("wtag", "splits").assignment
    rules = {"seed": 42, "official_eval": "halve_val", "group_by": "participant", "keep_eval": 0.0}
    write_json(path, {"rules": rules, "recordings": {"T1": "train", "T5": "test", "T90": "val"}})
    source = ask("dataset=wtag")[1]["sources"][0]
    assert source["sides"]["kept"] == (
        "agrees with processed_data/wtag/splits/assignment.json; 1 recordings are new, 1 recordings left the source"
    )
    source = ask("dataset=wtag", "split.seed=7")[1]["sources"][0]
    assert "split.seed" in source["sides"]["conflict"] and source["verdict"] == "ready with warnings"
    path.write_text("{")
    source = ask("dataset=wtag")[1]["sources"][0]
    assert "is damaged" in source["sides"]["conflict"] and not source["sides"]["sides"]


def test_an_empty_side_is_a_warning(ask, data_root: Path) -> None:
    for name in ("T47", "T5"):
        shutil.rmtree(data_root / "datasets" / "WTaG" / name)
    code, report = ask("dataset=wtag")
    assert code == 0
    assert report["sources"][0]["warnings"] == ["no recording is on side val", "no recording is on side test"]


def test_what_generate_would_skip_is_counted(ask) -> None:
    code, report = ask("dataset=wtag", "generate.min_ann_ratio=1.0")
    (source,) = report["sources"]
    assert sorted(source["records"]["low_coverage"]) == ["T1", "T47", "T5"]
    assert code == 1 and source["problems"] == ["no annotation can be used"]


def test_annotations_are_left_alone_when_asked(ask) -> None:
    assert ask("dataset=wtag", "--no-records")[1]["sources"][0]["records"] is None
    assert ask("dataset=wtag", "--records")[1]["sources"][0]["records"]["num_items"] == 3


def test_an_item_that_cannot_be_read_is_named(ask, data_root: Path) -> None:
    class Broken:
        content = Content.DIALOG

        def load_annotation(self, item: Item) -> Annotation:
            if item.key == "server":
                raise PermissionError(13, "Permission denied", "/data/x")
            steps = (Step(0.0, 5.0, "do"),) if item.key == "good" else (Step(0, 1, "start", is_marker=True),)
            return Annotation("toy", item.key, "d", "k", "" if item.key == "aimless" else "g", steps, 5.0, 1.0)

    _, (job,) = open_jobs(["dataset=wtag", "models=tiny", f"paths.data_root={data_root}"], "doctor")
    config = build_stage("generate", job.sections).configs["generate"]
    items = [Item("toy", key, ItemKind.DIALOG, "train", (), "0", key) for key in ("aimless", "bare", "good", "server")]
    records = read_records(Broken(), items, config, compat=False)  # type: ignore[arg-type]
    assert records.failed == [{"item": "server", "message": "Permission denied: /data/x"}]
    assert (records.without_steps, records.num_steps, records.num_windows) == (["aimless", "bare"], 1, 1)
    assert records.num_unusable == 3


def test_too_small_a_disk_is_a_warning(data_root: Path) -> None:
    layout, (job,) = open_jobs(["dataset=wtag", "models=tiny", f"paths.data_root={data_root}"], "doctor")
    report = examine(layout, job, True, None, Disk(1000, 10))
    assert report.verdict is Verdict.WARNINGS
    assert any("GB are free" in line for line in report.warnings)
    assert any("10 more files only" in line for line in report.warnings)


def test_bytes_follow_from_lengths_and_from_what_is_there(data_root: Path) -> None:
    layout, (job,) = open_jobs(["dataset=wtag", "models=tiny", f"paths.data_root={data_root}"], "doctor")
    stages = {name: build_stage(name, job.sections) for name in ("extract", "generate", "split", "encode", "pack")}
    film = Item("wtag", "a", ItemKind.MEDIA, "train", ("a",), "0", "a", duration_s=100.0)
    talk = Item("wtag", "a", ItemKind.DIALOG, "train", (), "0", "a", duration_s=50.0, media_key="a")
    listing = Listing((film,), (talk,))
    rows = {row.stage: row for row in estimate_bytes(layout, "wtag", stages, listing, {"a"})}
    assert rows["extract"].expected == 200 * 30_000
    assert rows["encode"].expected == 200 * (1 + 4 + 9) * 64 * 2
    assert rows["pack"].expected == round(100 * 10 * 8 * 1.2 * 10)
    without = {row.stage: row for row in estimate_bytes(layout, "wtag", stages, listing, set())}
    assert without["extract"].expected == without["pack"].expected == 0
    assert without["extract"].expected_all == rows["extract"].expected
    put(layout.unit("wtag", "frames").shard_dir / "000000.tar", b"x" * 5_000_000)
    rows = {row.stage: row for row in estimate_bytes(layout, "wtag", stages, listing, {"a"})}
    assert (rows["extract"].present, rows["extract"].missing) == (5_000_000, 1_000_000)


# ---- small rules


def test_reasons_are_counted_with_their_first_examples() -> None:
    drops = [{"recording": name, "record": "r", "reason": "copy"} for name in "abcd"]
    drops += [{"recording": "", "record": "file", "reason": "odd"}, {"recording": "x", "record": "x", "reason": "odd"}]
    assert count_reasons(drops) == [("copy", 4, ["a r", "b r", "c r"]), ("odd", 2, ["file", "x"])]


def test_published_excerpts(sample_data: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "datasets").symlink_to(sample_data)
    sources = "dataset=holoassist,wtag,captaincook4d"
    assert main([sources, "models=tiny", f"paths.data_root={tmp_path}", "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    for source in report["sources"]:
        assert source["problems"][0].startswith("none of the videos or pictures is there")
        assert [name for name, reason in source["stages"].items() if not reason] == ["generate", "judge", "split"]
    found = source_of(report, "captaincook4d")
    assert found["contents"]["dialogs_by_split"] == {"test": 1, "train": 6, "val": 2}
    assert (found["records"]["num_steps"], found["records"]["num_mistakes"], len(found["drops"])) == (71, 3, 5)
    assert source_of(report, "holoassist")["records"]["low_coverage"] == ["R900-EXCERPT-GoPro"]
