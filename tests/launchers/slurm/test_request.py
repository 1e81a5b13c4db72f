"""A stage's resources and a site's facts as options for sbatch."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.slurm.request import build_request
from launchers.slurm.script import render_script
from mmassist.core.errors import ConfigError
from mmassist.core.stage_config import StageConfig
from tests.launchers.slurm.sites import make_request, site_settings

CONFIG = StageConfig(cpus_per_task=8, mem_gb=1.5, gpus_per_node=4, timeout_min=90)


def options(after: list[str] | None = None, *, count: int = 4, cluster: dict[str, Any] | None = None, **values: Any):
    """The #SBATCH lines of an array of four, two at once."""
    parameters = make_request(cluster=cluster, **values).parameters(2, after or [], "/run/code")
    lines = render_script(parameters, count, "logs").splitlines()
    return [shlex.split(line)[1].removeprefix("--") for line in lines if line.startswith("#SBATCH --")]


def test_a_plain_request_names_nothing_that_the_site_decides():
    made = options(cpus=3, mem_gb=2.5, timeout_min=90)
    assert {"cpus-per-task=3", "mem=2560M", "time=90", "nodes=1", "ntasks-per-node=1"} <= set(made)
    assert {"array=0-3%2", "requeue", "signal=USR2@120", "job-name=encode-wtag-features"} <= set(made)
    for name in ("partition", "account", "qos", "constraint", "gpus", "gres", "exclusive", "dependency"):
        assert not any(line.startswith(name) for line in made), name


def test_what_the_site_is_told_is_passed_on():
    facts = {"partition": "gpu,long", "account": "lab", "qos": "high", "constraint": "a100&nvme"}
    assert {f"{name}={value}" for name, value in facts.items()} <= set(options(cluster=facts))


@pytest.mark.parametrize(
    ("option", "kind", "expected"),
    [
        ("gpus-per-node", None, "gpus-per-node=8"),
        ("gpus-per-node", "h100", "gpus-per-node=h100:8"),
        ("gpus-per-task", None, "gpus-per-task=8"),
        ("gpus-per-task", "h100", "gpus-per-task=h100:8"),
        ("gres", None, "gres=gpu:8"),
        ("gres", "h100", "gres=gpu:h100:8"),
    ],
)
def test_gpus_are_asked_for_as_the_site_wants(option, kind, expected):
    cluster = {"gpu_option": option, "gpu_type": kind}
    assert [line for line in options(cluster=cluster, gpus=8) if "gpu" in line or "gres" in line] == [expected]
    assert not [line for line in options(cluster=cluster, gpus=0) if "gpu" in line or "gres" in line]


def test_a_whole_node_comes_with_all_of_its_memory():
    made = options(cluster={"exclusive": True}, mem_gb=512.0)
    assert {"exclusive", "mem=0"} <= set(made) and "mem=524288M" not in made


def test_further_options_have_a_value_or_are_flags():
    further = ("reservation=night", "--nice=100", "hold", "comment=a=b", "no-kill")
    made = options(cluster={"sbatch": further})
    assert {"reservation=night", "nice=100", "hold", "comment=a=b", "no-kill"} <= set(made)


def test_jobs_wait_for_earlier_ones_whatever_became_of_them():
    assert "dependency=afterany:17:18" in options(["17", "18"])


def test_one_element_is_a_plain_job():
    made = options(count=1)
    assert not [line for line in made if line.startswith("array")]
    assert [line.endswith("/%j_0_log.out") for line in made if line.startswith("output=")] == [True]


def test_lines_to_run_before_come_before_the_work():
    parameters = make_request(cluster={"setup": ("module load cuda", "ulimit -n 65536")}).parameters(1, [], "/run/code")
    lines = render_script(parameters, 4, "logs").splitlines()
    work = next(i for i, line in enumerate(lines) if line.startswith("srun "))
    assert lines.index("module load cuda") < lines.index("ulimit -n 65536") < work
    assert "--cpus-per-task 1 " in lines[work]


@given(st.floats(0.001, 10_000))
def test_memory_is_whole_megabytes_close_to_what_was_asked(mem_gb):
    text = make_request(mem_gb=mem_gb).parameters(1, [], "/run/code")["mem"]
    assert text.endswith("M") and abs(int(text[:-1]) - max(1, mem_gb * 1024)) <= 0.5


def test_a_job_takes_the_resources_of_its_stages_section():
    made = build_request("encode-wtag", "encode", CONFIG, site_settings(name="here", sbatch=["hold"]))
    assert (made.cpus, made.mem_gb, made.gpus, made.timeout_min) == (8, 1.5, 4, 90)
    assert (made.job, made.stage, made.cluster.name, made.cluster.sbatch) == (
        "encode-wtag",
        "encode",
        "here",
        ("hold",),
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_running": 0}, r"max_running is 0; it must be 1 or more"),
        ({"elements_per_slot": 0}, r"elements_per_slot is 0; it must be 1 or more"),
        ({"signal_delay_s": 0}, r"signal_delay_s is 0; it must be 1 or more"),
        ({"max_array_size": 0}, r"max_array_size is 0; it must be 1 or more, or null"),
        ({"max_requeues": -1}, r"max_requeues is -1; it must not be negative"),
        ({"gpu_option": "gpus"}, r"gpu_option"),
        ({"partitoin": "gpu"}, r"partitoin.*partition"),
        ({"max_running": "many"}, r"max_running"),
    ],
)
def test_a_site_that_makes_no_sense_is_one_line(values, said):
    with pytest.raises(ConfigError, match=said) as caught:
        build_request("encode-wtag", "encode", CONFIG, site_settings(**values))
    assert "cluster" in str(caught.value) and "\n" not in str(caught.value)


def test_no_requeues_at_all_is_a_choice():
    assert build_request("encode-wtag", "encode", CONFIG, site_settings(max_requeues=0)).cluster.max_requeues == 0


@pytest.mark.parametrize(
    "option",
    ["chdir=/tmp", "chd=/tmp", "nice=1 --chdir=/tmp", "uid=1", "parsable", "wait", "dep=afterok:1", "", "=5", "t=1"],
)
def test_options_that_would_lead_the_jobs_astray_are_refused(option):
    with pytest.raises(ConfigError, match=r"cluster\.sbatch has"):
        build_request("encode-wtag", "encode", CONFIG, site_settings(sbatch=[option]))


@pytest.mark.parametrize(
    ("lines", "code"), [(["true"], 0), (["false"], 1), (["exit 3"], 3), (["cd /nowhere/at/all"], 1)]
)
def test_a_setup_line_that_fails_ends_the_job(lines, code):
    setup = make_request(cluster={"setup": tuple(lines)}).parameters(1, [], "/run/code")["setup"]
    done = subprocess.run(["bash", "-c", "\n".join([*setup, "false; echo work"])], capture_output=True, text=True)
    assert done.returncode == code and ("work" in done.stdout) == (code == 0)
    assert code in (0, 3) or f"cluster.setup failed at: {lines[0]}" in done.stderr
