"""The private SLURM: started, broken, mended and stopped, with nothing of anybody else's touched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from slurm.private.__main__ import main
from slurm.private.cluster import Cluster
from slurm.private.failures import crash_node, kill_controller, kill_daemon
from slurm.private.files import Setup, num_ports, render_files
from slurm.private.options import Options, default_folder
from slurm.private.packages import BASE, missing_packages
from slurm.private.place import Place, are_free, locked
from slurm.private.process import iter_processes

PATIENCE_S = 90.0
SMALL = Options(nodes=2, gpus_per_node=0, accounting="no")
SETUP = Setup(first_port=20000, first_job_id=1, slurm_version=(22, 5), has_accounting=True)


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A folder with a short path, as sockets need; whatever clusters tests start below it are stopped."""
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        yield Path(folder)
        for state in Path(folder).glob("*/cluster.json"):
            Cluster.existing(state.parent).down()


@pytest.fixture
def small(short_dir: Path) -> Cluster:
    """A quick cluster: two nodes, no GPUs, no accounting."""
    if missing := missing_packages(BASE):
        pytest.skip(f"no private SLURM: {', '.join(missing)} missing")
    cluster = Cluster(short_dir / "c", SMALL)
    cluster.up()
    return cluster


def until(is_so: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.1)


def submit(cluster: Cluster, *words: str, script: str = "sleep 600") -> str:
    """Submit a batch script of one line; returns its job id."""
    done = cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *words, "--wrap", script)
    assert done is not None
    return done.strip()


def state_of(cluster: Cluster, job: str) -> str:
    return (cluster.ask("squeue", "-h", "-t", "all", "-o", "%T", "-j", job) or "").strip()


def restarts_of(cluster: Cluster, job: str) -> int:
    found = re.search(r"Restarts=(\d+)", cluster.ask("scontrol", "show", "job", job) or "")
    return int(found[1]) if found else -1


def start_job(cluster: Cluster, *words: str, script: str = "sleep 600") -> str:
    """Submit a job and wait until its own process is at work."""
    job = submit(cluster, *words, script=script)
    until(lambda: any(p.name == "sleep" for p in cluster.processes()), f"job {job} runs")
    return job


def daemons(cluster: Cluster) -> dict[str, list[int]]:
    """Process ids by role; the controller has a helper process."""
    found: dict[str, list[int]] = {}
    for process in sorted(cluster.processes(), key=lambda process: process.pid):
        if not process.is_job:
            found.setdefault(process.role, []).append(process.pid)
    return found


# ---- what the user says


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nodes", "0"], "nodes is 0; it must be 1 to 256"),
        (["--nodes", "many"], "--nodes: invalid int value: 'many'"),
        (["--gpus-per-node", "-1"], "gpus_per_node is -1"),
        (["--set", "MaxArraySize"], "set is 'MaxArraySize'; it must be Key=Value"),
        (["--set", "A=1\nB=2"], "it must be Key=Value"),
        (["--accounting", "maybe"], "invalid choice: 'maybe'"),
        (["--dir", "/tmp/a b"], "letters, digits and ._+- only"),
        (["--dir", "/" + "a" * 100], "at most 80 letters"),
        (["--dir", "/etc/passwd"], "it must be a folder"),
        (["--speed", "1"], "unrecognized arguments: --speed 1"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], expected: str) -> None:
    try:
        code = main(["up", *words])
    except SystemExit as end:  # argparse's way
        code = int(str(end.code))
    printed = capsys.readouterr()
    assert code == 2 and not printed.out
    assert printed.err.startswith("error: ") and expected in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["status"], ["crash-node", "n1"], ["kill-daemon", "n1"], ["kill-controller"]])
def test_no_cluster_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        assert main([*words, "--dir", folder]) == 2
        assert "where no private cluster was started" in capsys.readouterr().err
        assert main(["down", "--dir", folder]) == 0
        assert not list(Path(folder).iterdir())


def test_a_foreign_folder_is_left_as_it_is() -> None:
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        Path(folder, "thesis.txt").write_text("years of work")
        with pytest.raises(ConfigError, match="holds other files"):
            Cluster(Path(folder), SMALL).up()
        with pytest.raises(ConfigError, match="holds other files"):
            Cluster(Path(folder), SMALL).down(purge=True)
        assert [path.name for path in Path(folder).iterdir()] == ["thesis.txt"]


def test_every_user_and_purpose_has_a_folder() -> None:
    assert str(os.getuid()) in default_folder().name
    assert default_folder() != default_folder("demo")


