# lapwing: `make run` and `make test` are all the set-up there is. `make help` lists the rest.
VARIANT ?= release
BUILD   := build/$(VARIANT)
CC      := gcc
CXX     := g++

PKGS := libevent libevent_pthreads rocksdb msgpack libpcre2-8 libcurl yaml-0.1 libzstd zlib \
        libxxhash libcrypto
WARN := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wvla -Wformat=2 -Wcast-qual \
        -Wundef -Wwrite-strings -Wswitch-enum -Werror
HARD := -fstack-protector-strong -fPIE -fno-omit-frame-pointer
OPT  := -O2 -g -D_FORTIFY_SOURCE=2
SAN.release :=
SAN.asan    := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN.tsan    := -fsanitize=thread
ifneq ($(VARIANT),release)
OPT  := -O1 -g
endif
# Recipes that run before the packages are installed must not depend on pkg-config: hence `=`.
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS)) -lroaring -lsimdjson -lsnappy -lstdc++ -lpthread -lm
CFLAGS   = -std=c11 -D_GNU_SOURCE $(OPT) $(WARN) -Wstrict-prototypes -Wmissing-prototypes \
           $(HARD) $(SAN.$(VARIANT)) -I. $(PKG_CFLAGS)
CXXFLAGS = -std=c++17 $(OPT) $(WARN) $(HARD) $(SAN.$(VARIANT)) -I.
LDFLAGS  = $(SAN.$(VARIANT)) -pie -Wl,-z,relro,-z,now

SERVER_SRC := $(filter-out server/main.c,$(wildcard storage/*.c storage/*/*.c query/*.c \
              server/*.c server/*/*.c))
SERVER_OBJ := $(SERVER_SRC:%.c=$(BUILD)/%.o) $(BUILD)/storage/base/json_simd.o
CLI_OBJ    := $(patsubst %.c,$(BUILD)/%.o,$(wildcard clients/lapwing/*.c))
UNIT_BIN   := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*_test.c))
FUZZ_BIN   := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
# What benches and tests share; the rest of bench/ are programs.
BENCH_OBJ  := $(BUILD)/bench/dataset.o
BENCH_BIN  := $(filter-out $(BENCH_OBJ:.o=),$(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c)))

.DEFAULT_GOAL := help
include tests/targets.mk
include clients/c/targets.mk

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what building and running need
	@tests/deps.sh build

build: ## build build/lapwingd and build/lapwing
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -j2 binaries

run: build ## install, build, and start the server on its defaults
	exec build/lapwingd

binaries: build/lapwingd build/lapwing

build/lapwingd: $(BUILD)/lapwingd
	@ln -sf $(VARIANT)/lapwingd $@
build/lapwing: $(BUILD)/lapwing
	@ln -sf $(VARIANT)/lapwing $@

$(BUILD)/liblapwing.a: $(SERVER_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(BUILD)/libbench.a: $(BENCH_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(BUILD)/lapwingd: $(BUILD)/server/main.o $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/lapwing: $(CLI_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ -lcurl -lcjson -lm

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/%.o: %.cc
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -MMD -MP -c -o $@ $<

bench: ## what a call of the C client, a query and a commit cost
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j2 binaries $(BENCH_BIN)
	@$(BUILD)/bench/client_bench
	@$(BUILD)/bench/query_bench
	@$(BUILD)/bench/read_bench
	@$(BUILD)/bench/render_bench
	@$(BUILD)/bench/store_bench

bench-statsd: ## a statsd metric beside a bare recvmmsg loop, npm statsd, netdata, collectd (QUICK=1: 1 min)
	@tests/deps.sh test
	@tests/npm.sh || echo "bench-statsd: going on without npm statsd"
	@for peer in netdata collectd; do \
	  tests/deps.sh bench-$$peer || echo "bench-statsd: going on without $$peer"; done
	@$(MAKE) --no-print-directory -j2 binaries $(BENCH_BIN)
	@$(PYTHON) bench/run_statsd.py $(if $(QUICK),--quick)

bench-store: ## bytes on disk, CPU, restart and reads, beside VictoriaMetrics and Prometheus
	@tests/deps.sh bench
	@$(MAKE) --no-print-directory -j2 binaries $(BENCH_BIN)
	@$(PYTHON) bench/run_store.py
	@$(BUILD)/bench/encode_bench

bench-query: ## queries beside VictoriaMetrics and Prometheus, cold and warm
	@tests/deps.sh bench
	@$(MAKE) --no-print-directory -j2 binaries $(BENCH_BIN)
	@$(PYTHON) bench/run_query.py

install: binaries install-client ## install to PREFIX (default /usr/local)
	install -D $(BUILD)/lapwingd $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/lapwingd
	install -D $(BUILD)/lapwing $(DESTDIR)$(or $(PREFIX),/usr/local)/bin/lapwing
	install -D -m 644 -t $(DESTDIR)$(or $(PREFIX),/usr/local)/share/lapwing/rules server/alert/rules/*.yaml

format: ## rewrite the sources with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cc')

clean: ## remove everything built
	rm -rf build

.PHONY: help deps build run binaries bench bench-statsd bench-store bench-query install format clean
-include $(shell find $(BUILD) build/fuzz -name "*.d" 2>/dev/null)
