"""Submitting against commands that answer as SLURM's do: all of a command's jobs are in the queue, or none."""

from __future__ import annotations

import json
import pickle
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import launchers.submit as submit_module
from launchers.division import request_of
from launchers.element import ElementRun
from launchers.execute import Execution
from launchers.jobs import Job
from launchers.prepare import Sides
from launchers.slurm import sbatch as sbatch_module
from launchers.slurm.controller import Controller
from launchers.slurm.queue import are_alive
from launchers.slurm.script import render_script
from launchers.submit import check_site, resources_of, submit_jobs
from mmassist.core.errors import ConfigError, StageError
from mmassist.core.item import Listing
from mmassist.core.stage_config import StageConfig
from mmassist.io.lock import FolderLock, Locked, read_holder
from tests.launchers.slurm.sites import make_node, make_request, make_site, site_settings
from tests.launchers.toy import Toy, ToySource

REFUSED = "echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2; exit 1"
TIMED_OUT = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1"
BUSY = "echo 'sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.' >&2; exit 1"
UNREACHABLE = "echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1"

# Each call is numbered, its script and folder are kept, and a file of that number says what happens instead of "taken".
SBATCH = """#!/bin/sh
cd_to=$(pwd -P); number=$(ls {home}/scripts | wc -l)
cp "$1" {home}/scripts/$(printf %03d $number)
echo "$cd_to" > {home}/folders/$(printf %03d $number)
[ -e {run}/receipt.json ] && touch {home}/receipt-too-early
[ -e {home}/answers/$number ] && . {home}/answers/$number
name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
echo "$((100 + number))|$name|PENDING|$cd_to" >> {home}/queue
echo "Submitted batch job $((100 + number))"
"""
LOGGED = """#!/bin/sh
echo "$*" >> {home}/{name}.log
[ -e {home}/answers/{name} ] && . {home}/answers/{name} && exit 0
case "{name} $*" in squeue*--user*) cat {home}/queue 2>/dev/null;; esac
exit 0
"""


class Slurm:
    """Stand-ins for SLURM's commands; ``answer`` changes what one of them does."""

    def __init__(self, home: Path, run: Path):
        self.home = home
        for name in ("bin", "scripts", "folders", "answers"):
            (home / name).mkdir(parents=True)
        self._write("sbatch", SBATCH.format(home=home, run=run))
        for name in ("srun", "scancel", "squeue", "scontrol"):
            self._write(name, LOGGED.format(home=home, name=name))

    def _write(self, name: str, text: str) -> None:
        path = self.home / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def answer(self, command: int | str, lines: str) -> None:
        """What the ``command``-th sbatch (from 0), or another command, does in the shell."""
        (self.home / "answers" / str(command)).write_text(lines + "\n")

    @property
    def scripts(self) -> list[list[str]]:
        """Lines of all scripts that sbatch was given."""
        return [path.read_text().splitlines() for path in sorted((self.home / "scripts").iterdir())]

    @property
    def folders(self) -> list[str]:
        return [path.read_text().strip() for path in sorted((self.home / "folders").iterdir())]

    def options(self, name: str) -> list[str]:
        """Value of an option in each script; "" where it is not given."""
        start = f"#SBATCH --{name}="
        found = [[line.removeprefix(start) for line in lines if line.startswith(start)] for lines in self.scripts]
        return [values[0] if values else "" for values in found]

    def asked(self, name: str) -> list[str]:
        log = self.home / f"{name}.log"
        return log.read_text().splitlines() if log.exists() else []


class First(Toy):
    name = "first"

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "firsts"


class Second(Toy):
    name = "second"

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        return "seconds"


