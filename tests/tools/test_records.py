"""What runs left, read whatever it is: fields of later versions, values of other types, names cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.io.layout import Layout
from mmassist.io.ledger import iter_rows_of
from tools.logs.__main__ import main as logs
from tools.records.file import Reader, source_rows
from tools.records.place import find_place
from tools.records.run import Run, find_run, list_runs
from tools.records.task import load_record, load_task_rows
from tools.records.unit import choose_units, list_units
from tools.status.__main__ import main as status
from tools.why.__main__ import main as why

RUN = "20260102-030405-abcdef"
JOB = "extract-toy-frames"
ROW = {"job": JOB, "stage": "extract", "dataset": "toy", "unit": "processed_data/toy/frames", "elements": 3}
WINDOWS = [{"job_id": "70", "first": 0, "count": 2, "more": 1}, {"job_id": "71", "first": 2, "count": 1}]


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))


def run_with(layout: Layout, receipt: Any, run_id: str = RUN) -> Run:
    write(layout.run(run_id).receipt, receipt)
    return Run(layout, run_id)


def test_elements_have_ids_and_ids_have_elements(tmp_path: Path) -> None:
    row = {**ROW, "job_ids": ["70", "71"], "windows": WINDOWS, "after": ["69"]}
    (job,) = run_with(Layout(tmp_path), {"launcher": "slurm", "jobs": [row], "of_later": {}}).jobs
    assert list(job.iter_elements()) == [(0, "70_0"), (1, "70_1"), (2, "71")]
    assert [job.job_id(number) for number in range(4)] == ["70_0", "70_1", "71", ""]
    assert [list(job.elements_of(word)) for word in ("70", "70_1", "70_2", "71", "72")] == [[0, 1], [1], [], [2], []]
    assert (job.stage, job.dataset, job.after, job.is_submitted) == ("extract", "toy", ("69",), True)


def test_a_job_without_a_row_is_told_by_its_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    run = run_with(layout, {"jobs": [{"job": JOB, "unit": "processed_data/toy/frames"}]})
    assert [(job.stage, job.dataset, job.elements) for job in run.jobs] == [("extract", "toy", 1)]
    assert (run.job("encode-wtag-features-tiny").stage, run.job("encode-wtag-features-tiny").dataset) == (
        *("encode", "wtag"),
    )
    write(layout.run("20260103").plan, {JOB: {"unit": "processed_data/toy/frames", "elements": [["a"]]}, "odd": 3})
    planned = Run(layout, "20260103")
    assert [(job.name, job.is_submitted) for job in planned.jobs] == [(JOB, False)]
    assert planned.element_of(JOB, "a") == 0 and planned.element_of(JOB, "b") is None


def test_a_run_is_found_by_what_is_said_of_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in ("20260101-000000-aaaaaa", "20260102-000000-bbbbbb", "20260102-000000-cccccc"):
        layout.run(name).root.mkdir(parents=True)
    write(layout.runs / "20260109-notes", "a file")
    runs = list_runs(layout)
    for word, name in (
        ("last", "cccccc"),
        ("20260101", "aaaaaa"),
        (f"{layout.runs}/20260102-000000-bbbbbb/", "bbbbbb"),
    ):
        assert find_run(runs, word).run_id.endswith(name)
    for word, message in (("2026", "3 runs"), ("20260101-000000-aaaaab", "did you mean"), ("", "the newest is")):
        with pytest.raises(ConfigError, match=message):
            find_run(runs, word)
    with pytest.raises(ConfigError, match="there is none yet"):
        find_run([], "last")


def test_units_are_chosen_by_any_of_their_names(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for folder in ("frames", "features/a", "features/b", "features/b.stale-1"):
        write(layout.unit("toy", folder).tasks, {})
    units = list_units(layout)
    assert [unit.path for unit in units] == ["toy/frames", "toy/features/a", "toy/features/b"]
    for name in ("features/b", "toy/features/b", "processed_data/toy/features/b/"):
        assert [unit.path for unit in choose_units(units, {"unit": [name]})] == ["toy/features/b"]
    assert len(choose_units(units, {"stage": ["encode", "extract"], "dataset": ["toy", "wtag"]})) == 3
    with pytest.raises(ConfigError, match="did you mean 'toy/features/b'"):
        choose_units(units, {"unit": ["toy/features/bb"]})


def test_torn_rows_were_never_written(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", '{"item":"x","n":1}\nodd "x"\n{"item":"x","n":2}\n{"item":"x","n":3}')
    assert [row["n"] for _, row in iter_rows_of(tmp_path, "x")] == [1, 2]
    assert [row["n"] for row in Reader().iter_rows(tmp_path / "a.jsonl")] == [1, 2]


def test_files_of_a_source_are_there_or_not(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", "four")
    assert source_rows(tmp_path, ["a.mp4", "b.mp4", "a.mp4", "x" * 5000]) == [
        {"path": "a.mp4", "is_there": True, "num_bytes": 4},
        {"path": "b.mp4", "is_there": False, "num_bytes": None},
        {"path": "x" * 5000, "is_there": False, "num_bytes": None},
    ]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 5)
    | st.floats()
    | st.sampled_from(["", "70", "toy", JOB, "done", "T1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "items", "unit"]), inner),
    max_leaves=6,
)


def odd(row: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The row with fields of other types, without some, with others beside, or something else altogether."""
    changes = st.dictionaries(st.sampled_from([*row, "of_later"]), VALUES, max_size=3)
    return st.one_of(changes.map(lambda change: {**row, **change}), VALUES)


