"""Python on the pages runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs.pages import PAGES, ROOT, code_blocks

#: Pages whose blocks other tests run and check for what they give.
RUN_ELSEWHERE = {
    "docs/how_to/add_a_learning_task.md": "tests/simulations/learning_tasks/test_plug_ins.py",
    "docs/how_to/export_a_rule.md": "tests/evolution/exports/test_nestml.py",
    "docs/how_to/learn_from_reward_in_pynest.md": "tests/nest_build/test_usrl_trials.py",
    "docs/how_to/ten_lines_for_each_module.md": "tests/nest_build/test_modules.py",
    "docs/how_to/take_data_away.md": "tests/evolution/test_recordings.py",
    "docs/how_to/use_stdp_rules_in_pynest.md": "tests/nest_build/test_stdp_synapses.py",
    "docs/how_to/use_the_api.md": "tests/evolution/api/test_client.py",
    "docs/how_to/use_the_synapses_in_pynest.md": "tests/nest_build/test_plain_pynest.py",
}
BLOCKS = {
    f"{page}:{number}": block
    for page, text in PAGES.items()
    if page not in RUN_ELSEWHERE
    for number, block in enumerate(code_blocks(text, "python"), start=1)
}


@pytest.mark.nest
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_runs(name):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKS[name]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYNEST_QUIET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", RUN_ELSEWHERE)
def test_blocks_that_are_left_to_other_tests_are_named_there(page):
    assert code_blocks(PAGES[page], "python")
    assert page.rpartition("/")[2] in (ROOT / RUN_ELSEWHERE[page]).read_text(encoding="utf-8")
