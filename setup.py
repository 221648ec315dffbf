"""Build fastproxy: the Python half as it stands, the compiled half through Cython.

FASTPROXY_DEBUG=1 turns every check and assertion of the compiled half on.
"""

import os
import shutil
from importlib.metadata import files
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

os.chdir(Path(__file__).parent)

# The compiled modules, ground floor first. A name left out here is a module nobody can import.
MODULES = (
    "span",
    "netset",
)

DEBUG = bool(os.environ.get("FASTPROXY_DEBUG"))
FLAVOUR = "debug" if DEBUG else "release"
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "freethreading_compatible": False,
}


def cimport_root() -> str:
    """Return a folder in which `fastproxy/_core` leads to src/_core, for Cython and mypy."""
    link = Path("build/cimport/fastproxy/_core")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path("src/_core").resolve(), target_is_directory=True)
    return "build/cimport"


def llhttp_file(matches) -> Path:
    """Return the file of the installed `llhttp` package whose name satisfies *matches*."""
    for file in files("llhttp") or ():
        if matches(file.name):
            return Path(str(file.locate())).resolve()
    raise SystemExit("setup.py: the llhttp package here lacks its header or library; reinstall it")


def llhttp_library() -> Path:
    """Return build/lib of llhttp under the name that our modules are linked to.

    The package index has llhttp as a Python binding only, but its extension module exports the C
    functions, so a copy of it serves as the shared library.
    """
    copy = Path("build/llhttp/libllhttp.so")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(llhttp_file(lambda name: name.startswith("__llhttp") and name.endswith(".so")), copy)
    return copy


def flavour_stamp() -> str:
    """Return a file that is newer than the extensions when debug and release were switched."""
    stamp = Path("build/flavour")
    stamp.parent.mkdir(exist_ok=True)
    if not stamp.exists() or stamp.read_text() != FLAVOUR:
        stamp.write_text(FLAVOUR)
    return str(stamp)


class BuildCore(build_ext):
    """Build the extensions and put libllhttp.so beside them, wherever they go."""

    def _llhttp_targets(self):
        """Yield (folder built into, folder of the source tree) of the compiled package."""
        built = Path(self.build_lib) / "fastproxy" / "_core" / "libllhttp.so"
        return str(built), str(Path("src/_core") / "libllhttp.so")

    def run(self):
        super().run()
        built, inplace = self._llhttp_targets()
        target = inplace if self.inplace else built
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        # Replaced, not overwritten: a running proxy has the old file mapped.
        Path(target).unlink(missing_ok=True)
        shutil.copyfile(LLHTTP, target)

    def copy_extensions_to_source(self):
        super().copy_extensions_to_source()
        _, inplace = self._llhttp_targets()
        Path(inplace).unlink(missing_ok=True)
        shutil.copyfile(LLHTTP, inplace)

    def get_outputs(self):
        built, inplace = self._llhttp_targets()
        return [*super().get_outputs(), inplace if self.inplace else built]

    def get_output_mapping(self):
        mapping = super().get_output_mapping()
        if self.inplace:
            built, inplace = self._llhttp_targets()
            mapping[built] = inplace
        return mapping


LLHTTP = llhttp_library()
include_dirs = [str(llhttp_file(lambda name: name == "llhttp.h").parent)]
stamp = flavour_stamp()
extensions = [
    Extension(
        f"fastproxy._core.{name}",
        [f"src/_core/{name}.pyx"],
        include_dirs=include_dirs,
        depends=[stamp],
        define_macros=[] if DEBUG else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
        extra_compile_args=["-O1", "-g"] if DEBUG else ["-O2", "-g1"],
        library_dirs=[str(LLHTTP.parent)],
        libraries=["llhttp"] if name in ("head", "framing") else [],
        extra_link_args=["-Wl,-rpath,$ORIGIN"],
    )
    for name in MODULES
]

setup(
    packages=[*find_packages("src", include=["fastproxy", "fastproxy.*"]), "fastproxy._core"],
    package_dir={"fastproxy": "src/fastproxy", "fastproxy._core": "src/_core"},
    package_data={"fastproxy": ["py.typed"], "fastproxy._core": ["*.pyx", "*.pxd", "*.pyi", "*.md"]},
    ext_modules=cythonize(
        extensions,
        include_path=[cimport_root()],
        build_dir=f"build/cython/{FLAVOUR}",
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
    ),
    cmdclass={"build_ext": BuildCore},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
