"""Configuration of the evolution app."""

from django.apps import AppConfig
from django.urls import register_converter

from evolution.converters import CONVERTERS


class EvolutionConfig(AppConfig):
    """Experiments that evolve plasticity rules."""

    name = "evolution"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Make known how addresses write numbers, before routes use it."""
        for name, converter in CONVERTERS.items():
            register_converter(converter, name)
