/* SPDX-License-Identifier: MIT */
/*
 * The one table of xl's commands. To add a command: write main_foo() in the file of its family, declare
 * it in xl.h, add a row here. Dispatch, help, completion and the manual follow.
 */
#include "xl/xl.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OPTS(...) (const struct xl_opt[]){ __VA_ARGS__, { 0, NULL, NULL, NULL } }
#define NO_OPTS   (const struct xl_opt[]){ { 0, NULL, NULL, NULL } }

const struct xl_cmd xl_cmds[] = {
    /* lifecycle */
    { "create", main_create, "[CONFIG] [KEY=VALUE]...", "create a domain from a configuration file",
      OPTS({ 'f', "defconfig", "FILE", "read the configuration from FILE" },
           { 'c', NULL, NULL, "connect to the console as soon as the domain exists" },
           { 'd', "debug", NULL, "print the configuration as JSON, then create" },
           { 'e', NULL, NULL, "do not carry out on_poweroff, on_reboot and on_crash" },
           { 'F', NULL, NULL, "stay in the foreground until the domain is gone" },
           { 'n', "dryrun", NULL, "only print the configuration as JSON" },
           { 'p', NULL, NULL, "leave the domain paused" },
           { 'q', "quiet", NULL, "say nothing but errors" },
           { 0, "ignore-global-affinity-masks", NULL, "accepted for compatibility" }),
      XL_CAN_DRYRUN | XL_FILE_ARG },
    { "destroy", main_destroy, "DOMAIN", "end a domain at once",
      OPTS({ 'f', NULL, NULL, "also domain 0 (refused)" }), XL_DOMAIN_ARG },
    { "shutdown", main_shutdown, "DOMAIN", "ask a domain to shut down",
      OPTS({ 'a', "all", NULL, "all guests" },
           { 'w', "wait", NULL, "wait until it has shut down (twice: until it is destroyed)" },
           { 'F', NULL, NULL, "fall back to an ACPI power button" }), XL_DOMAIN_ARG },
    { "reboot", main_reboot, "DOMAIN", "ask a domain to reboot",
      OPTS({ 'a', "all", NULL, "all guests" },
           { 'w', "wait", NULL, "wait until it has shut down to reboot" },
           { 'F', NULL, NULL, "fall back to an ACPI reset" }), XL_DOMAIN_ARG },
    { "pause", main_pause, "DOMAIN", "stop a domain's vCPUs", NO_OPTS, XL_DOMAIN_ARG },
    { "unpause", main_unpause, "DOMAIN", "let a paused domain run", NO_OPTS, XL_DOMAIN_ARG },
    { "rename", main_rename, "DOMAIN NEWNAME", "give a domain another name", NO_OPTS, XL_DOMAIN_ARG },
    { "trigger", main_trigger, "DOMAIN nmi|reset|init|power|sleep|s3resume [VCPU]", "send a trigger to a domain",
      NO_OPTS, XL_DOMAIN_ARG },
    { "sysrq", main_sysrq, "DOMAIN LETTER", "send a magic SysRq to a domain", NO_OPTS, XL_DOMAIN_ARG },
    { "dump-core", main_dump_core, "DOMAIN FILE", "write a domain's memory and vCPUs to an ELF core file", NO_OPTS,
      XL_DOMAIN_ARG | XL_FILE_ARG },
    { "debug-keys", main_debug_keys, "KEYS", "send debug keys to the core", NO_OPTS, 0 },

    /* information */
    { "list", main_list, "[DOMAIN]...", "list domains",
      OPTS({ 'l', "long", NULL, "the whole configuration, as JSON" },
           { 'v', "verbose", NULL, "also UUID, shutdown reason and security label" },
           { 'Z', "context", NULL, "also the security label" },
           { 'c', "cpupool", NULL, "also the CPU pool" },
           { 'n', "numa", NULL, "also the NUMA node affinity" }), XL_DOMAIN_ARG },
    { "vm-list", main_vm_list, "", "list guests with their UUIDs", NO_OPTS, 0 },
    { "vcpu-list", main_vcpu_list, "[DOMAIN]...", "list vCPUs", NO_OPTS, XL_DOMAIN_ARG },
    { "domid", main_domid, "NAME", "print the domid of a named domain", NO_OPTS, XL_DOMAIN_ARG },
    { "domname", main_domname, "DOMID", "print the name of a domain", NO_OPTS, 0 },
    { "uptime", main_uptime, "[DOMAIN]...", "print how long domains have run",
      OPTS({ 's', "short", NULL, "one line each, with the time of day" }), XL_DOMAIN_ARG },
    { "info", main_info, "[FIELD]", "print what the host is and has",
      OPTS({ 'n', "numa", NULL, "also CPU topology and NUMA nodes" }), 0 },
    { "dmesg", main_dmesg, "", "print the core's messages",
      OPTS({ 'c', "clear", NULL, "clear them afterwards" }), 0 },

    /* console */
    { "console", main_console, "DOMAIN", "connect to a domain's console; Ctrl-] leaves",
      OPTS({ 't', NULL, "pv|serial", "kind of console" },
           { 'n', NULL, "NUMBER", "which console" },
           { 'e', NULL, "CHAR", "escape character, e.g. ^]" }), XL_DOMAIN_ARG },

    /* CPU and memory */
    { "vcpu-set", main_vcpu_set, "DOMAIN COUNT", "set the number of active vCPUs",
      OPTS({ 'i', "ignore-host", NULL, "more than the host has CPUs" }), XL_DOMAIN_ARG },
    { "vcpu-pin", main_vcpu_pin, "DOMAIN VCPU|all HARD|- [SOFT|-]", "set which CPUs vCPUs may use",
      OPTS({ 'f', "force", NULL, "override" }), XL_DOMAIN_ARG },
    { "mem-set", main_mem_set, "DOMAIN SIZE[b|k|m|g|t]", "set a domain's present memory (MiB)", NO_OPTS,
      XL_DOMAIN_ARG },
    { "mem-max", main_mem_max, "DOMAIN SIZE[b|k|m|g|t]", "set a domain's memory limit (MiB)", NO_OPTS,
      XL_DOMAIN_ARG },
    { "sched-credit2", main_sched_credit2, "", "show or set scheduling weight and cap",
      OPTS({ 'd', "domain", "DOMAIN", "only this domain" },
           { 'w', "weight", "WEIGHT", "set the weight (1 to 65535)" },
           { 'c', "cap", "CAP", "set the cap in percent of one CPU (0: none)" },
           { 's', "schedparam", NULL, "show or set the pool's parameters" },
           { 'r', "ratelimit_us", "US", "with -s: set the rate limit (100 to 500000, 0: none)" },
           { 'p', "cpupool", "POOL", "only this CPU pool" }), 0 },
    { "cpupool-list", main_cpupool_list, "[POOL]", "list CPU pools",
      OPTS({ 'c', "cpus", NULL, "with their CPUs" }), 0 },
    { "cpupool-create", main_cpupool_create, "[CONFIG] [KEY=VALUE]...", "make a CPU pool from name, sched, cpus, nodes",
      OPTS({ 'f', "defconfig", "FILE", "read the configuration from FILE" },
           { 'n', "dryrun", NULL, "only print what it would be" }), XL_CAN_DRYRUN | XL_FILE_ARG },
    { "cpupool-destroy", main_cpupool_destroy, "POOL", "end a CPU pool that has no domains", NO_OPTS, 0 },
    { "cpupool-rename", main_cpupool_rename, "POOL NEWNAME", "give a CPU pool another name", NO_OPTS, 0 },
    { "cpupool-cpu-add", main_cpupool_cpu_add, "POOL CPUS|node:NODE", "give a CPU pool free CPUs", NO_OPTS, 0 },
    { "cpupool-cpu-remove", main_cpupool_cpu_remove, "POOL CPUS|node:NODE", "take CPUs from a CPU pool", NO_OPTS, 0 },
    { "cpupool-migrate", main_cpupool_migrate, "DOMAIN POOL", "move a domain to a CPU pool", NO_OPTS, XL_DOMAIN_ARG },
    { "cpupool-numa-split", main_cpupool_numa_split, "", "make a CPU pool of each NUMA node", NO_OPTS, 0 },

    /* internal */
    { "supervise", main_supervise, "", "carry out on_* actions of this host's domains (started by create)", NO_OPTS,
      XL_HIDDEN },
    { "help", main_help, "[COMMAND]", "say how to use xl, or a command",
      OPTS({ 0, "bash-completion", NULL, "print the completion script" },
           { 0, "man", NULL, "print the commands as manual source" },
           { 0, "man-cfg", NULL, "print the configuration keys as manual source" },
           { 0, "man-conf", NULL, "print the keys of xl.conf as manual source" }), XL_NO_CTX },
};

