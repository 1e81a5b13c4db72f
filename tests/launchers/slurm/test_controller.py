"""What scontrol prints is read whatever the version, and what it cannot say is told in its own words."""

from __future__ import annotations

import pytest

from launchers.slurm.controller import ask_controller, parse_controller, parse_gpus, parse_minutes
from mmassist.core.errors import ConfigError
from tests.launchers.slurm.sites import make_node

CONFIG = """\
Configuration data as of 2026-01-01T10:00:00
AccountingStorageEnforce = associations,limits,qos,safe
AccountingStorageType   = accounting_storage/slurmdbd
EnforcePartLimits       = YES
KillWait                = 30 sec
MaxArraySize            = 4001
MaxJobCount             = 50000
MaxMemPerNode           = UNLIMITED
PreemptType             = preempt/partition_prio
SlurmctldParameters     = enable_configless,preempt_send_user_signal
SLURM_VERSION           = 23.11.4

Slurmctld(primary) at head is UP
"""
PARTITIONS = (
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=lab,core DenyQos=tiny Default=YES DefaultTime=01:00:00 "
    "GraceTime=60 MaxNodes=UNLIMITED MaxTime=2-00:30:00 MinNodes=0 MaxCPUsPerNode=96 Nodes=g[1-2] PreemptMode=REQUEUE "
    "State=UP TotalCPUs=384 TotalNodes=2 MaxMemPerNode=1000000\n"
    "PartitionName=old AllowGroups=ALL DenyAccounts=guest AllowQos=long Default=NO MaxTime=UNLIMITED State=INACTIVE "
    "TotalNodes=0 MaxMemPerCPU=4000\n"
)
NODES = (
    "NodeName=g1 Arch=x86_64 CoresPerSocket=48 CPUAlloc=0 CPUEfctv=188 CPUTot=192 CPULoad=1.2 "
    "AvailableFeatures=h100,ib,reboot ActiveFeatures=h100,ib Gres=gpu:h100:8(S:0-1,3),mps:h100:400 NodeAddr=g1 "
    "OS=Linux 5.14.0 #1 SMP State=odd RealMemory=2063000 AllocMem=0 CoreSpecCount=2 MemSpecLimit=8192 "
    "State=MIXED+PLANNED ThreadsPerCore=2 Partitions=gpu,old BootTime=2026-01-01T00:00:00 CfgTRES=cpu=192,gres/gpu=8 "
    "AllocTRES= Reason=watch State=DOWN and Gres=gpu:1 [root@2026]\n"
    "NodeName=g2 Arch=x86_64 CPUTot=64 AvailableFeatures=(null) ActiveFeatures=(null) Gres=(null) RealMemory=256000 "
    "State=DOWN*+DRAIN Partitions=gpu\n"
    "\n"
)


def test_everything_that_matters_is_read():
    site = parse_controller(CONFIG, PARTITIONS, NODES)
    assert (site.version, site.max_array_size, site.max_job_count) == ("23.11.4", 4001, 50000)
    assert (site.accounting, site.preempt_type, site.send_user_signal) == ("slurmdbd", "partition_prio", True)
    assert (site.enforces_accounts, site.enforces_limits, site.kill_wait_s) == (True, "ALL", 30)
    gpu, old = site.partitions
    assert site.default_partition is gpu and site.partition("old") is old and site.partition("new") is None
    assert (gpu.max_time_min, gpu.default_time_min, gpu.max_cpus_per_node) == (2 * 1440 + 30, 60, 96)
    assert (gpu.max_mem_per_node_mb, gpu.max_nodes, gpu.preempt_mode, gpu.grace_time_s) == (
        1000000,
        None,
        "REQUEUE",
        60,
    )
    assert (gpu.allow_accounts, gpu.deny_accounts, gpu.deny_qos) == (("lab", "core"), (), ("tiny",))
    assert (old.deny_accounts, old.allow_qos, old.state, old.total_nodes) == (("guest",), ("long",), "INACTIVE", 0)
    assert (old.max_time_min, old.max_mem_per_node_mb, old.max_mem_per_cpu_mb) == (None, None, 4000)
    assert [node.name for node in site.nodes_of("gpu")] == ["g1", "g2"]
    first, second = site.nodes
    assert (first.cpus, first.memory_mb, first.gpus, first.partitions) == (188, 2054808, {"h100": 8}, ("gpu", "old"))
    assert first.features == {"h100", "ib", "reboot"}
    assert (second.cpus, second.memory_mb, second.gpus, second.features) == (64, 256000, {}, frozenset())
    assert not second.is_working


