"""Django's command line with the tests' learning task: ``python -m tests.evolution.command``."""

import os
import signal
import sys

from django.core.management import execute_from_command_line

from tests.evolution import regression_task

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "e2l_site.settings")
    # The tests may be a background job of a shell: it ignores Ctrl-C, and so does what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    regression_task.register()
    execute_from_command_line(sys.argv)
