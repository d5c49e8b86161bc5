#!/usr/bin/env python
"""Django's command line for this project."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    # Names of files can hold bytes that are no text: they are shown escaped, as on standard error.
    sys.stdout.reconfigure(errors="backslashreplace")
    if sys.argv[1:2] == ["doctor"]:
        # It also tells why Django or the settings cannot be loaded.
        from e2l_site.doctor import main as examine

        sys.exit(examine(sys.argv[2:]))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
