# The C client: liblapwing as an archive and as a shared library; included by the top Makefile.
# (The server's own objects are build/VARIANT/liblapwing.a.) LIBLAPWING_ABI changes with the ABI.
LIBLAPWING_ABI     := 0
LIBLAPWING_VERSION := $(shell sed -n 's/^.define LAPWING_VERSION "\(.*\)"/\1/p' server/version.h)
LIBLAPWING_DIR     := $(BUILD)/clients/c
LIBLAPWING_OBJ     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard clients/c/*.c))
INSTALL_PREFIX      = $(or $(PREFIX),/usr/local)
INSTALL_LIB         = $(DESTDIR)$(INSTALL_PREFIX)/lib

$(LIBLAPWING_OBJ): CFLAGS += -fPIC
$(LIBLAPWING_DIR)/liblapwing.a: $(LIBLAPWING_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(LIBLAPWING_DIR)/liblapwing.so: $(LIBLAPWING_OBJ)
	$(CC) $(SAN.$(VARIANT)) -shared -Wl,-soname,$(@F).$(LIBLAPWING_ABI) -Wl,-z,relro,-z,now -o $@ $^
$(BUILD)/tests/unit/client_test $(BUILD)/tests/unit/client_packet_test $(BUILD)/bench/client_bench: $(LIBLAPWING_OBJ)

client: $(LIBLAPWING_DIR)/liblapwing.a $(LIBLAPWING_DIR)/liblapwing.so

install-client: client ## install the C client alone: library, header, lapwing.pc
	install -D -m 644 clients/c/lapwing.h $(DESTDIR)$(INSTALL_PREFIX)/include/lapwing.h
	install -D -m 644 $(LIBLAPWING_DIR)/liblapwing.a $(INSTALL_LIB)/liblapwing.a
	install -D -m 755 $(LIBLAPWING_DIR)/liblapwing.so $(INSTALL_LIB)/liblapwing.so.$(LIBLAPWING_VERSION)
	ln -sf liblapwing.so.$(LIBLAPWING_VERSION) $(INSTALL_LIB)/liblapwing.so.$(LIBLAPWING_ABI)
	ln -sf liblapwing.so.$(LIBLAPWING_ABI) $(INSTALL_LIB)/liblapwing.so
	install -d $(INSTALL_LIB)/pkgconfig
	sed -e 's|@prefix@|$(INSTALL_PREFIX)|' -e 's|@version@|$(LIBLAPWING_VERSION)|' \
	  clients/c/lapwing.pc.in >$(INSTALL_LIB)/pkgconfig/lapwing.pc

.PHONY: client install-client
