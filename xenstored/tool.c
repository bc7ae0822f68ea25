/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
/*
 * xenstore: the store from the command line. One program; which command it is comes from the name
 * it is called by ("xenstore-ls") or from its first argument ("xenstore ls").
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <xenstore.h>

struct options {
    bool full, perms, prefix, tidy, up, recurse, wide, raw, json;
    long count, depth;  /* below 0: without */
};

struct run {
    bool more;          /* a JSON list has an element already */
    struct xs_handle *h;
    xs_transaction_t t;
    struct options o;
    int nargs;
    char **arg;
};

/* Functions return false after having said why on stderr; errno tells EAGAIN from the rest. */
static bool complain(const char *what, const char *path)
{
    int err = errno;

    fprintf(stderr, "xenstore: cannot %s %s: %s\n", what, path, strerror(err));
    errno = err;
    return false;
}

/* ---- Printing ---- */

/* A value with everything that is not printable as C escapes. */
static char *printable(const char *value, unsigned len)
{
    static const char plain[] = "\n\r\t\\", letter[] = "nrt\\";
    char *out = malloc(4 * (size_t)len + 1), *p = out;

    for (unsigned i = 0; out && i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        const char *esc = c ? strchr(plain, c) : NULL;

        if (esc)
            p += sprintf(p, "\\%c", letter[esc - plain]);
        else if (c < ' ' || c >= 0x7f)
            p += sprintf(p, "\\%03o", c);
        else
            *p++ = (char)c;
    }
    if (out)
        *p = 0;
    return out;
}

/* A node that a walk has come to, and what it has asked about it. */
struct seen {
    char *path;
    unsigned depth;
    struct xs_ask value, perms, kids;
};

/* The entry at *at, which goes on to the next; false after the last. */
static bool next_perm(const struct xs_ask *perms, unsigned *at, char *letter, unsigned *id)
{
    static const char letters[] = "nrwb";
    struct xs_permissions p;

    if (!perms->reply || *at >= perms->len || !xs_strings_to_perms(&p, 1, perms->reply + *at))
        return false;
    *letter = letters[p.perms & 3];
    *id = p.id;
    *at += (unsigned)strlen(perms->reply + *at) + 1;
    return true;
}

static void print_perms(const struct xs_ask *perms)
{
    unsigned at = 0, id;
    const char *comma = "";
    char letter;

    if (!perms->reply)
        return;
    printf("   (");
    for (; next_perm(perms, &at, &letter, &id); comma = ",")
        printf("%s%c%u", comma, letter, id);
    printf(")");
}

