"""What tests of the whole site share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2l_site.laboratory import Laboratory


@pytest.fixture
def laboratory(db: None, settings: Any) -> Laboratory:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    return Laboratory()


@pytest.fixture
def courier_to_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from evolution.services import control
    from evolution.services.couriers import SilentCourier

    monkeypatch.setattr(control, "CeleryCourier", SilentCourier)
