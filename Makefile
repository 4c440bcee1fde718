# Thin on purpose: each target is one command that you may as well type yourself.
PYTHON ?= python3
BIN := .venv/bin
UV := 0.13.9
# JupyterLab's question about news, in the corner, and its looking for updates: it asks nobody outside of this machine.
NO_NEWS := {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}
# What Python has compiled is kept, whatever the environment says, and in `.venv`, so that it is not among the lessons:
# each kernel is a process, and so is each command that a test tries. Compiling each time took a third of the tests.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/bytecode
# Where a network intercepts TLS, the system's store has its authority: uv looks there, and a pip that does not is told to.
export UV_SYSTEM_CERTS ?= 1
SYSTEM_BUNDLE := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt))
# An offline kit (`make bundle`), where one is named or is the folder `kit` here: all comes from it, and nothing from a
# network. Its path may have spaces, quotes and commas in it: the shell reads it from the environment, uv as an address.
DOCKERLAB_KIT ?= $(if $(wildcard kit/SHA256SUMS),kit)
override DOCKERLAB_KIT := $(if $(DOCKERLAB_KIT),$(if $(filter /%,$(firstword $(DOCKERLAB_KIT))),,$(CURDIR)/)$(DOCKERLAB_KIT))
export DOCKERLAB_KIT
PIP := $(if $(DOCKERLAB_KIT),"$$(ls "$$DOCKERLAB_KIT"/wheels/pip-*.whl | head -n 1)/pip",-m pip)
WHEELS := $(PYTHON) -c 'import os, pathlib; print(pathlib.Path(os.environ["DOCKERLAB_KIT"], "wheels").as_uri())'
OFFLINE := $(if $(DOCKERLAB_KIT),--no-index --find-links "$$($(WHEELS))")

# What is proven with no network at all: of the lessons, one that installs packages in a build, and one that installs a server.
# `make prove OFFLINE_PROOF=` proves all lessons, and `make test` as a whole.
OFFLINE_PROOF ?= not (test_lesson or test_whole) or 04_ or 06_

# Parts of the long proof, in their order.
PROVE := prove-lessons prove-audits prove-hostile prove-offline

.PHONY: lab setup test packages prove $(PROVE) rerun-failed notebooks site bench bundle hub hub-image hub-proof pins lint clean

lab: setup            ## open JupyterLab at the first lesson, with copies of your own, in the folder `workspace`
	$(BIN)/dockerlab lab

setup: .venv/ready    ## Python packages, engine, base image: whatever is missing
	$(BIN)/dockerlab setup

# `uv` installs the same pinned packages as `pip install -r requirements.txt`, several times faster.
.venv/ready: requirements.txt pyproject.toml
	[ -z "$$DOCKERLAB_KIT" ] || $(PYTHON) -B notebooks/dockerlab/engine/portable.py check "$$DOCKERLAB_KIT"
	$(PYTHON) -m venv --without-pip --clear .venv
	$(PYTHON) $(PIP) --python $(BIN)/python install --quiet --disable-pip-version-check $(OFFLINE) uv==$(UV) \
	    || { $(PYTHON) -m venv .venv \
	        && PIP_CERT="$${PIP_CERT:-$(SYSTEM_BUNDLE)}" $(BIN)/python -m pip install --quiet $(OFFLINE) uv==$(UV); }
	$(BIN)/uv pip install --quiet --python $(BIN)/python $(OFFLINE) -r requirements.txt
	mkdir -p .venv/etc/jupyter/labconfig && echo '$(NO_NEWS)' > .venv/etc/jupyter/labconfig/page_config.json
	touch $@

# Lessons wait more than they compute, so four at once keep two cores busy. What needs a browser is in `make prove`.
test: setup lint packages ## what a maintainer runs before each commit: units, engine, each lesson against its output
	$(BIN)/pytest -n 4 --dist loadscope --no-loadscope-reorder --ignore tests/browser --ignore tests/site

# Beside it, what the tests import is compiled once: else each of pytest's four processes would compile all of it.
packages: setup       ## what builds in the tests install, fetched once
	$(BIN)/python tests/local_packages.py & \
	[ -e .venv/collected ] || $(BIN)/pytest --collect-only -qq -p no:cacheprovider > .venv/collected; wait $$!

# Four runs, one after the other, by what each takes of the machine. `make prove RERUN=1` reruns in each the few that failed.
prove:                ## the long proof: seeded faults, a real browser, projects audited, no network at all
	for part in $(PROVE); do $(MAKE) $$part $(and $(RERUN),|| $(MAKE) rerun-failed) || exit; done