/* Each byte of a value is the character with its number, so that none is lost. */
static void print_json_string(const char *text, size_t len)
{
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < ' ' || c >= 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void print_json_perms(const struct xs_ask *perms)
{
    unsigned at = 0, id;
    const char *comma = "";
    char letter;

    printf(", \"permissions\": [");
    for (; next_perm(perms, &at, &letter, &id); comma = ", ")
        printf("%s\"%c%u\"", comma, letter, id);
    putchar(']');
}

/* Whether there is something to be printed of it; false with *ok for one that has gone since it was listed. */
static bool is_there(const struct seen *s, bool *ok)
{
    *ok = s->value.reply || s->value.err == EACCES || s->value.err == ENOENT;
    errno = s->value.err;
    return s->value.reply || s->value.err == EACCES;
}

/* An element of the list that "ls -j" prints. */
static bool print_json_node(struct run *r, const struct seen *s)
{
    bool ok;

    if (!is_there(s, &ok))
        return ok;
    printf("%s\n  {\"path\": ", r->more ? "," : "");
    r->more = true;
    print_json_string(s->path, strlen(s->path));
    printf(", \"value\": ");
    if (s->value.reply)
        print_json_string(s->value.reply, s->value.len);
    else
        printf("null");
    if (r->o.perms)
        print_json_perms(&s->perms);
    putchar('}');
    return true;
}

/* Columns of the terminal, 0 if lines are not to be cut. */
static unsigned line_width(const struct options *o)
{
    struct winsize w;

    if (o->wide || !isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
        return 0;
    return w.ws_col;
}

static bool print_node(struct run *r, const struct seen *s)
{
    unsigned width = line_width(&r->o), depth = s->depth - 1;
    char *text;
    bool ok;

    if (!is_there(s, &ok))
        return ok;
    text = s->value.reply ? printable(s->value.reply, s->value.len) : NULL;
    int head = r->o.full ? printf("%s = ", s->path) : printf("%*s%s = ", (int)depth, "", strrchr(s->path, '/') + 1);
    size_t room = width > (unsigned)head + 6 ? width - (unsigned)head - 2 : 4;
    if (!text)
        printf("(not readable)");
    else if (width && strlen(text) > room)
        printf("\"%.*s...\"", (int)(room - 3), text);
    else
        printf("\"%s\"", text);
    if (r->o.perms)
        print_perms(&s->perms);
    putchar('\n');
    free(text);
    return true;
}

/* ---- Walking a subtree: a stack, as deep trees are allowed ---- */

struct walk {
    struct seen *item;
    size_t count, room;
    bool look;          /* ask for values, and permissions if they are to be printed */
};

static void seen_free(struct seen *s)
{
    free(s->path);
    free(s->value.reply);
    free(s->perms.reply);
    free(s->kids.reply);
}

static bool push(struct walk *w, char *path, unsigned depth)
{
    if (path && w->count == w->room) {
        size_t room = w->room ? w->room * 2 : 64;
        struct seen *grown = realloc(w->item, room * sizeof(*grown));
        if (!grown) {
            free(path);
            return false;
        }
        w->item = grown;
        w->room = room;
    }
    if (path)
        w->item[w->count++] = (struct seen){ .path = path, .depth = depth };
    return path != NULL;
}

static char *join(const char *path, const char *name)
{
    char *out;

    return asprintf(&out, "%s/%s", strcmp(path, "/") ? path : "", name) < 0 ? NULL : out;
}

/* Asks about the items from `first` on: all of a directory's children together, as each round trip takes long. */
static bool ask_about(struct run *r, struct walk *w, size_t first)
{
    size_t n = w->count - first, per = 1u + w->look + (w->look && r->o.perms);
    struct xs_ask *ask = calloc(n * per + 1, sizeof(*ask)), *a = ask;
    bool ok = ask;

    for (size_t i = first; ok && i < w->count; i++) {
        *a++ = (struct xs_ask){ .what = XS_ASK_CHILDREN, .path = w->item[i].path };
        if (per > 1)
            *a++ = (struct xs_ask){ .what = XS_ASK_VALUE, .path = w->item[i].path };
        if (per > 2)
            *a++ = (struct xs_ask){ .what = XS_ASK_PERMISSIONS, .path = w->item[i].path };
    }
    ok = ok && xs_ask_many(r->h, r->t, ask, (unsigned)(n * per));
    a = ask;
    for (size_t i = first; ok && i < w->count; i++) {
        w->item[i].kids = *a++;
        if (per > 1)
            w->item[i].value = *a++;
        if (per > 2)
            w->item[i].perms = *a++;
    }
    free(ask);
    return ok;
}

/* What is below s. ENOENT and EACCES are no errors: then that is nothing. */
static bool push_children(struct run *r, struct walk *w, const struct seen *s)
{
    size_t first = w->count;
    unsigned n = 0;
    bool ok = true;

    if (s->kids.reply) {
        for (const char *p = s->kids.reply; ok && p < s->kids.reply + s->kids.len; p += strlen(p) + 1)
            ok = push(w, join(s->path, p), s->depth + 1);
    } else if (s->kids.err == E2BIG) {
        char **kids = xs_directory(r->h, r->t, s->path, &n);
        for (unsigned i = 0; kids && ok && i < n; i++)
            ok = push(w, join(s->path, kids[i]), s->depth + 1);
        ok = kids ? ok : errno == ENOENT || errno == EACCES;
        free(kids);
    } else {
        errno = s->kids.err;
        return errno == ENOENT || errno == EACCES;
    }
    /* The first is to be on top. */
    for (size_t i = first, j = w->count; i + 1 < j; i++) {
        struct seen t = w->item[i];
        w->item[i] = w->item[--j];
        w->item[j] = t;
    }
    return ok && (w->count == first || ask_about(r, w, first));
}

/* Calls fn for everything below path (path itself has depth 0 and is not included). */
static bool walk_below(struct run *r, const char *path, bool look, bool (*fn)(struct run *r, const struct seen *s))
{
    struct walk w = { .look = look };
    struct seen it = { .path = strdup(path) };
    bool ok = it.path;

    it.kids = (struct xs_ask){ .what = XS_ASK_CHILDREN, .path = it.path };
    ok = ok && xs_ask_many(r->h, r->t, &it.kids, 1) && push_children(r, &w, &it);
    seen_free(&it);
    while (w.count) {
        it = w.item[--w.count];
        ok = ok && fn(r, &it) && push_children(r, &w, &it);
        int err = errno;
        seen_free(&it);
        errno = err;
    }
    free(w.item);
    return ok;
}

/* ---- Commands ---- */

static bool ls_node(struct run *r, const struct seen *s)
{
    return r->o.json ? print_json_node(r, s) : print_node(r, s);
}

static bool cmd_ls(struct run *r)
{
    const char *path = r->nargs ? r->arg[0] : "/";
    unsigned n;
    char **probe = xs_directory(r->h, r->t, path, &n);

    if (!probe)
        return complain("list", path);
    free(probe);
    if (r->o.json)
        putchar('[');
    bool ok = walk_below(r, path, true, ls_node) || complain("list", path);
    if (r->o.json)
        puts(r->more ? "\n]" : "]");
    return ok;
}

static bool cmd_list(struct run *r)
{
    for (int i = 0; i < r->nargs; i++) {
        unsigned n = 0;
        char **kids = xs_directory(r->h, r->t, r->arg[i], &n);

        if (!kids)
            return complain("list", r->arg[i]);
        for (unsigned k = 0; k < n; k++)
            printf("%s%s%s\n", r->o.prefix ? r->arg[i] : "",
                   r->o.prefix && strcmp(r->arg[i], "/") ? "/" : "", kids[k]);
        free(kids);
    }
    return true;
}

static bool cmd_read(struct run *r)
{
    for (int i = 0; i < r->nargs; i++) {
        unsigned len = 0;
        char *value = xs_read(r->h, r->t, r->arg[i], &len);
        char *text = value && !r->o.raw ? printable(value, len) : NULL;

        if (!value || (!text && !r->o.raw))
            return complain("read", r->arg[i]);
        if (r->o.prefix)
            printf("%s: ", r->arg[i]);
        if (text)
            puts(text);
        else
            fwrite(value, 1, len, stdout);
        free(text);
        free(value);
    }
    return true;
}

static bool cmd_exists(struct run *r)
{
    for (int i = 0; i < r->nargs; i++) {
        char *value = xs_read(r->h, r->t, r->arg[i], NULL);

        if (!value)
            return errno == ENOENT ? false : complain("read", r->arg[i]);
        free(value);
    }
    return true;
}

/* What printable() has made, back to what it was; in place. Its length. */
static size_t unescape(char *text)
{
    static const char plain[] = "\n\r\t\\", letter[] = "nrt\\";
    char *out = text;

    for (const char *p = text; *p;) {
        const char *esc = *p == '\\' && p[1] ? strchr(letter, p[1]) : NULL;
        unsigned v;
        int used = 0;

        if (esc) {
            *out++ = plain[esc - letter];
            p += 2;
        } else if (*p == '\\' && (sscanf(p + 1, "%3o%n", &v, &used) == 1 ||
                                  (p[1] == 'x' && sscanf(p + 2, "%2x%n", &v, &used) == 1 && ++used))) {
            *out++ = (char)v;
            p += 1 + used;
        } else {
            *out++ = *p++;
        }
    }
    return (size_t)(out - text);
}

static bool cmd_write(struct run *r)
{
    for (int i = 0; i + 1 < r->nargs; i += 2) {
        char *value = strdup(r->arg[i + 1]);
        size_t len = value ? r->o.raw ? strlen(value) : unescape(value) : 0;
        bool ok = value && xs_write(r->h, r->t, r->arg[i], value, (unsigned)len);

        free(value);
        if (!ok)
            return complain("write", r->arg[i]);
    }
    return true;
}

/* Removes parents that are left with neither children nor value. */
static bool tidy(struct run *r, const char *path)
{
    char *up = strdup(path), *slash;
    bool ok = up != NULL;

    while (ok && (slash = strrchr(up, '/')) && slash != up) {
        unsigned n = 1, len = 1;

        *slash = 0;
        char **kids = xs_directory(r->h, r->t, up, &n);
        char *value = xs_read(r->h, r->t, up, &len);
        bool empty = kids && value && !n && !len;
        free(kids);
        free(value);
        if (!empty)
            break;
        ok = xs_rm(r->h, r->t, up) || complain("remove", up);
    }
    free(up);
    return ok;
}

static bool cmd_rm(struct run *r)
{
    for (int i = 0; i < r->nargs; i++) {
        char *there = xs_read(r->h, r->t, r->arg[i], NULL);

        if (!there || !xs_rm(r->h, r->t, r->arg[i])) {
            free(there);
            return complain("remove", r->arg[i]);
        }
        free(there);
        if (r->o.tidy && !tidy(r, r->arg[i]))
            return false;
    }
    return true;
}

static struct xs_permissions new_perms[64];
static unsigned nr_new_perms;

static bool chmod_node(struct run *r, const char *path)
{
    return xs_set_permissions(r->h, r->t, path, new_perms, nr_new_perms) ||
           complain("set permissions of", path);
}

static bool chmod_seen(struct run *r, const struct seen *s)
{
    return chmod_node(r, s->path);
}

static bool chmod_up(struct run *r, const char *path)
{
    char *up = strdup(path), *slash;
    bool ok = up != NULL;

    while (ok && (slash = strrchr(up, '/')) && slash != up) {
        *slash = 0;
        ok = chmod_node(r, up);
    }
    free(up);
    return ok;
}

static bool cmd_chmod(struct run *r)
{
    nr_new_perms = (unsigned)r->nargs - 1;
    if (nr_new_perms > sizeof(new_perms) / sizeof(new_perms[0])) {
        fprintf(stderr, "xenstore: too many modes\n");
        return false;
    }
    for (unsigned i = 0; i < nr_new_perms; i++)
        if (!xs_strings_to_perms(&new_perms[i], 1, r->arg[i + 1])) {
            fprintf(stderr, "xenstore: bad mode %s: one of n r w b and a domain id is expected\n",
                    r->arg[i + 1]);
            return false;
        }
    return chmod_node(r, r->arg[0]) && (!r->o.up || chmod_up(r, r->arg[0])) &&
           (!r->o.recurse || walk_below(r, r->arg[0], false, chmod_seen));
}

static bool cmd_clone(struct run *r)
{
    return xs_clone(r->h, r->t, r->arg[0], r->arg[1]) || complain("clone", r->arg[0]);
}

static bool cmd_watch(struct run *r)
{
    for (int i = 0; i < r->nargs; i++)
        if (!(r->o.depth < 0 ? xs_watch(r->h, r->arg[i], r->arg[i])
                             : xs_watch_depth(r->h, r->arg[i], r->arg[i], (unsigned)r->o.depth)))
            return complain("watch", r->arg[i]);
    for (long n = 0; r->o.count < 0 || n < r->o.count; n++) {
        char **event = xs_read_watch(r->h, NULL);

        if (!event)
            return complain("wait for events from", xs_daemon_socket());
        if (r->o.json) {
            printf("{\"path\": ");
            print_json_string(event[XS_WATCH_PATH], strlen(event[XS_WATCH_PATH]));
            printf(", \"watch\": ");
            print_json_string(event[XS_WATCH_TOKEN], strlen(event[XS_WATCH_TOKEN]));
            puts("}");
        } else {
            puts(event[XS_WATCH_PATH]);
        }
        fflush(stdout);
        free(event);
    }
    return true;
}

/* The answer, malloc()ed, or NULL after having complained. */
static char *control(struct run *r, const char *command, char *const *arg, int nargs)
{
    char data[XENSTORE_PAYLOAD_MAX];
    size_t used = 0;

    for (int i = 0; i < nargs; i++) {
        size_t len = strlen(arg[i]) + 1;

        if (len > sizeof(data) - used) {
            errno = E2BIG;
            complain("send", command);
            return NULL;
        }
        memcpy(data + used, arg[i], len);
        used += len;
    }
    char *answer = xs_control_command(r->h, command, data, (unsigned)used);
    if (!answer)
        complain("do", command);
    return answer;
}

static void print_line(const char *text)
{
    size_t len = strlen(text);

    printf("%s%s", text, len && text[len - 1] == '\n' ? "" : "\n");
}

/* One of the steps of a live update: "OK" is the only good answer. */
static bool update_step(struct run *r, char *const *arg, int nargs)
{
    char *answer = control(r, "live-update", arg, nargs);
    bool ok = answer && !strcmp(answer, "OK");

    if (answer && !ok)
        fprintf(stderr, "xenstore: live-update: %s\n", answer);
    free(answer);
    return ok;
}

/* live-update [-c CMDLINE] [-F] [-t SECONDS] [-v VERSION] FILE, which the daemon is told step by step. */
static bool live_update(struct run *r)
{
    char *start[8] = { (char *)"-s" }, *cmdline = NULL, *file = NULL;
    int n = 1;

    for (int i = 1; i < r->nargs; i++) {
        char *a = r->arg[i];
        bool more = i + 1 < r->nargs;

        if (!strcmp(a, "-c") && more && !cmdline) {
            cmdline = r->arg[++i];
        } else if (!strcmp(a, "-F") && n < 7) {
            start[n++] = a;
        } else if ((!strcmp(a, "-t") || !strcmp(a, "-v")) && more && n < 6) {
            start[n++] = a;
            start[n++] = r->arg[++i];
        } else if (*a != '-' && !file) {
            file = a;
        } else {
            file = NULL;
            break;
        }
    }
    if (!file) {
        fprintf(stderr, "usage: xenstore-control live-update [-c CMDLINE] [-F] [-t SECONDS] [-v VERSION] FILE\n");
        return false;
    }
    bool ok = update_step(r, (char *[]){ (char *)"-f", file }, 2) &&
              (!cmdline || update_step(r, (char *[]){ (char *)"-c", cmdline }, 2)) &&
              update_step(r, start, n);
    if (ok)
        puts("OK");
    return ok;
}

static bool cmd_control(struct run *r)
{
    if (!strcmp(r->arg[0], "live-update") && (r->nargs != 2 || strcmp(r->arg[1], "-a")))
        return live_update(r);
    char *answer = control(r, r->arg[0], r->arg + 1, r->nargs - 1);
    if (answer)
        print_line(answer);
    bool ok = answer;
    free(answer);
    return ok;
}

/* ---- The table ---- */

static const struct command {
    const char *name, *options, *args, *help;
    int min_args, max_args; /* max -1: any number */
    bool transaction;
    bool (*fn)(struct run *r);
} commands[] = {
    { "chmod", "hsur", "PATH MODE...", "set permissions (-r below it too, -u above it too)", 2, -1,
      true, cmd_chmod },
    { "clone", "hs", "PATH NEW-PATH", "copy a node with all below it", 2, 2, false, cmd_clone },
    { "control", "+hs", "COMMAND [ARG...]", "send a command to the daemon", 1, -1, false,
      cmd_control },
    { "exists", "hsp", "PATH...", "exit with 0 if all exist", 1, -1, false, cmd_exists },
    { "list", "hsp", "PATH...", "names of children (-p with the path before)", 1, -1, false,
      cmd_list },
    { "ls", "hsfpwj", "[PATH]",
      "everything below (-f full paths, -p permissions, -w whole lines, -j JSON)",
      0, 1, false, cmd_ls },
    { "read", "hspR", "PATH...", "values (-p with the path before, -R as they are)", 1, -1, false, cmd_read },
    { "rm", "hst", "PATH...", "remove with all below (-t empty parents too)", 1, -1, true, cmd_rm },
    { "watch", "hsn:d:j", "PATH...",
      "print the path of every change (-n COUNT then exit, -d DEPTH levels below at most, -j JSON)", 1, -1,
      false, cmd_watch },
    { "write", "hsR", "PATH VALUE [PATH VALUE...]", "set values (-R as they are: no \\n, \\x0a, \\012)", 2, -1, true, cmd_write },
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage_of(FILE *to, const struct command *c)
{
    char letters[16];
    size_t n = 0;

    for (const char *p = c->options; *p; p++)
        if (*p != ':' && *p != '+')
            letters[n++] = *p;
    letters[n] = 0;
    fprintf(to, "usage: xenstore-%s [-%s] %s\n", c->name, letters, c->args);
    fprintf(to, "       %s\n", c->help);
}

static int usage_all(FILE *to)
{
    fprintf(to, "usage: xenstore COMMAND [options] [arguments]\n");
    for (size_t i = 0; i < NR_COMMANDS; i++)
        fprintf(to, "  %-8s %-28s %s\n", commands[i].name, commands[i].args, commands[i].help);
    return to == stdout ? 0 : 2;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < NR_COMMANDS; i++)
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    return NULL;
}

static bool parse_count(const char *text, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    return *text && !*end && *out >= 0 && *out <= UINT_MAX && !errno;
}

/* -1: go on; else the exit status. */
static int parse_options(const struct command *cmd, int argc, char **argv, struct options *o)
{
    int c;

    o->count = o->depth = -1;
    while ((c = getopt(argc, argv, cmd->options)) != -1) {
        switch (c) {
        case 'h': usage_of(stdout, cmd); return 0;
        case 's': break; /* sockets only: as Xen's tools, accepted for old scripts */
        case 'f': o->full = true; break;
        case 'p': o->perms = o->prefix = true; break;
        case 'w': o->wide = true; break;
        case 'j': o->json = true; break;
        case 'R': o->raw = true; break;
        case 't': o->tidy = true; break;
        case 'u': o->up = true; break;
        case 'r': o->recurse = true; break;
        case 'n': case 'd':
            if (parse_count(optarg, c == 'n' ? &o->count : &o->depth))
                break;
            /* fall through */
        default: usage_of(stderr, cmd); return 2;
        }
    }
    return -1;
}

static bool run_once(const struct command *cmd, struct run *r)
{
    if (!cmd->transaction)
        return cmd->fn(r);
    r->t = xs_transaction_start(r->h);
    if (!r->t)
        return complain("start a transaction for", cmd->name);
    bool ok = cmd->fn(r);
    int err = errno;
    if (!xs_transaction_end(r->h, r->t, !ok) && ok) {
        err = errno;
        ok = false;
        if (err != EAGAIN)
            complain("finish", cmd->name);
    } else if (!ok && err == EAGAIN) {
        err = EIO;
    }
    errno = err;
    return ok;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *self = slash ? slash + 1 : argv[0];
    const struct command *cmd = NULL;
    struct run r = { 0 };
    bool ok;

    if (!strncmp(self, "xenstore-", strlen("xenstore-"))) {
        cmd = find_command(self + strlen("xenstore-"));
    } else if (argc > 1) {
        if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))
            return usage_all(stdout);
        cmd = find_command(argv[1]);
        argc--;
        argv++;
    }
    if (!cmd)
        return usage_all(stderr);
    int status = parse_options(cmd, argc, argv, &r.o);
    if (status >= 0)
        return status;
    r.nargs = argc - optind;
    r.arg = argv + optind;
    if (r.nargs < cmd->min_args || (cmd->max_args >= 0 && r.nargs > cmd->max_args) ||
        (cmd->fn == cmd_write && r.nargs % 2)) {
        usage_of(stderr, cmd);
        return 2;
    }
    r.h = xs_open(0);
    if (!r.h) {
        complain("reach the store at", xs_daemon_socket());
        return 1;
    }
    do
        ok = run_once(cmd, &r);
    while (!ok && errno == EAGAIN && cmd->transaction);
    xs_close(r.h);
    return ok ? 0 : 1;
}
