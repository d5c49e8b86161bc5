"""How often somebody may ask: counted in Redis, which all web processes share."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import caches
from redis.exceptions import RedisError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    from django.core.cache.backends.base import BaseCache
    from rest_framework.request import Request

logger = logging.getLogger(__name__)


class Rates(BaseThrottle):
    """So many requests of an address, of a person, and so many simulations of a person, in a time.

    Times begin at multiples of their length. Without a broker nothing is counted: it is away for a
    moment, or nothing can be launched anyway.
    """

    def __init__(self) -> None:
        self._wait_s: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count a request once, and say whether it may go on."""
        if hasattr(request, "rate_headers"):
            return True
        request.rate_headers = {}
        who = f"user-{request.user.pk}" if request.user.is_authenticated else None
        kind = "user" if who else "anonymous"
        kinds = [(kind, who or f"address-{request.META.get('REMOTE_ADDR', '')}")]
        if who and view.is_simulation and request.method not in SAFE_METHODS:
            kinds.append(("simulations", who))
        return all(self._count(request, kind, key) for kind, key in kinds)

    def wait(self) -> float | None:
        """Return after how many seconds it may be tried again."""
        return self._wait_s

    def _count(self, request: Request, kind: str, who: str) -> bool:
        rate = settings.API_RATES[kind]
        if rate is None:
            return True
        limit, length_s = rate
        now = time.time()
        window = int(now // length_s)
        reset_s = (window + 1) * length_s - now
        key = f"api-rate:{kind}:{who}:{window}"
        counters = _counters(settings.CACHES["shared"]["LOCATION"])
        try:
            counters.add(key, 0, timeout=length_s)
            n_requests = counters.incr(key)
        except (RedisError, OSError, ValueError) as error:
            logger.warning("Requests are not counted now: %s", error)
            return True
        request.rate_headers = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(max(0, limit - n_requests)),
            "RateLimit-Reset": str(int(reset_s) + 1),
        }
        if n_requests > limit:
            self._wait_s = max(self._wait_s or 0.0, reset_s)
            return False
        return True


@cache
def _counters(location: str) -> BaseCache:
    """Return the shared cache at an address with connections that stay.

    Those of ``caches`` end with the request.
    """
    return caches.create_connection("shared")
