/* SPDX-License-Identifier: MIT */
/* XS_CONTROL: commands to the daemon itself, for control domains. Answers are text. */
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/journal.h"
#include "xenstored/store.h"

#define ARGS_MAX 8

struct control {
    struct request *rq;
    const char *arg[ARGS_MAX];
    int nargs;
    bool later;     /* no reply now */
    char out[XENSTORE_PAYLOAD_MAX];
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) say(struct control *c, const char *fmt, ...)
{
    size_t room = sizeof(c->out) - c->used;
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(c->out + c->used, room, fmt, ap);
    va_end(ap);
    if (n > 0)
        c->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* ---- check: the books against the tree ---- */

static int count_node(void *arg, const char *path, const struct node *n, bool *skip)
{
    struct usage *found = arg;

    found[perms_owner(n->perms)].nodes++;
    found[perms_owner(n->perms)].bytes += (int64_t)node_bytes(n);
    return 0;
}

static int cmd_check(struct control *c)
{
    if (c->nargs)
        return EINVAL;
    struct store *s = c->rq->s;
    struct usage *found = calloc(UINT16_MAX + 1, sizeof(*found));
    unsigned wrong = 0;

    if (!found)
        return ENOMEM;
    int err = tree_walk(&s->tree, "/", count_node, found);
    for (unsigned i = 0; i <= UINT16_MAX && !err; i++)
        if (memcmp(&found[i].nodes, &s->books.flat[i].nodes, sizeof(found[i].nodes)) ||
            found[i].bytes != s->books.flat[i].bytes) {
            say(c, "domain %u: %d nodes counted, %d there\n", i, s->books.flat[i].nodes,
                found[i].nodes);
            wrong++;
        }
    free(found);
    if (!err && !wrong)
        say(c, "OK");
    return err;
}

/* ---- Logging ---- */

static const char *const trace_name[TRACE_COUNT] = {
#define X(id, name) [TRACE_BIT_##id] = name,
    TRACE_TABLE(X)
#undef X
};

static int log_show(struct control *c)
{
    const struct store *s = c->rq->s;

    say(c, "Log is %s. Switches:\n", s->trace ? "on" : "off");
    for (int i = 0; i < TRACE_COUNT; i++)
        say(c, "%-8s: %s\n", trace_name[i], s->trace_switches & 1u << i ? "on" : "off");
    return 0;
}

/* "+name" or "-name" */
static int log_switch(struct store *s, const char *text)
{
    for (unsigned i = 0; i < TRACE_COUNT; i++) {
        if (strcmp(text + 1, trace_name[i]))
            continue;
        if (*text == '+')
            s->trace_switches |= 1u << i;
        else
            s->trace_switches &= ~(1u << i);
        if (s->trace)
            s->trace = s->trace_switches;
        return 0;
    }
    return EINVAL;
}

/* What is logged, and where, is what the next daemon logs. */
static void log_set(struct control *c)
{
    JOURNAL(c->rq->s, journal_log_(c->rq->s));
    say(c, "OK");
}

static int cmd_log(struct control *c)
{
    struct store *s = c->rq->s;
    int err = 0;

    if (!c->nargs)
        return log_show(c);
    if (c->nargs > 1)
        return EINVAL;
    if (!strcmp(c->arg[0], "on"))
        s->trace = s->trace_switches;
    else if (!strcmp(c->arg[0], "off"))
        s->trace = 0;
    else if (*c->arg[0] == '+' || *c->arg[0] == '-')
        err = log_switch(s, c->arg[0]);
    else
        err = EINVAL;
    if (!err)
        log_set(c);
    return err;
}

/* As Xen: the file is named, and logging begins. Relative names are below the daemon's working directory. */
static int cmd_logfile(struct control *c)
{
    struct store *s = c->rq->s;
    int err = c->nargs == 1 && *c->arg[0] ? store_log_name(s, c->arg[0]) : EINVAL;

    if (err)
        return err;
    s->trace = s->trace_switches;
    log_set(c);
    return 0;
}

/* ---- memreport ---- */

static void report_domains(const struct store *s, FILE *to)
{
    const struct domain *d;

    fprintf(to, "%7s %8s %10s %8s %8s %8s %8s\n", "domain", "nodes", "bytes", "watches", "transact",
            "outstand", "unsent");
    LIST_FOREACH(d, &s->domains, link) {
        struct usage u = s->books.flat[d->domid];

        fprintf(to, "%7u %8d %10lld %8u %8u %8u %8zu\n", d->domid, u.nodes,
                (long long)(u.bytes + d->memory), d->used[QUOTA_WATCHES],
                d->used[QUOTA_TRANSACTIONS], d->used[QUOTA_OUTSTANDING],
                d->conn ? d->conn->out_bytes : 0);
    }
}

static void report(const struct store *s, FILE *to)
{
    struct mallinfo2 m = mallinfo2();

    fprintf(to, "heap in use %zu bytes, mapped %zu, free %zu\n", m.uordblks, m.hblkhd, m.fordblks);
    fprintf(to, "connections %u, watches %zu, transactions %u, generation %llu\n", s->nr_conns,
            s->watches.count, s->nr_txs, (unsigned long long)s->generation);
}

/* The sums are the answer; with a file, or without an open log, one line per domain goes there. */
static int cmd_memreport(struct control *c)
{
    const struct store *s = c->rq->s;
    FILE *to = NULL, *answer;

    if (c->nargs > 1)
        return EINVAL;
    if (c->nargs) {
        to = store_append(c->arg[0]);
        if (!to)
            return errno;
    }
    if (to || s->log) {
        report(s, to ? to : s->log);
        report_domains(s, to ? to : s->log);
        fflush(to ? to : s->log);
    }
    if (to)
        fclose(to);
    answer = fmemopen(c->out, sizeof(c->out), "w");
    if (!answer)
        return ENOMEM;
    report(s, answer);
    c->used = (size_t)ftell(answer);
    fclose(answer);
    return 0;
}

static int cmd_print(struct control *c)
{
    if (c->nargs != 1)
        return EINVAL;
    kr_log(KR_INFO, "control: %s", c->arg[0]);
    say(c, "OK");
    return 0;
}

/* ---- quota ---- */

#define SOFT_PREFIX "soft-"

static int quota_list(struct control *c, bool soft)
{
    say(c, "Quota settings:\n");
    for (int i = 0; i < QUOTA_COUNT; i++)
        if (quota_is_soft(i) == soft)
            say(c, "%-17s: %8u %s\n", quota_info[i].name + (soft ? strlen(SOFT_PREFIX) : 0),
                c->rq->s->quota[i], quota_info[i].text);
    return 0;
}

static int quota_of_domain(struct control *c, const char *text)
{
    static const enum quota_id shown[] = { QUOTA_NODES, QUOTA_WATCHES, QUOTA_TRANSACTIONS,
                                           QUOTA_OUTSTANDING, QUOTA_MEMORY };
    const struct store *s = c->rq->s;
    uint64_t id;
    int err = request_number(text, UINT16_MAX, &id);

    if (err)
        return err;
    const struct domain *d = domain_find(s, (uint16_t)id);
    if (!d)
        return ENOENT;
    say(c, "Domain %u:\n", d->domid);
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        say(c, "%-16s: %8lld\n", quota_info[shown[i]].name, (long long)quota_used(s, d, shown[i]));
    return 0;
}

/* The most that any guest has come to since the start, or since "max -r". */
static int quota_max(struct control *c)
{
    struct store *s = c->rq->s;

    if (c->nargs > 2 || (c->nargs == 2 && strcmp(c->arg[1], "-r")))
        return EINVAL;
    if (c->nargs == 2)
        memset(s->peak, 0, sizeof(s->peak));
    say(c, "Max. seen values per domain:\n");
    for (int q = 0; q < QUOTA_COUNT; q++)
        if (!quota_is_soft(q))
            say(c, "%-17s: %8lld\n", quota_info[q].name, (long long)s->peak[q]);
    return 0;
}

static int set_quota(struct control *c, bool soft)
{
    char name[32];
    uint64_t value;

    if (c->nargs != 3 ||
        snprintf(name, sizeof(name), "%s%s", soft ? SOFT_PREFIX : "", c->arg[1]) >= (int)sizeof(name))
        return EINVAL;
    int q = quota_by_name(name);
    if (q < 0 || quota_is_soft(q) != soft || request_number(c->arg[2], UINT32_MAX, &value))
        return EINVAL;
    quota_set(c->rq->s, NULL, (enum quota_id)q, (unsigned)value);
    say(c, "OK");
    return 0;
}

static int cmd_quota(struct control *c)
{
    if (!c->nargs)
        return quota_list(c, false);
    if (!strcmp(c->arg[0], "set"))
        return set_quota(c, false);
    if (!strcmp(c->arg[0], "max"))
        return quota_max(c);
    return c->nargs == 1 ? quota_of_domain(c, c->arg[0]) : EINVAL;
}

static int cmd_quota_soft(struct control *c)
{
    if (!c->nargs)
        return quota_list(c, true);
    return strcmp(c->arg[0], "set") ? EINVAL : set_quota(c, true);
}

static int cmd_live_update(struct control *c)
{
    const char *answer = NULL;
    int err = update_control(c->rq, c->arg, c->nargs, &answer);

    if (!err && answer)
        say(c, "%s", answer);
    c->later = !err && !answer;
    return err;
}

static int cmd_help(struct control *c);

static const struct command {
    const char *name, *args;
    int (*fn)(struct control *c);
} commands[] = {
    { "check", "", cmd_check },
    { "help", "", cmd_help },
    { "live-update", "[-c CMDLINE] [-F] [-t TIMEOUT] [-v VERSION] FILE", cmd_live_update },
    { "log", "[on|off|+SWITCH|-SWITCH]", cmd_log },
    { "logfile", "FILE", cmd_logfile },
    { "memreport", "[FILE]", cmd_memreport },
    { "print", "TEXT", cmd_print },
    { "quota", "[set NAME VALUE|DOMID|max [-r]]", cmd_quota },
    { "quota-soft", "[set NAME VALUE]", cmd_quota_soft },
};

static int cmd_help(struct control *c)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        say(c, "%-15s %s\n", commands[i].name, commands[i].args);
    return 0;
}

int control_handle(struct request *rq)
{
    struct control c = { .rq = rq };
    const char *p = rq->data, *end = p + rq->hdr.len, *name = p;

    if (p == end || end[-1])
        return EINVAL;
    for (p += strlen(p) + 1; p < end; p += strlen(p) + 1) {
        if (c.nargs == ARGS_MAX)
            return EINVAL;
        c.arg[c.nargs++] = p;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (!strcmp(name, commands[i].name)) {
            int err = commands[i].fn(&c);
            return err || c.later ? err : conn_reply(rq, c.out, c.used + 1);
        }
    return EINVAL;
}
