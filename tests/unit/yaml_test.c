/* yaml: the tree with its places, and a sentence with a place for everything refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/base/alloc.h"
#include "storage/base/buffer.h"
#include "storage/base/yaml.h"

static struct arena arena;

static const struct yaml_node *parse(const char *text)
{
    struct error err = {0};
    struct yaml_node *root = NULL;
    if (yaml_parse(slice_of_string(text), "f.yaml", &arena, &root, &err) != 0)
        fail_msg("%s", err.text);
    return root;
}

static void rejects(struct slice text, const char *prefix)
{
    struct error err = {0};
    struct yaml_node *root = NULL;
    assert_int_equal(yaml_parse(text, "f.yaml", &arena, &root, &err), -1);
    if (strncmp(err.text, prefix, strlen(prefix)) != 0)
        fail_msg("\"%s\" does not start with \"%s\"", err.text, prefix);
}

static void tree_knows_its_places(void **state)
{
    (void)state;
    const struct yaml_node *root = parse("http:\n  listen: \"a:1\"\n  n: 4\nlist: [x, 'y', ~]\n");
    assert_int_equal(root->kind, YAML_MAP);
    assert_int_equal(root->count, 2);
    const struct yaml_node *http = yaml_get(root, "http");
    assert_int_equal(http->key_line, 1);
    assert_int_equal(http->key_column, 1);
    const struct yaml_node *listen = yaml_get(http, "listen");
    assert_true(slice_equal_string(listen->text, "a:1"));
    assert_true(listen->quoted);
    assert_int_equal(listen->line, 2);
    assert_int_equal(listen->column, 11);
    assert_int_equal(listen->key_column, 3);
    assert_false(yaml_get(http, "n")->quoted);
    const struct yaml_node *list = yaml_get(root, "list");
    assert_int_equal(list->kind, YAML_LIST);
    assert_int_equal(list->count, 3);
    assert_string_equal(list->children[1].text.at, "y");
    assert_true(list->children[1].quoted);
    assert_null(yaml_get(root, "absent"));
    assert_null(yaml_get(list, "absent"));
}

static void accepts_what_people_write(void **state)
{
    (void)state;
    assert_int_equal(parse("")->kind, YAML_MAP);
    assert_int_equal(parse("# only a comment\n")->count, 0);
    assert_int_equal(parse("---\na: 1\n...\n")->count, 1);
    assert_int_equal(parse("{\"json\": {\"is\": [\"yaml\", 1]}}")->count, 1);
    assert_string_equal(yaml_get(parse("e: |\n  a\n  b\n"), "e")->text.at, "a\nb\n");
    assert_string_equal(yaml_get(parse("k: caf\xc3\xa9\n"), "k")->text.at, "caf\xc3\xa9");
    assert_int_equal(yaml_get(parse("k:\n"), "k")->text.len, 0);
}

static void rejects_with_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *prefix;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key \"a\" stands twice"},
        {"a: &x 1\n", "f.yaml:1:4: anchors, aliases and tags"},
        {"a: *x\n", "f.yaml:1:4: anchors, aliases and tags"},
        {"a: !!str 1\n", "f.yaml:1:4: anchors, aliases and tags"},
        {"? [a]\n: 1\n", "f.yaml:1:3: a key must be a plain word"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document"},
        {"a: [1, 2\n", "f.yaml:2:1: this is not valid YAML: did not find expected"},
        {"a:\n\tb: 1\n", "f.yaml:2:1: this is not valid YAML"},
        {"a: \"\xff\"\n", "f.yaml:1:5: the text is not valid UTF-8"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[x", "f.yaml:1:33: values are nested too deeply"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        rejects(slice_of_string(rows[i].text), rows[i].prefix);
}

static void rejects_what_is_too_large(void **state)
{
    (void)state;
    struct buffer text;
    buffer_init(&text, 4 << 20);
    for (size_t i = 0; i < 70000; i++)
        buffer_append_string(&text, "- 1\n");
    rejects(buffer_slice(&text), "f.yaml:65537:3: the file holds too many values");
    while (text.len <= 1 << 20)
        buffer_append_string(&text, "# more\n");
    rejects(buffer_slice(&text), "f.yaml is larger than 1 MiB");
    buffer_release(&text);
    struct arena small;
    struct error err = {0};
    struct yaml_node *root;
    arena_init(&small, 300);
    assert_int_equal(yaml_parse(SLICE("a: [1, 2, 3, 4]"), "f.yaml", &small, &root, &err), -1);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    arena_release(&small);
}

static void files_are_read_within_a_limit(void **state)
{
    (void)state;
    char path[] = "/tmp/yaml_test_XXXXXX";
    struct slice text;
    struct error err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    close(fd);
    assert_int_equal(file_read(path, 10, &arena, &text, &err), 0);
    assert_true(slice_equal_string(text, "0123456789"));
    assert_int_equal(file_read(path, 9, &arena, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_TOO_LARGE);
    unlink(path);
    assert_int_equal(file_read(path, 10, &arena, &text, &err), -1);
    assert_int_equal(err.kind, ERROR_NOT_FOUND);
    assert_int_equal(file_read("/", 10, &arena, &text, &err), -1);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tree_knows_its_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(accepts_what_people_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rejects_with_a_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rejects_what_is_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_are_read_within_a_limit, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
