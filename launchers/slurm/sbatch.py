"""Hand one array to SLURM through submitit: again where an answer was lost, never twice."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.slurm.controller import Controller
from launchers.slurm.queue import cancel_jobs, read_folder_jobs
from launchers.slurm.refusal import explain_refusal, is_maybe_submitted, is_worth_retrying
from launchers.slurm.request import Request
from mmassist.core.errors import ConfigError, StageError

log = logging.getLogger(__name__)
_OVERRULING = ("SBATCH_", "SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
_OF_THE_SITE = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT", "SLURM_SACK_JWKS", "SLURM_SACK_KEY")
_IMPORT_PATHS = ("PYTHONSAFEPATH",)  # with it the jobs would import the checkout instead of the run's code
SUBMIT_TRIES = 3
RETRY_S = 5.0


@dataclass(frozen=True)
class Desk:
    """Where a run's jobs are handed in. ``code`` is the folder they start in, which no other run's jobs have."""

    code: Path
    controller: Controller

    def submit(
        self,
        request: Request,
        folder: Path,
        call: Callable[[int], None],
        elements: Sequence[int],
        max_running: int,
        after: Sequence[str],
        known: Sequence[str],
    ) -> str:
        """Submit ``call`` for each of ``elements``, after the jobs ``after`` have ended; returns the array's job id.

        ``folder`` takes scripts and output; ``known`` are this job's earlier arrays. Raises ConfigError with SLURM's
        own words, StageError when it does not say whether it has taken the array.
        """
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=request.cluster.max_requeues)
        executor.update_parameters(**request.parameters(max_running, list(after), str(self.code)))
        for attempt in range(1, SUBMIT_TRIES + 1):
            try:
                # submitit would print what is told below
                with clean_environment(), _inside(self.code), contextlib.redirect_stderr(io.StringIO()):
                    handles: list[Any] = executor.map_array(call, elements)
                return str(handles[0].job_id).split("_")[0]
            except (FailedJobError, FailedSubmissionError) as error:
                words = str(error)
                if is_maybe_submitted(words):
                    self.cancel(name=request.job, but=known)
                if attempt == SUBMIT_TRIES or not is_worth_retrying(words):
                    raise ConfigError(explain_refusal(words, request, self.controller)) from error
                time.sleep(RETRY_S * attempt)
        raise AssertionError("the loop returns or raises")

    def cancel(self, name: str = "", but: Sequence[str] = ()) -> None:
        """Cancel the run's jobs, or those called ``name``, be their ids known or not. Raises StageError.

        Later ones first, so that none of them starts when what it waits for is gone.
        """
        jobs = [job for job in read_folder_jobs(str(self.code), str(os.getuid())) if name in ("", job.name)]
        ids = sorted({job.job_id for job in jobs} - set(but), key=int, reverse=True)
        refusals = cancel_jobs(ids) if ids else []
        if refusals:
            raise StageError(f"SLURM does not cancel {', '.join(ids)}: {' '.join(refusals)}")


def overruling_variables() -> list[str]:
    """What is set in this shell that sbatch would put above the settings, and the jobs inherit, sorted."""
    return sorted(name for name in os.environ if name.startswith(_OVERRULING) and name not in _OF_THE_SITE)


@contextlib.contextmanager
def clean_environment() -> Iterator[None]:
    """Take out of the environment what would make a job of settings that are not ours, for the block.

    sbatch puts SBATCH_* above the script; SLURM_* of a job that the command itself runs in would reach the new ones.
    """
    taken = {name: os.environ.pop(name) for name in [*overruling_variables(), *_IMPORT_PATHS] if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
