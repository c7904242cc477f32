"""Runs all tests, the long ones too, on every Python from 3.11 up that is found on this machine.

Each Python gets an environment of its own, `.venv-3.13`, made from uv.lock. Arguments go on to pytest.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent


def candidates() -> Iterator[Path]:
    """Interpreters that may be there: this one, those on the PATH, and pyenv's."""
    yield Path(sys.executable).resolve()
    for minor in range(OLDEST[1], 20):
        found = shutil.which(f"python3.{minor}")
        if found:
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.*/bin/python3"))


def version(interpreter: Path) -> tuple[int, ...] | None:
    """Major and minor version, or None where it does not run."""
    asked = subprocess.run(
        [interpreter, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return tuple(map(int, asked.stdout.split())) if asked.returncode == 0 else None


def pythons() -> dict[tuple[int, ...], Path]:
    """The first interpreter found of each version."""
    found: dict[tuple[int, ...], Path] = {}
    for interpreter in candidates():
        number = version(interpreter)
        if number is not None and number >= OLDEST:
            found.setdefault(number, interpreter)
    return dict(sorted(found.items()))


def run(number: tuple[int, ...], interpreter: Path, arguments: list[str]) -> bool:
    """All tests on one Python. Returns whether they passed."""
    name = ".".join(map(str, number))
    place = f".venv-{name}"
    print(f"\n=== Python {name}: {interpreter}", flush=True)
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": place, "UV_PYTHON": str(interpreter)}
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    steps = (
        [uv, "sync", "--quiet", "--locked"],
        [f"{place}/bin/python", "-m", "pytest", "-n", "auto", *arguments],
    )
    return all(subprocess.run(step, cwd=ROOT, env=environment, check=False).returncode == 0 for step in steps)


def main() -> int:
    """Runs them all, whether or not one fails."""
    found = pythons()
    failed = [number for number, path in found.items() if not run(number, path, sys.argv[1:])]
    names = ", ".join(".".join(map(str, number)) for number in found)
    print(f"\nTested on Python {names}." if not failed else f"\nFailed on {failed}.", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
