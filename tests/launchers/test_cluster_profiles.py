"""Every file in conf/cluster/ composes with every stage, has the same keys, and fits the nodes it is written for."""

from __future__ import annotations

import dataclasses
import re

import pytest
from omegaconf import OmegaConf

from launchers.compose import CONF_DIR, compose_command, list_options
from launchers.help import iter_help
from launchers.jobs import build_stage
from launchers.slurm.controller import Partition
from launchers.slurm.fit import check_fits
from launchers.slurm.request import ClusterConfig, build_request
from launchers.slurm.script import render_script
from mmassist.stages import list_stages
from tests.launchers.slurm.sites import make_node, make_site

pytestmark = pytest.mark.long

BIG = make_node("h1", cpus=192, memory_mb=2_000_000, gpus={"h100": 8})
SMALL = make_node("n1", cpus=16, memory_mb=64_000, gpus={"": 8})
NODES = {"demo": SMALL, "generic": SMALL}
PROFILES = list_options("cluster")


def requests_of(profile, *words):
    composed = compose_command([f"stage={','.join(list_stages())}", "dataset=wtag", f"cluster={profile}", *words])
    for combination in composed:
        stage = build_stage(combination.command.stage, combination.sections)
        yield build_request(
            f"{stage.name}-wtag", stage.name, stage.configs[stage.name], combination.sections["cluster"]
        )


@pytest.mark.parametrize("profile", PROFILES)
def test_every_stage_fits_the_nodes_the_profile_is_for(profile):
    site = make_site([NODES.get(profile, BIG)], [Partition("main", is_default=True, max_time_min=1440)])
    made = list(requests_of(profile))
    assert len(made) == len(list_stages()) and all(request.cluster.name == profile for request in made)
    for request in made:
        assert check_fits(request, site) == []


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_has_all_that_a_site_can_set_and_repeats_nothing(profile):
    (request, *_) = requests_of(profile)
    assert request.cluster.name == profile
    assert f" cluster/{profile}.yaml" in list(iter_help())
    own = section_of(profile)
    if profile == "generic":
        assert own.keys() == {field.name for field in dataclasses.fields(ClusterConfig)}
        return
    (parent,) = OmegaConf.load(CONF_DIR / "cluster" / f"{profile}.yaml").defaults
    base = {**section_of("generic"), **section_of(parent)}
    assert own["name"] == profile and not {key for key, value in own.items() if base[key] == value}


def section_of(profile):
    """What a profile's file says of the site; each line has a comment."""
    path = CONF_DIR / "cluster" / f"{profile}.yaml"
    section = OmegaConf.to_container(OmegaConf.load(path))["cluster"]
    for key in section.keys() - {"name"}:
        assert re.search(rf"^  {key}: .* # ", path.read_text(), re.MULTILINE), key
    return section


@pytest.mark.parametrize(
    ("profile", "header"),
    [
        ("h100x8", ["gpus-per-node=8", "cpus-per-task=96", "mem=524288M", "signal=USR2@120", "requeue"]),
        ("whole_node", ["exclusive", "mem=0", "gpus-per-node=8", "cpus-per-task=192"]),
        ("gpus_per_task", ["gpus-per-task=8", "ntasks-per-node=1"]),
        ("preemptable", ["gpus-per-node=4", "time=240", "signal=USR2@60", "requeue"]),
        ("demo", ["gpus-per-node=2", "cpus-per-task=4", "mem=8192M"]),
    ],
)
def test_the_script_says_what_the_profile_is_for(profile, header):
    encode = next(request for request in requests_of(profile) if request.stage == "encode")
    lines = render_script(encode.parameters(8, [], "code"), 20, "logs").splitlines()
    for option in header:
        assert f"#SBATCH --{option}" in lines
    assert "#SBATCH --array=0-19%8" in lines


def test_a_type_of_gpu_is_written_as_each_option_wants_it():
    for option, expected in (
        ("gpus-per-node", "--gpus-per-node=h100:8"),
        ("gpus-per-task", "--gpus-per-task=h100:8"),
        ("gres", "--gres=gpu:h100:8"),
    ):
        words = (f"cluster.gpu_option={option}", "cluster.gpu_type=h100")
        encode = next(request for request in requests_of("h100x8", *words) if request.stage == "encode")
        assert f"#SBATCH {expected}" in render_script(encode.parameters(8, [], "code"), 1, "logs").splitlines()


def test_every_profile_for_real_sites_has_its_page():
    pages = {path.stem for path in (CONF_DIR.parent / "slurm").glob("*.md")} - {"README"}
    assert pages == set(PROFILES) - {"demo"}
