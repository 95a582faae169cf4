# Everything a developer does here. `make` alone lists it.
#
# Needs Python 3.11 or newer, pip and make; the rest is installed into .venv, from lock files with hashes.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BENCH  := .venv-bench
AUDIT  := .venv-audit
AIRFLOW := .venv-airflow
PIP    := -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help demo test torch-test fuzz fake-gcs-server versitygw toxiproxy azurite prism flink spark kube-rules promtool airflow flink-test spark-test bench audit gitleaks lint \
	types format docs docs-serve template pin-images image lock lock-job-servers lock-terraform clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/runtime $(BIN)/convbase  ## install, extract the features of sample pictures, train a classifier on them, explore them
	$(BIN)/python -m pipelines.extract --runner=DirectRunner
	$(BIN)/python -m pipelines.train --features=feature-store --output=model --overwrite
	$(BIN)/python -m pipelines.explore feature-store --output=explore

# Two at a time: most tests wait for a start-up, and those that compute use every core by themselves.
test: $(VENV)/dev  ## run the tests
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

# PyTorch's wheels for Linux need gigabytes of CUDA's packages, so only the benchmarks' environment has it.
torch-test: $(BENCH)/bench  ## run the tests that need PyTorch, in the environment of the benchmarks
	$(BENCH)/bin/python -m pytest tests/unit/schemas/loaders/test_torch_batches.py \
		tests/commands/test_torchvision_networks.py

fuzz: $(VENV)/dev  ## try inputs that nobody would write for SECONDS=600; FUZZ=decoding,uris names some targets (see tests/fuzz)
	$(BIN)/python -m tests.fuzz $(if $(FUZZ),--targets=$(FUZZ)) $(if $(SECONDS),--seconds=$(SECONDS)) \
		$(if $(SEED),--seed=$(SEED)) $(if $(INPUTS),--inputs=$(INPUTS)) $(if $(INPUT),--input=$(INPUT))

# What the tests talk to, in the user's cache: built here once for all checkouts, never at run time.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/convbase/bin
BEAM  := $(shell sed -nE 's/^apache-beam==([0-9.]+).*/\1/p' infra/locks/requirements.lock)

prism: $(TOOLS)/prism-$(BEAM)  ## build Beam's Prism runner (needs Go)

$(TOOLS)/prism-$(BEAM):
	GOBIN=$(TOOLS)/go go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)
	mv $(TOOLS)/go/prism $@

fake-gcs-server: $(TOOLS)/fake-gcs-server  ## build the GCS server that some tests talk to (needs Go)

$(TOOLS)/fake-gcs-server:
	GOBIN=$(TOOLS) go install github.com/fsouza/fake-gcs-server@v1.56.1

versitygw: $(TOOLS)/versitygw  ## build the S3 server that some tests and benchmarks talk to (needs Go)

$(TOOLS)/versitygw:
	GOBIN=$(TOOLS) go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

toxiproxy: $(TOOLS)/toxiproxy  ## build the proxy behind which servers are far away (needs Go)

$(TOOLS)/toxiproxy:
	GOBIN=$(TOOLS)/go go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0
	mv $(TOOLS)/go/server $@

AZURITE := $(TOOLS)/azurite-3.37.0

azurite: $(AZURITE)/node_modules/.bin/azurite-blob  ## install the Azure server that some tests talk to (needs npm)

# Tables need a server that lists from a name on (`startFrom`), as this version is the first to do. It wants a Node.js
# that is newer than Debian's, which npm has, too.
$(AZURITE)/node_modules/.bin/azurite-blob:
	npm install --silent --no-audit --no-fund --prefix $(AZURITE) azurite@3.37.0 node@22.23.3

KUBE_RULES := tests/support/kube_rules

kube-rules: $(TOOLS)/kube-rules  ## build what judges Kubernetes manifests by the API server's own rules (needs Go)

