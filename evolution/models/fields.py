"""Fields that keep the many rows of a long evolution small."""

from __future__ import annotations

from typing import Any

from django.db import models


class IntegerListsField(models.TextField):
    """Lists of integers, such as the alleles of each genome, as text: ``"0 -1 2;1 0 1"``.

    PostgreSQL's JSON takes about twelve bytes for every number, this takes two.
    """

    def from_db_value(self, value: str | None, *_: Any) -> list[list[int]] | None:
        """Return the lists that a text holds."""
        return None if value is None else parse_integer_lists(value)

    def to_python(self, value: Any) -> Any:
        """Return lists, from a serialised text too."""
        return parse_integer_lists(value) if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """Return the text that is stored."""
        if value is None or isinstance(value, str):
            return value
        return ";".join(" ".join(map(str, numbers)) for numbers in value)

    def value_to_string(self, obj: models.Model) -> str:
        """Return the text for a serialiser."""
        return self.get_prep_value(self.value_from_object(obj)) or ""


def parse_integer_lists(text: str) -> list[list[int]]:
    """Return the lists that a text holds; an empty text is one empty list."""
    return [[int(number) for number in part.split()] for part in text.split(";")]


class WordsField(models.TextField):
    """Short words as text with a space around each, so that one of them can be searched for."""

    def from_db_value(self, value: str | None, *_: Any) -> list[str] | None:
        """Return the words that a text holds."""
        return None if value is None else value.split()

    def to_python(self, value: Any) -> Any:
        """Return words, from a serialised text too."""
        return value.split() if isinstance(value, str) else value

    def get_prep_value(self, value: Any) -> str | None:
        """Return the text that is stored."""
        if value is None or isinstance(value, str):
            return value
        return f" {' '.join(value)} " if value else ""

    def value_to_string(self, obj: models.Model) -> str:
        """Return the text for a serialiser."""
        return self.get_prep_value(self.value_from_object(obj)) or ""