RECEIPT = {"run_id": RUN, "launcher": "slurm", "command": ["x"], "host": "h", "pid": 1, "user": "u", "time": "t"}
LIFE = {"element": 0, "start": 0, "started": "2026-01-02", "updated": "x", "items": {}, "in_hand": [{"item": "T1"}]}
RECORD = {"items": ["T1"], "outcomes": {"T1": {"status": "done"}}, "run_id": RUN, "attempt": f"{RUN}-0-0-1"}
MANIFEST = {"stage": "extract", "settings": {"reads": {}}, "versions": {}, "fingerprint": "f"}
LINE = {"item": "T1", "task": "000000", "status": "failed", "attempt": 1, "time": "t", "seconds": 1.0, "run_id": RUN}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_odd_values_never_give_a_traceback(tmp_path_factory: pytest.TempPathFactory, capsys, data: Any) -> None:
    layout = Layout(tmp_path_factory.mktemp("data"))
    unit, run = layout.unit("toy", "frames"), layout.run(RUN)
    jobs = [data.draw(odd({**ROW, "job_ids": ["70", "71"], "windows": WINDOWS}))]
    write(run.receipt, data.draw(odd({**RECEIPT, "jobs": jobs})))
    write(run.plan, data.draw(odd({JOB: {"unit": ROW["unit"], "elements": [["000000"]]}})))
    write(run.life(JOB, 0, 0), data.draw(odd(LIFE)))
    write(unit.manifest, data.draw(odd(MANIFEST)))
    write(unit.tasks, data.draw(odd({"tasks": [data.draw(odd({"name": "000000", "items": ["T1"], "weight": 1}))]})))
    write(unit.record("000000"), data.draw(odd(RECORD)))
    write(unit.lock, data.draw(odd({"run_id": RUN, "host": "h", "pid": 1, "jobs": []})))
    for folder, row in ((unit.ledger_dir, LINE), (unit.done_log_dir, {**LINE, "writer": f"{RUN}-0-0-1"})):
        write(folder / "w.jsonl", json.dumps(data.draw(odd(row)), separators=(",", ":")) + "\n")
    root = ["--root", str(layout.data_root)]
    assert status([*root]) in (0, 1) and status([*root, RUN, "--json"]) in (0, 1, 2)
    for command in (logs, why):
        for word in ("T1", "000000.tar/T1", "70_0", f"{JOB}.00000"):
            assert command([word, "--all", *root] if command is logs else [word, *root]) in (0, 2)
    capsys.readouterr()
    assert load_record(unit, "000000").keys() <= {"task", "items", "outcomes", "run_id", "attempt"}
    assert all(row.keys() == {"name", "items", "weight"} for row in load_task_rows(unit))
    for found in list_units(layout):
        find_place(found, "T1")
