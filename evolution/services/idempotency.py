"""Requests that may be sent twice: who repeats one gets the first answer and nothing happens."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models.functions import Now

from evolution.errors import KeyReused
from evolution.models import ApiAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User

#: For so long an answer is kept.
LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    body: Any
    location: str = ""


def answer_once(
    owner: User, key: str, question: tuple[str, str, Any], act: Callable[[], Answer]
) -> tuple[Answer, bool]:
    """Return the answer to a request, and whether it had been given before.

    What ``act`` writes and the answer are one transaction: where it fails nothing is kept, and the
    request may be sent again. Of two at the same time the second waits for the first.

    Parameters
    ----------
    question : tuple of (str, str, JSON)
        Method, address and body.

    Raises
    ------
    KeyReused
        If the key has come with another request.
    """
    text = json.dumps(question, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with transaction.atomic():
        ApiAnswer.objects.filter(created_at__lt=Now() - LIFETIME).delete()
        record, is_new = ApiAnswer.objects.get_or_create(
            owner=owner, key=key, defaults={"request_digest": digest}
        )
        if not is_new:
            if record.request_digest != digest:
                raise KeyReused(
                    "This idempotency key has come with another request before. Take a new key "
                    "for each request, and the same one only to repeat it."
                )
            return Answer(record.status, record.body, record.location), True
        answer = act()
        record.status, record.body, record.location = answer.status, answer.body, answer.location
        record.save(update_fields=["status", "body", "location"])
    return answer, False
