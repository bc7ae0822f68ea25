/* SPDX-License-Identifier: MIT */
/*
 * Commands that change a domain's life: destroy, shutdown, reboot, pause, unpause, rename, trigger, sysrq; and
 * dump-core.
 */
#include "xl/xl.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* For a command without options and with `operands` operands: the domain that the first one names. 0 or -1. */
static int domain_operand(struct xl *xl, int argc, char **argv, int operands, uint32_t *domid)
{
    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, operands, operands);
    return xl_find_domain(xl, argv[optind], domid);
}

int main_destroy(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    int rc;

    if (domain_operand(xl, argc, argv, 1, &domid)) {
        return 1;
    }
    if (domid == 0) {
        xl_error("domain 0 is the host: it cannot be destroyed");
        return 1;
    }
    rc = libxl_domain_destroy(xl->ctx, domid, NULL);
    return rc ? xl_fail(xl, rc, "cannot destroy domain %u", domid) : 0;
}

typedef int one_call(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how);

static int simple(struct xl *xl, int argc, char **argv, one_call *call, const char *verb)
{
    uint32_t domid;
    int rc;

    if (domain_operand(xl, argc, argv, 1, &domid)) {
        return 1;
    }
    rc = call(xl->ctx, domid, NULL);
    return rc ? xl_fail(xl, rc, "cannot %s domain %u", verb, domid) : 0;
}

int main_pause(struct xl *xl, int argc, char **argv)
{
    return simple(xl, argc, argv, libxl_domain_pause, "pause");
}

int main_unpause(struct xl *xl, int argc, char **argv)
{
    return simple(xl, argc, argv, libxl_domain_unpause, "unpause");
}

int main_dump_core(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    int rc;

    if (domain_operand(xl, argc, argv, 2, &domid)) {
        return 1;
    }
    rc = libxl_domain_core_dump(xl->ctx, domid, argv[optind + 1], NULL);
    return rc ? xl_fail(xl, rc, "cannot write the memory of domain %u to %s", domid, argv[optind + 1]) : 0;
}

/* --- shutdown and reboot --- */

struct stop {
    one_call *call;
    libxl_trigger fallback;
    const char *verb;
    bool all, acpi;
    int wait;
};

static int stop_one(struct xl *xl, const struct stop *how, uint32_t domid)
{
    int rc;

    fprintf(stderr, "%s domain %u\n", how->call == libxl_domain_reboot ? "Rebooting" : "Shutting down", domid);
    rc = how->call(xl->ctx, domid, NULL);
    if (rc == ERROR_NOPARAVIRT && how->acpi) {
        rc = libxl_send_trigger(xl->ctx, domid, how->fallback, 0, NULL);
    } else if (rc == ERROR_NOPARAVIRT) {
        xl_error("the guest in domain %u has no driver that listens: it still starts, or use -F or `xl destroy`", domid);
        return 1;
    }
    return rc ? xl_fail(xl, rc, "cannot %s domain %u", how->verb, domid) : 0;
}

/* Waits until each of the domains has shut down (or is gone; only gone counts when wait > 1). */
static int wait_for_end(struct xl *xl, const uint32_t *domids, unsigned nr, int wait)
{
    libxl_evgen_domain_death **death = calloc(nr, sizeof(*death));
    bool *done = calloc(nr, sizeof(*done));
    unsigned left = nr;
    int rc = death && done ? 0 : 1;
    libxl_event *event;

    for (unsigned i = 0; i < nr && !rc; i++) {
        rc = libxl_evenable_domain_death(xl->ctx, domids[i], i, &death[i]) ? 1 : 0;
    }
    while (left && !rc) {
        if (libxl_event_wait(xl->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL)) {
            xl_error("cannot wait for the domains to end");
            rc = 1;
            break;
        }
        if (event->for_user < nr && !done[event->for_user] &&
            (event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH ||
             (event->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN && wait < 2))) {
            done[event->for_user] = true;
            left--;
            fprintf(stderr, "Domain %u has %s\n", event->domid,
                    event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH ? "been destroyed" : "been shut down");
        }
        libxl_event_free(xl->ctx, event);
    }
    for (unsigned i = 0; death && i < nr; i++) {
        if (death[i]) {
            libxl_evdisable_domain_death(xl->ctx, death[i]);
        }
    }
    free(death);
    free(done);
    return rc;
}

