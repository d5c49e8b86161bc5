"""Numbers in addresses: one that nothing can have is not looked up, but leads nowhere (404).

Databases do not agree about numbers that are too large for a column or an index: SQLite's driver
refuses them by an exception, or takes them modulo 2**32, PostgreSQL has no operator for them.
"""

from __future__ import annotations

from typing import ClassVar

from django.urls.converters import IntConverter


class IdConverter(IntConverter):
    """Number of a row."""

    largest: ClassVar[int] = 2**63 - 1

    def to_python(self, value: str) -> int:
        """Return the number; ``ValueError`` says that the address is none of this route."""
        number = super().to_python(value)
        if number > self.largest:
            raise ValueError(f"{value} is larger than {self.largest}.")
        return number


class CountConverter(IdConverter):
    """Number of something among its siblings: of a run, an individual, a panel."""

    largest = 2**31 - 1


CONVERTERS = {"id": IdConverter, "count": CountConverter}