# ---- configuration files


@given(
    st.builds(
        Options,
        nodes=st.integers(1, 256),
        gpus_per_node=st.integers(0, 64),
        cpus_per_node=st.integers(1, 4096),
        mem_per_node=st.integers(1, 2**30),
        settings=st.lists(st.sampled_from(["MaxArraySize=5", "maxarraysize=6", "JobRequeue=0"])).map(tuple),
    )
)
def test_every_key_is_said_once(options: Options) -> None:
    place = Place(Path("/tmp/c"))
    text = render_files(place, options, SETUP)[place.conf]
    keys = [line.split("=")[0].lower() for line in text.splitlines() if not line.startswith(("NodeName", "Partition"))]
    assert len(keys) == len(set(keys))
    asked = [line for line in options.settings if line.lower().startswith("maxarraysize")]
    assert f"MaxArraySize={asked[-1].split('=')[1] if asked else 100001}\n" in text
    ports = re.search(r" Port=\[?(\d+)(?:-(\d+))?", text)
    assert ports and int(ports[2] or ports[1]) - int(ports[1]) + 1 == options.nodes
    assert int(ports[2] or ports[1]) < SETUP.first_port + num_ports(options)
    assert text == render_files(place, options, SETUP)[place.conf]


def test_a_partition_can_be_replaced_and_added() -> None:
    place = Place(Path("/tmp/c"))
    settings = ("PartitionName=main Nodes=n1 MaxTime=60", "PartitionName=debug Nodes=ALL")
    text = render_files(place, Options(settings=settings), SETUP)[place.conf]
    rows = [line for line in text.splitlines() if line.startswith("PartitionName=")]
    assert [row.split()[0] for row in rows] == [f"PartitionName={name}" for name in ("main", "urgent", "debug")]
    assert rows[0] == settings[0]


def test_the_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "c")
    code = f"""
from pathlib import Path
from slurm.private.place import Place, locked
with locked(Place(Path({str(place.root)!r}))):
    print("in")
"""
    words = [sys.executable, "-c", code]
    with locked(place):
        other = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1)
        place.lock.unlink()  # as a purge does
    assert other.communicate(timeout=PATIENCE_S)[0] == "in\n"
    assert place.lock.exists()


# ---- processes


