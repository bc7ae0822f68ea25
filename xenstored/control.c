/* SPDX-License-Identifier: MIT */
/* XS_CONTROL: commands to the daemon itself, for control domains. Answers are text. */
#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "xenstored/store.h"

#define ARGS_MAX 8

struct control {
    struct request *rq;
    const char *arg[ARGS_MAX];
    int nargs;
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

static int cmd_log(struct control *c)
{
    struct store *s = c->rq->s;

    if (c->nargs > 1)
        return EINVAL;
    if (c->nargs && strcmp(c->arg[0], "on") && strcmp(c->arg[0], "off"))
        return EINVAL;
    if (!c->nargs) {
        say(c, "%s", s->trace ? "on" : "off");
        return 0;
    }
    s->trace = !strcmp(c->arg[0], "on");
    say(c, "OK");
    return 0;
}

static int cmd_memreport(struct control *c)
{
    struct mallinfo2 m = mallinfo2();
    const struct store *s = c->rq->s;

    say(c, "heap in use %zu bytes, mapped %zu, free %zu\n", m.uordblks, m.hblkhd, m.fordblks);
    say(c, "connections %u, watches %zu, generation %llu\n", s->nr_conns, s->watches.count,
        (unsigned long long)s->generation);
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

static void quota_list(struct control *c)
{
    for (int i = 0; i < QUOTA_COUNT; i++)
        say(c, "%-20s %8u\n", quota_info[i].name, c->rq->s->quota[i]);
}

static int quota_of_domain(struct control *c, const char *text)
{
    const struct store *s = c->rq->s;
    char *end;
    unsigned long id = strtoul(text, &end, 10);

    if (*end || id > UINT16_MAX)
        return EINVAL;
    const struct domain *d = domain_find(s, (uint16_t)id);
    if (!d)
        return ENOENT;
    say(c, "Domain %lu:\n", id);
    say(c, "%-20s %8d\n", quota_info[QUOTA_NODES].name, s->books.flat[id].nodes);
    say(c, "%-20s %8u\n", quota_info[QUOTA_WATCHES].name, d->used[QUOTA_WATCHES]);
    say(c, "%-20s %8u\n", quota_info[QUOTA_TRANSACTIONS].name, d->used[QUOTA_TRANSACTIONS]);
    say(c, "%-20s %8u\n", quota_info[QUOTA_OUTSTANDING].name, d->used[QUOTA_OUTSTANDING]);
    say(c, "%-20s %8lld\n", quota_info[QUOTA_MEMORY].name,
        (long long)(s->books.flat[id].bytes + d->memory));
    return 0;
}

static int cmd_quota(struct control *c)
{
    if (!c->nargs) {
        quota_list(c);
        return 0;
    }
    if (strcmp(c->arg[0], "set"))
        return c->nargs == 1 ? quota_of_domain(c, c->arg[0]) : EINVAL;
    if (c->nargs != 3)
        return EINVAL;
    char *end;
    int q = quota_by_name(c->arg[1]);
    unsigned long value = strtoul(c->arg[2], &end, 10);
    if (q < 0 || !*c->arg[2] || *end || value > INT32_MAX)
        return EINVAL;
    c->rq->s->quota[q] = (unsigned)value;
    say(c, "OK");
    return 0;
}

static int cmd_live_update(struct control *c)
{
    say(c, "live update is not supported by this daemon yet");
    return 0;
}

static int cmd_help(struct control *c);

static const struct command {
    const char *name, *args;
    int (*fn)(struct control *c);
} commands[] = {
    { "check", "", cmd_check },
    { "help", "", cmd_help },
    { "live-update", "[-c CMDLINE] [-F] [-t TIMEOUT] FILE", cmd_live_update },
    { "log", "[on|off]", cmd_log },
    { "memreport", "", cmd_memreport },
    { "print", "TEXT", cmd_print },
    { "quota", "[set NAME VALUE|DOMID]", cmd_quota },
};

static int cmd_help(struct control *c)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        say(c, "%s %s\n", commands[i].name, commands[i].args);
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
            return err ? err : conn_reply(rq, c.out, c.used + 1);
        }
    return EINVAL;
}
