"""Build fastproxy: the Python half as it stands, the compiled half through Cython.

FASTPROXY_DEBUG=1 turns every check and assertion of the compiled half on. FASTPROXY_ASAN=1 builds it as it is
released, with assertions, under AddressSanitizer and UndefinedBehaviorSanitizer; `make asan` runs that.
FASTPROXY_LINT=1 runs Cython over every module again, into a folder of its own, so that `make lint` can read
what it says.

Every flavour is built under build/<flavour>, so that changing between them compiles nothing twice.
"""

import os
import shutil
import sys
from importlib.metadata import files
from pathlib import Path
from sysconfig import get_platform

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

os.chdir(Path(__file__).parent)

# The compiled modules, ground floor first. A name left out here is a module nobody can import.
MODULES = (
    "span",
    "phrase",
    "rewrite",
    "tally",
    "deadline",
    "sockaddr",
    "pipes",
    "watch",
    "siphash",
    "shared",
    "murmur",
    "batch",
    "ledger",
    "signs",
    "journal",
    "netset",
    "proxyline",
    "hello",
    "openssl",
    "session",
    "path",
    "location",
    "field",
    "head",
    "pool",
    "target",
    "escape",
    "figures",
    "record",
    "message",
    "framing",
    "forwarded",
    "step",
    "steps_path",
    "steps_headers",
    "steps_gate",
    "awaited",
    "balance",
    "port",
    "engine",
    "connection",
    "room",
    "transport",
    "siphon",
    "upstream",
    "rule",
    "index",
    "table",
    "snapshot",
    "splice",
    "relay",
    "datagram",
    "entry",
    "account",
    "exchange",
    "door",
    "entrypoint",
    "client",
    "arrival",
    "downstream",
    "acceptor",
)

DEBUG = bool(os.environ.get("FASTPROXY_DEBUG"))
ASAN = bool(os.environ.get("FASTPROXY_ASAN"))
LINT = bool(os.environ.get("FASTPROXY_LINT"))
FLAVOUR = "debug" if DEBUG else "asan" if ASAN else "lint" if LINT else "release"
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": DEBUG,
    "initializedcheck": DEBUG,
    "cdivision": not DEBUG,
    "freethreading_compatible": False,
}


# Bounds are not checked under ASan, or an access that Cython refuses would never come before ASan.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"] if ASAN else []
if DEBUG:
    COMPILE = ["-O1", "-g"]
elif ASAN:
    COMPILE = ["-O1", "-g1", *SANITIZERS]
else:
    COMPILE = ["-O2", "-g1"]

BUILD = f"build/{FLAVOUR}"
PLATFORM = f"{get_platform()}-{sys.implementation.cache_tag}"
INPLACE_LLHTTP = Path("src/_core/libllhttp.so")


def cimport_root() -> str:
    """Return a folder in which `fastproxy/_core` leads to src/_core, for Cython and mypy."""
    link = Path("build/cimport/fastproxy/_core")
    target = Path("src/_core").resolve()
    if not (link.is_symlink() and link.readlink() == target):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
    return "build/cimport"


def llhttp_file(matches) -> Path:
    """Return the file of the installed `llhttp` package whose name satisfies *matches*."""
    for file in files("llhttp") or ():
        if matches(file.name):
            return Path(str(file.locate())).resolve()
    raise SystemExit("setup.py: the llhttp package here lacks its header or library; reinstall it")


def llhttp_library() -> Path:
    """Return a copy of llhttp under the name that our modules are linked to.

    The package index has llhttp as a Python binding only, but its extension module exports the C
    functions, so a copy of it serves as the shared library.
    """
    copy = Path("build/llhttp/libllhttp.so")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(llhttp_file(lambda name: name.startswith("__llhttp") and name.endswith(".so")), copy)
    return copy


class BuildCore(build_ext):
    """Build the extensions and put libllhttp.so beside them, wherever they go."""

    def run(self):
        if self.editable_mode:
            # pip's folder for this is thrown away afterwards; in ours only what changed is compiled.
            self.build_lib, self.build_temp = f"{BUILD}/lib.{PLATFORM}", f"{BUILD}/temp.{PLATFORM}"
        super().run()
        if not self.inplace:
            replace(LLHTTP, self._llhttp_built())

    def copy_extensions_to_source(self):
        build_py = self.get_finalized_command("build_py")
        for extension in self.extensions:
            # setuptools keeps a newer file, which would be the other flavour's.
            Path(self._get_inplace_equivalent(build_py, extension)[0]).unlink(missing_ok=True)
        super().copy_extensions_to_source()
        replace(LLHTTP, INPLACE_LLHTTP)

    def get_outputs(self):
        return [*super().get_outputs(), str(INPLACE_LLHTTP if self.inplace else self._llhttp_built())]

    def get_output_mapping(self):
        mapping = super().get_output_mapping()
        if self.inplace:
            mapping[str(self._llhttp_built())] = str(INPLACE_LLHTTP)
        return mapping

    def _llhttp_built(self) -> Path:
        return Path(self.build_lib) / "fastproxy" / "_core" / "libllhttp.so"


def replace(source: Path, target: Path) -> None:
    """Put a copy of *source* in the place of *target*; a running proxy keeps the old one mapped."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


LLHTTP = llhttp_library()
include_dirs = [str(llhttp_file(lambda name: name == "llhttp.h").parent)]
extensions = [
    Extension(
        f"fastproxy._core.{name}",
        [f"src/_core/{name}.pyx"],
        include_dirs=include_dirs,
        define_macros=[] if DEBUG or ASAN else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
        extra_compile_args=COMPILE,
        library_dirs=[str(LLHTTP.parent)],
        libraries=["llhttp"] if name in ("head",) else [],
        extra_link_args=["-Wl,-rpath,$ORIGIN", *SANITIZERS],
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
        build_dir=f"{BUILD}/cython",
        force=True if LINT else None,
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
    ),
    cmdclass={"build_ext": BuildCore},
    options={"build": {"build_base": BUILD}, "build_ext": {"parallel": os.cpu_count() or 1}},
)
