/* admin: what an operator asks of the store. The server does it; this waits and says how it went.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clients/lapwing/cli.h"

/* A number of the answer's data, 0 when it is not there. */
static double number_of(const cJSON *json, const char *name)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(data, name);
    return cJSON_IsNumber(number) ? number->valuedouble : 0;
}

int command_compact(const struct cli *cli)
{
    char *body;
    if (http_post_patiently(cli, "/api/v1/admin/tsdb/compact", "", &body))
        return 1;
    cJSON *json = json_of(body);
    if (json)
        printf("compacted in %.1f s, %.1f MiB on disk\n", number_of(json, "took_ms") / 1e3,
               number_of(json, "disk_bytes") / (1 << 20));
    free(body);
    cJSON_Delete(json);
    return json ? 0 : 1;
}
