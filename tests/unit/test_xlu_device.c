/* SPDX-License-Identifier: MIT */
/* Device specifications: the results of xlu_device_specs.txt, and messages that name what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/xlu_device_dump.h"

static FILE *report;
static char *report_text;
static size_t report_len;

static XLU_Config *new_config(const char *text)
{
    XLU_Config *cfg;

    if (report) {
        fclose(report);
        free(report_text);
    }
    report = open_memstream(&report_text, &report_len);
    cfg = xlu_cfg_init(report, "t.cfg");
    assert_non_null(cfg);
    assert_int_equal(xlu_cfg_readdata(cfg, text, (int)strlen(text)), 0);
    return cfg;
}

static void table(void **state)
{
    const char *src = getenv("KR_SRCDIR");
    XLU_Config *cfg = new_config("");
    char path[4096], line[4096];
    int rows = 0, wrong = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/tests/unit/xlu_device_specs.txt", src ? src : ".");
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        char *row = line + (line[0] == '!'), *arrow = strstr(row, " => "), *result, shown[4096];

        if (row[0] == '#' || !arrow) {
            continue;
        }
        line[strcspn(line, "\n")] = '\0';
        *arrow = '\0';
        strcpy(shown, row);
        result = dump_spec(cfg, row);
        if (strcmp(result, arrow + 4)) {
            print_error("%s: %s, not %s\n", shown, result, arrow + 4);
            wrong++;
        }
        fflush(report);
        if (*result != '0' && !report_len) {
            print_error("%s: refused without a word\n", shown);
            wrong++;
        }
        rewind(report);
        free(result);
        rows++;
    }
    fclose(f);
    assert_int_equal(wrong, 0);
    assert_true(rows > 500);
    xlu_cfg_destroy(cfg);
}

static void says(const char *row, const char *part)
{
    XLU_Config *cfg = new_config("disk = ['one',\n  'two']\nrdm = 'x'\n");
    char line[256], *result;

    xlu_cfg_at(cfg, row[0] == 'r' ? "rdm" : row[0] == 'v' ? NULL : "disk", 1);
    snprintf(line, sizeof(line), "%s", row);
    result = dump_spec(cfg, line);
    assert_string_not_equal(result, "0");
    free(result);
    fflush(report);
    if (!strstr(report_text, part)) {
        fail_msg("'%s' is answered by '%s', without '%s'", row, report_text, part);
    }
    assert_ptr_equal(strchr(report_text, '\n'), report_text + report_len - 1);
    xlu_cfg_destroy(cfg);
}

static void messages(void **state)
{
    says("d x,bogus,hda", "t.cfg:2:3: disk 'x,bogus,hda': format 'bogus' is none of: raw, qcow, qcow2, vhd, qed, empty");
    says("d x,raw,hda,q", "access 'q' is none of: r, ro, w, rw");
    says("d vdve=hda,target=x", "there is no parameter 'vdve'");
    says("d vdev=a,vdev=b,target=x", "vdev is given twice: 'a' and 'b'");
    says("d x,raw", "no vdev is given");
    says("d format=raw,vdev=hda", "no target is given");
    says("d tpa:/x,hda,w", "'tpa:' is no known prefix");
    says("d /a=b,raw,hda", "there is no parameter '/a' (a target with '=' needs target=)");
    says("d x,raw,hda,w,more", "'more' is one positional value too many");
    says("d x,raw,hda:tape", "devtype 'tape' is none of: cdrom, disk");
    says("d x,raw,hda,colo-port=7x", "colo-port '7x' is not a port");
    says("d vhd:raw:/x,hda", "format 'raw' contradicts the format given before");
    says("v 10", "t.cfg: vif rate '10': '10' is no rate");
    says("v 10Mb/s@20ns", "'20ns' is no interval");
    says("v 0Mb/s", "the rate '0Mb/s' is 0 or too large");
    says("v 1MB/s@5000s", "the interval '5000s' is 0 or too long");
    says("b 36:20.0", "'36:20.0' is no device");
    says("p 36:00.0@20", "'20' after '@' is no slot");
    says("p 36:00.0,sieze=1", "there is no option 'sieze'");
    says("p 36:00.0,seize", "'seize' is no KEY=VALUE");
    says("p 36:00.0,name=x", "both a device and a name are given");
    says("p seize=1", "neither a device nor a name is given");
    says("p name=x,rdm_policy=lax", "rdm_policy 'lax' is none of: strict, relaxed");
    says("r strategy=guest", "t.cfg:3: rdm 'strategy=guest': strategy 'guest' is none of: host");
    says("r strategy=host,policy=lax", "policy 'lax' is none of: strict, relaxed");
}

/* Stock leaves what it was given before; so do we, and nothing leaks. */
static void keeps_what_is_there(void **state)
{
    XLU_Config *cfg = new_config("");
    const char *spec = "/x,raw,hda";
    libxl_device_disk disk;

    libxl_device_disk_init(&disk);
    disk.backend_domname = strdup("storage");
    assert_int_equal(xlu_disk_parse(cfg, 1, &spec, &disk), 0);
    assert_string_equal(disk.backend_domname, "storage");
    spec = "backend=other";
    assert_int_equal(xlu_disk_parse(cfg, 1, &spec, &disk), EINVAL);
    libxl_device_disk_dispose(&disk);
    libxl_device_disk_init(&disk);
    assert_int_equal(xlu_disk_parse(cfg, 0, NULL, &disk), 0);
    assert_int_equal(disk.format, LIBXL_DISK_FORMAT_RAW);
    assert_int_equal(disk.readwrite, 1);
    libxl_device_disk_dispose(&disk);
    xlu_cfg_destroy(cfg);
}

static int close_report(void **state)
{
    fclose(report);
    free(report_text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(messages),
        cmocka_unit_test(keeps_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, close_report);
}
