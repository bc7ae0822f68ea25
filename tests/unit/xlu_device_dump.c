/* SPDX-License-Identifier: MIT */
/* Reads lines of xlu_device_specs.txt and writes them with this library's results instead of the ones there. */
#include "xlu_device_dump.h"

int main(void)
{
    static char line[4096];
    FILE *sink = fopen("/dev/null", "w");
    XLU_Config *cfg = sink ? xlu_cfg_init(sink, "dump") : NULL;

    while (cfg && fgets(line, sizeof(line), stdin)) {
        char *arrow = strstr(line, " => "), *result, *copy;

        line[strcspn(line, "\n")] = '\0';
        if (arrow) {
            *arrow = '\0';
        }
        copy = line[0] && line[0] != '#' && line[0] != '!' ? strdup(line) : NULL;
        if (!copy) {
            puts(line);
            continue;
        }
        result = dump_spec(cfg, copy);
        printf("%s => %s\n", line, result);
        free(result);
        free(copy);
    }
    return !cfg;
}
