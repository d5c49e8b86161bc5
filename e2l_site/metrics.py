"""The metrics of the installation, in Prometheus' text format.

All are read from the database and the broker when they are asked for. So they are the same
whichever of many web processes answers, and nothing has to be counted anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from channels.layers import get_channel_layer
from django.db import Error
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from redis import RedisError

from evolution import operation
from evolution.services.couriers import PATIENCE_S, queue_length
from evolution.services.evaluations import engine_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

logger = logging.getLogger(__name__)


def exposition() -> bytes:
    """Return the metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Installation())
    return generate_latest(registry)


class _Installation(Collector):
    def collect(self) -> Iterable[Metric]:
        started = time.monotonic()
        yield InfoMetricFamily("e2l_build", "Versions.", {"engine": engine_version()})
        failures: list[str] = []
        for source, read in (("database", _from_database), ("broker", _from_broker)):
            with _noted(source, failures):
                yield from read()
        up = GaugeMetricFamily(
            "e2l_up", "1 if what the other metrics are read from answers.", labels=["source"]
        )
        for source in ("database", "broker"):
            up.add_metric([source], source not in failures)
        yield up
        yield GaugeMetricFamily(
            "e2l_scrape_duration_seconds",
            "Time that reading these metrics took.",
            value=time.monotonic() - started,
        )


@contextmanager
def _noted(source: str, failures: list[str]) -> Iterator[None]:
    try:
        yield
    except (Error, OSError, RedisError) as error:
        logger.warning("Metrics cannot be read from the %s: %s", source, error)
        failures.append(source)


def _from_database() -> list[Metric]:
    work, totals, workers = operation.work(), operation.totals(), operation.worker_counts()
    return [
        _by_label(
            "e2l_workers",
            "Worker processes that were heard of lately.",
            "state",
            {"busy": workers.busy, "idle": workers.idle, "drained": workers.drained},
        ),
        _by_label(
            "e2l_evaluations",
            "Evaluations that runs wait for; stale are those whose worker fell silent.",
            "state",
            {"waiting": work.n_waiting, "claimed": work.n_claimed, "stale": work.n_stale},
        ),
        _by_label(
            "e2l_probes",
            "Simulations that people wait for.",
            "state",
            {"waiting": work.n_probes_waiting, "running": work.n_probes_running},
        ),
        _by_label("e2l_runs", "Runs.", "state", totals.runs_by_state),
        _by_label("e2l_experiments", "Experiments.", "state", operation.experiments_by_state()),
        _by_label(
            "e2l_failures",
            "Individuals without a fitness, of the runs that go on.",
            "reason",
            {name.replace(" ", "_"): n for name, n in operation.failures_by_reason().items()},
        ),
        # Sums over the runs that there are: they fall where an experiment is deleted, which
        # Prometheus takes for a restart of the counter.
        CounterMetricFamily("e2l_generations", "Completed generations.", totals.n_generations),
        CounterMetricFamily(
            "e2l_evaluations_asked", "Rules whose fitness had to be known.", totals.n_asked
        ),
        CounterMetricFamily(
            "e2l_evaluations_cached", "Of these, those known before.", totals.n_cached
        ),
        CounterMetricFamily(
            "e2l_evaluations_pruned",
            "Of these, those not simulated in all trials.",
            totals.n_pruned,
        ),
    ]


def _from_broker() -> list[Metric]:
    n_messages = queue_length()
    if n_messages is None:
        raise ConnectionError("no answer")
    return [
        GaugeMetricFamily(
            "e2l_queue_messages", "Messages that no worker has taken.", value=n_messages
        ),
        GaugeMetricFamily(
            "e2l_event_seconds",
            "Time that an event took through the channel layer, as one of a page does; "
            "measured for this answer.",
            value=_event_seconds(),
        ),
    ]


def _by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(name, text, labels=[label])
    for value, n in values.items():
        metric.add_metric([value], n)
    return metric


def _event_seconds() -> float:
    """Send a message to ourselves and return how long it was on its way, in s."""
    return asyncio.run(asyncio.wait_for(_send_to_ourselves(), 2 * PATIENCE_S))


async def _send_to_ourselves() -> float:
    layer = get_channel_layer()
    # The subscription ends with the event loop.
    channel = await layer.new_channel("metrics")
    seconds = 0.0
    for _ in range(2):  # the first one opens the connections
        started = time.monotonic()
        await layer.send(channel, {"type": "metrics.probe"})
        await layer.receive(channel)
        seconds = time.monotonic() - started
    return seconds
