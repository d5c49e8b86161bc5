"""Personal tokens: made, looked up, revoked. Their secret is shown once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from evolution import access
from evolution.enums import Action, Scope
from evolution.models import ApiToken
from evolution.prepared import PreparedRecords, text_places
from evolution.services import audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User


#: So that programs that look for leaked secrets recognise one.
PREFIX = "e2l_"
#: Uses within this time are noted as one: reading costs no write.
_USE_RESOLUTION = timedelta(minutes=1)


def create_token(
    owner: User, *, name: str, scopes: Iterable[Scope], lifetime: timedelta | None
) -> tuple[ApiToken, str]:
    """Return a new token and its secret, which nobody can look up again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = ApiToken.objects.create(
            owner=owner,
            name=name,
            digest=_digest(secret),
            hint=secret[: len(PREFIX) + 4],
            scopes=[str(scope) for scope in scopes],
            expires_at=timezone.now() + lifetime if lifetime else None,
        )
        audit.record(Action.TOKEN_MADE, by=owner, detail=f"{name}: {', '.join(token.scopes)}")
    return token, secret


def revoke_token(token: ApiToken, *, by: User) -> None:
    """End a token; the next request with it is refused."""
    with transaction.atomic():
        valid = ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True)
        if valid.update(revoked_at=timezone.now()):
            audit.record(Action.TOKEN_REVOKED, by=by, detail=token.name)


def find_token(secret: str) -> ApiToken | None:
    """Return the token with this secret and its owner, None if it opens nothing (any more)."""
    (place,) = text_places(1)
    token = next(iter(_tokens().records({place: _digest(secret)})), None)
    owner = None if token is None else access.account(token.owner_id)
    if owner is None:
        return None
    token.owner = owner
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _USE_RESOLUTION:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


@cache
def _tokens() -> PreparedRecords:
    (place,) = text_places(1)
    return PreparedRecords(ApiToken.objects.active().filter(digest=place).order_by())


def _digest(secret: str) -> str:
    # A secret of 256 random bits needs no slow digest: nobody can try them all.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
