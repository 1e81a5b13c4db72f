"""Sites and requests for tests: small dataclasses with everything filled in."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from launchers.compose import CONF_DIR
from launchers.slurm.controller import Controller, Node, Partition
from launchers.slurm.request import ClusterConfig, Request
from mmassist.core.config import build

GENERIC: Any = OmegaConf.to_container(OmegaConf.load(CONF_DIR / "cluster" / "generic.yaml"))


def make_node(name: str = "n1", *, partitions: tuple[str, ...] = ("main",), **values: Any) -> Node:
    """A node of 16 CPUs, 64,000 MB and 8 GPUs without a type."""
    filled = {"cpus": 16, "memory_mb": 64000, "gpus": {"": 8}, "features": frozenset(), "state": "IDLE"} | values
    return Node(name=name, partitions=partitions, **filled)


def make_site(nodes: list[Node], partitions: list[Partition] | None = None, **values: Any) -> Controller:
    """A site whose first partition, ``main`` unless given, is the default."""
    chosen = partitions or [Partition("main", is_default=True)]
    return Controller(partitions=tuple(chosen), nodes=tuple(nodes), **values)


def site_settings(**changes: Any) -> dict[str, Any]:
    """The section ``cluster`` of a site called ``test``, else as a site about which nothing is known."""
    return {**GENERIC["cluster"], "name": "test", **changes}


def make_request(*, stage: str = "encode", cluster: dict[str, Any] | None = None, **values: Any) -> Request:
    """One CPU, 1 GiB, no GPU, one hour."""
    site = build(ClusterConfig, site_settings(**(cluster or {})), "cluster")
    filled = {"cpus": 1, "mem_gb": 1.0, "gpus": 0, "timeout_min": 60} | values
    return Request(job=f"{stage}-wtag-features", stage=stage, cluster=site, **filled)
