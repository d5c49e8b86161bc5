"""What other tools ask NEST before they compile for it.

NEST brings a program ``nest-config`` that says how; that of the wheel from PyPI names folders of
the machine on which it was built. NESTML asks it, for example.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from nest_build import builder

_PROGRAM = """\
#!/bin/sh
case "$1" in
  --compiler) echo {compiler} ;;
  --cflags) echo {flags} ;;
  --includes) echo {includes} ;;
  --prefix) echo {prefix} ;;
  --libdir) echo lib ;;
esac
"""
# As in nest_headers.h: the wheel was compiled with Boost, of which it brings no headers.
_NO_BOOST = """\
#include "config.h"
#undef HAVE_BOOST
"""


def write_nest_config(folder: Path | str) -> str:
    """Write a ``bin/nest-config`` for the installed NEST.

    Parameters
    ----------
    folder : path
        A new or existing folder, which becomes the prefix of an installation in the eyes of those
        who ask.

    Returns
    -------
    str
        The folder, absolute.

    Raises
    ------
    BuildError
        If there is no NEST or no C++ compiler, or the folder's path has a space: those who ask
        take what they are told apart at spaces.
    """
    headers = builder.nest_headers()
    compiler = builder.find_compiler()
    if compiler is None:
        raise builder.BuildError(builder.NO_COMPILER)
    prefix = Path(folder).resolve()
    if any(map(str.isspace, str(prefix))):
        raise builder.BuildError(f"The path of the folder must not have a space: {prefix}")
    (prefix / "bin").mkdir(parents=True, exist_ok=True)
    # The installation may be in a path with a space.
    for name, target in (("include", headers), ("compat", builder.SOURCES / "compat")):
        (prefix / name).unlink(missing_ok=True)
        (prefix / name).symlink_to(target, target_is_directory=True)
    no_boost = prefix / "no_boost.h"
    no_boost.write_text(_NO_BOOST)
    flags = ["-std=c++20", "-O2", "-fopenmp", "-fPIC", "-ffp-contract=off", "-DNDEBUG"]
    flags += ["-D_GLIBCXX_USE_CXX11_ABI=0", f"-include {no_boost}"]
    flags += [f"-idirafter {prefix / 'compat'}"]
    program = prefix / "bin" / "nest-config"
    program.write_text(
        _PROGRAM.format(
            compiler=shlex.quote(compiler),
            flags=shlex.quote(" ".join(flags)),
            includes=shlex.quote(f"-I{prefix / 'include'}"),
            prefix=shlex.quote(str(prefix)),
        )
    )
    program.chmod(0o755)
    return str(prefix)
