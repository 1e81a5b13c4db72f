"""Measure ``stage=encode`` against the encoder alone, in images per second, within one run.

    python -m tools.bench.encoding [--encoder tiny] [--device cpu] [--batch-size 64] [--rounds 5]
    python -m tools.bench.encoding --encoder open_clip --set encoder.model=ViT-SO400M-14-SigLIP-384 \\
        --set encoder.pretrained=random --device cuda --batch-size 256 --frames 6000

Two recordings of generated pictures lie in a frame store as ``stage=extract`` leaves one. Each round runs, in turn and
in one process with the model loaded once:

- stage: worker, stage, JPEG decoding, chunks, shards and index as a command makes them;
- alone: the loaded model over the same number of batches of random pictures, each begun before the last one ended.

Share is stage over alone; the goal on a GPU is 0.9. Frames are counted, padding is not. On a GPU the share of its peak
that the model's arithmetic takes is printed, for the stage. ``--reading`` adds ``tools.bench.feature_reading``.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from launchers.context import ThreadedEncoder
from launchers.worker import Worker
from mmassist.vision.config import EncoderConfig
from mmassist.vision.tower import VisionTower
from tools.bench import feature_reading
from tools.bench.encoding_source import write_frame_store
from tools.bench.generation_source import MIN_RECORDINGS, Element, plan_work, write_recordings

PEAK_TFLOPS = {  # dense, 16 bit, as the makers publish; the first name that a device's begins with counts
    "NVIDIA H200": 989.0,
    "NVIDIA H100 PCIe": 756.0,
    "NVIDIA H100": 989.0,
    "NVIDIA A100": 312.0,
    "NVIDIA L40S": 362.0,
    "NVIDIA A10": 125.0,
    "NVIDIA L4": 121.0,
}


@dataclass(frozen=True)
class Taken:
    """What one way took for ``num_frames`` frames."""

    num_frames: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.num_frames / self.wall_s


class Bench:
    """One loaded model over one frame store."""

    def __init__(self, root: Path, words: Sequence[str], num_frames: int):
        self._root, self._words = root, words
        write_recordings(root, MIN_RECORDINGS)
        self._num_frames = num_frames
        self.num_recordings = write_frame_store(root, num_frames)
        work = plan_work(root, words, "encode")
        work.lock.release()
        self._config = work.job.stage_config
        self.encoder: EncoderConfig = work.job.stage.configs["encoder"]
        self._unit = work.job.unit
        self.tower = VisionTower(self.encoder)
        size = (self._config.batch_size, 384, 384, 3)
        self._images = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        self.tower.embed_batch(self._images, self._config.grids)  # compiled, and warm

    def stage(self) -> Taken:
        """Encode the whole frame store anew."""
        shutil.rmtree(self._unit.root, ignore_errors=True)
        work = plan_work(self._root, self._words, "encode")
        worker = Worker(work.layout.data_root, work.run, work.job.name, 0, 0, lambda event: None, alone=True)
        worker.context.encoder = ThreadedEncoder(lambda: self.tower)
        taken = self._timed(lambda: asyncio.run(Element([worker]).run()))
        worker.close()
        work.lock.release()
        records = list(self._unit.record_dir.glob("*.json"))
        assert records, "nothing was committed"
        return taken

    def alone(self) -> Taken:
        """Encode as many batches of random pictures, two under way at a time."""

        def run() -> None:
            under_way: deque[Any] = deque()
            for _ in range(self.num_recordings * math.ceil(self._num_frames / self._config.batch_size)):
                under_way.append(self.tower.launch(self._images, self._config.grids))
                if len(under_way) > 1:
                    under_way.popleft().fetch()
            for launched in under_way:
                launched.fetch()

        return self._timed(run)

    def _timed(self, run: Callable[[], Any]) -> Taken:
        begin = time.perf_counter(), time.process_time()
        run()
        return Taken(
            self.num_recordings * self._num_frames, time.perf_counter() - begin[0], time.process_time() - begin[1]
        )


def count_flops(config: EncoderConfig) -> int:
    """Floating-point operations of the model for one picture, counted from its matrix products and convolutions."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    backbone = config.load().to("meta").requires_grad_(False)
    size = backbone.preprocessing.image_size
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        backbone(torch.zeros(1, 3, size, size, device="meta", dtype=next(backbone.parameters()).dtype))
    return int(counter.get_total_flops())


def find_peak(told: float | None) -> float | None:
    """TFLOP a second that the GPU of this process could do in 16 bits, if it is known."""
    import torch

    if told is not None or not torch.cuda.is_available():
        return told
    name = torch.cuda.get_device_name()
    return next((peak for known, peak in PEAK_TFLOPS.items() if name.startswith(known)), None)


def iter_report(bench: Bench, rounds: int, peak: float | None) -> Iterator[str]:
    """Yield a Markdown table of all rounds, then medians and ranges."""
    yield "| round | stage, images/s | alone, images/s | share | stage, CPU s | alone, CPU s |"
    yield "|---|---|---|---|---|---|"
    found: list[tuple[Taken, Taken]] = []
    for number in range(rounds):
        ways = (bench.stage, bench.alone) if number % 2 == 0 else (bench.alone, bench.stage)
        first, second = (way() for way in ways)
        stage, alone = (first, second) if number % 2 == 0 else (second, first)
        found.append((stage, alone))
        cells = [f"{stage.rate:.1f}", f"{alone.rate:.1f}", f"{stage.rate / alone.rate:.2f}"]
        yield f"| {number + 1} | {' | '.join(cells)} | {stage.cpu_s:.1f} | {alone.cpu_s:.1f} |"
    yield _spread("share of the encoder alone", [stage.rate / alone.rate for stage, alone in found])
    yield _spread("CPU seconds, stage over alone", [stage.cpu_s / alone.cpu_s for stage, alone in found])
    flops = count_flops(bench.encoder)
    yield f"{flops / 1e9:.1f} GFLOP a picture"
    if peak is not None:
        uses = [stage.rate * flops / peak / 1e12 for stage, _ in found]
        yield _spread(f"share of {peak:g} TFLOP/s used by the stage", uses)


def _spread(what: str, values: Sequence[float]) -> str:
    return f"{what}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def build_words(arguments: argparse.Namespace) -> list[str]:
    """The settings that a command would be given."""
    words = [f"encoder={arguments.encoder}", f"encoder.device={arguments.device}", *arguments.set]
    return [*words, f"encode.batch_size={arguments.batch_size}", "encode.num_workers=1", "encode.gpus_per_node=0"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="tiny", help="a choice of conf/encoder")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--frames", type=int, default=320, help="of each of the two recordings")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting of a command")
    parser.add_argument("--peak-tflops", type=float, help="of the device; without it from a table by its name")
    parser.add_argument("--reading", action="store_true", help="measure reading features as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), build_words(arguments), arguments.frames)
        size = f"{bench.num_recordings} recordings of {arguments.frames} frames, batches of {arguments.batch_size}"
        print(f"{bench.encoder.name} on {bench.tower.revision['device']}, {bench.encoder.dtype}: {size}", flush=True)
        for line in iter_report(bench, arguments.rounds, find_peak(arguments.peak_tflops)):
            print(line, flush=True)
    if arguments.reading:
        for line in feature_reading.measure(arguments.rounds, minutes=20, width=1152, image_tokens=10):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
