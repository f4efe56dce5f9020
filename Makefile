# The commands of daily work. `make help` lists them.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w -X github.com/hune-io/hune/internal/telemetry.Version=$(VERSION)

.PHONY: help build release run test lint bench fuzz ui ui-verify docs

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

build: ## build bin/hune
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/hune ./cmd/hune

release: ## build bin/hune with service discovery in Kubernetes and clouds
	go build -trimpath -tags kubernetes,clouds -ldflags '$(LDFLAGS)' -o bin/hune ./cmd/hune

run: build ## build and run with data in ./hune-data
	bin/hune serve

test: ## run every test
	scripts/test.sh

lint: ## run golangci-lint (has to be installed)
	golangci-lint run

bench: ## run the benchmarks of all packages
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## run each fuzz target for FUZZTIME (default 20s)
	scripts/fuzz.sh $(or $(FUZZTIME),20s)

ui: ## build the UI into web/ui/dist (needs node)
	cd web/ui && npm ci --no-audit --no-fund && npm run build

ui-verify: ## check that web/ui/dist is what the sources build
	cd web/ui && npm ci --no-audit --no-fund && npm run verify

docs: ## write docs/configuration.md anew from the code
	go run ./internal/config/reference > docs/configuration.md
