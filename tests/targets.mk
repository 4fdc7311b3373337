# Test targets; included by the top Makefile.
PYTHON       := /usr/bin/python3
CLANG        := clang-14
FUZZ_SECONDS ?= 60
FUZZ_DIR     := build/fuzz
FUZZ_TARGETS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libbench.a $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(PKG_LIBS)
# Replays corpora and past crashes with the server's own compiler and flags.
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
CRASH_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/crash/*.c))
$(BUILD)/tests/crash/store_crash: $(CRASH_OBJ) $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/libbench.a $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

test-binaries: binaries $(BUILD)/lapwingd $(BUILD)/lapwing $(UNIT_BIN) $(FUZZ_BIN) \
               $(BUILD)/tests/crash/store_crash

test: ## install what tests need, build, run everything; the last line is the summary
	@tests/deps.sh test
	@tests/npm.sh
	@$(MAKE) --no-print-directory -j2 test-binaries
	@tests/run.sh $(BUILD)

unit: $(UNIT_BIN) ## build and run the C unit tests of this VARIANT
	@CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 --exec '' $(UNIT_BIN)

san: ## the whole suite under AddressSanitizer and UBSan
	@tests/deps.sh test
	@tests/npm.sh
	@$(MAKE) --no-print-directory -j2 VARIANT=asan test-binaries
	@tests/run.sh build/asan

tsan: ## the unit tests under ThreadSanitizer
	@tests/deps.sh test
	TSAN_OPTIONS=ignore_noninstrumented_modules=1 $(MAKE) --no-print-directory -j2 VARIANT=tsan unit

crash: N := 1000
crash: SEED = 1
crash: ## kill -9 the store N times, then the daemon N/10 times under load, and compare (N=1000)
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j2 binaries $(BUILD)/lapwingd $(BUILD)/tests/crash/store_crash
	$(BUILD)/tests/crash/store_crash -n $(N) -s $(SEED)
	LAPWINGD=$(CURDIR)/$(BUILD)/lapwingd LAPWING=$(CURDIR)/build/lapwing $(PYTHON) tests/crash.py --rounds $$(($(N) / 10)) \
	  --seed $(SEED)

soak: ## moderate mixed load for S seconds, and what it costs (S=600; VARIANT=asan ends with a leak check)
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j2 binaries $(BUILD)/lapwingd
	LAPWINGD=$(CURDIR)/$(BUILD)/lapwingd $(PYTHON) tests/soak.py --seconds $(or $(S),600)

hostile: ## hostile queries over a million series, and how late flush ticks are meanwhile
	@tests/deps.sh test
	@$(MAKE) --no-print-directory -j2 binaries
	HOSTILE_SERIES=1000000 HOSTILE_ROUNDS=3 LAPWINGD=$(CURDIR)/$(BUILD)/lapwingd $(PYTHON) -m pytest -q -s \
	  -p no:cacheprovider tests/e2e/test_hostile_queries.py

# Of clang's analyser, a function: a third of its default, which takes twice as long and found no more.
LINT_NODES := 75000
ANALYSER   := --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=$(LINT_NODES)

lint: ## formatting, layers, clang-tidy
	@tests/deps.sh lint
	@git ls-files '*.c' '*.h' '*.cc' | xargs clang-format --dry-run -Werror
	@tests/layers.sh
	@git ls-files 'storage/*.c' 'query/*.c' 'server/*.c' 'clients/*.c' | xargs -P2 -I{} \
	  clang-tidy --quiet $(ANALYSER) {} -- -std=c11 -D_GNU_SOURCE -I. $(PKG_CFLAGS) 2>/dev/null

fuzz: ## fuzz every target for FUZZ_SECONDS each
	@tests/deps.sh lint
	@for t in $(FUZZ_TARGETS); do $(MAKE) --no-print-directory fuzz-$$t || exit 1; done

# Coverage-guided, with the sources instrumented; finds land in build/fuzz/NAME.
fuzz-%: $(FUZZ_DIR)/%_fuzz
	@mkdir -p $(FUZZ_DIR)/$*
	@$(FUZZ_DIR)/$*_fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 \
	  -rss_limit_mb=2048 -artifact_prefix=$(FUZZ_DIR)/$*- -print_final_stats=1 $(FUZZ_DIR)/$* \
	  tests/fuzz/corpus/$* >$(FUZZ_DIR)/$*.log 2>&1; status=$$?; \
	  echo "fuzz $*: exit $$status, $$(grep -a executed_units $(FUZZ_DIR)/$*.log)"; \
	  [ $$status -eq 0 ] || tail -n 40 $(FUZZ_DIR)/$*.log; exit $$status

FUZZ_FLAGS = -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -I.
FUZZ_OBJ := $(SERVER_SRC:%.c=$(FUZZ_DIR)/%.o) $(FUZZ_DIR)/storage/base/json_simd.o
$(FUZZ_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(CLANG) -std=c11 -D_GNU_SOURCE $(FUZZ_FLAGS) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<
$(FUZZ_DIR)/%.o: %.cc
	@mkdir -p $(@D)
	clang++-14 -std=c++17 $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
$(FUZZ_DIR)/liblapwing.a: $(FUZZ_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(FUZZ_DIR)/%_fuzz: $(FUZZ_DIR)/tests/fuzz/%_fuzz.o $(FUZZ_DIR)/liblapwing.a
	clang++-14 -fsanitize=fuzzer,address,undefined -o $@ $^ $(PKG_LIBS)

.PHONY: test unit san tsan crash soak hostile lint fuzz test-binaries
.PRECIOUS: $(BUILD)/%.o $(FUZZ_DIR)/%.o