def test_what_is_absent_is_no_limit():
    site = parse_controller("", "PartitionName=main\nNo partitions in the system\n", "NodeName=n1\n")
    assert (site.max_array_size, site.accounting, site.send_user_signal) == (1001, "none", False)
    assert site.default_partition is None and site.partitions[0].max_time_min is None
    assert site.nodes[0].cpus == 0 and site.nodes[0].gpus == {}


def test_limits_of_the_whole_site_count():
    assert parse_controller("MaxArraySize = 0\n", "", "").max_array_size == 1  # no arrays at all
    site = parse_controller("MaxMemPerNode = 5000\n", "PartitionName=a MaxMemPerNode=UNLIMITED\n", "")
    assert site.partitions[0].max_mem_per_node_mb == 5000


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:8", {"": 8}),
        ("gpu:h100:8(S:0-1)", {"h100": 8}),
        ("gpu:a100:4(S:0,2),gpu:h100:4(S:1-3),mps:400", {"a100": 4, "h100": 4}),
        ("gpu:a100:no_consume:2,gpu:a100:2", {"a100": 4}),
        ("gpu:1g.10gb:7,shard:28,nic:2", {"1g.10gb": 7}),
        ("gpu", {"": 1}),
        ("gpu:tesla", {"tesla": 1}),
        ("(null)", {}),
        ("", {}),
    ],
)
def test_gpus_are_counted_by_type(text, gpus):
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("UNLIMITED", None), ("NONE", None), ("", None), ("1-00:00:00", 1440), ("12:30:00", 750), ("30:00", 30),
     ("90", 90), ("2-6", 3240), ("365-00:00:00", 525600), ("00:00:59", 0)],
)  # fmt: skip
def test_times_are_minutes(text, minutes):
    assert parse_minutes(text) == minutes


@pytest.mark.parametrize(
    ("state", "is_working"),
    [("IDLE", True), ("MIXED", True), ("ALLOCATED+PLANNED", True), ("IDLE+CLOUD+POWERED_DOWN", True),
     ("IDLE+CLOUD+POWERING_UP", True), ("RESERVED", True), ("COMPLETING", True), ("DOWN", False), ("IDLE*", False),
     ("IDLE+DRAIN", False), ("MIXED+DRAIN", False), ("DOWN*+DRAIN", False), ("IDLE+MAINT", False),
     ("IDLE+INVALID_REG", False), ("FAILING", False), ("FUTURE", False)],
)  # fmt: skip
def test_a_node_works_or_not(state, is_working):
    assert make_node(state=state).is_working is is_working


def write_scontrol(folder, monkeypatch, script):
    (folder / "scontrol").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_controller_that_is_down_is_told_in_its_own_words(tmp_path, monkeypatch):
    said = "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"
    write_scontrol(tmp_path, monkeypatch, f"echo '{said}' >&2; exit 1")
    with pytest.raises(ConfigError) as error:
        ask_controller()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_controller_that_never_answers_is_not_waited_for(tmp_path, monkeypatch):
    write_scontrol(tmp_path, monkeypatch, "exec sleep 600")
    with pytest.raises(ConfigError, match=r"did not answer 'scontrol show config' within 0\.2 s"):
        ask_controller(timeout_s=0.2)


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="there is no scontrol on this machine; say hydra/launcher=local"):
        ask_controller()


def test_a_real_controller_is_understood(private_slurm):
    site = ask_controller()
    assert site.version and site.default_partition is not None and site.default_partition.name == "main"
    assert [(node.cpus, node.memory_mb, node.gpus) for node in site.nodes_of("main")] == [(16, 64000, {"": 8})] * 4
    assert site.send_user_signal and site.preempt_type == "partition_prio"
