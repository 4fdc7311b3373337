# Test targets; included by the top Makefile.
PYTHON := /usr/bin/python3

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(PKG_LIBS)
# Replays corpora and past crashes with the server's own compiler and flags.
$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/liblapwing.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

test-binaries: binaries $(UNIT_BIN) $(FUZZ_BIN)

unit: $(UNIT_BIN) ## build and run the C unit tests of this VARIANT
	@CMOCKA_MESSAGE_OUTPUT=TAP prove -j2 --exec '' $(UNIT_BIN)

replay: $(FUZZ_BIN) ## run every fuzz target over its corpus
	@for t in $(FUZZ_BIN); do $$t tests/fuzz/corpus/$$(basename $$t _fuzz) || exit 1; done

.PHONY: unit replay test-binaries
.PRECIOUS: $(BUILD)/%.o
