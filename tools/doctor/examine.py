"""Look at one source in full: files, listing, pictures, sides, annotations, disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from launchers.jobs import Job
from mmassist.core.adapter import Adapter, Content
from mmassist.core.errors import ConfigError, describe_os_error
from mmassist.core.item import Item, Listing
from mmassist.core.stage import Stage
from mmassist.datasets import adapter_class, build_dataset_config
from mmassist.io.layout import Layout
from mmassist.stages.generate import GenerateConfig
from tools.doctor.disk import SPARE_INODES, Disk, StageBytes, estimate_bytes
from tools.doctor.hints import explain_missing
from tools.doctor.needs import look_for_needs
from tools.doctor.pictures import look_for_pictures
from tools.doctor.records import drop_rows, read_records
from tools.doctor.report import Contents, SourceReport
from tools.doctor.sides import look_at_sides
from tools.doctor.words import build_stages

MAX_RECORDS = 5000  # dialog items whose annotations are loaded without being asked: a few minutes at most


@dataclass(frozen=True)
class Show:
    """How a terminal is told what is going on; by default not at all."""

    doing: Callable[[str], AbstractContextManager[Any]] = lambda text: nullcontext()
    track: Callable[[str, Sequence[Item]], Iterable[Item]] = lambda text, items: items


def examine(
    layout: Layout, job: Job, is_named: bool, with_records: bool | None, disk: Disk, show: Show | None = None
) -> SourceReport:
    """Everything about one source.

    ``with_records`` None: annotations are loaded when there are at most MAX_RECORDS of them. A source whose folder is
    absent, or which cannot be listed, is reported as far as that goes. Raises ConfigError for settings that no stage
    would take.
    """
    show = show or Show()
    config = build_dataset_config(job.sections["dataset"], "dataset")
    content = adapter_class(job.dataset).content
    adapter = job.adapter(layout)
    stages = build_stages(job)
    folder = layout.datasets / config.raw_dir
    report = SourceReport(
        dataset=job.dataset,
        content=str(content),
        folder=str(folder),
        homepage=config.homepage,
        licence=config.licence,
        is_named=is_named,
        is_there=folder.is_dir(),
        stages=tuple(stages),
        picture_pattern=getattr(config, "video_pattern", ""),
    )
    try:
        report.needs = look_for_needs(folder, adapter.list_needs(), report.homepage)
        if not report.is_there:
            report.folder_hint = explain_missing(layout.datasets, config.raw_dir)
            return report
        with show.doing(f"{job.dataset}: listing"):
            listing = adapter.list_items(job.which)
    except ConfigError as error:
        report.problem = str(error)
        return report
    except OSError as error:
        report.problem = describe_os_error(error)
        return report
    _look_into(report, layout, job, adapter, listing, stages, with_records, disk, show)
    return report


def _look_into(
    report: SourceReport,
    layout: Layout,
    job: Job,
    adapter: Adapter,
    listing: Listing,
    stages: dict[str, Stage],
    with_records: bool | None,
    disk: Disk,
    show: Show,
) -> None:
    report.contents = Contents.of(listing.dialogs, listing.media)
    report.drops = drop_rows(listing.drops)
    report.picture_pattern = report.picture_pattern or _example(layout, job, listing.media)
    with show.doing(f"{job.dataset}: looking for {len(listing.media)} videos or groups of pictures"):
        report.pictures = look_for_pictures(layout.data_root, listing.media)
    if report.pictures.missing and not report.pictures.num_there:
        below = report.pictures.missing[0].removeprefix(_prefix(layout, job))
        report.picture_hint = explain_missing(layout.data_root / _prefix(layout, job), below)
    report.sides, _ = look_at_sides(layout, job, listing)
    if with_records or (with_records is None and len(listing.dialogs) < MAX_RECORDS):
        config = stages["generate"].configs["generate"] if "generate" in stages else GenerateConfig()
        text = f"{job.dataset}: {'captions' if adapter.content is Content.CAPTION else 'annotations'}"
        items = listing.dialogs
        report.records = read_records(adapter, items, config, job.compat, lambda rows: show.track(text, rows))
    report.disk = estimate_bytes(layout, job.dataset, stages, listing, report.pictures.usable)
    report.disk_warnings = _disk_warnings(report.disk, disk, listing)


def _disk_warnings(rows: Sequence[StageBytes], disk: Disk, listing: Listing) -> list[str]:
    found = []
    needed = sum(row.missing for row in rows)
    if needed > disk.free_bytes:
        found.append(f"about {needed / 1e9:.1f} GB are still to be written, {disk.free_bytes / 1e9:.1f} GB are free")
    num_files = len(listing.media) + len(listing.dialogs) + SPARE_INODES  # each item in hand is a file for a while
    if disk.free_inodes is not None and disk.free_inodes < num_files:
        found.append(f"the file system has room for {disk.free_inodes} more files only; about {num_files} are needed")
    return found


def _example(layout: Layout, job: Job, media: Sequence[Item]) -> str:
    """A picture's path below the source's folder, for sources whose settings hold no pattern."""
    source = next((item.sources[0] for item in media if item.sources), "")
    return f"for example {source.removeprefix(_prefix(layout, job))}" if source else ""


def _prefix(layout: Layout, job: Job) -> str:
    """What the paths of a source's pictures begin with."""
    return f"{layout.relative(layout.datasets / job.sections['dataset']['raw_dir'])}/"
