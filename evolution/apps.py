"""Configuration of the evolution app."""

from django.apps import AppConfig


class EvolutionConfig(AppConfig):
    """Experiments that evolve plasticity rules."""

    name = "evolution"
    default_auto_field = "django.db.models.BigAutoField"
