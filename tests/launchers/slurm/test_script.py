"""The batch script of every site in ``conf/cluster/``, word for word, so that no change of it goes unseen.

``python -m tests.launchers.slurm.test_script`` writes the copies anew after a change that is meant.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from launchers.compose import compose_command, list_options
from launchers.jobs import build_stage
from launchers.slurm.request import build_request
from launchers.slurm.script import render_script
from tests.launchers.slurm.sites import make_request

COPIES = Path(__file__).with_name("encode.sbatch")
PROFILES = list_options("cluster")
JOB, FOLDER = "encode-holoassist-features-siglip_so400m", "/data/runs/RUN/logs/slurm/encode"


def render_profiles() -> dict[str, str]:
    """Encode's script at every site: an array of 20 elements, 8 at once, that waits for two jobs."""
    scripts = {}
    for one in compose_command(["stage=encode", "dataset=holoassist", f"cluster={','.join(PROFILES)}"]):
        config = build_stage("encode", one.sections).configs["encode"]
        request = build_request(JOB, "encode", config, one.sections["cluster"])
        text = render_script(request.parameters(8, ["17", "18"], "/data/runs/RUN/code"), 20, FOLDER)
        scripts[request.cluster.name] = text.replace(shlex.quote(sys.executable), "PYTHON").strip() + "\n"
    return scripts


def read_copies() -> dict[str, str]:
    """The scripts in ``encode.sbatch``, each below a line with the name of its site."""
    parts = COPIES.read_text().split("##### ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() + "\n" for part in parts}


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    return render_profiles()


def test_every_site_has_a_copy():
    assert sorted(read_copies()) == PROFILES


@pytest.mark.parametrize("profile", PROFILES)
def test_the_script_of_a_site_is_word_for_word_its_copy(scripts, profile):
    assert scripts[profile] == read_copies()[profile]


def test_a_folder_or_python_with_a_space_is_quoted(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/my env/bin/python")
    text = render_script(make_request().parameters(1, [], "/my data/code"), 2, "/my data/logs")
    assert "'/my env/bin/python' -u -m submitit.core._submit '/my data/logs'" in text
    assert "'/my data/logs/%A_%a_%t_log.out'" in text


if __name__ == "__main__":
    COPIES.write_text("\n".join(f"##### {name}\n{text}" for name, text in sorted(render_profiles().items())))
