"""A model behind any server that speaks OpenAI's chat API: vLLM, SGLang, llama.cpp, Ollama, or a hosted one."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import time
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from mmassist.core.config import Why, transient
from mmassist.core.errors import ConfigError, ItemError, Kind, StageError
from mmassist.core.gather import gather
from mmassist.core.rng import seed_of
from mmassist.llm.config import EngineConfig
from mmassist.llm.openai_reply import NoAnswer, clean, read_reply, retry_after_s
from mmassist.llm.protocol import Answer, Request, Sample
from mmassist.llm.schema_dialect import plain_schema

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
CONNECT_S = 30.0
TELL_EVERY_S = 60.0
MAX_OWN_TRIES = 6  # of a request that fails while others are answered
_BUSY = (408, 409, 425, 429, 502, 503, 504, 529)  # the server's state; any other 5xx may be the request's doing
_OF_THE_REQUEST = (400, 413, 422)
# Error codes that every other request would meet as well, whatever the status.
_OF_ALL = ("insufficient_quota", "unsupported_parameter", "unsupported_value")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class OpenAIConfig(EngineConfig):
    """``schemas`` is what the server makes of a JSON Schema: ``full`` keeps to limits as well, ``plain`` to types and
    names alone, ``none`` to nothing, so that lines of text are asked for.

    ``timeout_s`` limits one try, however slowly bytes drip in; ``patience_s`` is how long one request waits for a
    server that is down, busy or unreachable.
    """

    engine: Literal["openai"]
    name: str = "openai"
    model: str | None = None
    base_url: str = transient("http://127.0.0.1:8000/v1", why=Why.SERVER)
    key_variable: str | None = transient(None, why=Why.SERVER)
    schemas: Literal["full", "plain", "none"] = "full"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = transient("max_tokens", why=Why.SERVER)
    max_in_flight: int = transient(64, why=Why.PACE)
    timeout_s: float = transient(900.0, why=Why.LIMIT)
    patience_s: float = transient(1800.0, why=Why.LIMIT)

    def __post_init__(self) -> None:
        super().__post_init__()
        # What may hold a secret is not shown: messages end in logs.
        if re.search(r"[@?#]", self.base_url):
            raise ValueError("base_url holds a user, a password or a query; name the variable of a key in key_variable")
        if self.key_variable is not None and not _VARIABLE.fullmatch(self.key_variable):
            raise ValueError(
                "key_variable must be the name of an environment variable, in capitals, not the key itself"
            )
        parts = urlsplit(self.base_url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if not is_address or not re.fullmatch(r"[!-~]+", self.base_url):
            raise ValueError(f"base_url is {self.base_url!r}; it must look like http://host:8000/v1")
        if not 1 <= self.max_in_flight <= 1000:  # connections that the client library opens
            raise ValueError(f"max_in_flight is {self.max_in_flight}; it must lie between 1 and 1000")
        if self.timeout_s <= 0 or self.patience_s < 0:
            raise ValueError("timeout_s must be above 0 and patience_s not negative")

    @property
    def generator(self) -> str:
        return self.model or ""

    @property
    def revision(self) -> str:
        return self.model or ""

    @property
    def has_schemas(self) -> bool:
        return self.schemas != "none"

    @property
    def secret_name(self) -> str | None:
        return self.key_variable

    def check(self, section: str = "llm") -> None:
        """Raise ConfigError when no model is named. Nothing is asked of the server: it may come up with the jobs."""
        if not self.model:
            raise ConfigError(f"'{section}.model' is not set; it must be a name that the server lists under /v1/models")

    def load(self, secret: str | None) -> OpenAIEngine:
        """Raises ConfigError when there is no key where one is named, or one that no header can carry."""
        key = (secret or "").strip()
        if self.key_variable and not key:
            raise ConfigError(f"'llm.key_variable' names {self.key_variable}, which is not set where the engine runs")
        if not re.fullmatch(r"[!-~]*", key):
            raise ConfigError(f"the key in {self.key_variable} holds blanks or characters outside of ASCII")
        return OpenAIEngine(self, key)


@dataclass(frozen=True)
class Trouble:
    """Why there is no answer. ``wait_s`` is what the server asks for; ``is_own``: another request may fare well."""

    said: str
    wait_s: float = 0.0
    is_own: bool = False


class OpenAIEngine:
    """See the module. Every sample is a request of its own, with its own seed: few servers honour ``n``."""

    is_scripted = False

    def __init__(self, config: OpenAIConfig, key: str):
        import openai

        # Debug lines of the client and of the library under it may hold headers, and with them the key.
        for name in ("openai", "httpx2", "httpcore2", "httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.config = config
        self.name = f"openai {config.model}"
        self.revision = config.revision
        self._key = key
        timeout = openai.Timeout(config.timeout_s, connect=min(CONNECT_S, config.timeout_s))
        options: dict[str, Any] = {"base_url": config.base_url, "timeout": timeout, "max_retries": 0}
        self._client = openai.AsyncOpenAI(api_key=key or "none", **options)
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._answered_at = self._told_at = -math.inf

    async def answer(self, request: Request) -> Answer:
        """Answer one request, waiting for a server that is away.

        Raises ItemError, permanent, for a request that the server refuses; ItemError, transient, for one that gets no
        answer while others do; StageError when the server refuses all (key, model, quota) or has answered nothing for
        ``patience_s``.
        """
        made = await gather(self._sample(request, index) for index in range(request.num_samples))
        usage: dict[str, int] = {}
        for _, counts in made:
            for name, number in counts.items():
                usage[name] = usage.get(name, 0) + number
        return Answer(tuple(sample for sample, _ in made), self.name, usage)

    def close(self) -> None:
        """Connections end with the process."""

    async def _sample(self, request: Request, index: int) -> tuple[Sample, dict[str, int]]:
        words = self._words(request, request.seed if index == 0 else seed_of(request.seed, index) % 2**31)
        began = None  # of the trouble
        num_waits = num_own = 0
        while True:
            async with self._slots:
                reply = await self._try(request, words)
            now = time.monotonic()
            if not isinstance(reply, Trouble):
                self._answered_at = now
                return reply
            began = now if began is None else began
            num_own += reply.is_own
            left_s = began + self.config.patience_s - now
            is_served = self._answered_at > began
            if left_s <= 0 or (is_served and num_own >= MAX_OWN_TRIES):
                self._give_up(request, reply, is_served)
            self._tell(reply, now)
            await asyncio.sleep(min(_pause_s(reply.wait_s, num_waits), left_s))
            num_waits += 1

    async def _try(self, request: Request, words: dict[str, Any]) -> tuple[Sample, dict[str, int]] | Trouble:
        """One try. Raises ItemError and StageError like ``answer``."""
        import openai

        refusal: openai.APIStatusError
        try:
            async with asyncio.timeout(self.config.timeout_s):
                reply = await self._client.chat.completions.with_raw_response.create(**words)
            return read_reply(reply.content)
        except (TimeoutError, openai.APITimeoutError) as error:
            if type(error.__cause__).__name__ == "ConnectTimeout":  # of httpx, or of what the client uses in its place
                return Trouble(f"no connection within {CONNECT_S:g} seconds")
            return Trouble(f"no answer within llm.timeout_s={self.config.timeout_s:g} seconds", is_own=True)
        except openai.APIStatusError as error:
            refusal = error
        except openai.OpenAIError as error:
            return Trouble(self._hide(f"{type(error).__name__}: {error.__cause__ or error}"))
        except NoAnswer as error:
            return Trouble(self._hide(str(error)), is_own=True)
        # Outside of the handlers: a traceback would show the server's words, and some repeat the key.
        status = refusal.status_code
        said = self._hide(f"HTTP {status}: {refusal.message.removeprefix(f'Error code: {status} - ')}")
        if refusal.code not in _OF_ALL:
            if status in _BUSY or status >= 500:
                return Trouble(said, retry_after_s(refusal.response.headers), is_own=status not in _BUSY)
            if status in _OF_THE_REQUEST:
                hint = "; llm.schemas=plain or none if it takes no such schema" if "response_format" in words else ""
                raise ItemError(Kind.PERMANENT, f"{request.template}: the server refuses the request ({said}){hint}")
        hint = "; see llm.max_tokens_field" if "max_completion_tokens" in said else ""
        raise StageError(f"{self.config.base_url} refuses model {self.config.model!r}: {said}{hint}")

    def _words(self, request: Request, seed: int) -> dict[str, Any]:
        """The body of a request. Raises ItemError for a text that cannot be sent."""
        rows = [{"role": message.role, "content": message.content} for message in request.messages]
        for row in rows:
            if clean(row["content"]) != row["content"]:
                raise ItemError(Kind.PERMANENT, f"{request.template}: the prompt holds half a surrogate pair")
            row["content"] = row["content"] or "(nothing)"  # an empty answer under repair: servers refuse such messages
        words: dict[str, Any] = {
            "model": self.config.model,
            "messages": rows,
            self.config.max_tokens_field: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": seed,
        }
        if request.schema is not None and self.config.has_schemas:
            schema = request.schema if self.config.schemas == "full" else plain_schema(request.schema)
            form = {"name": request.kind, "schema": schema, "strict": True}
            words["response_format"] = {"type": "json_schema", "json_schema": form}
        return words

    def _give_up(self, request: Request, trouble: Trouble, is_served: bool) -> NoReturn:
        """Raise ItemError when others were answered meanwhile, else StageError."""
        if is_served:
            raise ItemError(Kind.TRANSIENT, f"{request.template}: no answer, though others get one: {trouble.said}")
        raise StageError(
            f"{self.config.base_url} has not answered for llm.patience_s={self.config.patience_s:g} seconds: "
            f"{trouble.said}"
        )

    def _tell(self, trouble: Trouble, now: float) -> None:
        if now - self._told_at > TELL_EVERY_S:
            self._told_at = now
            log.warning("%s: %s; waiting", self.config.base_url, trouble.said)

    def _hide(self, text: str) -> str:
        """One short line of a server's words, without the key."""
        shown = text.replace(self._key, "***") if self._key else text
        return clean(" ".join(shown.split()))[:400]


def _pause_s(asked_s: float, num_waits: int) -> float:
    """Seconds until the next try: what the server asks for, never less, or twice as long as last time."""
    # Jitter: a server that comes back should not meet all requests in the same instant.
    if asked_s:
        return asked_s + FIRST_WAIT_S * random.random()
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(num_waits, 30)) * random.uniform(0.5, 1.0)
