# Garage. "make help" lists what there is to make.

BUF           := github.com/bufbuild/buf/cmd/buf@v1.75.0
CACHE         ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/garage-tools
LINT_VERSION  := v2.15.0
GOLANGCI_LINT := $(CACHE)/golangci-lint-$(LINT_VERSION)
MODULES       := proto pkg services tools
PROGRAMS      := garage s3-gateway metadata chunk-node rebalancer
PLATFORMS     := linux/amd64 linux/arm64 linux/arm
# What the wire is compared with, so that no change breaks it unnoticed.
PROTO_BASE    ?= $(shell git rev-parse -q --verify origin/main 2>/dev/null || git rev-parse HEAD)
VERSION       ?= $(shell git describe --tags --always --dirty=-modified 2>/dev/null || echo unknown)
COMMIT        ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DIST          ?= dist
# Who answers for Debian's package: name yourself if you hand it to others.
MAINTAINER    ?= Garage maintainers <garage@localhost>
# The time of everything in the packages, so that they are the same whenever and wherever they are built.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)

S3    ?= 127.0.0.1:3900
ADMIN ?= 127.0.0.1:3903

NODES     ?= 3
ZONES     ?= 3
CQL_NODES ?= 1

# The programs are static, so that they run on any machine of their kind, and know nothing of where they were built.
STAMP = -X deuxfleurs.fr/garage/pkg/version.release=$(VERSION) -X deuxfleurs.fr/garage/pkg/version.commit=$(COMMIT)
# grpcnotrace leaves out debug pages that nothing serves, and whose templates would keep the linker from leaving out what nothing calls: a fifth of each program.
BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags grpcnotrace -ldflags '$(STRIP) $(STAMP)'

.DEFAULT_GOAL := help
.PHONY: help
help: ## list what there is to make
	@echo "make TARGET, where TARGET is one of"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F '\t' '{printf "  %-13s %s\n", $$1, $$2}'
	@echo
	@echo "run and run-nodes take DATA=folder, S3=address and ADMIN=address; cluster takes DATA=folder, NODES=3, ZONES=3, CQL_NODES=1."

.PHONY: build
build: ## build all programs into bin/
	$(BUILD) -o bin/ $(PROGRAMS:%=./services/cmd/%)

.PHONY: run
run: ## build and start Garage in one process (DATA, S3, ADMIN)
	@$(BUILD) -o bin/ ./services/cmd/garage
	@exec bin/garage standalone --data "$(or $(DATA),var/garage)" --s3 "$(S3)" --admin "$(ADMIN)"

.PHONY: run-nodes
run-nodes: build ## build and start gateway, metadata, rebalancer and 3 chunk-nodes as processes (DATA, S3, ADMIN)
	@exec bin/garage nodes --data "$(or $(DATA),var/nodes)" --s3 "$(S3)" --admin "$(ADMIN)"

.PHONY: cluster
cluster: build ## build and start a cluster on Nomad, Consul, Cassandra, LDAP and Traefik (DATA, NODES, ZONES, CQL_NODES)
	@go run ./tools/cluster up --data "$(or $(DATA),var/cluster)" --nodes $(NODES) --zones $(ZONES) --cql-nodes $(CQL_NODES)

.PHONY: cluster-down
cluster-down: ## stop that cluster and keep its data (DATA)
	@go run ./tools/cluster down --data "$(or $(DATA),var/cluster)"

.PHONY: test
test: ## run all tests; installs the clients that they use
	go run ./tools/testrun

.PHONY: test-quick
test-quick: ## run the tests that need no network and no other program
	go vet $(MODULES:%=./%/...)
	go test -short ./proto/... ./pkg/... ./services/...

SEEDS ?= 10000
.PHONY: soak
soak: ## simulate clusters that lose, move and heal chunks, one for each of SEEDS seeds
	cd services && go test -count=1 -timeout 0 ./chunk-node/simulation -run '^TestPromises$$' -args -seeds $(SEEDS)

.PHONY: gen
gen: ## make the Go code of proto/ again
	cd proto && GOWORK=off go run $(BUF) generate

.PHONY: handbook
handbook: ## write the table of S3 operations in nomad/handbook again, by asking a running Garage
	cd tools && go test -count=1 ./systemtest/s3 -run TestTheTableOfCompatibilityIsTrue -args -update

.PHONY: lint
lint: $(GOLANGCI_LINT) ## look for mistakes and broken rules in the code
	@unformatted=$$(gofmt -l $(MODULES)); test -z "$$unformatted" || { echo "not formatted (make fmt does it):"; echo "$$unformatted"; exit 1; }
	@! grep -nE '^\s*go ' pkg/quorum/*.go pkg/layout/*.go services/chunk-node/state/*.go services/metadata/sweep/*.go services/rebalancer/leave/*.go services/rebalancer/plan/*.go services/rebalancer/transition/*.go services/rebalancer/partitions/*.go services/rebalancer/events/changes.go services/rebalancer/events/merge.go pkg/access/*.go --exclude='*_test.go' || { echo "decisions start no goroutine"; exit 1; }
	cd proto && GOWORK=off go run $(BUF) lint
	cd proto && GOWORK=off go run $(BUF) breaking --against "../.git#ref=$(PROTO_BASE),subdir=proto"
	@for m in $(MODULES); do echo "golangci-lint $$m"; (cd $$m && $(GOLANGCI_LINT) run --config ../tools/lint/golangci.yml ./...) || exit 1; done
	cd tools/package && GOWORK=off $(GOLANGCI_LINT) run --config ../lint/golangci.yml ./...

# Built once, outside the checkout, from a module of its own: it has hundreds of dependencies that are not ours.
$(GOLANGCI_LINT):
	@mkdir -p $(CACHE)
	cd tools/lint && GOWORK=off go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: fmt
fmt: ## format the code
	gofmt -w $(MODULES)
	cd proto && GOWORK=off go run $(BUF) format -w

.PHONY: bench
bench: ## measure speed and cost; ARGS are those of tools/bench
	go run ./tools/bench $(ARGS)

.PHONY: packages
packages: STRIP := -s -w
packages: ## build archives, Debian packages, an image, SBOMs and checksums for all PLATFORMS into dist/ (DIST, MAINTAINER)
	rm -rf "$(DIST)"
	@set -e; for p in $(PLATFORMS); do \
		name=$$(echo $$p | sed 's#/#-#; s#-arm$$#-armv7#'); echo $$name; \
		export GOOS=$${p%/*} GOARCH=$${p#*/} GOAMD64=v1 GOARM64=v8.0 GOARM=7; \
		$(BUILD) -o "$(DIST)/programs/$$name/" $(PROGRAMS:%=./services/cmd/%); done
	@out="$$(cd "$(DIST)" && pwd)" && cd tools/package && GOWORK=off go run . --programs "$$out/programs" --out "$$out" \
		--version "$(VERSION)" --commit "$(COMMIT)" --date "$(SOURCE_DATE_EPOCH)" --maintainer "$(MAINTAINER)" --platforms "$$(echo $(PLATFORMS) | tr ' ' ,)"
	@rm -r "$(DIST)/programs"

.PHONY: clean
clean: ## remove what was built; data in var/ stays
	rm -rf bin dist
