"""What is wrong with an installation; ``manage.py`` begins it before Django is loaded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from e2l_site import doctor

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    """Tell what is wrong with an installation, and how to mend it."""

    help = "Tell in plain words what is wrong with this installation, and how to mend it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        doctor.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        sys.exit(doctor.run(as_json=options["json"]))