const unsigned xl_nr_cmds = sizeof(xl_cmds) / sizeof(xl_cmds[0]);

const struct xl_cmd *xl_find_cmd(const char *name, bool complain)
{
    const struct xl_cmd *found = NULL;
    size_t len = strlen(name);
    bool ambiguous = false;

    for (unsigned i = 0; i < xl_nr_cmds; i++) {
        if (!strcmp(xl_cmds[i].name, name)) {
            return &xl_cmds[i];
        }
        if (len && !strncmp(xl_cmds[i].name, name, len) && !(xl_cmds[i].flags & XL_HIDDEN)) {
            ambiguous = found != NULL;
            found = ambiguous ? found : &xl_cmds[i];
        }
    }
    if (found && !ambiguous) {
        return found;
    }
    if (complain && ambiguous) {
        fprintf(stderr, "xl: '%s' may be any of:", name);
        for (unsigned i = 0; i < xl_nr_cmds; i++) {
            if (!strncmp(xl_cmds[i].name, name, len) && !(xl_cmds[i].flags & XL_HIDDEN)) {
                fprintf(stderr, " %s", xl_cmds[i].name);
            }
        }
        fputc('\n', stderr);
    } else if (complain) {
        fprintf(stderr, "xl: there is no command '%s'; `xl help` lists them\n", name);
    }
    return NULL;
}

