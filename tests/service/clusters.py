"""A real Ray cluster whose nodes are all on this machine, small and quiet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_health_check_period_ms": "1000", "RAY_enable_metrics_collection": "0"}
NODE = {"object_store_memory": 100 * 1024**2, "include_log_monitor": False}


class Cluster:
    """A head without workers, to which the daemon belongs, and nodes of one core each, which may come and go.

    Attributes
    ----------
    environment : what a program needs to join it
    nodes : those with a core
    """

    def __init__(self, environment: dict[str, str]) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.environment = environment
        head = {"num_cpus": 0, "include_dashboard": False, **NODE}
        self._nodes = Nodes(initialize_head=True, head_node_args=head)
        self.address: str = self._nodes.address
        self.nodes: list[object] = []

    def add(self, cores: int = 1, **environment: str) -> None:
        self.nodes.append(self._nodes.add_node(num_cpus=cores, env_vars=environment, **NODE))

    def kill(self, number: int) -> None:
        """kill -9 a node with all that runs on it."""
        self._nodes.remove_node(self.nodes.pop(number), allow_graceful=False)

    def close(self) -> None:
        self._nodes.shutdown()


@contextmanager
def cluster_of(nodes: int, token: str | None = "0123456789abcdef" * 4) -> Iterator[Cluster]:
    """A cluster that asks for a token; None: for none."""
    from ray._raylet import Config

    folder = tempfile.mkdtemp(prefix="dib-ray-")
    environment = {
        **QUIET,
        "RAY_TMPDIR": folder,
        **({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}),
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)  # for the nodes' processes and, since it has been read already, for this one
    Config.initialize("")
    cluster = None
    try:
        cluster = Cluster(environment)
        for _ in range(nodes):
            cluster.add()
        yield cluster
    finally:
        if cluster:
            cluster.close()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)
