"""Every annotation or caption of a source, loaded once: what was repaired, and which items the stages would skip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from mmassist.core.adapter import Adapter, Content
from mmassist.core.annotation import Annotation
from mmassist.core.errors import ConfigError, ItemError, Skip, describe_os_error
from mmassist.core.item import Drop, Item
from mmassist.dialog.annotation import cut_clips
from mmassist.stages.generate import GenerateConfig

Track = Callable[[Sequence[Item]], Iterable[Item]]


@dataclass
class Records:
    """Counts over all dialog items; lists hold item keys, ``failed`` and ``drops`` rows with the item's key."""

    num_items: int = 0
    num_steps: int = 0
    num_windows: int = 0  # generation windows: each is at least one request per conversation
    num_captions: int = 0
    num_mistakes: int = 0  # recordings in which something goes wrong
    failed: list[dict[str, str]] = field(default_factory=list)
    without_steps: list[str] = field(default_factory=list)
    low_coverage: list[str] = field(default_factory=list)
    without_goal: list[str] = field(default_factory=list)
    without_captions: list[str] = field(default_factory=list)
    drops: list[dict[str, str]] = field(default_factory=list)

    @property
    def num_unusable(self) -> int:
        """Items from which nothing is made."""
        lists = (self.without_steps, self.low_coverage, self.without_goal, self.without_captions)
        return len(self.failed) + sum(map(len, lists))


def read_records(
    adapter: Adapter, items: Sequence[Item], config: GenerateConfig, compat: bool, track: Track = iter
) -> Records:
    """Load every item by the source's own reader; ``track`` wraps the loop, for a progress bar."""
    records = Records(num_items=len(items))
    for item in track(items):
        try:
            if adapter.content is Content.CAPTION:
                captions = adapter.load_captions(item)
                drops = captions.drops
                records.num_captions += len(captions.captions)
                if not captions.captions:
                    records.without_captions.append(item.key)
            else:
                annotation = adapter.load_annotation(item)
                drops = annotation.drops
                _add_annotation(records, annotation, item, config, compat)
        except (ItemError, Skip, ConfigError) as error:
            records.failed.append({"item": item.key, "message": str(error)})
            continue
        except OSError as error:
            message = describe_os_error(error)
            records.failed.append({"item": item.key, "message": message})
            continue
        records.drops += drop_rows(drops, item.key)
    return records


def _add_annotation(records: Records, annotation: Annotation, item: Item, config: GenerateConfig, compat: bool) -> None:
    steps = [step for step in annotation.steps if not step.is_marker]
    records.num_steps += len(steps)
    records.num_mistakes += annotation.has_mistake
    unusable = why_unusable(annotation, config)
    if unusable:
        lists = {
            "no_steps": records.without_steps,
            "low_coverage": records.low_coverage,
            "no_goal": records.without_goal,
        }
        lists[unusable].append(item.key)
    else:
        records.num_windows += len(cut_clips(annotation, config.clip_rule, compat))


def why_unusable(annotation: Annotation, config: GenerateConfig) -> str:
    """``no_steps``, ``low_coverage`` or ``no_goal`` where no dialog is generated, else ""."""
    if all(step.is_marker for step in annotation.steps):
        return "no_steps"
    if annotation.ann_ratio < config.min_ann_ratio:
        return "low_coverage"
    return "no_goal" if config.goal_method == "given" and not annotation.goal.strip() else ""


def drop_rows(drops: Iterable[Drop], item: str = "") -> list[dict[str, str]]:
    """Drops as plain rows, with the dialog item in which they were found ("": in the listing)."""
    return [{**asdict(drop), "item": item} for drop in drops]