# Most of these wait, for a container to end, so that more of them than processors run at once: whichever takes longest, first.
AT_ONCE := -n 5 --dist load --maxschedchunk 1
# These share an engine of their own, or a kit, among their tests: one process has them all.
IN_ORDER := tests/engine/test_embedded.py tests/kit

prove-lessons: setup packages .venv-site/ready
	$(BIN)/pytest $(AT_ONCE) -m "prove or browser" tests --ignore tests/audit $(foreach one,$(IN_ORDER),--ignore $(one))

prove-audits: setup
	$(BIN)/pytest $(AT_ONCE) -m "prove and not alone" tests/audit

prove-hostile: setup  # alone: these take what they can get of the machine
	$(BIN)/pytest -m alone tests/audit

prove-offline: setup
	$(BIN)/pytest -m prove $(IN_ORDER) -k "$(OFFLINE_PROOF)"

rerun-failed: setup lint ## for CI: run once more, alone, the few that were red; what is red twice is red
	$(BIN)/python tests/rerun_failed.py

lint: .venv/ready      ## style, strict types, and no import that leads up
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy && $(BIN)/python tests/rooms.py check

clean:                ## leave nothing behind, but for your answers to exercises and the lessons that you have run or changed
	[ ! -x $(BIN)/dockerlab ] || $(BIN)/dockerlab clean --everything
	rm -rf .venv .venv-site $(HUB)/.venv $(HUB)/node_modules $(HUB)/state .pytest_cache .ruff_cache bench.json
	[ -L build ] || ! grep -qsxF "$(CURDIR)/build/site" build/site/.dockerlab || rm -rf build/site
	rmdir build 2>/dev/null || true

notebooks: setup      ## execute all lessons again, and normalize them
	$(BIN)/python tests/lessons/normalise.py $(NOTEBOOKS)
	$(BIN)/python tests/lessons/readme.py

site: .venv-site/ready ## the executed lessons as a static site for reading, in build/site
	.venv-site/bin/python workshop/site build/site

# An environment of its own: no lesson needs these packages, so `make lab` and the offline kit do not carry them.
.venv-site/ready: workshop/site/requirements.txt | .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-site
	$(BIN)/uv pip install --quiet --python .venv-site/bin/python -r $<
	touch $@

bench: setup          ## ratios, measured side by side
	$(BIN)/python tests/bench --json bench.json

bundle: setup         ## the offline kit: all of it in one folder, for machines that have no network
	DOCKERLAB_KIT= $(BIN)/dockerlab bundle $(if $(FOLDER),"$$FOLDER") $(foreach one,$(PYTHONS),--python $(one))

HUB := workshop/hub

hub: hub-image        ## a JupyterHub for a room: a server for each learner, with an engine of its own
	$(HUB)/.venv/bin/jupyterhub --config $(HUB)/jupyterhub_config.py

hub-image: setup $(HUB)/.venv/ready ## the learners' image: the lessons as they are here
	$(HUB)/.venv/bin/python $(HUB)/room.py build

hub-proof: hub-image  ## three learners at one hub, for real: some ten minutes, and about 4 GB of memory
	$(HUB)/.venv/bin/pytest -s tests/hub/prove_room.py

# As with the site: no lesson needs these packages.
$(HUB)/.venv/ready: $(HUB)/requirements.txt $(HUB)/package-lock.json | .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(HUB)/.venv
	$(BIN)/uv pip install --quiet --python $(HUB)/.venv/bin/python -r requirements.txt -r $<
	NODE_USE_SYSTEM_CA=1 PATH="$$PWD/$(HUB)/.venv/bin:$$PATH" npm ci --silent --no-audit --no-fund --prefix $(HUB)
	touch $@

pins: .venv/ready     ## requirements.txt, the site's and the hub's, renewed
	( echo "# Made by 'make pins' from pyproject.toml. Installs the package dockerlab, too."; echo "-e ."; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate pyproject.toml \
	) > requirements.new && mv requirements.new requirements.txt
	( echo "# Made by 'make pins' from pyproject.toml: what 'make site' needs, and nothing else does."; \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate --group site \
	) > requirements.new && mv requirements.new workshop/site/requirements.txt
	( echo "# Made by 'make pins' from requirements.in, to fit the laboratory's own requirements.txt."; \
	  grep -v '^-e' requirements.txt | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header \
	  --no-annotate --constraints - $(HUB)/requirements.in) > requirements.new && mv requirements.new $(HUB)/requirements.txt
