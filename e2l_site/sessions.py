"""Where sessions are: Django's, in the database, asked for by a query that is written once."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from evolution.prepared import PreparedRecords, text_places

if TYPE_CHECKING:
    from collections.abc import Collection

#: As Django makes them.
_KEY = re.compile("[0-9a-z]{32}")


class SessionStore(DatabaseSessionStore):
    """A session of the database, with which almost every request begins."""

    def _validate_session_key(self, key: str) -> bool:
        """Refuse what is no key: a cookie can hold characters that the database does not take."""
        return bool(_KEY.fullmatch(key or ""))

    @classmethod
    def load_all(cls, keys: Collection[str | None]) -> dict[str | None, SessionStore]:
        """Return sessions by their keys as they are now, read in one statement.

        Those that there are not, or that have expired, are empty.
        """
        living = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
        found = dict(living.values_list("session_key", "session_data"))
        stores = {key: cls(key) for key in keys}
        for key, store in stores.items():
            store._session_cache = store.decode(found[key]) if key in found else {}
        return stores

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
