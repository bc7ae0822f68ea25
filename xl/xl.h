/* SPDX-License-Identifier: MIT */
/*
 * xl: what its commands share. One file per family of commands; the commands, their options and
 * their help are one table (cmdtable.c), from which dispatch, `xl help`, usage errors, the bash completion
 * and the manual's command list are made.
 *
 * Commands return the process's exit status: 0 done, 1 failed (or libxl's error number where stock xl
 * does that), 2 used wrongly. They print results on stdout and everything else on stderr.
 */
#ifndef XL_H
#define XL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <libxl.h>
#include <libxl_utils.h>
#include <libxlutil.h>
#include <xentoollog.h>

#define XL_USAGE 2

/* What xl.conf(5) sets. */
struct xl_conf {
    bool run_hotplug_scripts;
    long claim_mode;
    long max_grant_frames, max_maptrack_frames, max_grant_version;   /* -1: the hypervisor's default */
    char *lockfile;
};

/* One run of xl. */
struct xl {
    libxl_ctx *ctx;
    xentoollog_logger_stdiostream *logger;
    xentoollog_level min_level;
    bool dryrun, force, progress_cr, timestamps;
    struct xl_conf conf;
    const struct xl_cmd *cmd;
};

struct xl_opt {
    char c;                   /* short option, or 0 */
    const char *name;         /* long option, or NULL */
    const char *arg;          /* what its argument is called, or NULL when it takes none */
    const char *help;
};

enum { XL_CAN_DRYRUN = 1, XL_NO_CTX = 2, XL_HIDDEN = 4, XL_DOMAIN_ARG = 8, XL_FILE_ARG = 16 };

struct xl_cmd {
    const char *name;
    int (*main)(struct xl *xl, int argc, char **argv);
    const char *args;         /* operands, for the usage line */
    const char *summary;
    const struct xl_opt *opts;   /* ends with an all-zero row; -h, --help is implied */
    unsigned flags;
};

extern const struct xl_cmd xl_cmds[];
extern const unsigned xl_nr_cmds;

/* cmdtable.c: exact name, or a prefix of one command only; NULL after a message (if complain). */
const struct xl_cmd *xl_find_cmd(const char *name, bool complain);
void xl_print_usage(FILE *f, const struct xl_cmd *cmd);
int main_help(struct xl *xl, int argc, char **argv);
/* help.c: text as manual source: escaped, and each sentence on a line of its own. */
void xl_mdoc_text(FILE *f, const char *s);

/*
 * The next option of argv by cmd's table: its short letter, or 256 + row for one without; -1 at the
 * end (operands start at optind). -h prints usage and exits 0; a wrong option prints it and exits 2.
 */
int xl_getopt(struct xl *xl, int argc, char **argv);
/* For a command whose table row has no options: -h and wrong options are still seen to. */
void xl_no_options(struct xl *xl, int argc, char **argv);
/* Usage error unless between min and max operands are left (max < 0: any number). */
void xl_operands(struct xl *xl, int argc, int min, int max);
void xl_usage_error(struct xl *xl, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* util.c */
int xl_ctx_open(struct xl *xl);
/* Name, domid or UUID to domid; on failure prints why and returns -1. */
int xl_find_domain(struct xl *xl, const char *who, uint32_t *domid);
/* libxl error number to exit status, after a line that names the operation and domain. */
int xl_fail(struct xl *xl, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void xl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "128", "128m", "2g": bytes in kiB units; unit_shift for a bare number (10 = MiB). -1 if malformed. */
int64_t xl_parse_mem(const char *text, char bare_unit);
/* Strict decimal/hex number within [min, max]; -1 with a message naming what. */
int xl_parse_number(const char *what, const char *text, long min, long max, long *out);
/* CPU list grammar of xl.cfg(5): "all", "0-3,^2,node:0"; fills map; 0 or -1 with a message. */
int xl_parse_cpus(struct xl *xl, const char *text, libxl_bitmap *map);
char *xl_format_cpus(const libxl_bitmap *map, int nr_cpus, char *buf, size_t len);

/* conf.c */
int xl_conf_load(struct xl *xl);
void xl_conf_free(struct xl *xl);
void xl_conf_document(FILE *out);

/* config.c: a domain's configuration file */
int xl_config_parse(struct xl *xl, const char *label, const char *text, int len, const char *extra,
                    libxl_domain_config *out);
void xl_config_document(FILE *out);

/*
 * config_devices.c: the device keys, each into its place in dc. 0 (also when the key is not set), or -1 after
 * messages about every item that is wrong.
 */
int xl_config_disk(XLU_Config *cfg, libxl_domain_config *dc);
int xl_config_vif(XLU_Config *cfg, libxl_domain_config *dc);
int xl_config_pci(XLU_Config *cfg, libxl_domain_config *dc);
int xl_config_rdm(XLU_Config *cfg, libxl_domain_config *dc);

/* supervisor.c */
/*
 * Marks the domain as one whose on_poweroff/on_reboot/on_crash xl carries out, and sees to it that this
 * host's supervisor runs. 0 or -1 after a message.
 */
int xl_supervise_domain(struct xl *xl, uint32_t domid);
/* Carries out one domain's actions in this process until it is gone for good; exit status. */
int xl_supervise_here(struct xl *xl, uint32_t domid);

/* Every command's entry point; the table says which name it has. */
int main_create(struct xl *, int, char **);
int main_destroy(struct xl *, int, char **);
int main_shutdown(struct xl *, int, char **);
int main_reboot(struct xl *, int, char **);
int main_pause(struct xl *, int, char **);
int main_unpause(struct xl *, int, char **);
int main_rename(struct xl *, int, char **);
int main_sysrq(struct xl *, int, char **);
int main_dump_core(struct xl *, int, char **);
int main_trigger(struct xl *, int, char **);
int main_debug_keys(struct xl *, int, char **);
int main_list(struct xl *, int, char **);
int main_vm_list(struct xl *, int, char **);
int main_vcpu_list(struct xl *, int, char **);
int main_domid(struct xl *, int, char **);
int main_domname(struct xl *, int, char **);
int main_uptime(struct xl *, int, char **);
int main_info(struct xl *, int, char **);
int main_dmesg(struct xl *, int, char **);
int main_console(struct xl *, int, char **);
int main_mem_set(struct xl *, int, char **);
int main_mem_max(struct xl *, int, char **);
int main_vcpu_set(struct xl *, int, char **);
int main_vcpu_pin(struct xl *, int, char **);
int main_cpupool_list(struct xl *, int, char **);
int main_cpupool_create(struct xl *, int, char **);
int main_cpupool_destroy(struct xl *, int, char **);
int main_cpupool_rename(struct xl *, int, char **);
int main_cpupool_cpu_add(struct xl *, int, char **);
int main_cpupool_cpu_remove(struct xl *, int, char **);
int main_cpupool_migrate(struct xl *, int, char **);
int main_cpupool_numa_split(struct xl *, int, char **);
int main_sched_credit2(struct xl *, int, char **);
int main_supervise(struct xl *, int, char **);

#endif
