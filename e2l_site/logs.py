"""The log: text for people or JSON for machines, each line with the ids that it belongs to."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pythonjsonlogger.json import JsonFormatter

from evolution import tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

#: What a request may be called by whoever sends it. Anything else could forge lines of the log.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
#: Header of a Celery message with the ids of the request that it comes from.
MESSAGE_HEADER = "e2l"


class Ids(logging.Filter):
    """Gives each record the current ids: as a mapping, and as text for the end of a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids; every record passes."""
        record.ids = dict(tracing.current())
        record.ids_text = "".join(f" {name}={value}" for name, value in record.ids.items())
        return True


class Json(JsonFormatter):
    """One JSON object a line: time, level, logger, message, the ids, and a traceback if any."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(process)d %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            json_ensure_ascii=False,
        )

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Put the ids beside the other fields."""
        super().add_fields(log_data, record, message_dict)
        # What else libraries attach to their records repeats the message, or is no JSON.
        known = {"time", "level", "logger", "process", "message", "exc_info", "stack_info"}
        for name in set(log_data) - known:
            del log_data[name]
        log_data.update(record.__dict__.get("ids", {}))


class RequestIds:
    """Gives each request an id, which its lines of the log carry and the answer tells.

    A proxy's ``X-Request-ID`` is taken over where it is well-formed. Requests that change something
    or fail are logged; the others at the level DEBUG: pages that are open ask every few seconds.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _WELL_FORMED.fullmatch(given) else uuid.uuid4().hex
        started = time.monotonic()
        with tracing.bound(request=request_id):
            response = self._get_response(request)
            is_quiet = request.method in {"GET", "HEAD"} and response.status_code < 400
            logger.log(
                logging.DEBUG if is_quiet else logging.INFO,
                "%s %s %s in %.0f ms",
                *(request.method, quote(request.path), response.status_code),
                1e3 * (time.monotonic() - started),
            )
        response.headers["X-Request-ID"] = request_id
        return response

    def process_view(self, request: HttpRequest, view: Callable, args: Any, kwargs: Any) -> None:
        """Add the user. Views that need none do not ask the database who it is."""
        if getattr(view, "login_required", True) and request.user.is_authenticated:
            tracing.add(user=request.user.pk)


def request_ids() -> dict[str, str | int]:
    """Return the ids that a message takes along: those of the request and of its sender.

    A message that a task sends takes none: it serves whoever comes next. Celery itself notes from
    which task it comes, the ``root`` of the lines of the log.
    """
    ids = tracing.current()
    if "task" in ids:
        return {}
    return {name: ids[name] for name in ("request", "user") if name in ids}


def configuration(*, as_json: bool, level: str) -> dict[str, Any]:
    """Return the configuration of all processes' logs: to standard error, whoever writes."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"ids": {"()": Ids}},
        "formatters": {
            "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s%(ids_text)s"},
            "json": {"()": Json},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json" if as_json else "text",
                "filters": ["ids"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers mail errors to admins; here everything goes to the log.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            # Sign-ins are in the audit log.
            "axes": {"level": "WARNING"},
            # At the level DEBUG these tell of each query, connection and heartbeat.
            **{
                name: {"level": "INFO"}
                for name in ("amqp", "asyncio", "celery", "daphne", "kombu", "parso", "urllib3")
            },
        },
    }
