# Sluice. `make` lists what there is; two targets matter first: run and test.

SHELL := /bin/bash -euo pipefail
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL: # go and npm use the cores themselves

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED ?= 0
go_build := go build -trimpath -ldflags '-X main.release=$(VERSION)'

# Nothing that the tests can use may be skipped: they fail when it is not there.
require := $(foreach part,POSTGRES NATS S3 FFMPEG GSTREAMER CHROMIUM NODE,SLUICE_TEST_REQUIRE_$(part)=1)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: deps-run web build ## start a server with a live demo channel; ARGS="--http :9090" adds flags
	@exec bin/sluice serve --demo --log-format text $(ARGS)

.PHONY: build
build: ## build bin/sluice with what is in the tree; `make web` first gives it the watch page
	$(go_build) -o bin/sluice ./cmd/sluice

# The stamp is in the output, so deleting the output builds it again. Where node is
# missing there is no stamp, and the next make tries again.
web_built := internal/watch/dist/.built
web_files := $(shell find web -type f -not -path '*/node_modules/*' 2>/dev/null)

.PHONY: web
web: $(web_built) ## build the watch page, if it is out of date

$(web_built): $(web_files) scripts/web
	@scripts/web $@

# The players that the browser tests run, and AWS's SDK. Fetched, never shipped.
npm_tests := $(patsubst %,test/e2e/%/node_modules/.package-lock.json,browser jssdk)

$(npm_tests): %/node_modules/.package-lock.json: %/package-lock.json
	npm --prefix $(<D) ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: test
test: deps-test web build vet generated race e2e ## all that CI runs, real parts included

.PHONY: race
race: export CGO_ENABLED = 1
race: ## unit and component tests under the race detector
	$(require) go test -race -shuffle=on -timeout 10m ./cmd/... ./internal/...

.PHONY: e2e
e2e: web build $(npm_tests) ## the stories: AWS SDKs, ffmpeg and browsers against the real program
	$(require) SLUICE_TEST_BINARY=$(CURDIR)/bin/sluice go test -shuffle=on -parallel 4 -timeout 20m ./test/...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (20s); FUZZ=AMF picks by name
	scripts/fuzz

.PHONY: bench
bench: web build $(players) ## benchmarks of the packages, of what a viewer sees, and of the program
	go test -run='^$$' -bench=. -benchmem ./internal/... ./test/load/...
	go test -run='^$$' -bench=Playback -benchtime=1x -timeout=30m ./test/e2e
	go run ./test/load/cmd/compare

# Peers beside which these measure: PEER_MEDIAMTX and PEER_SRS name their binaries, PEER_MOTO a Python that has moto.
compare := go run ./test/load/cmd/compare -sluice $(CURDIR)/bin/sluice $(ARGS)

.PHONY: bench-ingest
bench-ingest: build ## CPU and memory of a stream nobody watches, beside the peers; ARGS="-streams 20"
	$(compare) -only ingest

.PHONY: bench-hls
bench-hls: build ## latency, and CPU and memory of viewers, beside the peers
	$(compare) -only latency,egress

.PHONY: bench-api
bench-api: build ## signed API calls with 100,000 channels, beside the peer
	$(compare) -only api

.PHONY: check
check: generated vet lint ## what needs no tests: generated code is current, vet, lint

.PHONY: lint
lint: ## golangci-lint; shellcheck and systemd-analyze where installed
	scripts/lint

.PHONY: fmt
fmt: ## format the Go files
	go tool -modfile=tools/go.mod golangci-lint fmt

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: generate
generate: ## write the generated code from api/*.json
	go generate ./...

.PHONY: generated
generated: ## fail when generated code is not what its source gives
	scripts/generated

.PHONY: deps-run deps-test
deps-run deps-test: deps-%:
	@scripts/deps $*
