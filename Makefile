# onhook: `make run` runs it, `make test` passes its tests. Both need Go, make and git only; what else they need they fetch.

MODULES := schemas pkg services/decoder services/ingress services/storage services/crm services/onhook deploy/bench deploy/charttest deploy/e2e
# Not in the workspace: what Prometheus needs would move versions there that the other modules have pinned.
APART := deploy/prometheus
GOLANGCI_LINT := bin/golangci-lint-v2.15.0
HELM := bin/helm-v3.22.0 bin/helm-v4.3.1

# What builds and starts an API server, and prints kubectl's arguments for it; where it builds it.
KUBE_UP ?= $(CURDIR)/../shared/kube/up
ONHOOK_KUBE_HOME ?= $(HOME)/.cache/onhook-kube

# The race detector needs a C compiler; without one the tests run without it.
RACE := $(if $(shell command -v $${CC:-gcc} 2>/dev/null),-race)

# docker compose where it is, else docker-compose.
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
PROJECT ?= onhook
VERSION = $(shell git describe --always --dirty --abbrev=12 --tags 2>/dev/null)
STAMP = -X github.com/onhook/onhook/pkg/service.version=$(VERSION)
export ONHOOK_TAG ?= dev

.PHONY: run build test short torture microbench bench fuzz lint modules chart-test images up down clean

run: build ## the whole pipeline in one process, on 127.0.0.1:8080, its data in ./data
	bin/onhook run

build: ## every binary, in ./bin
	go build -ldflags '$(STAMP)' -o bin/ ./services/onhook/cmd/onhook ./services/ingress/cmd/ingress ./services/decoder/cmd/decoder ./services/storage/cmd/storage ./services/crm/cmd/crm

test: ## every test; those that need Docker say so and skip without it. The slowest waits out a database that is down for two minutes
	go test $(RACE) -timeout 15m work
	cd $(APART) && GOWORK=off go test -timeout 15m ./...

short: ## the tests without the slow ones
	go test $(RACE) -short -timeout 5m work

torture: ## deploy/e2e in full: every fault under load; writes deploy/e2e/RESULTS.md. It wants to be root, for FUSE and small disks, and Docker
	cd deploy/e2e && ONHOOK_TORTURE=long go test -timeout 90m -count=1 -v -run TestTorture .

microbench: ## ns, bytes and allocations per delivery and per call
	go test -run '^$$' -bench . -benchmem work

bench: ## onhook beside what a user would pick instead, on this machine alone; writes deploy/bench/RESULTS.md. ARGS=-quick is a smoke run
	cd deploy/bench && go run . $(ARGS)

FUZZTIME ?= 30s
fuzz: ## each fuzz test for FUZZTIME
	@for m in $(MODULES); do for f in $$(cd $$m && git grep -lE '^func Fuzz' -- '*_test.go'); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$m/$$f); do \
			echo "$$m/$$f $$t" && (cd $$m && go test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f)) || exit 1; \
	done; done; done

lint: modules $(GOLANGCI_LINT) ## formatting, vet, the rules of .golangci.yaml, and who may import whom
	@test -z "$$(gofmt -l .)" || { gofmt -l . | sed 's/^/not gofmt-ed: /'; exit 1; }
	@for m in $(MODULES); do echo "lint $$m" && (cd $$m && $(CURDIR)/$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yaml ./...) || exit 1; done
	cd $(APART) && GOWORK=off $(CURDIR)/$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yaml ./...

modules: ## each module by itself: what it imports is what its go.mod names
	@for m in $(MODULES) $(APART); do echo "module $$m" && (cd $$m && GOWORK=off go build ./... && GOWORK=off go mod tidy -diff) || exit 1; done

chart-test: $(HELM) ## deploy/chart: linted, rendered, read by the services; and applied to an API server that is built already, or with ONHOOK_REQUIRE_KUBE=1
	@if [ -z "$$ONHOOK_KUBE" ] && { [ -n "$$ONHOOK_REQUIRE_KUBE" ] || [ -x $(KUBE_UP) ] && [ -x $(ONHOOK_KUBE_HOME)/bin/etcd ]; }; then \
		[ -d $(ONHOOK_KUBE_HOME)/run ] || trap '$(KUBE_UP) down' EXIT; \
		ONHOOK_KUBE=$$($(KUBE_UP)) || exit 1; export ONHOOK_KUBE; fi; \
	cd deploy/charttest && ONHOOK_HELM="$(addprefix $(CURDIR)/,$(HELM))" go test -count=1 -v .

images: ## an image for each service, onhook/<service>:$(ONHOOK_TAG), made from nothing but its binary
	@for s in ingress decoder storage crm onhook; do echo "image onhook/$$s:$(ONHOOK_TAG)" && \
		CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags '-s -w $(STAMP)' -o bin/images/$$s/ ./services/$$s/cmd/$$s && \
		docker build -q --build-arg SERVICE=$$s -t onhook/$$s:$(ONHOOK_TAG) -f deploy/docker/Dockerfile bin/images/$$s || exit 1; done

up: build images ## all of deploy/compose.yaml, and wait until it is ready
	deploy/secrets.sh
	$(COMPOSE) -p $(PROJECT) -f deploy/compose.yaml up -d
	@for i in $$(seq 120); do \
		ready=$$(docker ps -q --filter label=com.docker.compose.project=$(PROJECT) --filter health=healthy | wc -l); \
		[ $$ready -ge 9 ] && echo "ready" && exit 0; sleep 1; done; \
	docker ps -a --filter label=com.docker.compose.project=$(PROJECT); echo "not ready after two minutes; the services say why: $(COMPOSE) -p $(PROJECT) -f deploy/compose.yaml logs"; exit 1

down: ## stop it and keep its data; make down ARGS=--volumes deletes that too
	$(COMPOSE) -p $(PROJECT) -f deploy/compose.yaml down $(ARGS)

$(GOLANGCI_LINT):
	GOBIN=$(CURDIR)/bin/install go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv bin/install/golangci-lint $@

bin/helm-v3.%: MAJOR = v3
bin/helm-v4.%: MAJOR = v4
bin/helm-v%:
	GOBIN=$(CURDIR)/bin/install go install helm.sh/helm/$(MAJOR)/cmd/helm@v$*
	mv bin/install/helm $@

clean: ## what the other targets made, but not ./data
	rm -rf bin
