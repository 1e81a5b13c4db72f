"""``--help``: stages, sources and every setting, read from the comments in ``conf/``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from launchers.compose import CONF_DIR, FOLDERS, LAUNCHERS, list_options
from mmassist.stages import PIPELINE

USAGE = """\
Turn egocentric video and annotations into packed training samples.

  python -m launchers.run stage=STAGE[,STAGE…] dataset=SOURCE[,SOURCE…] [key=value …] [-m]

  --cfg job       print the settings that each stage would be run with, as YAML, and do nothing
  DATA_ROOT_DIR   folder that holds datasets/ (as the publishers ship it), processed_data/ and runs/

Examples
  python -m launchers.run stage=encode dataset=holoassist                            array job, returns at once
  python -m launchers.run stage=extract,generate,judge,split,encode,pack dataset=wtag models=tiny hydra/launcher=basic
  python -m launchers.run stage=pack dataset=holoassist setup=knowledge,no_knowledge pack.image_tokens=1,5,10
"""


def iter_help() -> Iterator[str]:
    """Yield the lines of the help text."""
    yield USAGE
    yield f"stage     {', '.join(PIPELINE)}"
    yield f"dataset   {', '.join(list_options('dataset'))}"
    yield f"hydra/launcher   {', '.join(LAUNCHERS)}"
    for group in ("models", "llm", "encoder", "tokenizer", "judge", "judge_llm", "setup", "cluster"):
        yield f"{group:<9} {', '.join(list_options(group))}"
    yield "\nThe command (key, default, meaning)"
    yield from _iter_settings(CONF_DIR / "config.yaml", "")
    for title, folder in (("Stages", "stages"), ("Models", "llm"), ("", "encoder"), ("", "tokenizer"), ("", "judge")):
        if title:
            yield f"\n{title}"
        for name in list_options(folder):
            section = name if folder == "stages" else folder
            yield f" {folder}/{name}.yaml"
            yield from _iter_settings(CONF_DIR / folder / f"{name}.yaml", f"{section}.")
    for group, folder in FOLDERS.items():
        yield f" {group}/: the settings of {folder}/, as {group}.KEY"
    for folder in ("setup", "cluster", "paths", "dataset"):
        for name in list_options(folder):
            yield f" {folder}/{name}.yaml"
            prefix = "" if folder in ("cluster", "dataset") else f"{folder}."
            yield from _iter_settings(CONF_DIR / folder / f"{name}.yaml", prefix)


def _iter_settings(path: Path, prefix: str) -> Iterator[str]:
    """Yield ``key  default  comment`` for every commented setting of a YAML file, nested keys with their path."""
    parents: list[tuple[int, str]] = []
    for line in path.read_text().splitlines():
        body, _, comment = line.partition(" #")
        indent, text = len(body) - len(body.lstrip()), body.strip()
        if not text or text.startswith(("#", "-")) or text.startswith(("defaults:", "hydra:", "output_subdir:")):
            continue
        key, _, value = text.partition(":")
        parents = [p for p in parents if p[0] < indent]
        full = prefix + ".".join([*(name for _, name in parents), key])
        if value.strip():
            yield f"  {full:<34} {value.strip():<28} {comment.strip()}"
        else:
            parents.append((indent, key))
