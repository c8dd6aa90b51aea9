# `make report` sets everything up, runs the workflow and says where the PDF is. `make test` runs the tests,
# `make torture` those that take long: N=80 kills, seeded by SEED=7.
#
#   make report PROFILE=nano|smoke|laptop|full CORES=N
#
# Only Python >= 3.11 and make are assumed. Inside the environment (`. .venv/bin/activate`) plain
# `snakemake --cores N` does the same.

PROFILE ?= laptop
CORES ?= all
PORT ?= 5000
SEED ?= 7
PYTEST_ARGS ?= -n auto --dist loadfile

# On Linux without a GPU, TORCH_INDEX=<address of PyTorch's index of CPU wheels> saves several gigabytes of CUDA
# libraries, unless pip already knows of a CPU wheel.
TORCH ?= $(shell grep '^torch==' requirements.in)
TORCH_INDEX ?=
UV_VERSION := 0.13.8

# All pins, one a line, without hashes.
PINS = { grep '^torch==' requirements.in; sed -nE 's/^([A-Za-z0-9][^\\]*[^ \\]) *\\?$$/\1/p' requirements.lock; }
BENCH = $(shell sed -nE 's/^bench = \[(.*)\]$$/\1/p' pyproject.toml | tr -d ',')

VENV := .venv
PY := $(VENV)/bin/python
UV := VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(VENV)/bin/uv
PIP := $(PY) -m pip install -qq --disable-pip-version-check
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# The environment is right when it was finished for exactly these pins, in this folder.
KEY := $(shell { cat requirements.lock pyproject.toml; echo "$(TORCH) $(CURDIR)"; } | cksum | tr ' ' '-')
READY := $(VENV)/.ready-$(KEY)
AT_WORK := $(VENV)-setup

# Bytecode that is kept saves every process a second or two.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Snakemake, pip and uv keep things in the home folder, and end with a traceback where they may not.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif
export MLFLOW_DISABLE_TELEMETRY := true
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false

.PHONY: report verify slides test torture fuzz audit ui bench bench-gpu growth postgres test-postgres slurm test-slurm estimate savings calibrate register design lint lock env clean-env cores
.DEFAULT_GOAL := report

report: cores env
	$(PY) -m snakemake --cores $(CORES) --config profile=$(PROFILE)
	@$(PY) -m folklore.stages.summary

# With no cores Snakemake would wait for ever, and it takes -1 for one.
cores: export GIVEN = $(value CORES)
cores:
	@case "$$GIVEN" in all) ;; ''|0*|*[!0-9]*) \
	  echo "error: CORES=$$GIVEN: allowed is all, or a whole number from 1" >&2; exit 2 ;; esac

# Does this machine's run say what the committed example says? What differs is printed, with status 1.
verify: env
	@$(PY) -m folklore.stages.verify

# Every figure on a page of 16 to 9 with its caption and source, as SVG and PNG, and every table as CSV.
slides: cores env
	$(PY) -m snakemake slides --cores $(CORES) --config profile=$(PROFILE)
	@echo "Slides: reports/slides"

test: env
	OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_ARGS)

# Faults on the real pipeline: kills at random moments (N of them, from SEED), and what a machine can refuse. 40 minutes on 2 cores.
torture: N ?= 80
torture: env
	OMP_NUM_THREADS=1 N=$(N) SEED=$(SEED) $(PY) -m pytest -m torture -p no:randomly -rs -s tests

# Known weaknesses of the pins, by pip-audit in an environment of its own: it is no pin of ours, and must not move one.
AUDIT := .venv-audit
audit:
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/pip install -qq --disable-pip-version-check \
	  pip-audit >$(AUDIT)/log 2>&1; } || { rm -rf $(AUDIT); \
	  echo "error: pip-audit: cannot be installed from pip's index here; run make audit where PyPI can be reached" >&2; exit 2; }
	@$(PINS) > $(AUDIT)/pins.txt; \
	$(AUDIT)/bin/pip-audit -r $(AUDIT)/pins.txt --no-deps --disable-pip --progress-spinner off 2>$(AUDIT)/log; found=$$?; \
	if grep -qE 'ConnectionError|Connection refused|Max retries|Name or service|ServiceError|timed out' $(AUDIT)/log; then \
	  echo "error: pip-audit: its source (pypi.org) cannot be reached; run make audit where it can" >&2; exit 2; fi; \
	cat $(AUDIT)/log; exit $$found

