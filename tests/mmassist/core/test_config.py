from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from mmassist.core.config import Why, build, meaning, nearest, transient
from mmassist.core.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    path: str | None = None


@dataclass(frozen=True)
class Sample:
    rate: float
    mode: Literal["a", "b"] = "a"
    grids: tuple[int, ...] = (2, 3)
    inner: Inner = field(default_factory=Inner)
    workers: int = transient(4, why=Why.PACE)

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate is {self.rate}; it must be above 0")


def test_plain_values_become_a_checked_dataclass():
    made = build(Sample, {"rate": 2, "grids": [2], "inner": {"path": "x"}}, "s")
    assert made == Sample(2.0, grids=(2,), inner=Inner("x"))
    assert isinstance(made.rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": 1, "mod": "a"}, "unknown key 's.mod'. Did you mean 'mode'?"),
        ({}, "'s.rate' is not set and has no default; say s.rate=VALUE"),
        ({"rate": "fast"}, "'s.rate' is 'fast'; it must be a number"),
        ({"rate": float("nan")}, "'s.rate' is nan; it must be a finite number"),
        ({"rate": 1, "mode": "c"}, "'s.mode' is 'c'; it must be one of 'a', 'b'"),
        ({"rate": 1, "workers": True}, "'s.workers' is true; it must be a whole number"),
        ({"rate": 1, "grids": ["two"]}, "'s.grids' is 'two'; it must be a whole number"),
        ({"rate": 1, "inner": {"pth": "x"}}, "unknown key 's.inner.pth'. Did you mean 'path'?"),
        ({"rate": -1}, "s.rate is -1.0; it must be above 0"),
    ],
)
def test_a_mistake_is_named_with_key_value_and_remedy(values, message):
    with pytest.raises(ConfigError) as error:
        build(Sample, values, "s")
    assert str(error.value) == message


def test_transient_settings_have_no_meaning():
    assert meaning(Sample(1.0, workers=9)) == meaning(Sample(1.0, workers=1))
    assert meaning(Sample(1.0)) == {"rate": 1.0, "mode": "a", "grids": [2, 3], "inner": {"path": None}}


def test_nothing_close_lists_all_names():
    assert nearest("zzz", ["alpha", "beta"]) == " Valid names: alpha, beta."
