"""Where sessions are: Django's, in the database, asked for by a query that is written once."""

from __future__ import annotations

from functools import cache

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from evolution.prepared import PreparedRecords, text_places


class SessionStore(DatabaseSessionStore):
    """A session of the database, with which almost every request begins."""

    def _get_session_from_db(self) -> Session | None:
        (place,) = text_places(1)
        found = _sessions().records({place: self.session_key})
        if found and found[0].expire_date > timezone.now():
            return found[0]
        self._session_key = None
        return None


@cache
def _sessions() -> PreparedRecords:
    (place,) = text_places(1)
    return PreparedRecords(Session.objects.filter(session_key=place))
