"""Run the topics, each in a process of its own, and write ``docs/benchmarks.md``.

Topics that take hours are measured by ``--long`` only; their sections stay in the report until
then. Of topics that are named the figures are shown, and with ``--write`` also written.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import Row, is_long, title_of, topics

PROJECT_ROOT = Path(__file__).resolve().parents[2]
REPORT = PROJECT_ROOT / "docs" / "benchmarks.md"

_HEAD = """# Benchmarks

Written by `make bench`. Times depend on the machine and on what else it does: compare ratios
of one run. A bound is what the project aims at on two cores of a current server.

{machine}
"""


def machine_line() -> str:
    """Return what the figures depend on: processor, cores, load, versions, day."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return (
        f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start, "
        f"ten million steps of a loop in plain Python in {_loop_s():.2f} s; "
        f"Python {platform.python_version()}, "
        f"NEST {importlib.metadata.version('nest-simulator')}, "
        f"llvmlite {importlib.metadata.version('llvmlite')}; "
        f"{datetime.now(UTC):%d %B %Y}."
    )


def _loop_s() -> float:
    """Return what tells this machine from others: how long Python takes for a simple loop, in s."""

    def seconds() -> float:
        started = time.perf_counter()
        total = 0
        for step in range(10_000_000):
            total += step
        return time.perf_counter() - started

    return min(seconds() for _ in range(3))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def section(title: str, text: str, rows: list[Row]) -> str:
    """Return the part of the report about one topic."""
    lines = [f"## {title}", "", text, "", "| measured | value | bound | compared with | ratio |"]
    lines.append("|---|---|---|---|---|")
    for row in rows:
        bound = f"{_number(row.bound)} {row.unit}" if row.bound is not None else ""
        against, ratio = "", ""
        if row.reference is not None:
            against = f"{row.reference_name}: {_number(row.reference)} {row.unit}"
            ratio = f"{row.reference / row.value:.3g}"
        cells = (row.what, f"{_number(row.value)} {row.unit}", bound, against, ratio)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sections(report: str) -> dict[str, str]:
    """Return the sections of a report by their titles."""
    parts = report.split("\n## ")[1:]
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def _line(row: Row) -> str:
    line = f"{row.what}: {row.value:.3g} {row.unit}".rstrip()
    if row.reference is None:
        return line
    return f"{line}; {row.reference_name}: {row.reference:.3g} ({row.reference / row.value:.3g})"


def run_topic(name: str) -> None:
    """Measure one topic in this process and print its rows as JSON."""
    module = importlib.import_module(f"tests.bench.{name}")
    text = " ".join((module.__doc__ or "").split())
    rows = [asdict(row) for row in module.rows()]
    json.dump({"title": module.TITLE, "text": text, "rows": rows}, sys.stdout)


def measured(name: str, *, says_where: bool) -> tuple[str, str] | None:
    """Measure a topic in a process of its own; return title and section, None if it fails.

    Parameters
    ----------
    says_where : bool
        Whether the section itself says on which machine it was measured.
    """
    sys.stderr.write(f"{name} ...\n")
    where = f" Measured on {machine_line()}" if says_where else ""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", name, "--in-process"],
        cwd=PROJECT_ROOT,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        sys.stderr.write(f"{name} failed; its figures are left out.\n")
        return None
    # Libraries may greet on the standard output; the rows are its last line.
    result = json.loads(done.stdout.splitlines()[-1])
    rows = [Row(**row) for row in result["rows"]]
    sys.stderr.write("".join(f"  {_line(row)}\n" for row in rows))
    return result["title"], section(result["title"], result["text"] + where, rows)


def main() -> int:
    """Measure all topics, or those that are named; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TOPIC", help=f"of {', '.join(topics())}")
    parser.add_argument("--long", action="store_true", help="measure what takes hours instead")
    parser.add_argument(
        "--write", action="store_true", help="write the sections of the named topics, too"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.names) - set(topics())
    if unknown:
        parser.error(f"there is no topic {sorted(unknown)[0]!r}; there are {', '.join(topics())}")
    if options.in_process:
        run_topic(options.names[0])
        return 0
    head = _HEAD.format(machine=machine_line())
    chosen = options.names or [name for name in topics() if is_long(name) == options.long]
    # The head of the report names the machine of the topics that were measured together.
    is_part = bool(options.names) or options.long
    results = [measured(name, says_where=is_part) for name in chosen]
    if options.write or not options.names:
        before = REPORT.read_text(encoding="utf-8") if REPORT.exists() else head
        kept = sections(before)
        if is_part:
            head = before.partition("\n## ")[0]
        else:
            titles = {title_of(name) for name in topics() if is_long(name)}
            kept = {title: text for title, text in kept.items() if title in titles}
        kept.update(result for result in results if result is not None)
        parts = [head.rstrip() + "\n", *(kept[title] for title in sorted(kept))]
        REPORT.write_text("\n".join(parts), encoding="utf-8")
        sys.stderr.write(f"Written: {REPORT.relative_to(PROJECT_ROOT)}\n")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