$(TOOLS)/kube-rules: $(wildcard $(KUBE_RULES)/*)
	cd $(KUBE_RULES) && go build -trimpath -o $@ .

promtool: $(TOOLS)/promtool  ## build what judges alert rules and metrics (needs Go)

# Without its service discoveries, each of which brings the SDK of a cloud.
$(TOOLS)/promtool:
	GOBIN=$(TOOLS) go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@v0.316.0

airflow: $(AIRFLOW)/airflow  ## install the Airflow that runs the DAGs in a test

# Beam's job servers, of its plain artifacts and their dependencies, all of them locked by hash. The version is the
# newest at which all of them are to be had; FLINK_JAR or SPARK_JAR may name one that Beam has released as a single jar.
JOB_SERVERS := infra/job-servers
SERVED      := $(shell sed -nE 's/^ *<beam>([0-9.]+).*/\1/p' $(JOB_SERVERS)/pom.xml)
FLINK_JAR   ?= $(TOOLS)/flink-$(SERVED)/job-server.jar
SPARK_JAR   ?= $(TOOLS)/spark-$(SERVED)/job-server.jar

flink: $(TOOLS)/flink-$(SERVED)/job-server.jar  ## make Beam's job server for Flink (needs Maven and Java 17)
spark: $(TOOLS)/spark-$(SERVED)/job-server.jar  ## make Beam's job server for Spark (needs Maven and Java 17)

$(TOOLS)/%-$(SERVED)/job-server.jar:
	rm -rf $(@D)
	mvn --quiet --batch-mode --file $(JOB_SERVERS)/$* package -Dfolder=$(@D).new
	cd $(@D).new/lib && LC_ALL=C sha256sum *.jar | diff $(CURDIR)/$(JOB_SERVERS)/$*/jars.sha256 -
	mv $(@D).new $(@D)

flink-test: $(FLINK_JAR) $(VENV)/dev  ## run the tests on Flink, or on that of another FLINK_JAR
	FLINK_JAR=$(FLINK_JAR) $(BIN)/python -m pytest tests/runners/test_runners.py tests/crashes/test_lost_workers.py -k flink

spark-test: $(SPARK_JAR) $(VENV)/dev  ## run the tests on Spark, or on that of another SPARK_JAR
	SPARK_JAR=$(SPARK_JAR) $(BIN)/python -m pytest tests/runners/test_runners.py -k spark

audit: $(AUDIT)/audit $(TOOLS)/gitleaks  ## look for known vulnerabilities and for secrets; write SBOMs into build/sbom
	$(AUDIT)/bin/python .ci/audit.py infra/locks/requirements.lock infra/locks/requirements-*.lock
	$(TOOLS)/gitleaks dir --no-banner --redact --config=.ci/gitleaks.toml .

gitleaks: $(TOOLS)/gitleaks  ## build the scanner for secrets (needs Go)

$(TOOLS)/gitleaks:
	GOBIN=$(TOOLS) go install github.com/zricethezav/gitleaks/v8@v8.30.0

bench: $(BENCH)/bench  ## measure against peers, over IMAGES=FOLDER of JPEGs; further options in BENCH_OPTIONS (see tests/benchmarks)
	$(BENCH)/bin/python -m tests.benchmarks $(if $(IMAGES),--images=$(IMAGES)) $(BENCH_OPTIONS)

lint: $(VENV)/dev  ## check the style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev  ## check the types
	$(BIN)/mypy

format: $(VENV)/dev  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev  ## build the documentation into build/site; a broken link fails
	$(BIN)/python -m docs.generate build/reference
	$(BIN)/zensical build --strict --clean

docs-serve: $(VENV)/dev  ## show the documentation at localhost:8000, built again after each change
	$(BIN)/python -m docs.generate build/reference
	$(BIN)/zensical serve

template: $(VENV)/runtime  ## write the Flex Template's metadata again from the options in the code
	$(BIN)/python -m pipelines.template extract > infra/dataflow/extract-template.json

DOCKERFILE := infra/container/Dockerfile
DIGESTS    := infra/container/digests.env
IMAGE      ?= convbase:latest

pin-images:  ## look up the digests of the container's base images (needs docker and the registries)
	sed -nE 's/^FROM ([^ ]+)@\$$\{([A-Z_]+)\}.*/\2 \1/p' $(DOCKERFILE) | sort -u | while read name image; do \
		digest=$$(docker buildx imagetools inspect "$$image" --format '{{.Manifest.Digest}}') || exit 1; \
		echo "$$name=$$digest"; done > $(DIGESTS).new && mv $(DIGESTS).new $(DIGESTS) || { rm -f $(DIGESTS).new; exit 1; }

image:  ## build the container; further arguments of docker build in ARGS
	@test -f $(DIGESTS) || { echo "The digests of the base images are not known; run 'make pin-images' where the registries can be reached." >&2; exit 1; }
	docker build -f $(DOCKERFILE) $$(sed 's/^/--build-arg /' $(DIGESTS)) $(ARGS) -t $(IMAGE) .

lock:  ## compile the lock files again from pyproject.toml (needs uv)
	uv pip compile pyproject.toml $(LOCK) -o infra/locks/requirements.lock
	uv pip compile pyproject.toml $(LOCK) --extra dev -c infra/locks/requirements.lock -o infra/locks/requirements-dev.lock
	# Daft wants an older tqdm than we do.
	sed '/^tqdm==/,/[^\\]$$/d' infra/locks/requirements.lock | \
		uv pip compile pyproject.toml $(LOCK) --extra bench -c /dev/stdin -o infra/locks/requirements-bench.lock
	uv pip compile pyproject.toml $(LOCK) --extra dataflow -c infra/locks/requirements.lock -o infra/locks/requirements-dataflow.lock
	uv pip compile --group audit $(LOCK_ALONE) -o infra/locks/requirements-audit.lock
	uv pip compile --group airflow $(LOCK_ALONE) -o infra/locks/requirements-airflow.lock
	uv pip compile pyproject.toml $(LOCK) --extra dataflow --extra gpu -c infra/locks/requirements-dataflow.lock -o infra/locks/requirements-gpu.lock

lock-job-servers:  ## lock again what the job servers are made of (needs Maven)
	rm -rf $(TOOLS)/*.locked
	for server in flink spark; do \
		mvn --quiet --batch-mode --file $(JOB_SERVERS)/$$server package -Dfolder=$(TOOLS)/$$server.locked && \
		(cd $(TOOLS)/$$server.locked/lib && LC_ALL=C sha256sum *.jar) > $(JOB_SERVERS)/$$server/jars.sha256 && \
		rm -r $(TOOLS)/$$server.locked || exit 1; done

lock-terraform:  ## lock the provider of Google Cloud by its hashes (needs Terraform and its registry)
	terraform -chdir=infra/terraform providers lock -platform=linux_amd64 -platform=linux_arm64 -platform=darwin_arm64 \
		-platform=windows_amd64

LOCK_ALONE := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
LOCK := $(LOCK_ALONE) --extra s3 --extra gcs --extra azure

clean:  ## remove what was installed and made here
	rm -rf $(VENV) $(BENCH) $(AUDIT) $(AIRFLOW) feature-store sample-pictures model explore

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: infra/locks/requirements.lock | $(VENV)/bin/python
	$(BIN)/python $(PIP) -r infra/locks/requirements.lock
	@touch $@

# The command convbase, of this checkout; what builds it is one of the locked packages.
$(BIN)/convbase: pyproject.toml | $(VENV)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/dev: infra/locks/requirements-dev.lock | $(VENV)/bin/python
	$(BIN)/python $(PIP) -r infra/locks/requirements-dev.lock
	@touch $@

# The peers stay out of .venv: they are large, and nothing but the benchmarks needs them.
$(BENCH)/bin/python:
	$(PYTHON) -m venv $(BENCH)

$(BENCH)/bench: infra/locks/requirements-bench.lock | $(BENCH)/bin/python
	$(BENCH)/bin/python $(PIP) -r infra/locks/requirements-bench.lock
	@touch $@

# What judges packages is not among them.
$(AUDIT)/bin/python:
	$(PYTHON) -m venv $(AUDIT)

$(AUDIT)/audit: infra/locks/requirements-audit.lock | $(AUDIT)/bin/python
	$(AUDIT)/bin/python $(PIP) -r infra/locks/requirements-audit.lock
	@touch $@

# Airflow has its own idea of most packages.
$(AIRFLOW)/bin/python:
	$(PYTHON) -m venv $(AIRFLOW)

$(AIRFLOW)/airflow: infra/locks/requirements-airflow.lock | $(AIRFLOW)/bin/python
	$(AIRFLOW)/bin/python $(PIP) -r infra/locks/requirements-airflow.lock
	@touch $@