# Bad configurations, data files and claim files: N cases of each kind of test, other ones with another SEED.
fuzz: N ?= 5000
fuzz: env
	FUZZ_CASES=$(N) FUZZ_SEED=$(SEED) OMP_NUM_THREADS=1 $(PY) -m pytest $(PYTEST_ARGS) --timeout 3600 tests/test_fuzz_*.py

# The other contestants come first: nothing else needs them. Memory is kept, as the workflow keeps it: for all of them.
bench: env
	$(UV) pip install --quiet $(BENCH) || $(PIP) $(BENCH)
	MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=1073741824 $(PY) -m folklore.bench

# On a machine with a GPU, and with a torch that finds it (TORCH=...).
bench-gpu: env
	FOLKLORE_DEVICE=cuda $(PY) -m folklore.bench.gpu

# What a run costs when there are many: planned, stored, imported, judged, with made-up results; the next report shows it.
growth: env
	$(PY) -m folklore.bench.growth

# What MLflow on PostgreSQL needs; and ten thousand runs into one that is started for it (Debian: apt-get install postgresql).
POSTGRES = $(shell sed -nE 's/^postgres = \[(.*)\]$$/\1/p' pyproject.toml | tr -d ',')
postgres: env
	$(UV) pip install --quiet $(POSTGRES) || $(PIP) $(POSTGRES)
test-postgres: postgres
	OMP_NUM_THREADS=1 $(PY) -m pytest -m postgres -rs --timeout 3600 tests/test_postgres.py

# What a cluster needs; and the workflow on a Slurm of one node (Debian: apt-get install slurm-wlm slurm-wlm-basic-plugins munge).
SLURM = $(shell sed -nE 's/^slurm = \[(.*)\]$$/\1/p' pyproject.toml | tr -d ',')
slurm: env
	$(UV) pip install --quiet $(SLURM) || $(PIP) $(SLURM)
test-slurm: slurm
	OMP_NUM_THREADS=1 $(PY) -m pytest -m slurm -rs --timeout 3600 tests/test_slurm.py

# What a profile would cost, before anything is trained.
estimate: cores env
	$(PY) -m folklore.stages.estimate profile=$(PROFILE) --cores $(CORES)

# What looks at studies saved, and halved rates would have saved, from the runs of the last report.
savings: env
	$(PY) -m folklore.stages.savings profile=$(PROFILE)

# Criteria of new or changed claims, before their runs: REASON="why".
# By a variable of the shell, for whose text neither make nor the shell looks any further.
register: export WHY = $(value REASON)
register: env
	@test -n "$$WHY" || { echo "error: REASON=: say why the criterion is new or changed: make register REASON=\"why\"" >&2; exit 2; }
	@$(PY) -m folklore.stages.register --reason "$$WHY"

# The cells of the six-factor crossing that the laptop profile trains, after a change of conf/factors.yaml.
design: env
	$(PY) -m folklore.stages.design

# Placebo claims and planted effects with a cell of each family; the next report shows them.
calibrate: cores env
	$(PY) -m snakemake calibrate_families --cores $(CORES) --config profile=$(PROFILE)

# Runs that were sent to a server are shown by that server; otherwise a local one shows the file.
ui: env
	@store="$${MLFLOW_TRACKING_URI:-sqlite:///results/mlflow.db}"; \
	case "$$store" in http*) echo "MLflow's page is at $$store"; exit 0 ;; esac; \
	if [ -z "$$MLFLOW_TRACKING_URI" ] && [ ! -e results/mlflow.db ]; then \
	  echo "error: no runs yet; make them by: make report" >&2; exit 2; fi; \
	echo "MLflow's page is at http://127.0.0.1:$(PORT); Ctrl-C ends it"; \
	exec $(PY) -m mlflow server --backend-store-uri "$$store" --host 127.0.0.1 --port $(PORT) --workers 1

