/* manager: alerting as the rest of the daemon sees it.
 *
 * One thread ("alert") evaluates the groups on schedule; another ("notify") sends. Both are
 * started and joined here. Without rule files there are simply no groups.
 */
#ifndef SERVER_ALERT_MANAGER_H
#define SERVER_ALERT_MANAGER_H

#include "server/alert/board.h"
#include "server/config.h"
#include "server/writer.h"

struct alerts;

/* Reads the rules, restores states and outbox, starts the threads. The config must outlive the
 * call only. */
MUST_USE int alerts_open(const struct config *config, struct store *store, struct writer *writer,
                         struct alerts **out, struct error *err);
/* For --check-config: only reads the rules. */
MUST_USE int alerts_check(const struct config *config, struct error *err);
/* Reads the rules again and, when all of them are good, swaps them and alerting.* in after the
 * evaluation in progress; alerts keep their states. Any thread. */
MUST_USE int alerts_reload(struct alerts *alerts, const struct config *config, struct error *err);
/* The server is about to stop: what is being sent gets 3 s from now, beside all else that ends;
 * nothing more is begun. NULL is fine. */
void alerts_hurry(struct alerts *alerts);
/* Finishes the evaluation and the send in flight, hurried now at the latest, and joins. The writer
 * must still be running. NULL is fine. */
void alerts_close(struct alerts *alerts);

/* Calls visit with the board held still. Any thread; keep it short. */
void alerts_visit(struct alerts *alerts, void (*visit)(const struct alert_board *board, void *arg),
                  void *arg);

#endif
