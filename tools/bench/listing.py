"""Measure how long sources take to be listed, and what memory, at the publishers' sizes and at half of them.

    python -m tools.bench.listing [--dataset epickitchens,llava] [--share 1.0]

Writes invented annotation files of the published sizes (no pictures) into a temporary folder of up to 2 GB, lists each
source in a fresh process, and loads some of its items. Prints seconds, peak memory, and the ratio to half the size:
2 is linear.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

CONF = Path(__file__).resolve().parents[2] / "conf" / "dataset"
NUM_LOADED = 200
_PROBE = """
import json, resource, sys, time, yaml
from pathlib import Path
from mmassist.core.adapter import Content
from mmassist.datasets import build_adapter, build_dataset_config
values = yaml.safe_load(Path(sys.argv[1]).read_text())["dataset"]
adapter = build_adapter(build_dataset_config(values, "dataset"), Path(sys.argv[2]), False)
begin = time.process_time()
listing = adapter.list_items()
listed = time.process_time()
load = adapter.load_annotation if adapter.content is Content.DIALOG else adapter.load_captions
items = listing.dialogs[:: max(1, len(listing.dialogs) // int(sys.argv[3]))]
for item in items:
    load(item)
print(json.dumps([len(listing.dialogs), listed - begin, (time.process_time() - listed) / len(items),
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def write_epickitchens(folder: Path, share: float) -> str:
    """77,000 actions of 633 videos."""
    tables = folder / "epic-kitchens" / "epic-kitchens-100-annotations"
    columns = "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,narration"
    num_videos = max(2, round(633 * share))
    names = [f"P{number % 37 + 1:02d}_{number + 1:02d}" for number in range(num_videos)]
    for file, part in (
        ("EPIC_100_train.csv", names[: num_videos * 4 // 5]),
        ("EPIC_100_validation.csv", names[num_videos * 4 // 5 :]),
    ):
        rows = (
            f'{name}_{n},{name[:3]},{name},,{_clock(4 * n)},{_clock(4 * n + 5)},"take knife, then cut number {n}"'
            for name in part
            for n in range(121)
        )
        _write_lines(tables / file, [columns, *rows])
    _write_lines(tables / "EPIC_100_video_info.csv", ["video_id,duration,fps", *(f"{n},500.0,50.0" for n in names)])
    return f"{num_videos * 121} rows"


def write_holoassist(folder: Path, share: float) -> str:
    """117 MB of events."""
    root = folder / "holoassist"
    events = [
        {"id": n, "label": "Fine grained action", "start": 2.0 * n, "end": 2.0 * n + 1.5, "type": "range"}
        | {
            "attributes": {
                "Action Correctness": "Correct Action",
                "Verb": "grab",
                "Adjective": "none",
                "Noun": f"part_{n}",
            }
        }
        for n in range(380)
    ]
    events += [
        {
            "id": 1000 + n,
            "start": 20.0 * n,
            "end": 20.0 * n + 18,
            "attributes": {"Action sentence": f"The student does {n}."},
        }
        for n in range(38)
    ]
    facts = {"taskType": "set up tripod", "videoMetadata": {"duration": {"raw": "00:12:40.00", "seconds": 760}}}
    names = [f"R{number:04d}-3May-Tripod" for number in range(max(2, round(1673 * share)))]
    records = (json.dumps({"video_name": name, **facts, "events": events}) for name in names)
    num_bytes = _write_list(root / "data-annotation-trainval-v1_1.json", records)
    _write_lines(root / "train-v1_2.txt", names[::2])
    _write_lines(root / "val-v1_2.txt", names[1::2])
    return f"{num_bytes / 1e6:.0f} MB"


def write_llava(folder: Path, share: float) -> str:
    """558,128 captions."""
    count = round(558_128 * share)
    records = (
        json.dumps(
            {"id": f"{n:09d}", "image": f"{n // 850:05d}/{n:09d}.jpg"}
            | {
                "conversations": [
                    {"from": "human", "value": "<image>"},
                    {"from": "gpt", "value": f"picture {n} of a kettle"},
                ]
            }
        )
        for n in range(count)
    )
    _write_list(folder / "LLaVA-Pretrain" / "blip_laion_cc_sbu_558k.json", records)
    return f"{count} records"


def write_sthsthv2(folder: Path, share: float) -> str:
    """168,913 and 24,777 labels."""
    counts = {"train": round(168_913 * share), "validation": round(24_777 * share)}
    first = 1
    for name, count in counts.items():
        labels = (
            json.dumps({"id": str(n), "label": f"folding {n}", "template": "t"}) for n in range(first, first + count)
        )
        _write_list(folder / "sthsth-v2" / "labels" / f"{name}.json", labels)
        first += count
    return f"{sum(counts.values())} labels"


def write_ego4d_narrations(folder: Path, share: float) -> str:
    """4 million sentences of 9,600 videos, two passes each."""
    root = folder / "ego4d_track2"
    uids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(max(2, round(9600 * share)))]
    videos = (json.dumps({"video_uid": uid, "duration_sec": 1000.0, "split_em": "train"}) for uid in uids)
    _write_list(root / "ego4d.json", videos, '{"date": "230208", "videos": [', "]}")
    passes = {
        f"narration_pass_{number}": {
            "narrations": [
                {"timestamp_sec": 4.7 * n, "timestamp_frame": 141 * n, "_unmapped_timestamp_sec": 4.7 * n}
                | {
                    "narration_text": f"#C C moves the pan number {n}",
                    "annotation_uid": "00000000-0000-4000-8000-00000000",
                }
                for n in range(209)
            ],
            "summaries": [],
        }
        for number in (1, 2)
    }
    record = json.dumps({**passes, "status": "complete"})
    _write_list(root / "v2" / "annotations" / "narration.json", (f'"{uid}": {record}' for uid in uids), "{", "}")
    return f"{len(uids) * 418} sentences"


def write_egoobjects(folder: Path, share: float) -> str:
    """79,000 pictures with 250,000 boxes."""
    count = round(79_000 * share)
    images = (
        json.dumps({"id": n, "url": f"{n:08x}_01_0.jpg", "width": 1920, "height": 1440, "group_id": f"{n // 9:08x}"})
        for n in range(count)
    )
    boxes = (
        json.dumps({"id": 4 * n + k, "image_id": n, "bbox": [300.0 + k, 200.0, 400.0, 300.0], "area": 120000.0 + k}
                   | {"category_freeform": ("Cup", "knife", "Lamp")[k % 3]})
        for n in range(count)
        for k in range(3)
    )  # fmt: skip
    path = folder / "EgoObjects" / "EgoObjectsV1_unified_train.json"
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        file.write('{"info": {}, "images": [')
        file.writelines(_separated(images))
        file.write('], "annotations": [')
        file.writelines(_separated(boxes))
        file.write("]}")
    return f"{count} pictures"


def write_egoexolearn(folder: Path, share: float) -> str:
    """100,000 rows of 421 videos."""
    columns = "video_uid,annotation_id,subset,view,scene,start_sec,end_sec,narration_en,narration_en_hand_prompt"
    names = [f"bee{n:05d}-ac78-11ee-819f-80615f12b59e" for n in range(max(2, round(421 * share)))]
    rows = (
        f"{name},a{n},{'val' if n % 6 == 0 else 'train'},ego,kitchen,{3 * n},{3 * n + 2.5},"
        f'Cut part {n}.,Cut part {n}.,"Cut part {n},\nthen wash."'
        for name in names
        for n in range(238)
    )
    header = f"{columns},narration_en_no_hand_prompt"
    _write_lines(folder / "EgoExoLearn" / "annotations" / "fine_annotation_trainval_en.csv", [header, *rows])
    return f"{len(names) * 238} rows"


def write_assembly101(folder: Path, share: float) -> str:
    """A million fine rows: 340 sequences from twelve views."""
    root = folder / "assembly101" / "annotations"
    columns = "id,video,start_frame,end_frame,action_id,verb_id,noun_id,action_cls,verb_cls,noun_cls,toy_id,toy_name"
    names = [
        f"nusar-2021_action_both_{9000 + n}-x01a_{9000 + n}_user_id_2021-02-03_1{n:05d}"
        for n in range(max(4, round(340 * share)))
    ]
    views = [
        *(f"C{n}_rgb" for n in range(8)),
        *(f"HMC_{n}_mono10bit" for n in (21110305, 21179183, 21176875, 21176623)),
    ]
    for file, part in (("train.csv", names[: len(names) // 2]), ("validation.csv", names[len(names) // 2 :])):
        rows = (
            f"{n},{name}/{view}.mp4,{60 * n},{60 * n + 40},0,0,0,screw wheel,screw,wheel,x01a,excavator,0,0"
            for name in part
            for view in views
            for n in range(245)
        )
        _write_lines(root / "fine-grained-annotations" / file, [f"{columns},is_shared,is_RGB", *rows])
    for name in names:
        coarse = (f"{600 * n:09d}\t{600 * n + 500:09d}\tattach wheel" for n in range(24))
        _write_lines(root / "coarse-annotations" / "coarse_labels" / f"assembly_{name}.txt", coarse)
        mistakes = (f"{600 * n},{600 * n + 90},attach,wheel,chassis,correct," for n in range(24))
        _write_lines(root / "assembly101-mistake-detection" / "annots" / f"{name}.csv", mistakes)
    return f"{len(names) * 12 * 245} rows"


WRITERS: dict[str, Callable[[Path, float], str]] = {
    "assembly101": write_assembly101,
    "ego4d_narrations": write_ego4d_narrations,
    "egoexolearn": write_egoexolearn,
    "egoobjects": write_egoobjects,
    "epickitchens": write_epickitchens,
    "holoassist": write_holoassist,
    "llava": write_llava,
    "sthsthv2": write_sthsthv2,
}


def measure(name: str, share: float) -> tuple[str, int, float, float, float]:
    """Size of the files, number of items, seconds of listing, seconds of loading one item, and peak megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = WRITERS[name](root / "datasets", share)
        words = [sys.executable, "-c", _PROBE, str(CONF / f"{name}.yaml"), folder, str(NUM_LOADED)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CONF.parents[1])
    num_items, listing_s, load_s, peak_mb = json.loads(done.stdout)
    return size, num_items, listing_s, load_s, peak_mb


def iter_report(names: Iterable[str], share: float) -> Iterator[str]:
    """Yield a table, a row per source."""
    yield "| source | files | items | listing, CPU s | half the size | ratio | an item, ms | peak MB | half |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in names:
        _, _, half_s, _, half_mb = measure(name, share / 2)
        size, num_items, listing_s, load_s, peak_mb = measure(name, share)
        cells = [name, size, num_items, f"{listing_s:.1f}", f"{half_s:.1f}", f"{listing_s / half_s:.1f}"]
        yield f"| {' | '.join(map(str, [*cells, f'{1000 * load_s:.1f}', f'{peak_mb:.0f}', f'{half_mb:.0f}']))} |"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:05.2f}"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)


def _write_list(path: Path, elements: Iterable[str], begin: str = "[", end: str = "]") -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(begin)
        file.writelines(_separated(elements))
        file.write(end)
    return path.stat().st_size


def _separated(elements: Iterable[str]) -> Iterator[str]:
    for number, element in enumerate(elements):
        yield f",{element}" if number else element


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.listing", description=__doc__)
    parser.add_argument("--dataset", default=",".join(WRITERS), help="sources, with commas")
    parser.add_argument("--share", type=float, default=1.0, help="of the published size")
    arguments: Any = parser.parse_args()
    for line in iter_report(arguments.dataset.split(","), arguments.share):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