def test_only_marked_processes_are_ours(tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    plain = {"PATH": os.environ["PATH"], "SLURM_CONF": str(conf)}
    environments = {
        "a shell of the user's": plain,
        "a job of another cluster": {**plain, "SLURM_CONF": f"{conf}x", "SLURMD_NODENAME": "n1"},
        "a job": {**plain, "SLURMD_NODENAME": "n1"},
        "a daemon": {**plain, "PRIVATE_SLURM_ROLE": "munged"},
    }
    started = {name: subprocess.Popen(["sleep", "600"], env=env) for name, env in environments.items()}
    try:
        names = {process.pid: name for name, process in started.items()}
        until(lambda: len(list(iter_processes(conf))) == 2, "processes have their environment")
        found = {names[process.pid]: process for process in iter_processes(conf)}
        assert {name: (p.is_job, p.node, p.role) for name, p in found.items()} == {
            "a job": (True, "n1", ""),
            "a daemon": (False, "", "munged"),
        }
        started["a job"].kill()  # and not reaped: a zombie is no process
        until(lambda: len(list(iter_processes(conf))) == 1, "the killed one is gone")
    finally:
        for process in started.values():
            process.kill()
            process.wait()


# ---- a cluster


def test_a_second_start_changes_nothing_and_brings_back_what_died(small: Cluster) -> None:
    before = daemons(small)
    assert set(before) == {"munged", "slurmctld", "slurmd-n1", "slurmd-n2"}
    small.up()
    assert daemons(small) == before
    job = submit(small, "--hold", "--job-name=patience")
    saved = small.place.root / "state" / "job_state"
    until(lambda: saved.exists() and b"patience" in saved.read_bytes(), "the controller saves its state")
    assert kill_controller(small) == before["slurmctld"]
    assert small.ask("true") == "" and kill_controller(small) == []
    os.kill(before["munged"][0], signal.SIGKILL)
    small.up()
    after = daemons(small)
    assert {role for role in after if after[role] != before[role]} == {"munged", "slurmctld"}
    assert state_of(small, job) == "PENDING"


def test_a_crashed_node_loses_its_jobs_and_they_start_again(small: Cluster) -> None:
    job = start_job(small, "--nodelist=n2")
    with pytest.raises(ConfigError, match="node is 'n3'; it must be one of n1, n2"):
        crash_node(small, "n3")
    killed = crash_node(small, "n2")
    assert len(killed) >= 3  # daemon, step daemon, script
    assert set(daemons(small)) == {"munged", "slurmctld", "slurmd-n1"}
    assert not [process for process in small.processes() if process.is_job]
    small.up()
    until(lambda: restarts_of(small, job) == 1 and state_of(small, job) == "RUNNING", "the job starts again")


def test_jobs_outlive_their_nodes_daemon_but_not_the_cluster(small: Cluster) -> None:
    script = "trap '' TERM; while true; do sleep 600; done"
    job = start_job(small, "--nodelist=n1", script=script)
    running = {process.pid for process in small.processes() if process.is_job}
    assert len(kill_daemon(small, "n1")) == 1
    assert {process.pid for process in small.processes() if process.is_job} == running
    small.up()
    assert state_of(small, job) == "RUNNING" and restarts_of(small, job) == 0
    kill_daemon(small, "n1")  # so that nobody is left to end the job
    kill_controller(small)
    small.down()
    assert small.processes() == []
    assert small.place.conf.exists()
    small.down(purge=True)
    assert not small.place.root.exists()


def test_clusters_lie_side_by_side_and_other_options_make_one_anew(small: Cluster) -> None:
    other = Cluster(small.place.root.with_name("d"), Options(nodes=1, gpus_per_node=0, accounting="no"))
    other.up()
    kept, lost = submit(small, "--hold"), submit(other, "--hold")
    before = daemons(small)
    anew = Cluster(other.place.root, Options(nodes=3, gpus_per_node=0, accounting="no", settings=("MaxArraySize=7",)))
    anew.up()
    assert (anew.ask("sinfo", "-h", "-o", "%D", "-p", "main") or "").strip() == "3"
    assert "MaxArraySize            = 7\n" in (anew.ask("scontrol", "show", "config") or "")
    assert state_of(anew, lost) == ""
    assert Cluster.existing(anew.place.root).options == anew.options
    anew.down(purge=True)
    assert anew.processes() == []
    assert daemons(small) == before and state_of(small, kept) == "PENDING"


def test_a_cluster_that_lay_still_gives_its_ports_away(small: Cluster) -> None:
    ports = re.search(r"SlurmctldPort=(\d+)", small.place.conf.read_text())
    assert ports and not are_free(int(ports[1]), 1)
    job = submit(small, "--hold")
    small.down()  # cancels the job, which stays known
    code = f"import socket; s = socket.create_server(('', {ports[1]})); print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout and other.stdout.readline()
    try:
        small.up()
        assert f"SlurmctldPort={ports[1]}\n" not in small.place.conf.read_text()
        assert state_of(small, job) == "CANCELLED"
    finally:
        other.kill()
        other.communicate()


def test_the_command_prints_what_a_shell_evaluates(short_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if missing := missing_packages(BASE):
        pytest.skip(f"no private SLURM: {', '.join(missing)} missing")
    where = ["--dir", str(short_dir / "c")]
    assert main(["up", "--nodes", "1", "--gpus-per-node", "0", "--accounting", "no", *where]) == 0
    line = capsys.readouterr().out
    assert line == f"export SLURM_CONF={short_dir / 'c' / 'slurm.conf'}\n"
    assert main(["status", *where]) == 0
    assert "slurmd-n1    process " in capsys.readouterr().out
    assert main(["kill-controller", *where]) == 0
    capsys.readouterr()
    assert main(["status", *where]) == 1
    assert "slurmctld    not alive\n" in capsys.readouterr().out
    assert main(["down", "--purge", *where]) == 0
    assert not (short_dir / "c").exists()


def test_the_shared_cluster_has_gpus_and_accounting(private_slurm: Cluster, tmp_path: Path) -> None:
    assert os.environ["SLURM_CONF"] == str(private_slurm.place.conf)
    script = f'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES" > {tmp_path}/out'
    job = submit(private_slurm, "--gpus-per-node=8", "--nodelist=n3", script=script)
    until(lambda: state_of(private_slurm, job) == "COMPLETED", "the job ends")
    assert (tmp_path / "out").read_text() == "n3 0,1,2,3,4,5,6,7\n"
    words = ("sacct", "-n", "-X", "-o", "State", "-j", job)
    until(lambda: (private_slurm.ask(*words) or "").strip() == "COMPLETED", "accounting knows it")
    assert private_slurm.ask("sbatch", "--gpus-per-node=9", "--wrap", "true") is None
