"""Set up a checkout with nothing but Python: ``python3 -m e2l_site.bootstrap setup``.

Each step leaves a stamp, a digest of all that it depends on, and is not done again while the
stamp is right. An interrupted step leaves none, so that the next start does it again.
"""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Ctrl-C while the modules below load: there is nothing to undo yet, and nothing to tell.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(
        f"e2l needs Python 3.11, 3.12 or 3.13, and this is {sys.version_info[0]}."
        f"{sys.version_info[1]}: name another one as in 'make PYTHON=/path/to/python3.12 up'."
    )

import argparse
import errno
import fcntl
import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2l_site import preflight
from e2l_site.locations import PROJECT_ROOT, data_directory, shown
from e2l_site.progress import SetupError, StepError, Steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

VENV = PROJECT_ROOT / ".venv"
# Relative, as the Makefile has it: commands run in the project directory, whatever its name.
VENV_PYTHON = ".venv/bin/python"
_PIP_INSTALL = (VENV_PYTHON, "-m", "pip", "install", "--disable-pip-version-check")
UV_LOCK = PROJECT_ROOT / "e2l_site" / "uv-requirements.txt"
LOCK = PROJECT_ROOT / "requirements.txt"
TEST_LOCK = PROJECT_ROOT / "tests" / "requirements.txt"
_OWN_PACKAGES = ("e2l_site", "evolution", "simulations", "nest_build")
COMPILERS = ("c++", "g++", "clang++")
# Measured: the environment takes 0.7 GB, the downloads another 0.3 GB.
NEEDED_SPACE_BYTES = 1_200_000_000


def digest(paths: Iterable[Path], *facts: object) -> str:
    """Return a digest of the contents of ``paths`` and of ``facts``."""
    result = hashlib.sha256(repr(facts).encode())
    for path in sorted(paths):
        if path.is_file():
            result.update(f"\0{path.relative_to(PROJECT_ROOT)}\0".encode())
            result.update(path.read_bytes())
    return result.hexdigest()


class Stamp:
    """A file that tells for which digests a step has been done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def has(self, wanted: str) -> bool:
        """Return whether the step is done for the digest ``wanted``."""
        try:
            return wanted in self._path.read_text(encoding="ascii").split()
        except OSError:
            return False

    def set(self, *digests: str) -> None:
        """Note that the step is done; the file is replaced as a whole."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        temporary.write_text("\n".join(digests) + "\n", encoding="ascii")
        temporary.replace(self._path)

    def clear(self) -> None:
        """Note that the step is not done."""
        self._path.unlink(missing_ok=True)


