/* SPDX-License-Identifier: MIT */
/*
 * xl create: a configuration file to a running domain.
 */
#include "xl/xl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct create_opts {
    const char *file;
    char *extra;              /* KEY=VALUE words, one a line */
    bool console, dump, no_supervisor, foreground, paused, quiet;
};

/* State of the console client that -c starts from libxl's progress callback. */
struct console {
    struct xl *xl;
    pid_t pid;
    int ready_fd;             /* readable once the client shows output */
};

static char *read_all(const char *path, int *len)
{
    FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
    size_t n = 0, room = 0;
    char *buf = NULL, *bigger;

    if (!f) {
        xl_error("cannot read the configuration %s: %s", path, strerror(errno));
        return NULL;
    }
    do {
        if (n == room) {
            bigger = room >= 16u << 20 ? NULL : realloc(buf, room = room ? room * 2 : 4096);
            if (!bigger) {
                xl_error("the configuration %s is larger than 16 MiB", path);
                goto fail;
            }
            buf = bigger;
        }
        n += fread(buf + n, 1, room - n, f);
    } while (!feof(f) && !ferror(f));
    if (ferror(f)) {
        xl_error("cannot read the configuration %s: %s", path, strerror(errno));
        goto fail;
    }
    if (f != stdin) {
        fclose(f);
    }
    *len = (int)n;
    return buf;
fail:
    if (f != stdin) {
        fclose(f);
    }
    free(buf);
    return NULL;
}

/* Called by libxl as soon as the new domain's console can be opened. */
static void console_available(libxl_ctx *ctx, libxl_event *event, void *user)
{
    struct console *con = user;
    uint32_t domid = event->domid;
    int fds[2];

    libxl_event_free(ctx, event);
    if (con->pid >= 0 || pipe(fds)) {
        return;
    }
    fflush(NULL);
    con->pid = fork();
    if (con->pid == 0) {
        close(fds[0]);
        libxl_postfork_child_noexec(ctx);
        con->xl->ctx = NULL;
        if (!xl_ctx_open(con->xl)) {
            libxl_primary_console_exec(con->xl->ctx, domid, fds[1]);
        }
        xl_error("cannot start the console client");
        _exit(1);
    }
    close(fds[1]);
    con->ready_fd = fds[0];
}

/* Waits until the client shows output (or has ended), so that nothing the guest says is missed. */
static void wait_console_ready(struct console *con)
{
    char c;

    if (con->ready_fd >= 0) {
        while (read(con->ready_fd, &c, 1) < 0 && errno == EINTR) {
        }
        close(con->ready_fd);
        con->ready_fd = -1;
    }
}

static int print_config(struct xl *xl, libxl_domain_config *dc)
{
    char *json = libxl_domain_config_to_json(xl->ctx, dc);

    if (!json) {
        xl_error("cannot turn the configuration into JSON");
        return 1;
    }
    fputs(json, stdout);
    free(json);
    return 0;
}

static int create_domain(struct xl *xl, const struct create_opts *o, libxl_domain_config *dc)
{
    struct console con = { .xl = xl, .pid = -1, .ready_fd = -1 };
    libxl_asyncprogress_how how = { .callback = console_available, .for_callback = &con };
    uint32_t domid = INVALID_DOMID;
    int rc = libxl_domain_create_new(xl->ctx, dc, &domid, NULL, o->console ? &how : NULL);

    if (rc) {
        rc = xl_fail(xl, rc, "the domain '%s' was not created", dc->c_info.name);
        goto out;
    }
    if (!o->no_supervisor && !o->foreground && xl_supervise_domain(xl, domid)) {
        libxl_domain_destroy(xl->ctx, domid, NULL);
        rc = 1;
        goto out;
    }
    wait_console_ready(&con);
    if (!o->paused) {
        rc = libxl_domain_unpause(xl->ctx, domid, NULL);
        if (rc) {
            rc = xl_fail(xl, rc, "the domain '%s' cannot be started", dc->c_info.name);
            libxl_domain_destroy(xl->ctx, domid, NULL);
            goto out;
        }
    }
    if (o->foreground) {
        rc = xl_supervise_here(xl, domid);
    }
out:
    wait_console_ready(&con);
    if (con.pid > 0) {
        while (waitpid(con.pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    return rc;
}

/* A KEY=VALUE word; a value that is no number, list or quoted text is quoted, as a shell ate the quotes. */
static int add_extra(struct create_opts *o, const char *word)
{
    const char *eq = strchr(word, '=');
    char *joined;
    bool bare = eq[1] != '"' && eq[1] != '\'' && eq[1] != '[' && eq[strspn(eq + 1, "0123456789") + 1] != '\0';
    const char *q = bare ? (strchr(eq, '"') ? "'" : "\"") : eq[1] ? "" : "\"";

    if (asprintf(&joined, "%s%.*s=%s%s%s\n", o->extra ? o->extra : "", (int)(eq - word), word, q, eq + 1, q) < 0) {
        return -1;
    }
    free(o->extra);
    o->extra = joined;
    return 0;
}

static void parse_options(struct xl *xl, int argc, char **argv, struct create_opts *o)
{
    int c;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        switch (c) {
        case 'f': o->file = optarg; break;
        case 'c': o->console = true; break;
        case 'd': o->dump = true; break;
        case 'e': o->no_supervisor = true; break;
        case 'F': o->foreground = true; break;
        case 'n': xl->dryrun = true; break;
        case 'p': o->paused = true; break;
        case 'q': o->quiet = true; break;
        }
    }
    for (; optind < argc; optind++) {
        if (strchr(argv[optind], '=') && (o->file || argv[optind][0] != '/')) {
            if (add_extra(o, argv[optind])) {
                exit(1);
            }
        } else if (!o->file) {
            o->file = argv[optind];
        } else {
            xl_usage_error(xl, "'%s' is neither the configuration nor KEY=VALUE", argv[optind]);
        }
    }
    if (!o->file && !o->extra) {
        xl_usage_error(xl, "a configuration file or KEY=VALUE settings are expected");
    }
}

int main_create(struct xl *xl, int argc, char **argv)
{
    struct create_opts o = { 0 };
    libxl_domain_config dc;
    char *text = NULL;
    int len = 0, rc = 1;

    parse_options(xl, argc, argv, &o);
    libxl_domain_config_init(&dc);
    if (o.file) {
        text = read_all(o.file, &len);
        if (!text) {
            goto out;
        }
        if (!o.quiet) {
            fprintf(stderr, "Parsing config from %s\n", o.file);
        }
    }
    if (xl_ctx_open(xl) || xl_config_parse(xl, o.file ? o.file : "command line", text ? text : "", len, o.extra, &dc)) {
        goto out;
    }
    if (xl->dryrun || o.dump) {
        rc = print_config(xl, &dc);
        if (xl->dryrun || rc) {
            goto out;
        }
    }
    rc = create_domain(xl, &o, &dc);
out:
    libxl_domain_config_dispose(&dc);
    free(o.extra);
    free(text);
    return rc;
}
