/* SPDX-License-Identifier: MIT */
/* krypton machine: options, and the machine's life from switching it on to its end. */
#include "machine/machine.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypervisor/core/wire.h"

#define DOM0_MEMORY  512u        /* MiB */
#define FOR_GUESTS   512u        /* MiB beyond domain 0's, by default */
#define MIN_MEMORY   16u
#define MAX_MEMORY   (1ul << 24)
#define EXIT_CRASHED 3

static const char usage[] =
    "usage: krypton machine --kernel FILE [OPTION]...\n"
    "Runs a Xen machine in the foreground: FILE boots as domain 0, a PVH guest with control of the\n"
    "machine, which is at the terminal. ^] then q switches it off.\n\n"
    "  -k, --kernel FILE          domain 0's kernel (with a PVH entry, as Linux has)\n"
    "  -r, --ramdisk FILE         its initial ramdisk\n"
    "  -a, --cmdline TEXT         its command line (default: console=hvc0)\n"
    "  -d, --dom0-memory MIB      its memory (default 512)\n"
    "  -c, --vcpus N              its vCPUs (default 1)\n"
    "  -m, --memory MIB           the machine's memory (default: domain 0's and 512 more)\n"
    "  -l, --log FILE             append what the machine prints to FILE\n"
    "      --no-reboot            a reboot ends the machine\n"
    "  -v, --verbose              show what its hypervisor logs, on stderr\n"
    "  -h, --help                 this text\n";

int complain(const char *fmt, ...)
{
    va_list ap;

    fputs("krypton machine: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return -1;
}

static int number(const char *what, unsigned long min, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(optarg, &end, 10);
    if (errno || end == optarg || *end || optarg[0] == '-' || *out < min || *out > max) {
        return complain("--%s=%s: a number from %lu to %lu is expected", what, optarg, min, max);
    }
    return 0;
}

static const struct option longopts[] = {
    { "kernel", required_argument, NULL, 'k' },
    { "ramdisk", required_argument, NULL, 'r' },
    { "cmdline", required_argument, NULL, 'a' },
    { "dom0-memory", required_argument, NULL, 'd' },
    { "vcpus", required_argument, NULL, 'c' },
    { "memory", required_argument, NULL, 'm' },
    { "log", required_argument, NULL, 'l' },
    { "no-reboot", no_argument, NULL, 'n' },
    { "verbose", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static int take_option(int c, struct options *o)
{
    switch (c) {
    case 'k':
        o->kernel = optarg;
        return 0;
    case 'r':
        o->ramdisk = optarg;
        return 0;
    case 'a':
        o->cmdline = optarg;
        return 0;
    case 'l':
        o->log = optarg;
        return 0;
    case 'd':
        return number("dom0-memory", MIN_MEMORY, MAX_MEMORY, &o->dom0_memory);
    case 'm':
        return number("memory", MIN_MEMORY, MAX_MEMORY, &o->memory);
    case 'c':
        return number("vcpus", 1, 128, &o->vcpus);
    case 'n':
        o->no_reboot = true;
        return 0;
    case 'v':
        o->verbose = true;
        return 0;
    default:
        fprintf(stderr, "Try 'krypton machine --help'.\n");
        return -1;
    }
}

/* 0, 1 when all is said and done, or -1 after a complaint. */
static int parse(int argc, char **argv, struct options *o)
{
    int c;

    while ((c = getopt_long(argc, argv, "k:r:a:d:c:m:l:vh", longopts, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (take_option(c, o)) {
            return -1;
        }
    }
    if (optind < argc) {
        return complain("what is %s?", argv[optind]);
    }
    if (!o->kernel) {
        return complain("a kernel is needed: --kernel FILE");
    }
    o->memory = o->memory ? o->memory : o->dom0_memory + FOR_GUESTS;
    if (o->memory <= o->dom0_memory) {
        return complain("domain 0's %lu MiB do not fit into the machine's %lu", o->dom0_memory,
                        o->memory);
    }
    return 0;
}

/* Files are looked at before anything is started. */
static int check_files(const struct options *o)
{
    if (access(o->kernel, R_OK)) {
        return complain("kernel %s: %s", o->kernel, strerror(errno));
    }
    if (o->ramdisk && access(o->ramdisk, R_OK)) {
        return complain("ramdisk %s: %s", o->ramdisk, strerror(errno));
    }
    return 0;
}

/* What a core's end means: the exit status, or -1 for another round. */
static int verdict(const struct core_process *c, int status, const struct options *o)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

    if (code == KR_MACHINE_OFF) {
        return 0;
    }
    if (code == KR_MACHINE_REBOOT) {
        return o->no_reboot ? 0 : -1;
    }
    if (code == KR_MACHINE_CRASHED) {
        complain("domain 0 crashed");
        return EXIT_CRASHED;
    }
    if (WIFSIGNALED(status)) {
        complain("its core was killed by signal %d", WTERMSIG(status));
    } else {
        complain("its core ended with status %d", code);
    }
    core_last_words(c);
    return 1;
}

/* One life of the machine: the exit status, or -1 to switch it on again. */
static int run_once(const struct options *o)
{
    struct core_process c;
    enum end why = END_CORE;
    bool known;
    int status, rc = core_start(&c, o);

    if (!rc) {
        rc = dom0_build(o);
        core_hide(&c);
    }
    if (!rc) {
        why = terminal_run(c.line);
    }
    status = core_stop(&c, &known);
    if (why == END_CORE) {
        terminal_close();
    }
    if (rc) {
        if (known && (!WIFEXITED(status) || WEXITSTATUS(status))) {
            core_last_words(&c);
        }
        rc = 1;
    } else {
        rc = why == END_CORE ? verdict(&c, status, o) : why == END_USER ? 0 : 1;
    }
    if (c.log >= 0) {
        close(c.log);
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = { .cmdline = "console=hvc0", .dom0_memory = DOM0_MEMORY, .vcpus = 1 };
    int rc = parse(argc, argv, &o);

    if (rc) {
        return rc < 0 ? 2 : 0;
    }
    if (check_files(&o) || terminal_init(o.log)) {
        return 1;
    }
    do {
        rc = run_once(&o);
    } while (rc < 0);
    terminal_close();
    return rc;
}
