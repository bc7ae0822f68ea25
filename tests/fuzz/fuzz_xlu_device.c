/* SPDX-License-Identifier: MIT */
/*
 * Any text as a device specification: no crash and no leak. The first byte chooses the parser, as in
 * tests/unit/xlu_device_specs.txt. What a disk is parsed to must mean the same when it is written out in
 * key=value form and parsed again.
 */
#include <stdint.h>

#include "tests/unit/xlu_device_dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *sink;

static void check_disk(XLU_Config *cfg, const char *text)
{
    libxl_device_disk a, b;
    char *spec = NULL;

    libxl_device_disk_init(&a);
    libxl_device_disk_init(&b);
    if (!xlu_disk_parse(cfg, 1, &text, &a) && !strchr(a.vdev, ',')) {
        if (asprintf(&spec, "vdev=%s,access=%s,%sformat=%s,target=%s,", a.vdev, a.readwrite ? "rw" : "r",
                     a.is_cdrom ? "cdrom," : "", libxl_disk_format_to_string(a.format),
                     a.pdev_path ? a.pdev_path : "") < 0 ||
            xlu_disk_parse(cfg, 1, (const char *const *)&spec, &b) || strcmp(a.vdev, b.vdev) ||
            strcmp(a.pdev_path ? a.pdev_path : "", b.pdev_path) || a.readwrite != b.readwrite ||
            a.format != b.format || a.is_cdrom != b.is_cdrom) {
            abort();
        }
    }
    free(spec);
    libxl_device_disk_dispose(&a);
    libxl_device_disk_dispose(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    XLU_Config *cfg;
    char *line;

    if (!sink) {
        sink = fopen("/dev/null", "w");
    }
    line = size > 2 ? strndup((const char *)data, size) : NULL;
    cfg = sink ? xlu_cfg_init(sink, "fuzz") : NULL;
    if (line && cfg && strlen(line) > 2) {
        if (line[0] == 'd') {
            check_disk(cfg, line + 2);
        }
        free(dump_spec(cfg, line));
    }
    xlu_cfg_destroy(cfg);
    free(line);
    return 0;
}
