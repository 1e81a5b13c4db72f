"""What a command asks for: one job per output folder, checked against each other and against what is on disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launchers.collector import paused_collector
from launchers.compose import Combination, Command
from launchers.differences import describe_differences
from launchers.state import check_manifest
from launchers.upstream import Sections, Upstream, build_stage, settings_of
from mmassist.core.adapter import Adapter
from mmassist.core.config import as_given
from mmassist.core.errors import ConfigError
from mmassist.core.fingerprint import digest, iter_differences
from mmassist.core.item import Drop, Listing
from mmassist.core.stage import Stage, words_of
from mmassist.datasets import adapter_class, build_adapter, build_dataset_config
from mmassist.io.atomic import read_json
from mmassist.io.layout import Layout, UnitLayout
from mmassist.stages import list_stages


@dataclass(frozen=True)
class Job:
    """One stage over one source with one set of settings: everything that shapes one output folder."""

    stage: Stage
    dataset: str
    sections: dict[str, dict[str, Any]]
    command: Command
    launcher: str
    unit: UnitLayout
    settings: dict[str, Any]  # meaning-bearing settings, upstream's included
    upstream: dict[str, UnitLayout]  # entry of the stage's ``reads`` -> folder

    @property
    def compat(self) -> bool:
        return self.command.compat == "reference"

    @property
    def name(self) -> str:
        """``encode-holoassist-features-tiny``: names this job in run folders, logs and cluster queues."""
        folder = type(self.stage).folder(self.stage.configs).replace("/", "-").replace("+", "-")
        return f"{self.stage.name}-{self.dataset}-{folder}"

    @property
    def fingerprint(self) -> str:
        return digest(self.settings)

    @property
    def stage_config(self) -> Any:
        """The stage's own section, with the shared settings about work and limits."""
        return self.stage.configs[self.stage.name]

    @property
    def python(self) -> str:
        """The interpreter that the job's workers run under."""
        engine = self.stage.engine
        return (engine.interpreter if engine is not None else None) or sys.executable

    @property
    def which(self) -> str:
        """Which of the source's videos are items, whatever is done with them: ``needed`` or ``all``."""
        return str(self.sections["extract"]["which"])

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that the job's engine wants set."""
        return self.stage.engine.environment() if self.stage.engine is not None else {}

    def adapter(self, layout: Layout) -> Adapter:
        """The source's reader."""
        config = build_dataset_config(self.sections["dataset"], "dataset")
        return build_adapter(config, layout.data_root, self.compat)


def select_applicable(combinations: Sequence[Combination]) -> tuple[list[Combination], list[str]]:
    """Leave out stages that a source has no use for (captions are not generated); returns what is left, and remarks.

    Raises ConfigError when nothing is left.
    """
    kept: list[Combination] = []
    without: dict[str, list[str]] = {}
    for combination in combinations:
        dataset, stage = combination.dataset, combination.command.stage
        if stage in list_stages(adapter_class(dataset).content):
            kept.append(combination)
        elif stage not in without.setdefault(dataset, []):
            without[dataset].append(stage)
    remarks = [
        f"{dataset} holds captions, for which there is no {' or '.join(stages)}; "
        f"its stages are {', '.join(list_stages(adapter_class(dataset).content))}"
        for dataset, stages in without.items()
    ]
    if not kept:
        raise ConfigError("; ".join(remarks))
    return kept, remarks


def resolve_jobs(combinations: Sequence[Combination]) -> tuple[Layout, list[Job]]:
    """Merge the combinations into jobs, in pipeline order, sources in the order given.

    Raises ConfigError for an unusable DATA_ROOT_DIR, for settings that cannot work, and for two combinations that
    would write different things into the same folder.
    """
    layout = Layout(_data_root(combinations[0]))
    composed: dict[str, list[Sections]] = {}
    for combination in combinations:
        _refuse_differences(_of_command(combinations[0]), _of_command(combination), "one command")
        composed.setdefault(combination.dataset, []).append(combination.sections)
    jobs: dict[Path, Job] = {}
    for combination in combinations:
        job = _build_job(Upstream(layout, combination.dataset, composed[combination.dataset]), combination)
        known = jobs.setdefault(job.unit.root, job)
        _refuse_differences(_of_job(known), _of_job(job), layout.relative(job.unit.root))
    ordered = sorted(jobs.values(), key=lambda job: list_stages().index(job.stage.name))
    return layout, ordered


