/* run: `lapwing test rules FILE...` and `lapwing check rules FILE...`.
 *
 * Prints what promtool prints: the files and their success on stdout, what failed on stderr. Main
 * thread, no server.
 */
#ifndef SERVER_RULETEST_RUN_H
#define SERVER_RULETEST_RUN_H

/* The exit status: 0, or 1 when something failed or cannot be read. `files` ends with NULL. */
int rule_tests_run(char *const *files);
int rule_files_check(char *const *files);

#endif