lint: env
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(VENV)/bin/snakefmt --check Snakefile
	$(VENV)/bin/lint-imports
	$(PY) -m snakemake --lint

# Both files come from requirements.in. conda's pip cannot mix hashes with torch and the package itself, which have
# none, so environment.yml gets the pins without them.
lock: env
	sed '/^torch==/d' requirements.in | $(UV) pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --output-file requirements.lock -
	{ printf '%s\n' '# Written by `make lock` from requirements.in: change it there.' 'name: folklore' \
	    'channels:' '  - conda-forge' 'dependencies:' '  - python=3.11' '  - pip' '  - make' '  - pip:'; \
	  $(PINS) \
	    | sed 's/.*/      - "&"/'; \
	  printf '      - "%s"\n' '-e .'; } > environment.yml.tmp
	mv environment.yml.tmp environment.yml

env: $(READY)

# An interrupted set-up heals by the same command: the stamp comes last, what was left unfinished is made anew, and
# a set-up that outlived its make (kill -9 of make alone leaves the shell) is waited for.
# The lock is a link to the number of the process that holds it: made in one step, so that there is no moment in which it has no owner.
# uv does not read pip's configuration, so pip fetches torch, tells uv what it knows, and steps in where uv fails.
$(READY):
	@set -e; \
	if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "error: PYTHON=$(PYTHON): Python 3.11 or newer is needed; name one by: make PYTHON=/path/to/python3" >&2; exit 2; fi; \
	fresh=; grep -qsF " $(CURDIR)/$(VENV)" $(VENV)/pyvenv.cfg || fresh=--clear; \
	until ln -s $$$$ $(AT_WORK) 2>/dev/null && [ "$$(readlink $(AT_WORK))" = $$$$ ]; do \
	  owner="$$(readlink $(AT_WORK) || true)"; \
	  if [ "$$owner" ] && kill -0 "$$owner" 2>/dev/null; then \
	    [ "$$waited" ] || echo "Waiting for another set-up of $(VENV); if there is none: rm -r $(AT_WORK)"; waited=yes; sleep 1; \
	  elif [ "$$owner" ] || [ -d $(AT_WORK) ]; then \
	    [ "$$(readlink $(AT_WORK) || true)" != "$$owner" ] || rm -rf $(AT_WORK); fresh=--clear; fi; done; \
	if [ -e $@ ]; then rm -rf $(AT_WORK); exit 0; fi; \
	echo "Setting up $(VENV) (once; about 2 GB)"; rm -f $(VENV)/.ready-*; \
	$(PYTHON) -m venv $$fresh $(VENV) || \
	  { echo "error: PYTHON=$(PYTHON): it cannot make environments; install its venv module" >&2; exit 2; }; \
	$(PIP) uv==$(UV_VERSION); \
	$(PIP) $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") "$(TORCH)"; \
	asked() { $(PY) -m pip config list 2>/dev/null | sed -nE "s/^[^.]*[.]$$1='(.*)'$$/\1/p" | tail -n 1; }; \
	links="$$(asked find-links)"; if [ -n "$$links" ]; then export UV_FIND_LINKS="$$links"; fi; \
	index="$$(asked index-url)"; if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	cert="$$(asked cert)"; if [ -n "$$cert" ]; then export SSL_CERT_FILE="$$cert"; fi; \
	$(UV) pip install --quiet --require-hashes -r requirements.lock || $(PIP) --require-hashes -r requirements.lock; \
	$(UV) pip install --quiet --no-deps --no-build-isolation -e .; \
	touch $@; rm -rf $(AT_WORK)

clean-env:
	rm -rf $(VENV) $(AT_WORK)
