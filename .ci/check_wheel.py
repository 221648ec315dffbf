"""Look into the one wheel of a folder, install it into a fresh environment, and use it there.

Usage: check_wheel.py FOLDER. Exits 1 with one line for each thing that is wrong.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NEEDED = (
    "fastproxy/py.typed",
    "fastproxy/_core/libllhttp.so",
    "/licenses/LICENSE",
    "/licenses/licenses/LLHTTP.txt",
)
UNWANTED = (".c", ".o", ".html")
TRIAL = """
import importlib, pkgutil, fastproxy._core
for part in pkgutil.iter_modules(fastproxy._core.__path__):
    if part.name != "libllhttp":
        importlib.import_module("fastproxy._core." + part.name)
"""


def complaints(names: list[str]) -> list[str]:
    """Say what of *names*, the files of a wheel, is missing and what should not be there."""
    missing = [f"the wheel lacks {part}" for part in NEEDED if not any(name.endswith(part) for name in names)]
    sources = {name.rsplit("/", 1)[1].removesuffix(".pyx") for name in names if name.endswith(".pyx")}
    compiled = {name.rsplit("/", 1)[1].split(".")[0] for name in names if name.endswith(".so")}
    missing += [f"the wheel lacks the compiled {name}" for name in sorted(sources - compiled)]
    return missing + [f"the wheel has {name}" for name in names if name.endswith(UNWANTED)]


def try_out(wheel: Path) -> None:
    """Install *wheel* into a new environment, import every compiled module of it, and run the command."""
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            (sys.executable, "-m", "venv", folder),
            (f"{folder}/bin/pip", "--disable-pip-version-check", "install", "-q", str(wheel)),
            (f"{folder}/bin/python", "-c", TRIAL),
            (f"{folder}/bin/fastproxy", "version"),
        ):
            subprocess.run(command, check=True, cwd=folder)


def main() -> int:
    [wheel] = Path(sys.argv[1]).resolve().glob("*.whl")
    wrong = complaints(zipfile.ZipFile(wheel).namelist())
    for line in wrong:
        print(f"{wheel.name}: {line}", file=sys.stderr)
    if not wrong:
        try_out(wheel)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
