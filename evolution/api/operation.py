"""The installation as operators see it: workers, queues, what is stuck; and orders to workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateTimeField,
    DictField,
    IntegerField,
    ListField,
    Serializer,
    SerializerMethodField,
)

from evolution import operation
from evolution.api.base import OperatorView
from evolution.api.shapes import RuleTextSerializer
from evolution.services import orders
from evolution.services.couriers import queue_length
from evolution.services.evaluations import engine_version
from evolution.views.operation import N_ROWS, versions

if TYPE_CHECKING:
    from rest_framework.request import Request


class WorkerSerializer(Serializer):
    """A process that simulates."""

    name = CharField()
    state = SerializerMethodField(help_text="busy, idle or silent.")
    experiment = IntegerField(
        source="experiment_id", allow_null=True, help_text="What it works, or worked last, on."
    )
    engine_version = CharField()
    started_at = DateTimeField()
    heard_at = DateTimeField()

    def get_state(self, worker: Any) -> str:
        """Return what it does."""
        return operation.state_of(worker)


class WorkerHostSerializer(Serializer):
    """A computer, or container, with its workers."""

    name = CharField()
    state = CharField(help_text="at work, idle, draining, drained, silent or no workers.")
    is_drained = BooleanField()
    changed_by = CharField(help_text="Who gave the last order; empty for the command line.")
    changed_at = DateTimeField(allow_null=True)
    n_alive = IntegerField()
    n_busy = IntegerField()
    workers = WorkerSerializer(many=True)


class WorkSerializer(Serializer):
    """What is to be done now."""

    n_waiting = IntegerField(help_text="Evaluations that nobody has yet.")
    n_claimed = IntegerField(help_text="Evaluations that a worker has.")
    n_stale = IntegerField(help_text="Evaluations of workers that were silent for too long.")
    n_probes_waiting = IntegerField(help_text="Simulations that people have asked for.")
    n_probes_running = IntegerField()


class StaleLeaseSerializer(Serializer):
    """An evaluation whose worker was silent for too long."""

    experiment = IntegerField(source="experiment_id", allow_null=True)
    rule = RuleTextSerializer(source="evaluation.rule")
    claimed_by = CharField(source="evaluation.claimed_by")
    expired_at = DateTimeField(source="evaluation.lease_expires_at")


class _RunPlaceSerializer(Serializer):
    experiment = IntegerField(source="experiment_id")
    experiment_name = CharField(source="experiment.name")
    run = IntegerField(source="number")


class QuietRunSerializer(_RunPlaceSerializer):
    """A run that goes on and has completed no generation for long."""

    last_progress_at = DateTimeField(allow_null=True)


class FailedRunSerializer(_RunPlaceSerializer):
    """A run that could not go on."""

    detail = CharField()
    finished_at = DateTimeField(allow_null=True)


class OperationSerializer(Serializer):
    """The installation as a whole."""

    versions = DictField(child=CharField(), help_text="Of the software that answers, by name.")
    engine_version = CharField(help_text="Workers with another one run other code.")
    queue_length = IntegerField(
        allow_null=True, help_text="Messages that wait; null where the broker does not answer."
    )
    hosts = WorkerHostSerializer(many=True)
    work = WorkSerializer()
    stale = ListField(child=StaleLeaseSerializer(), help_text=f"At most {N_ROWS}.")
    quiet_runs = ListField(child=QuietRunSerializer(), help_text=f"At most {N_ROWS}.")
    failed_runs = ListField(child=FailedRunSerializer(), help_text=f"At most {N_ROWS}.")
    failures = DictField(
        child=IntegerField(), help_text="Individuals without a fitness of runs that go on."
    )


class OrderSerializer(Serializer):
    """To whom an order is given."""

    host = CharField(max_length=100)


class Operation(OperatorView):
    """The installation as a whole."""

    @extend_schema(
        operation_id="get_operation",
        summary="Show workers, queues, what is stuck and versions",
        responses=OperationSerializer,
    )
    def get(self, request: Request) -> Response:
        body = {
            "versions": versions(),
            "engine_version": engine_version(),
            "queue_length": queue_length(),
            "hosts": operation.hosts(),
            "work": operation.work(),
            "stale": operation.stale_leases(N_ROWS),
            "quiet_runs": operation.quiet_runs(N_ROWS),
            "failed_runs": operation.failed_runs(N_ROWS),
            "failures": operation.failures_by_reason(),
        }
        return Response(OperationSerializer(body).data)


def _order(name: str, give: Any, summary: str) -> type[OperatorView]:
    """Return the view of an order to the workers of a host."""

    class Order(OperatorView):
        @extend_schema(
            operation_id=f"{name}_host",
            summary=summary,
            request=OrderSerializer,
            responses=WorkerHostSerializer,
        )
        def post(self, request: Request) -> Response:
            host = self.read(OrderSerializer)["host"]
            give(host, by=request.user)
            (shown,) = [item for item in operation.hosts() if item.name == host] or [
                operation.Host(host, is_drained=False, changed_by="", changed_at=None, workers=[])
            ]
            return Response(WorkerHostSerializer(shown).data)

    Order.__name__ = Order.__qualname__ = f"Host{name.capitalize()}"
    Order.__doc__ = f"{summary}."
    return Order


ORDERS = {
    name: _order(name, give, summary)
    for name, give, summary in (
        ("drain", orders.drain, "Let the workers of a host finish what they do and take no more"),
        ("resume", orders.resume, "Let the workers of a drained host take work again"),
        (
            "restart",
            orders.restart,
            "Let the workers of a host finish their trial and start anew",
        ),
    )
}