class Bootstrap:
    """The steps of the set-up, in the order in which they depend on each other."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._data_dir = data_directory()

    def environment(self, *, with_tests: bool) -> None:
        """Make the virtual environment with the locked packages.

        Raises
        ------
        SetupError
            If the machine lacks something, or a download fails.
        """
        wanted = digest([TEST_LOCK if with_tests else LOCK], _python_of_venv())
        stamp = Stamp(VENV / "e2l-packages")
        if _python_of_venv() is not None and stamp.has(wanted):
            return
        unfinished = VENV / "e2l-unfinished"
        if _python_of_venv() is None or unfinished.exists():
            self._create_venv(unfinished)
        unfinished.touch()
        stamp.clear()
        self._install(TEST_LOCK if with_tests else LOCK)
        unfinished.unlink()
        # The lock of the tests holds all packages of the other one, in the same versions.
        locks = [LOCK, TEST_LOCK] if with_tests else [LOCK]
        stamp.set(*(digest([lock], _python_of_venv()) for lock in locks))

    def _create_venv(self, unfinished: Path) -> None:
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise SetupError(
                f"Python {version} lacks its module {missing[0]}: install it, "
                f"on Debian and Ubuntu with 'apt install python{version}-venv'."
            )
        _check_compiler()
        _check_space()
        if VENV.is_symlink() or VENV.is_file():
            VENV.unlink()
        elif VENV.exists():
            shutil.rmtree(VENV)
        VENV.mkdir()
        unfinished.touch()
        self._steps.run("Virtual environment", [sys.executable, "-m", "venv", ".venv"])

    def _install(self, lock: Path) -> None:
        # The lock is complete: --no-deps keeps hal-cgp's pin of an old NumPy out.
        wanted = ("--no-deps", "--require-hashes", "-r", os.path.relpath(lock, PROJECT_ROOT))
        label = "Python packages"
        if not self._uv_installs(label, wanted):
            self._steps.say("uv cannot install the packages here; pip does, more slowly.")
            self._steps.run(label, [*_PIP_INSTALL, *wanted])

    def _uv_installs(self, label: str, wanted: Sequence[str]) -> bool:
        """Return whether uv has installed the packages, False where pip may do better."""
        uv_lock = os.path.relpath(UV_LOCK, PROJECT_ROOT)
        try:
            self._steps.run("Package installer", [*_PIP_INSTALL, "--require-hashes", "-r", uv_lock])
        except StepError as failure:
            if failure.is_network_failure:
                raise
            return False  # there is no build of uv for this machine
        uv = [VENV_PYTHON, "-m", "uv", "pip", "install", "--python", VENV_PYTHON, *_uv_cache()]
        if sys.dont_write_bytecode:
            uv.append("--compile-bytecode")
        # uv trusts the authorities that it brings along. Networks that look into encrypted
        # connections have one of their own, which the machine's store holds.
        for certificates in ((), ("--system-certs",)):
            try:
                self._steps.run(label, [*uv, *certificates, *wanted])
            except StepError as failure:
                if failure.is_certificate_failure:
                    self._steps.say("uv does not trust the server with these certificates.")
                    continue
                if failure.is_network_failure and not _pip_knows_another_way():
                    raise
                return False
            return True
        return False

    def bytecode(self) -> None:
        """Compile the project's own code where no process would keep what it compiles.

        Without bytecode, of the packages above all, every process takes seconds longer to start.
        """
        if sys.dont_write_bytecode:
            command = [VENV_PYTHON, "-m", "compileall", "-q", *_OWN_PACKAGES]
            self._steps.run("Bytecode", command)

    def modules(self) -> None:
        """Build the NEST modules where their sources have changed."""
        try:
            self._steps.run("NEST modules", [VENV_PYTHON, "-m", "nest_build", "build"])
        except StepError as failure:
            # The builder's sentence stands before the compiler's output.
            sentences = re.findall(r"^The NEST modules could not .*$", failure.output, re.MULTILINE)
            if not sentences:
                raise
            raise SetupError(f"{sentences[0].rstrip(':')}; see {shown(self._steps.log)}.") from None

    def database(self) -> None:
        """Create the tables, or bring them up to date."""
        stamp = Stamp(self._data_dir / "stamps" / "database")
        if not os.environ.get("DATABASE_URL", "").strip() and stamp.has(self._database_digest()):
            return
        self._steps.run("Database", [VENV_PYTHON, "manage.py", "migrate", "--noinput"])
        stamp.set(self._database_digest())

    def _database_digest(self) -> str:
        migrations = PROJECT_ROOT.glob("*/migrations/*.py")
        try:
            file = (self._data_dir / "db.sqlite3").stat()
            identity = (file.st_dev, file.st_ino)
        except OSError:
            identity = None  # removed: a digest that no stamp holds
        return digest([LOCK, *migrations], identity, "" if identity else time.time_ns())

    def static_files(self) -> None:
        """Collect style sheets, scripts and BokehJS under the names that pages refer to."""
        own = [*PROJECT_ROOT.glob("static/**/*"), *PROJECT_ROOT.glob("*/static/**/*")]
        settings = [PROJECT_ROOT / "e2l_site" / name for name in ("settings.py", "apps.py")]
        wanted = digest([LOCK, *own, *settings], _python_of_venv())
        collected = PROJECT_ROOT / "staticfiles"
        stamp = Stamp(collected / ".e2l-stamp")
        if stamp.has(wanted):
            return
        # --clear removes the stamp as well: an interrupted copy is done again.
        command = [VENV_PYTHON, "manage.py", "collectstatic", "--noinput", "--clear"]
        self._steps.run("Static files", command)
        stamp.set(wanted)


def _python_of_venv() -> str | None:
    """Return the version of the environment's Python; None if it does not run or has no pip.

    It has none after the system's Python went to another version: what is installed then lies
    in a directory that the new one does not look at.
    """
    program = "import sys, pip; print(sys.version)"
    try:
        answer = subprocess.run(  # noqa: S603  (a fixed command)
            [VENV / "bin" / "python", "-c", program], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def _check_compiler() -> None:
    """Say before minutes of downloads that the modules could not be built after them."""
    named = shlex.split(os.environ.get("CXX", ""))[:1]
    if not any(map(shutil.which, named or COMPILERS)):
        raise SetupError(
            f"No C++ compiler was found ({', '.join(named or COMPILERS)}): install one that knows "
            "C++20, on Debian and Ubuntu with 'apt install g++', or name one by CXX."
        )


def _check_space() -> None:
    free = shutil.disk_usage(PROJECT_ROOT).free
    if free < NEEDED_SPACE_BYTES:
        raise SetupError(
            f"Too little space on the disk: the set-up needs {NEEDED_SPACE_BYTES / 1e9:.1f} GB, "
            f"and {free / 1e9:.1f} GB are free."
        )


def _uv_cache() -> tuple[str, ...]:
    """Return uv's option for a user whose home directory is missing or may not be written."""
    if os.environ.get("UV_CACHE_DIR"):
        return ()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    return () if os.access(existing, os.W_OK) else ("--no-cache",)


