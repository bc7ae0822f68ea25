/* SPDX-License-Identifier: MIT */
/* Any text as a configuration: no crash, no leak, and every getter on every key. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <libxl_utils.h>
#include <libxlutil.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *sink;

static void read_key(XLU_Config *cfg, const char *key)
{
    libxl_string_list sl = NULL;
    libxl_defbool b;
    const char *s;
    int nr = 0;
    long n;

    xlu_cfg_get_string(cfg, key, &s, 0);
    xlu_cfg_get_long(cfg, key, &n, 0);
    xlu_cfg_get_defbool(cfg, key, &b, 0);
    xlu_cfg_get_list(cfg, key, NULL, &nr, 0);
    if (!xlu_cfg_get_list_as_string_list(cfg, key, &sl, 0)) {
        if (libxl_string_list_length(&sl) != nr) {
            abort();
        }
        libxl_string_list_dispose(&sl);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    XLU_Config *cfg;
    const char *key;

    if (!sink) {
        sink = fopen("/dev/null", "w");
    }
    cfg = sink ? xlu_cfg_init(sink, "fuzz") : NULL;
    if (cfg && !xlu_cfg_readdata(cfg, (const char *)data, (int)size)) {
        for (int i = 0; i < 50 && (key = xlu_cfg_key(cfg, i, NULL)); i++) {
            read_key(cfg, key);
        }
    }
    xlu_cfg_destroy(cfg);
    return 0;
}
