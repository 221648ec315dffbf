# Five targets and their kin. Each sets up by itself what it needs; a second run does only what changed.
#
#   make run     build, then start `fastproxy demo`
#   make test    build, then run the test suite             (ARGS="-k wire -x" goes to pytest)
#   make bench   fastproxy, nginx and HAProxy side by side  (ARGS="--quick" goes to bench/peers.py)
#   make lint    ruff, cython-lint, mypy, and no performance hint from Cython
#   make wheel   source distribution, a wheel from it, and a trial of that wheel
#   make debug   build with every check on, then run the suite against it
#   make asan    build with sanitizers, then run the core's tests under them   (ARGS="bench/fuzz.py" goes to python)
#   make build   the compiled half only;  make gate: micro benchmarks against the saved ratios

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
# setuptools warns of every editable install.
INSTALL := PYTHONWARNINGS='ignore:Editable installation' $(PIP) install -q --no-build-isolation
CORE := $(wildcard src/_core/*.pyx src/_core/*.pxd)
# The scanner of TLS that tests ask: it needs libraries older than ours, and so a folder of its own.
SCANNER := sslyze==6.3.1

.PHONY: run test bench gate lint wheel debug asan build clean
.DELETE_ON_ERROR:

run: $(VENV)/.built
	$(BIN)/fastproxy demo $(ARGS)

test: $(VENV)/.built $(VENV)/.test-needs $(VENV)/.scanner
	$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.built
	$(BIN)/python bench/peers.py $(ARGS)

gate: $(VENV)/.built $(VENV)/.test-needs
	mkdir -p build
	$(BIN)/python -m pytest bench -o addopts= -o python_files='bench_*.py' --benchmark-only -q --benchmark-json=build/benchmarks.json $(ARGS)
	$(BIN)/python bench/gate.py build/benchmarks.json

lint: $(VENV)/.built $(VENV)/.lint-needs
	$(BIN)/ruff check .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint src/_core
	$(BIN)/mypy
	FASTPROXY_LINT=1 $(BIN)/python setup.py --version >build/hints.txt 2>&1 || { cat build/hints.txt; exit 1; }
	! grep -A 6 -i 'performance hint' build/hints.txt

wheel: $(VENV)/.build-needs
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python setup.py -q sdist -d build/wheel
	$(PIP) wheel -q --no-deps -w build/wheel build/wheel/fastproxy-*.tar.gz
	$(BIN)/python .ci/check_wheel.py build/wheel
	mkdir -p dist && cp build/wheel/fastproxy-* dist/

debug: $(VENV)/.built $(VENV)/.test-needs
	rm -f $(VENV)/.built                  # the next target without checks builds in place again
	FASTPROXY_DEBUG=1 $(BIN)/python setup.py -q build_ext --inplace
	$(BIN)/python -m pytest $(ARGS)

# Beside the build in place, which stays as it is. What is said of leaks is read by bench/fuzz.py; at the end of a
# process CPython itself leaves too much. Programs that tests start run under the same libraries.
SANITIZED = $(foreach library,libasan.so libubsan.so libstdc++.so.6,$(shell gcc -print-file-name=$(library)))
asan: $(VENV)/.built $(VENV)/.test-needs
	FASTPROXY_ASAN=1 $(BIN)/python setup.py -q build --build-lib build/asan/lib
	LD_PRELOAD="$(SANITIZED)" PYTHONMALLOC=malloc PYTHONPATH=build/asan/lib \
	  ASAN_OPTIONS=detect_leaks=1:leak_check_at_exit=0:detect_stack_use_after_return=1:malloc_context_size=6 \
	  LSAN_OPTIONS=suppressions=bench/rig/leaks.supp:print_suppressions=0 \
	  UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	  $(BIN)/python $(or $(ARGS),-m pytest tests/core tests/wire tests/tcp tests/tls)

build: $(VENV)/.built

clean:
	rm -rf build dist src/_core/*.so src/*.egg-info

# -- what the targets stand on -------------------------------------------------------------------------

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is too old; Python 3.11 or later is needed: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import sysconfig, os; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || \
	  { echo "make: $(PYTHON) lacks its C headers; on Debian: apt install python3-dev"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "make: $(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@touch $@

# The build requirements stand in pyproject.toml and nowhere else.
$(VENV)/.build-needs: pyproject.toml | $(VENV)/.venv
	$(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' >$(VENV)/build-needs.txt
	$(PIP) install -q -r $(VENV)/build-needs.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.build-needs
	$(INSTALL) -e .
	@touch $@

$(VENV)/.built: $(VENV)/.installed setup.py $(CORE)
	$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(VENV)/.test-needs: $(VENV)/.installed
	$(INSTALL) -e '.[test]'
	@touch $@

# Without it its tests are skipped; in CI they fail.
$(VENV)/.scanner: Makefile | $(VENV)/.venv
	rm -rf $(VENV)/scanner
	@-$(PIP) install -q --only-binary=nassl,cryptography,cffi,pydantic-core --target $(VENV)/scanner '$(SCANNER)' && touch $@

$(VENV)/.lint-needs: $(VENV)/.installed
	$(INSTALL) -e '.[lint]'
	@touch $@