static int stop_main(struct xl *xl, int argc, char **argv, struct stop *how)
{
    uint32_t *domids = NULL;
    libxl_dominfo *info;
    int c, nr = 0, all = 0, rc = 0;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        how->all |= c == 'a';
        how->acpi |= c == 'F';
        how->wait += c == 'w';
    }
    xl_operands(xl, argc, how->all ? 0 : 1, how->all ? 0 : 1);
    if (xl_ctx_open(xl)) {
        return 1;
    }
    if (!how->all) {
        domids = calloc(1, sizeof(*domids));
        if (!domids || xl_find_domain(xl, argv[optind], domids)) {
            free(domids);
            return 1;
        }
        nr = 1;
    } else {
        info = libxl_list_domain(xl->ctx, &all);
        domids = calloc((size_t)all + 1, sizeof(*domids));
        for (int i = 0; info && domids && i < all; i++) {
            if (info[i].domid && !info[i].shutdown) {
                domids[nr++] = info[i].domid;
            }
        }
        libxl_dominfo_list_free(info, all);
    }
    /* One that fails must not keep the others from being told. */
    for (int i = 0; i < nr; i++) {
        int e = domids[i] ? stop_one(xl, how, domids[i]) : 1;

        if (!domids[i]) {
            xl_error("domain 0 is the host: use the host's own shutdown");
        }
        if (e) {
            rc = e;
            domids[i--] = domids[--nr];
        }
    }
    if (how->wait && nr) {
        rc = wait_for_end(xl, domids, (unsigned)nr, how->wait) ? 1 : rc;
    }
    free(domids);
    return rc;
}

int main_shutdown(struct xl *xl, int argc, char **argv)
{
    return stop_main(xl, argc, argv, &(struct stop){ .call = libxl_domain_shutdown, .fallback = LIBXL_TRIGGER_POWER,
                                                  .verb = "shut down" });
}

int main_reboot(struct xl *xl, int argc, char **argv)
{
    return stop_main(xl, argc, argv, &(struct stop){ .call = libxl_domain_reboot, .fallback = LIBXL_TRIGGER_RESET,
                                                  .verb = "reboot" });
}

/* --- smaller ones --- */

int main_rename(struct xl *xl, int argc, char **argv)
{
    const char *name;
    uint32_t domid, other;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    name = argv[optind + 1];
    if (xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    if (!*name || strlen(name) > 128 || strpbrk(name, "/ \t\n") || name[strspn(name, "0123456789")] == '\0') {
        xl_error("'%s' cannot be a domain's name: 1 to 128 characters, not only digits, no blanks and no '/'", name);
        return 1;
    }
    if (!libxl_name_to_domid(xl->ctx, name, &other) && other != domid) {
        xl_error("the name '%s' is in use by domain %u", name, other);
        return 1;
    }
    rc = libxl_domain_rename(xl->ctx, domid, NULL, name);
    return rc ? xl_fail(xl, rc, "cannot rename domain %u", domid) : 0;
}

int main_trigger(struct xl *xl, int argc, char **argv)
{
    libxl_trigger trigger;
    uint32_t domid;
    long vcpu = 0;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 3);
    if (libxl_trigger_from_string(argv[optind + 1], &trigger)) {
        xl_usage_error(xl, "there is no trigger '%s'", argv[optind + 1]);
    }
    if (argc - optind == 3 && xl_parse_number("the vCPU", argv[optind + 2], 0, 127, &vcpu)) {
        return 1;
    }
    if (xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    rc = libxl_send_trigger(xl->ctx, domid, trigger, (uint32_t)vcpu, NULL);
    return rc ? xl_fail(xl, rc, "cannot send the trigger to domain %u", domid) : 0;
}

int main_sysrq(struct xl *xl, int argc, char **argv)
{
    uint32_t domid;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    if (strlen(argv[optind + 1]) != 1 || !isalnum((unsigned char)argv[optind + 1][0])) {
        xl_usage_error(xl, "'%s' is not one letter or digit", argv[optind + 1]);
    }
    if (xl_find_domain(xl, argv[optind], &domid)) {
        return 1;
    }
    rc = libxl_send_sysrq(xl->ctx, domid, argv[optind + 1][0]);
    return rc ? xl_fail(xl, rc, "cannot send the SysRq to domain %u", domid) : 0;
}

int main_debug_keys(struct xl *xl, int argc, char **argv)
{
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 1, 1);
    if (xl_ctx_open(xl)) {
        return 1;
    }
    rc = libxl_send_debug_keys(xl->ctx, argv[optind]);
    return rc ? xl_fail(xl, rc, "the core did not take the debug keys") : 0;
}