class Command:
    """A command of up to three jobs over a source of twelve texts, one per task, one worker per element."""

    def __init__(self, root: Path, slurm: Slurm):
        self.slurm, self.controller = slurm, make_site([make_node()])
        self.cluster = site_settings(partition="main", max_running=12)
        self.source = ToySource(root / "data", {f"item-{i:02d}": "text" for i in range(12)}, weight=1.0)
        self.layout = self.source.layout
        self.run = self.layout.run("r1")

    def job(self, cls: type[Toy] = Toy, reads: Sequence[Job] = (), **command: Any) -> Job:
        stage = cls({cls.name: StageConfig(task_weight=1.0)})
        unit = self.layout.unit("toys", cls.folder({}))
        upstream = {job.stage.name: job.unit for job in reads}
        job = replace(self.source.job(**command), stage=stage, unit=unit, upstream=upstream, launcher="slurm")
        return replace(job, sections={"cluster": self.cluster})

    def chain(self) -> list[Job]:
        """Three stages, each of which reads what the one before makes."""
        first = self.job(First)
        second = self.job(Second, [first])
        return [first, second, self.job(Toy, [second])]

    def submit(self, jobs: Sequence[Job], run_id: str = "r1", stale: Sequence[str] = ()) -> list[dict[str, Any]]:
        run = self.layout.run(run_id)
        run.code.mkdir(parents=True, exist_ok=True)
        sides = {"toys": Sides({}, {}, [], {})}
        execution = Execution(self.layout, run_id, run, self, sides)  # type: ignore[arg-type]
        return submit_jobs(execution, jobs, stale, ["stage=toy"], self.controller)

    def listing(self, job: Job) -> Listing:
        return self.source.listing()

    def locks(self) -> list[str]:
        return sorted(str(path.parent.name) for path in self.layout.processed.rglob("lock"))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm(tmp_path / "slurm", tmp_path / "data" / "runs" / "r1")
    monkeypatch.setenv("PATH", f"{made.home / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(sbatch_module, "RETRY_S", 0.0)
    return made


@pytest.fixture
def command(tmp_path: Path, slurm: Slurm) -> Command:
    return Command(tmp_path, slurm)


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """A signal that nothing answers fails the test instead of ending all tests."""

    def complain(number: int, _: Any) -> None:
        raise AssertionError(f"nothing answered signal {number}")

    before = {number: signal.signal(number, complain) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_job_is_an_array_on_the_snapshot_and_holds_its_folder(command, slurm):
    (row,) = command.submit([command.job()])
    assert slurm.options("array") == ["0-11%12"] and slurm.options("job-name") == ["toy-toys-toys"]
    assert slurm.folders == [str(command.run.code)]
    assert (row["items"], row["tasks"], row["elements"], row["weight_s"]) == (12, 12, 12, 12.0)
    assert row["job_ids"] == ["100"] and row["after"] == []
    assert row["windows"] == [{"job_id": "100", "first": 0, "count": 12, "max_running": 12}]
    assert row["request"] == {
        "cpus": 1, "mem_gb": 4.0, "gpus": 0, "timeout_min": 1440, "num_workers": 1, "partition": "main", "site": "test"
    }  # fmt: skip
    holder = read_holder(command.job().unit.lock)
    assert (holder["run_id"], holder["jobs"], holder["folder"]) == ("r1", ["100"], str(command.run.code))
    receipt = json.loads(command.run.receipt.read_text())
    assert receipt["jobs"] == [row] and receipt["launcher"] == "slurm"
    assert len(list(command.run.element("toy-toys-toys", 0).parent.iterdir())) == 12


def test_what_plan_shows_is_what_sbatch_gets(command, slurm):
    first, second = command.chain()[:2]
    command.submit([first, second])
    for number, job in enumerate((first, second)):
        parameters = request_of(job).parameters(12, ["100"] if number else [], str(command.run.code))
        shown = render_script(parameters, 12, str(command.run.slurm_dir(job.name)))
        assert shown.splitlines() == slurm.scripts[number]


def test_every_element_of_the_array_has_a_pickle_of_its_own(command):
    command.submit([command.job()])
    folder = command.run.slurm_dir("toy-toys-toys")
    calls = [pickle.loads((folder / f"100_{i}_submitted.pkl").read_bytes()) for i in range(12)]
    assert [call.args for call in calls] == [(i,) for i in range(12)]
    first = calls[0].function
    assert isinstance(first, ElementRun) and (first.job, first.run_dir) == ("toy-toys-toys", str(command.run.root))
    assert first.unit == str(command.job().unit.root) and first.resources.max_requeues == 20


def test_the_receipt_comes_last(command, slurm):
    command.submit(command.chain())
    assert len(slurm.scripts) == 3 and command.run.receipt.exists()
    assert not (slurm.home / "receipt-too-early").exists()


def test_later_stages_wait_for_earlier_ones_whatever_becomes_of_them(command, slurm):
    rows = command.submit(command.chain())
    assert slurm.options("dependency") == ["", "afterany:100", "afterany:101"]
    assert [row["after"] for row in rows] == [[], ["100"], ["101"]]


def test_an_array_that_is_too_long_is_cut_and_what_comes_after_waits_for_all_of_it(command, slurm):
    command.controller = make_site([make_node()], max_array_size=5)
    first, second = command.chain()[:2]
    rows = command.submit([first, second])
    windows, ids = rows[0]["windows"], rows[0]["job_ids"]
    assert len(windows) == 3 and all(window["count"] <= 5 for window in windows)
    numbers = [i for window in windows for i in range(window["first"], window["first"] + window["count"])]
    assert numbers == list(range(12)) and sum(window["max_running"] for window in windows) == 12
    arrays = [f"0-{window['count'] - 1}%{window['max_running']}" for window in windows]
    assert slurm.options("array") == arrays * 2
    assert slurm.options("dependency") == [""] * 3 + ["afterany:" + ":".join(ids)] * 3
    assert read_holder(first.unit.lock)["jobs"] == ids == rows[1]["after"]


def test_a_window_waits_for_the_one_before_and_for_the_earlier_stage(command, slurm):
    """Even one element at a time is more than an array may have."""
    command.controller = make_site([make_node()], max_array_size=2)
    command.cluster["max_running"] = 1
    command.source.texts = {f"item-{i:02d}": "text" for i in range(64)}
    first, second = command.chain()[:2]
    rows = command.submit([first, second])
    assert [row["elements"] for row in rows] == [4, 4]
    both = "afterany:100:101"
    assert slurm.options("dependency") == ["", "afterany:100", both, f"{both}:102"]
    assert [row["after"] for row in rows] == [[], ["100", "101"]]


def test_a_later_command_waits_for_the_jobs_of_an_earlier_one(command, slurm):
    first, second, _ = command.chain()
    command.submit([first], "r0")
    slurm.answer("squeue", f"echo '100|0-11%4|PENDING|None||N/A|1:00|{command.layout.run('r0').code}'")
    (row,) = command.submit([second])
    assert slurm.options("dependency") == ["", "afterany:100"] and row["after"] == ["100"]


@pytest.mark.parametrize(
    "squeue",
    [
        "true",  # it has no such job any more
        "echo '100|0-11|COMPLETED|None|n1|N/A|1:00|'",
        "echo '100|N/A|RUNNING|None|n1|N/A|1:00|/of/somebody/else'",
        "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
    ],
)
def test_jobs_of_an_earlier_command_that_are_over_are_not_waited_for(command, slurm, squeue):
    first, second, _ = command.chain()
    command.submit([first], "r0")
    slurm.answer("squeue", squeue)
    command.submit([second])
    assert slurm.options("dependency") == ["", ""]


def test_a_folder_that_live_jobs_hold_is_refused_before_anything_is_submitted(command, slurm):
    first, second, third = command.chain()
    command.submit([second], "r0")
    slurm.answer("squeue", "echo '100|0-11%4|PENDING|None||N/A|1:00|'")
    with pytest.raises(Locked, match=r"in use by run r0 \(jobs 100\)"):
        command.submit([first, second, third])
    assert len(slurm.scripts) == 1 and slurm.asked("scancel") == []
    assert command.locks() == ["seconds"] and not command.run.receipt.exists()


def test_when_slurm_cannot_be_asked_jobs_count_as_alive(slurm):
    slurm.answer("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert are_alive(["100"], "/run/code")
    slurm.answer("squeue", "true")
    assert not are_alive(["100"], "/run/code")


def test_when_one_job_is_refused_those_before_it_are_cancelled(command, slurm):
    slurm.answer(1, REFUSED)
    with pytest.raises(ConfigError) as caught:
        command.submit(command.chain())
    assert str(caught.value).startswith("SLURM refused second-toys-seconds: Invalid partition name specified. ")
    assert "cluster.partition is 'main'; set it to one of: main" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(slurm.scripts) == 2 and slurm.asked("scancel") == ["100"]  # asked once, and no third was tried
    assert command.locks() == [] and not command.run.receipt.exists()


def test_later_jobs_are_cancelled_before_those_they_wait_for(command, slurm):
    slurm.answer(2, REFUSED)
    with pytest.raises(ConfigError):
        command.submit(command.chain())
    assert slurm.asked("scancel") == ["101 100"]


def test_windows_that_were_taken_are_cancelled_when_a_later_one_is_refused(command, slurm):
    command.controller = make_site([make_node()], max_array_size=6)
    slurm.answer(1, REFUSED)
    with pytest.raises(ConfigError):
        command.submit([command.job()])
    assert slurm.asked("scancel") == ["100"] and command.locks() == []


def test_what_cannot_be_cancelled_is_named(command, slurm, caplog):
    slurm.answer(1, REFUSED)
    slurm.answer("scancel", "echo 'scancel: error: Kill job error on job id 100' >&2; exit 1")
    with pytest.raises(ConfigError, match="SLURM refused"):
        command.submit(command.chain())
    (record,) = [record for record in caplog.records if "cancel" in record.getMessage()]
    assert (
        "SLURM does not cancel 100: scancel: error: Kill job error on job id 100; what is left" in record.getMessage()
    )


def test_an_answer_that_was_lost_does_not_submit_twice(command, slurm):
    """The controller took the first attempt; only the answer did not arrive."""
    name, code = "toy-toys-toys", command.run.code
    rows = [f"777|{name}|PENDING|{code}", f"778|{name}|PENDING|/another/run", f"779|other|PENDING|{code}", "780|bad"]
    slurm.answer("squeue", "\n".join(f"echo '{row}'" for row in rows))
    slurm.answer(0, TIMED_OUT)
    (row,) = command.submit([command.job()])
    assert len(slurm.scripts) == 2 and row["job_ids"] == ["101"]
    assert slurm.asked("scancel") == ["777"]


def test_windows_that_are_known_are_no_strays(command, slurm):
    command.controller = make_site([make_node()], max_array_size=6)
    slurm.answer("squeue", "".join(f"echo '{i}|toy-toys-toys|PENDING|{command.run.code}'\n" for i in (100, 101)))
    slurm.answer(1, TIMED_OUT)
    (row,) = command.submit([command.job()])
    assert row["job_ids"] == ["100", "102"] and slurm.asked("scancel") == ["101"]


def test_nothing_is_cancelled_where_nothing_strays(command, slurm):
    command.controller = make_site([make_node()], max_array_size=6)
    slurm.answer("squeue", f"echo '100|toy-toys-toys|PENDING|{command.run.code}'")
    slurm.answer(1, TIMED_OUT)
    (row,) = command.submit([command.job()])
    assert row["job_ids"] == ["100", "102"] and slurm.asked("scancel") == []


def test_a_passing_trouble_is_tried_again_and_a_lasting_one_is_said(command, slurm):
    slurm.answer(0, UNREACHABLE)
    (row,) = command.submit([command.job(First)])
    assert row["job_ids"] == ["101"] and slurm.asked("squeue") == []
    for number in range(2, 2 + sbatch_module.SUBMIT_TRIES):
        slurm.answer(number, UNREACHABLE)
    with pytest.raises(ConfigError, match=r"Unable to contact slurm controller \(connect failure\)\. .*scontrol ping"):
        command.submit([command.job(Second)], "r2")
    assert len(slurm.scripts) == 2 + sbatch_module.SUBMIT_TRIES


def test_sbatch_that_has_tried_for_minutes_itself_is_not_called_again(command, slurm):
    slurm.answer(0, BUSY)
    with pytest.raises(ConfigError, match="SLURM refused toy-toys-toys"):
        command.submit([command.job()])
    assert len(slurm.scripts) == 1


def test_words_that_nobody_can_read_are_no_job(command, slurm):
    slurm.answer(1, "echo 'welcome to the cluster'; exit 0")
    with pytest.raises(ConfigError) as caught:
        command.submit(command.chain())
    assert "SLURM refused second-toys-seconds" in str(caught.value) and "\n" not in str(caught.value)
    assert slurm.asked("scancel") == ["100"] and command.locks() == []


@pytest.mark.parametrize("name", ["INT", "TERM"])
def test_an_interrupt_in_the_middle_takes_back_what_was_submitted(command, slurm, own_handlers, name):
    if name == "INT":
        signal.signal(signal.SIGINT, signal.default_int_handler)
    slurm.answer(1, f"kill -{name} $PPID; exit 1")
    with pytest.raises(KeyboardInterrupt):
        command.submit(command.chain())
    assert slurm.asked("scancel")[-1].split()[-1] == "100"
    assert command.locks() == [] and not command.run.receipt.exists()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL


def test_a_job_whose_id_was_never_read_is_taken_back_too(command, slurm, own_handlers):
    """The controller takes the second job, and the command is told to end before it hears of it."""
    row = f"101|second-toys-seconds|PENDING|{command.run.code}"
    slurm.answer(1, f"echo '{row}' >> {slurm.home}/queue; kill -TERM $PPID; sleep 5; exit 1")
    with pytest.raises(KeyboardInterrupt):
        command.submit(command.chain())
    assert slurm.asked("scancel") == ["101 100"]


def test_a_folder_that_was_to_be_made_anew_stays_when_slurm_refuses(command, slurm):
    job = command.job()
    job.unit.root.mkdir(parents=True)
    (job.unit.root / "made").write_text("before")
    slurm.answer(0, REFUSED)
    with pytest.raises(ConfigError):
        command.submit([job], stale=[job.name])
    assert (job.unit.root / "made").exists() and not job.unit.aside("r1").exists()


def test_a_receipt_that_cannot_be_written_takes_everything_back(command, slurm):
    command.run.receipt.mkdir(parents=True)
    (command.run.receipt / "something").touch()
    with pytest.raises((OSError, StageError)):
        command.submit([command.job()])
    assert slurm.asked("scancel") == ["100"] and command.locks() == []


def test_a_job_that_cannot_be_planned_gives_its_folder_back(command, slurm):
    command.source.run()
    command.source.texts["item-03"] = "another text"
    with pytest.raises(ConfigError, match=r"inputs of 1 finished items changed since \(first: item-03, by its records"):
        command.submit([command.job(First), command.job()])
    assert slurm.scripts == [] and command.locks() == []


def test_a_job_with_nothing_to_do_is_not_submitted_and_holds_nothing(command, slurm):
    command.source.texts = {}
    first, second = command.chain()[:2]
    rows = command.submit([first, second])
    assert slurm.scripts == [] and command.locks() == []
    assert [(row["elements"], row["job_ids"], row["after"]) for row in rows] == [(0, [], [])] * 2
    assert command.run.receipt.exists()


def test_a_folder_that_is_made_anew_is_moved_aside_and_held(command):
    job = command.job()
    job.unit.root.mkdir(parents=True)
    (job.unit.root / "left").write_text("behind")
    command.submit([job], stale=[job.name])
    assert (job.unit.aside("r1") / "left").exists() and not (job.unit.root / "left").exists()
    assert read_holder(job.unit.lock)["jobs"] == ["100"]
    assert not (job.unit.aside("r1") / "lock").exists()


def test_another_process_may_take_a_folder_when_its_jobs_are_over(command, slurm):
    command.submit([command.job()])
    slurm.answer("squeue", "true")
    FolderLock(command.job().unit.lock, "r2", are_alive).acquire()
    assert read_holder(command.job().unit.lock)["run_id"] == "r2"


def test_whole_nodes_leave_their_workers_all_of_the_memory(command):
    job = command.job()
    shared = resources_of(job, make_request(cluster={"scratch_dir": "$TMP", "signal_delay_s": 60, "max_requeues": 7}))
    whole = resources_of(job, make_request(cluster={"exclusive": True}))
    assert (shared.mem_gb, whole.mem_gb) == (4.0, None)
    assert (shared.scratch_dir, shared.signal_delay_s, shared.max_requeues) == ("$TMP", 60, 7)


CONFIG = "cat <<'END'\nMaxArraySize = 33\nSLURM_VERSION = 22.05.8\nEND"
PARTITION = "echo 'PartitionName=main Default=YES State=UP MaxTime=UNLIMITED TotalNodes=1'"
NODE = "echo 'NodeName=n1 CPUTot=2 RealMemory=8000 Gres=(null) Partitions=main State=IDLE'"
SCONTROL = f'case "$*" in *config*) {CONFIG}\n;; *partition*) {PARTITION};; *node*) {NODE};; esac'


def test_a_site_is_asked_before_anything_is_submitted(command, slurm):
    slurm.answer("scontrol", SCONTROL)
    controller, remarks = check_site(command.layout, command.chain())
    assert isinstance(controller, Controller) and controller.max_array_size == 33 and remarks == []
    command.cluster["partition"] = "nowhere"
    with pytest.raises(ConfigError, match=r"cluster\.partition is 'nowhere'"):
        check_site(command.layout, command.chain())
    assert slurm.scripts == []


def test_what_no_node_has_is_refused(command, slurm):
    slurm.answer("scontrol", SCONTROL)
    job = command.job()
    large = replace(job, stage=Toy({"toy": StageConfig(cpus_per_task=3)}))
    with pytest.raises(ConfigError, match=r"toy\.cpus_per_task is 3"):
        check_site(command.layout, [job, large])


def test_a_remark_is_made_once_for_all_jobs(command, slurm):
    slurm.answer("scontrol", SCONTROL.replace("State=UP", "State=DOWN"))
    _, remarks = check_site(command.layout, command.chain())
    assert remarks == ["partition 'main' is DOWN: jobs wait until an administrator opens it"]


def test_items_that_may_outlast_their_element_are_remarked(command, slurm):
    slurm.answer("scontrol", SCONTROL)
    short = replace(command.job(), stage=Toy({"toy": StageConfig(timeout_min=60, item_timeout_s=3600)}))
    _, remarks = check_site(command.layout, [short, command.job()])
    assert remarks == [
        "toy.item_timeout_s=3600 allows an item more time than an element has (3480 s of toy.timeout_min=60); "
        "one that needs it is begun again at every start"
    ]


def test_a_machine_without_slurm_is_told_what_to_say(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no sbatch on this machine; say hydra/launcher=local"):
        check_site(command.layout, [command.job()])


class Thinker(Toy):
    """A stage whose model takes four GPUs."""

    engine = SimpleNamespace(num_gpus=4)


def test_a_worker_without_the_gpus_of_its_model_is_refused(command):
    job = command.job(Thinker)
    for gpus, workers in ((0, 1), (4, 2)):
        config = StageConfig(gpus_per_node=gpus, num_workers=workers)
        lacking = replace(job, stage=Thinker({"toy": config}))
        with pytest.raises(ConfigError, match=rf"toy.gpus_per_node is {gpus}, but .*4 GPUs each need {4 * workers}"):
            submit_module._check_gpus(lacking)
    submit_module._check_gpus(replace(job, stage=Thinker({"toy": StageConfig(gpus_per_node=8, num_workers=2)})))
