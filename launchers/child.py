"""A worker child: how it is started, with which share of the node, and what it takes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmassist.core.errors import StageError
from mmassist.io.layout import RunLayout

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def spawn_worker(
    data_root: Path, run: RunLayout, job: str, element: int, child: int, python: str, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a worker child on the run's code snapshot, its output in the run folder.

    ``python`` is the interpreter; it has to have what the job's stage needs, not this project itself.
    """
    output = run.output(f"{job}.{element:05d}.{child}")
    output.parent.mkdir(parents=True, exist_ok=True)
    words = [python, "-m", "launchers.worker", str(data_root), str(run.root), job, str(element), str(child)]
    with output.open("a") as errors:
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
            cwd=run.code,
            env={**os.environ, "PYTHONSAFEPATH": "", **environment},  # else the run's code would not be found first
            start_new_session=True,  # signals to the group are the supervisor's alone to answer
        )


def child_environment(child: int, num_workers: int, num_gpus: int, scratch: Path) -> dict[str, str]:
    """A child's share of the GPUs, and folders for temporary files and compilers' caches that no sibling writes.

    ``num_workers`` is the stage's own number, not that of the children there happen to be work for: a worker made for
    one GPU is not given eight.
    """
    own = scratch / f"worker-{child}"
    caches = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor", "VLLM_CACHE_ROOT": "vllm"}
    caches |= {"CUDA_CACHE_PATH": "cuda", "TMPDIR": "tmp"}
    environment = {name: str(own / folder) for name, folder in caches.items()}
    environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    (own / "tmp").mkdir(parents=True, exist_ok=True)
    if num_gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(num_gpus)))
        devices = visible.split(",")
        share = max(1, len(devices) // num_workers)
        mine = [devices[(child * share + i) % len(devices)] for i in range(share)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
    return environment


@contextlib.contextmanager
def scratch_folder(parent: str | None, prefix: str) -> Iterator[Path]:
    """A folder of the node's own for the block; ``parent`` may name variables of the node such as ``$SLURM_TMPDIR``.

    Raises StageError when there is no such parent.
    """
    above = Path(os.path.expandvars(parent)) if parent else Path(tempfile.gettempdir())
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, dir=above, ignore_cleanup_errors=True)
    except OSError as error:
        where = f"cluster.scratch_dir is {str(above)!r} on {socket.gethostname()}"
        raise StageError(f"{where}, where no folder can be made: {error.strerror}") from error
    with folder as path:
        yield Path(path)


def kill_group(pid: int) -> None:
    """End whatever a dead worker had started: it led a process group of its own."""
    if pid != os.getpgid(0):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def count_gpus() -> int:
    """GPUs of this machine, as the NVIDIA driver lists them."""
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
