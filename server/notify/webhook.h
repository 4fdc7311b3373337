/* webhook: a message as Alertmanager's webhook body, version 4, so that existing receivers work.
 * Pure; any thread.
 */
#ifndef SERVER_NOTIFY_WEBHOOK_H
#define SERVER_NOTIFY_WEBHOOK_H

#include "server/notify/message.h"

/* Appends the JSON. */
void webhook_format(const struct message *message, struct buffer *out);

#endif
