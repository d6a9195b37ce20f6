# `make help` lists what can be done here. Nothing but Go is needed for build, demo and test.

GO       ?= go
# How tests are started; .ci/run counts them with GOTEST='go test -json'.
GOTEST   ?= $(GO) test
PKG      ?= ./...
FUZZTIME ?= 10s
BENCH    ?= .
# Of all rounds together; 50 rounds with 200,000 rows take some hours.
CRASH_TIMEOUT ?= 8h
# Tests of internal/e2e and internal/security that CI runs with a program built with the race detector.
RACE ?= ^Test(AlertsAreExactlyTheEdges|AuditUnderLoad|UsersComeBackAfterSweeps|ProveEvery|DatabaseAwayIsTold|RetriedChangeIsFolded|TopicMadeAnew|CredentialsWhileRunning)$$
STACK_TIMEOUT ?= 40m
TOOL = $(GO) tool -modfile=tools/$(1)/go.mod $(1)
# The tag of this commit, or the newest tag and how far behind it lies, or what Go calls a commit without a tag.
VERSION ?= $(shell { git describe --tags --match 'v[0-9]*' 2>/dev/null || \
  TZ=UTC git log -1 --abbrev=12 --date=format-local:%Y%m%d%H%M%S --format=v0.0.0-%cd-%h; } 2>/dev/null)$(shell \
  git diff --quiet HEAD 2>/dev/null || echo +dirty)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-race test-stack test-browser test-tools test-versions test-crash test-proofs test-release bench bench-stack fuzz vet lint release image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/brimline
	$(GO) build -trimpath -ldflags '-X main.release=$(VERSION)' -o bin/brimline ./cmd/brimline

demo: build ## a real alert in under a minute: PostgreSQL and an in-process Kafka, state in .brimline/
	bin/brimline demo

test: ## everything that needs neither a JVM nor Docker; PKG=./codecs/... for a part
	$(GOTEST) -timeout 15m $(PKG)

test-race: ## the same under the race detector; RACE=. for every test that starts the program (15 minutes more)
	$(GOTEST) -race -timeout 30m $$($(GO) list $(PKG) | grep -v -e '/internal/e2e$$' -e '/internal/security$$')
	$(GOTEST) -race -timeout 30m -run '$(RACE)' ./internal/e2e ./internal/security

test-stack: ## the suites on real Kafka, Debezium and PostgreSQL (deploy/stack: needs a JDK, Maven and PostgreSQL)
	BRIMLINE_STACK=1 $(GOTEST) -count=1 -run '^TestStack' -timeout $(STACK_TIMEOUT) ./internal/e2e/... ./internal/security/...

test-browser: ## the page in a headless Chromium (needs chromium): every view and state, and axe-core; BRIMLINE_SCREENSHOTS=DIR for pictures
	cd tools/browser && $(GOTEST) -count=1 -timeout 10m .

test-tools: ## the Python example (needs Python 3 with venv; fetches its packages into .cache)
	python3 -m venv .cache/python
	.cache/python/bin/pip install --quiet --disable-pip-version-check -r examples/consumer-python/requirements.txt
	BRIMLINE_PYTHON=$(CURDIR)/.cache/python/bin/python $(GOTEST) -count=1 -run '^TestTools' ./examples/...

test-crash: ## the crash suite, a few minutes; internal/crash/doc.go lists the variables for longer runs
	BRIMLINE_CRASH=1 $(GOTEST) -count=1 -run '^TestCrash' -timeout $(CRASH_TIMEOUT) ./internal/crash

test-proofs: ## each protection taken away once: the crash suite must notice
	BRIMLINE_CRASH=1 BRIMLINE_CRASH_PROOFS=1 $(GOTEST) -count=1 -v -run '^TestProof' -timeout $(CRASH_TIMEOUT) ./internal/crash

bench: ## every hot function, with allocations; internal/bench/peers.sh compares the whole with other programs
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)

bench-stack: ## the whole program on real Kafka and PostgreSQL, each run judged; BENCH=Latency for a part (needs a JDK, Maven and PostgreSQL)
	BRIMLINE_BENCH=1 $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 2h -v ./internal/bench

test-versions: ## each release of PostgreSQL, Kafka and Debezium that README names; VERSIONS='postgres-14 …' for some (an hour)
	GO='$(GO)' deploy/stack/versions.sh $(VERSIONS)

test-release: ## all of it, a night long; SUITES='proofs fuzz' for some; each writes its line of docs/records/README.md
	internal/tools/release.sh $(SUITES)

fuzz: ## every fuzz target for FUZZTIME (10s)
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
	    echo "$$(dirname "$$file") $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")"; \
	  done; \
	done

vet: ## go vet
	$(GO) vet ./...
	cd tools/browser && $(GO) vet .

lint: ## golangci-lint (staticcheck, goimports, errorlint, ...), actionlint, goreleaser's file and, where it is installed, shellcheck; nothing tracked that is ignored
	@tracked=$$(git ls-files --cached --ignored --exclude-standard); \
	  [ -z "$$tracked" ] || { printf 'tracked by git though ignored:\n%s\n' "$$tracked"; exit 1; }
	$(call TOOL,golangci-lint) run
	cd tools/browser && $(GO) tool -modfile=../golangci-lint/go.mod golangci-lint run
	$(call TOOL,actionlint)
	VERSION=$(VERSION) $(call TOOL,goreleaser) check --quiet
	@if command -v shellcheck >/dev/null; then shellcheck -x -P SCRIPTDIR .ci/run deploy/stack/*.sh deploy/compose/*.sh internal/bench/*.sh internal/tools/*.sh; \
	  else echo 'shellcheck is not installed: scripts not checked'; fi

release: ## dist/: archives with checksums for linux and macOS, amd64 and arm64; publishes nothing
	VERSION=$(VERSION) $(call TOOL,goreleaser) release --snapshot --clean

image: ## the image brimline:VERSION, with docker, podman or buildah
	@for engine in docker podman buildah; do if $$engine info >/dev/null 2>&1; then \
	  set -x; exec $$engine build --build-arg VERSION=$(VERSION) -t brimline:$(subst +,-,$(VERSION)) .; fi; done; \
	  echo 'not built: neither docker, podman nor buildah runs here' >&2; exit 1

clean: ## what build and release made; the demo's state stays, see `brimline demo --help`
	rm -rf bin dist
