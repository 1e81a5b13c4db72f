from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Geometry
from mmassist.video import Decoder, VideoConfig, extract_frames

from .coded import constant_times, write_coded

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "v.mp4"
    times, time_base = constant_times(Fraction(25), 60)
    write_coded(path, times, time_base)
    return path


def is_alive(pid: int) -> bool:
    """Whether a process runs (one that only waits to be collected does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(pid)


def test_the_same_bytes_in_and_out_of_process(video: Path):
    inside = extract_frames([video], Geometry(90), VideoConfig(isolated=False), False)
    outside = extract_frames([video], Geometry(90), VideoConfig(), False)
    assert list(inside) == list(outside)
    assert inside.info() == outside.info()


def test_one_process_serves_many_videos_and_survives_bad_ones(video: Path, tmp_path: Path):
    (tmp_path / "bad.mp4").write_bytes(b"<html></html>")
    with Decoder(VideoConfig()) as decoder:
        assert decoder.pid is None
        first = list(decoder.extract([video], Geometry()))
        pid = decoder.pid
        with pytest.raises(ItemError, match="HTML page"):
            list(decoder.extract([tmp_path / "bad.mp4"], Geometry()))
        assert list(decoder.extract([video], Geometry())) == first
        assert decoder.pid == pid
    assert decoder.pid is None and wait_for_end(pid)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_is_one_failed_item(video: Path, number: signal.Signals):
    with Decoder(VideoConfig()) as decoder:
        stream = decoder.extract([video], Geometry())
        next(stream)
        os.kill(decoder.pid, number)
        with pytest.raises(ItemError, match=rf"v\.mp4: the decoder process died .*{number.name}") as caught:
            list(stream)
        assert caught.value.kind == Kind.CRASH
        assert len(list(decoder.extract([video], Geometry()))) == 120


def test_a_process_that_died_between_videos_is_replaced(video: Path):
    with Decoder(VideoConfig()) as decoder:
        list(decoder.extract([video], Geometry()))
        os.kill(decoder.pid, signal.SIGKILL)
        assert wait_for_end(decoder.pid)
        assert len(list(decoder.extract([video], Geometry()))) == 120


def test_a_hang_is_a_timeout(video: Path):
    with Decoder(VideoConfig(max_stall_s=1.0)) as decoder:
        stream = decoder.extract([video], Geometry())
        next(stream)
        pid = decoder.pid
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(ItemError, match=r"no new picture for 1 s \(max_stall_s\)") as caught:
            list(stream)
        assert caught.value.kind == Kind.TIMEOUT
        assert time.monotonic() - started < 8
        assert wait_for_end(pid)
        assert len(list(decoder.extract([video], Geometry()))) == 120


def test_time_spent_by_the_caller_is_no_stall(video: Path):
    with Decoder(VideoConfig(max_stall_s=0.8)) as decoder:
        stream = decoder.extract([video], Geometry())
        next(stream)
        time.sleep(1.2)
        assert len(list(stream)) == 119


def test_too_much_memory_is_named(tmp_path: Path):
    subprocess.run(
        f"ffmpeg -v error -f lavfi -i testsrc2=size=3840x2160:rate=10:duration=3 -c:v mjpeg -q:v 20 {tmp_path}/big.avi",
        shell=True,
        check=True,
    )
    with Decoder(VideoConfig(max_memory_mb=64)) as decoder:
        with pytest.raises(ItemError, match="more than max_memory_mb=64") as caught:
            list(decoder.extract([tmp_path / "big.avi"], Geometry()))
        assert caught.value.kind == Kind.OUT_OF_MEMORY


def test_a_stream_given_up_does_not_disturb_the_next(video: Path):
    with Decoder(VideoConfig()) as decoder:
        first = decoder.extract([video], Geometry())
        head = [next(first) for _ in range(3)]
        first.close()
        second = decoder.extract([video], Geometry())
        assert next(second) == head[0]
        third = list(decoder.extract([video], Geometry()))  # while the second is not finished
        assert third[:3] == head and len(third) == 120


def test_the_decoder_ends_with_a_parent_that_is_killed(video: Path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mmassist.core.item import Geometry\n"
        "from mmassist.video import Decoder, VideoConfig\n"
        "decoder = Decoder(VideoConfig())\n"
        "stream = decoder.extract([Path(sys.argv[1])], Geometry())\n"
        "next(stream)\n"
        "print(decoder.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(video)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.kill()
    parent.wait()
    assert wait_for_end(pid)


def test_warning_signals_of_a_batch_system_leave_the_decoder_at_work(video: Path):
    with Decoder(VideoConfig()) as decoder:
        stream = decoder.extract([video], Geometry())
        next(stream)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            os.kill(decoder.pid, number)
        assert len(list(stream)) == 119


def _count_frames(video: Path, answers: multiprocessing.Queue) -> None:
    answers.put(len(list(extract_frames([video], Geometry(), VideoConfig(), False))))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_works_inside_a_child_process(video: Path, method: str):
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=_count_frames, args=(video, answers))
    child.start()
    assert answers.get(timeout=60) == 120
    child.join()


def test_works_in_a_plain_script_from_another_folder(video: Path, tmp_path: Path):
    (tmp_path / "records.py").write_text("raise SystemExit('the wrong module')\n")
    (tmp_path / "script.py").write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from pathlib import Path\n"
        "from mmassist.core.item import Geometry\n"
        "from mmassist.video import VideoConfig, extract_frames\n"
        f"print(len(list(extract_frames([Path({str(video)!r})], Geometry(), VideoConfig(), False))))\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("120\n", "")