static void print_option(FILE *f, const struct xl_opt *o)
{
    char left[64];
    int n = 0;

    if (o->c) {
        n = snprintf(left, sizeof(left), "-%c%s", o->c, o->name ? ", " : "");
    }
    if (o->name) {
        n += snprintf(left + n, sizeof(left) - (size_t)n, "--%s", o->name);
    }
    if (o->arg) {
        snprintf(left + n, sizeof(left) - (size_t)n, " %s", o->arg);
    }
    fprintf(f, "  %-24s", left);
    fprintf(f, strlen(left) > 24 ? "\n%27s%s\n" : "%1s%s\n", "", o->help);
}

void xl_print_usage(FILE *f, const struct xl_cmd *cmd)
{
    static const struct xl_opt help = { 'h', "help", NULL, "print this" };

    fprintf(f, "usage: xl %s [options]%s%s\n%c%s.\n\n", cmd->name, *cmd->args ? " " : "", cmd->args,
            toupper((unsigned char)cmd->summary[0]), cmd->summary + 1);
    for (const struct xl_opt *o = cmd->opts; o->c || o->name; o++) {
        print_option(f, o);
    }
    print_option(f, &help);
}

/* Builds getopt's two tables from ours. Rows without a letter get 256 + row. */
int xl_getopt(struct xl *xl, int argc, char **argv)
{
    static struct option longs[32];
    static char shorts[80];
    static const struct xl_cmd *prepared;
    unsigned n = 0, s = 0;
    int c;

    if (prepared != xl->cmd) {
        prepared = xl->cmd;
        for (unsigned i = 0; prepared->opts[i].c || prepared->opts[i].name; i++) {
            const struct xl_opt *o = &prepared->opts[i];

            if (o->c) {
                shorts[s++] = o->c;
                if (o->arg) {
                    shorts[s++] = ':';
                }
            }
            if (o->name) {
                longs[n++] = (struct option){ o->name, o->arg != NULL, NULL, o->c ? o->c : 256 + (int)i };
            }
        }
        shorts[s++] = 'h';
        shorts[s] = '\0';
        longs[n++] = (struct option){ "help", 0, NULL, 'h' };
        longs[n] = (struct option){ NULL, 0, NULL, 0 };
        optind = 1;
    }
    c = getopt_long(argc, argv, shorts, longs, NULL);
    if (c == 'h') {
        xl_print_usage(stdout, xl->cmd);
        exit(0);
    }
    if (c == '?') {
        xl_print_usage(stderr, xl->cmd);
        exit(XL_USAGE);
    }
    return c;
}

void xl_no_options(struct xl *xl, int argc, char **argv)
{
    while (xl_getopt(xl, argc, argv) != -1) {
    }
}

void xl_usage_error(struct xl *xl, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "xl %s: ", xl->cmd->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputs("\n\n", stderr);
    xl_print_usage(stderr, xl->cmd);
    exit(XL_USAGE);
}

void xl_operands(struct xl *xl, int argc, int min, int max)
{
    if (argc - optind < min) {
        xl_usage_error(xl, "%s expected", xl->cmd->args);
    }
    if (max >= 0 && argc - optind > max) {
        xl_usage_error(xl, "too many arguments");
    }
}
