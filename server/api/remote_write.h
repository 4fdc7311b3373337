/* remote_write: POST /api/v1/write, samples that another Prometheus (or agent) sends.
 *
 * Version 1 of the protocol; 204 once all is durable. Its route stands beside that of the import,
 * whose context it shares. Handlers run on the HTTP workers.
 * Source: "Prometheus Remote-Write Specification 1.0".
 */
#ifndef SERVER_API_REMOTE_WRITE_H
#define SERVER_API_REMOTE_WRITE_H

#include "server/api/import.h"

/* Registers the figures. Before requests come. */
void remote_write_start(void);
void remote_write_handle(const struct http_request *request, struct http_reply *reply);

#endif
