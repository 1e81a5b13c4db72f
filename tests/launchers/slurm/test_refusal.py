"""sbatch's refusals keep SLURM's own words and say which setting to change."""

from __future__ import annotations

import subprocess

import pytest

from launchers.slurm.controller import ask_controller
from launchers.slurm.refusal import explain_refusal, is_maybe_submitted, is_worth_retrying
from tests.launchers.slurm.sites import make_node, make_request, make_site

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
SITE = make_site([make_node()])


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ("sbatch: error: invalid partition specified\n" + FAILED + "Invalid partition name specified", "partition is"),
        (FAILED + "No partition specified or system default partition", "cluster.partition is"),
        (FAILED + "Required partition not available (inactive or drain)", "cluster.partition is"),
        (FAILED + "Requested partition configuration not available now", "cluster.partition is"),
        (FAILED + "User's group not permitted to use this partition", "cluster.partition is"),
        (FAILED + "Node count specification invalid", "cluster.partition is"),
        (FAILED + "Invalid account or account/partition combination specified", "cluster.account is"),
        (FAILED + "Invalid qos specification", "cluster.qos is"),
        (FAILED + "Requested time limit is invalid (missing or exceeds some limit)", "encode.timeout_min=60"),
        (FAILED + "More processors requested than permitted", "encode.cpus_per_task is 1"),
        ("sbatch: error: CPU count per node can not be satisfied\n" + FAILED
         + "Requested node configuration is not available", "encode.cpus_per_task is 1"),
        ("sbatch: error: Memory specification can not be satisfied\n" + FAILED
         + "Requested node configuration is not available", "encode.mem_gb is 1.0"),
        (FAILED + "Memory required by task is not available", "encode.mem_gb is 1.0"),
        (FAILED + "Requested node configuration is not available", "encode.gpus_per_node=2"),
        ("sbatch: error: Invalid generic resource (gres) specification", "gpu_type=null and cluster.gpu_option"),
        (FAILED + "Invalid feature specification", "cluster.constraint=null"),
        (FAILED + "Invalid job array specification", "cluster.max_array_size"),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + POLICY, "cluster.max_running"),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\n" + POLICY, "encode.timeout_min=60"),
        ("sbatch: error: QOSMaxGRESPerJob\n" + POLICY, "encode.gpus_per_node=2"),
        ("sbatch: error: QOSMaxCpuPerJobLimit\n" + POLICY, "encode.cpus_per_task"),
        (POLICY, "cluster.qos or"),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n" + FAILED
         + "Resource temporarily unavailable", "cluster.elements_per_slot"),
        (FAILED + "Invalid wckey specification", "sbatch: ['wckey=NAME']"),
        (FAILED + "Requested reservation is invalid", "cluster.sbatch"),
        (FAILED + "Access/permission denied", "cluster.partition"),
        (FAILED + "Invalid --nice value", "cluster.sbatch"),
        ("sbatch: unrecognized option '--foo'\nTry \"sbatch --help\" for more information", "cluster.sbatch"),
        ("sbatch: fatal: --mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.", "cluster.sbatch"),
        (FAILED + "Job dependency problem", "repeat the command"),
        (FAILED + "Unable to contact slurm controller (connect failure)", "scontrol ping"),
        (FAILED + "Socket timed out on send/recv operation", "scontrol ping"),
        (FAILED + "Protocol authentication error", "administrators"),
        (FAILED + "Something that no version has said yet", "plan=true"),
        ("", "plan=true"),
    ],
)  # fmt: skip
def test_every_refusal_names_what_to_change(words, setting):
    text = explain_refusal(words, make_request(gpus=2), SITE)
    assert "\n" not in text and text.startswith("SLURM refused encode-wtag-features: ")
    assert setting in text
    assert "sbatch: error" not in text and "sleeping" not in text
    last = words.splitlines()[-1].removeprefix(FAILED) if words else "no reason given"
    assert last.removeprefix("sbatch: error: ").rstrip(".") in text or "sbatch: " in last or "Try" in last
    assert explain_refusal(words, make_request(gpus=2))  # without knowing the site


def test_the_same_words_are_said_once_and_the_site_s_own_are_kept():
    words = "sbatch: error: Ask for an account.\nsbatch: error: Ask for an account.\n" + FAILED + "Unspecified error"
    assert "features: Ask for an account.; Unspecified error. The same" in explain_refusal(words, make_request(), SITE)


@pytest.mark.parametrize(
    ("reason", "may_exist", "again"),
    [
        ("Socket timed out on send/recv operation", True, True),
        ("Zero Bytes were transmitted or received", True, True),
        ("Unable to contact slurm controller (receive failure)", True, True),
        ("Message receive failure", True, True),
        ("Unable to contact slurm controller (connect failure)", False, True),
        ("Unable to contact slurm controller (send failure)", False, True),
        ("Rate limit exceeded, please retry momentarily", False, True),
        ("Slurm backup controller in standby mode", False, True),
        ("Resource temporarily unavailable", False, False),
        ("Invalid partition name specified", False, False),
        ("Invalid qos specification", False, False),
    ],
)
def test_what_may_have_arrived_and_what_is_worth_another_try(reason, may_exist, again):
    assert is_maybe_submitted(FAILED + reason) is may_exist
    assert is_worth_retrying(FAILED + reason) is again


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (["--partition=nowhere"], "cluster.partition is"),
        (["--constraint=moon"], "cluster.constraint="),
        (["--cpus-per-task=17"], "encode.cpus_per_task is"),
        (["--mem=65G"], "encode.mem_gb is"),
        (["--gpus-per-node=9"], "encode.gpus_per_node="),
        (["--gpus-per-node=h100:1"], "encode.gpus_per_node="),
        (["--gres=moon:1"], "encode.gpus_per_node="),
        (["--array=0-9999999"], "cluster.max_array_size"),
        (["--reservation=none"], "cluster.sbatch"),
        (["--time=soon"], "encode.timeout_min"),
    ],
)
def test_real_refusals_are_explained(private_slurm, tmp_path, options, setting):
    words = ["sbatch", *options, f"--output={tmp_path}/out", "--wrap=true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert setting in explain_refusal(done.stderr, make_request(gpus=2), ask_controller())
    assert not is_maybe_submitted(done.stderr) and not is_worth_retrying(done.stderr)