def _refuse_differences(first: dict[str, Any], second: dict[str, Any], where: str) -> None:
    for key, a, b in iter_differences(first, second):
        comma = "; a value that holds a comma needs quotes within quotes: \"KEY='a,b'\"" if isinstance(a, str) else ""
        raise ConfigError(f"'{key}' is both {as_given(a)} and {as_given(b)} in {where}; use one of them{comma}")


def _of_command(combination: Combination) -> dict[str, Any]:
    """What must be the same in all combinations of a command."""
    command = {k: v for k, v in asdict(combination.command).items() if k != "stage"}
    return {**command, "hydra/launcher": combination.launcher, "paths": combination.sections["paths"]}


def _of_job(job: Job) -> dict[str, Any]:
    """What must be the same in all combinations that write one folder."""
    transient = {name: job.sections[name] for name in job.stage.configs}
    return {**job.settings, **transient, "cluster": job.sections["cluster"]}


def check_on_disk(layout: Layout, jobs: Sequence[Job]) -> dict[str, str]:
    """Compare the jobs' settings with the folders they write and read.

    Returns the names of jobs whose folder must be moved aside (``on_stale=rebuild``), with what differs. Raises
    ConfigError naming what differs when the command does not say so, and for a folder that is only read.
    """
    written = {job.unit.root for job in jobs}
    stale = {}
    for job in jobs:
        differences = _differences(job.unit, job.settings)
        if differences and job.command.on_stale != "rebuild":
            raise ConfigError(
                f"{layout.relative(job.unit.root)} was made with other settings: {differences}. Use the old values, or "
                f"on_stale=rebuild to move it aside and redo all of stage {job.stage.name} for {job.dataset}"
            )
        if differences:
            stale[job.name] = differences
        for read, unit in job.upstream.items():
            if unit.root in written:
                continue
            check_manifest(unit, unit.record_dir.glob("*.json"))
            differences = _differences(unit, job.settings["reads"][read])
            if differences:
                raise ConfigError(
                    f"{layout.relative(unit.root)}, which {job.stage.name} reads, was made with other settings: "
                    f"{differences}. Use the old values, or redo it with {words_of(read)} on_stale=rebuild"
                )
    return stale


def _differences(unit: UnitLayout, settings: dict[str, Any]) -> str:
    if not unit.manifest.exists():
        return ""
    return describe_differences(read_json(unit.manifest)["settings"], settings)


def _data_root(combination: Combination) -> Path:
    value = combination.sections["paths"].get("data_root")
    if not value:
        raise ConfigError(
            "DATA_ROOT_DIR is not set; export DATA_ROOT_DIR=/folder/that/holds/datasets, or say paths.data_root=FOLDER"
        )
    root = Path(str(value)).expanduser().resolve()
    if not (root / "datasets").is_dir():
        lacks = "has no folder 'datasets'" if root.is_dir() else "does not exist"
        raise ConfigError(
            f"DATA_ROOT_DIR is {str(root)!r}, which {lacks}; name the folder that holds datasets/ with the sources"
        )
    return root


def _build_job(upstream: Upstream, combination: Combination) -> Job:
    sections = combination.sections
    stage = build_stage(combination.command.stage, sections)
    compat = combination.command.compat == "reference"
    stage.check()
    settings = settings_of(stage, sections, compat, upstream)
    stage.check_reads(settings["reads"], compat)
    return Job(
        stage=stage,
        dataset=combination.dataset,
        sections=sections,
        command=combination.command,
        launcher=combination.launcher,
        unit=upstream.unit_of(stage),
        settings=settings,
        upstream=upstream.units_of(stage, sections),
    )


class Sources:
    """The listings of the sources a command touches, each read once."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self._listings: dict[str, Listing] = {}

    def drops(self, dataset: str) -> list[Drop]:
        """What was repaired or left out in the listings read so far of a source."""
        found = {
            drop for name, listing in self._listings.items() if name.startswith(f"{dataset}:") for drop in listing.drops
        }
        return sorted(found, key=lambda drop: (drop.recording, drop.record, drop.reason))

    def listing(self, job: Job) -> Listing:
        """Everything the job's source holds. Raises ConfigError for a missing annotation file."""
        name = f"{job.dataset}:{job.which}"
        if name not in self._listings:
            with paused_collector():
                self._listings[name] = job.adapter(self._layout).list_items(job.which)
        return self._listings[name]