def _pip_knows_another_way() -> bool:
    """Return whether pip is told of an index, a directory, a proxy or an authority of its own.

    uv reads none of pip's settings.
    """
    settings = subprocess.run(  # noqa: S603  (a fixed command)
        [VENV_PYTHON, "-m", "pip", "config", "list", "--disable-pip-version-check"],
        cwd=PROJECT_ROOT,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    names = r"(index-url|extra-index-url|no-index|find-links|proxy|cert|trusted-host)"
    return re.search(rf"^\S+\.{names}='.", settings.stdout, re.MULTILINE) is not None


def _lock_checkout() -> int:
    """Return a held lock on the project directory; it ends with this process.

    Raises
    ------
    SetupError
        If another set-up runs in this directory.
    """
    descriptor = os.open(PROJECT_ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SetupError(
            "Another set-up runs in this directory: wait until it is done, then start again."
        ) from None
    return descriptor


def _sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"No space is left on the disk{where}."
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"A file or directory may not be written{where}."
    return f"{error.strerror or error}{where}."


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the set-up for one command of the Makefile; return the exit code."""
    parser = argparse.ArgumentParser(prog="e2l_site.bootstrap", description=__doc__)
    parser.add_argument("command", choices=("setup", "modules", "up", "worker", "test"))
    parser.add_argument("--port", default="8000", help="port that `up` is going to serve")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, _terminate)
    signal.signal(signal.SIGTERM, _terminate)
    steps = Steps(data_directory() / "log" / "setup.log")
    try:
        # Sessions and password digests will be in there.
        data_directory().mkdir(mode=0o700, parents=True, exist_ok=True)
        if options.command == "up":
            # Before minutes of set-up, not after them.
            preflight.check_no_launcher(data_directory())
            preflight.bind(preflight.parse_port(options.port)).close()
        lock = _lock_checkout()
        bootstrap = Bootstrap(steps)
        bootstrap.environment(with_tests=options.command == "test")
        bootstrap.bytecode()
        bootstrap.modules()
        if options.command in ("setup", "up"):
            bootstrap.database()
            bootstrap.static_files()
        os.close(lock)
    except (SetupError, preflight.PreflightError) as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{_sentence(error)}\n")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; the next start goes on from here.\n")
        return 130
    else:
        if options.command == "setup":
            steps.say(f"Ready after {time.monotonic() - steps.started:.1f} s.")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
