/* SPDX-License-Identifier: MIT */
#include "xl/xl.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Options before the command. Returns the index of the command in argv. */
static int global_options(struct xl *xl, int argc, char **argv)
{
    int c;

    /* '+': stop at the command, whose options are its own. */
    while ((c = getopt(argc, argv, "+vftTNh")) != -1) {
        switch (c) {
        case 'v':
            if (xl->min_level > XTL_NONE + 1) {
                xl->min_level--;
            }
            break;
        case 'f':
            xl->force = true;
            break;
        case 't':
            xl->progress_cr = true;
            break;
        case 'T':
            xl->timestamps = true;
            break;
        case 'N':
            xl->dryrun = true;
            break;
        case 'h':
            main_help(xl, 0, NULL);
            exit(0);
        default:
            fputs("xl: `xl help` says how it is used\n", stderr);
            exit(XL_USAGE);
        }
    }
    return optind;
}

int main(int argc, char **argv)
{
    struct xl xl = { .min_level = XTL_PROGRESS };
    int at = global_options(&xl, argc, argv), rc;
    unsigned flags = 0;

    if (at >= argc) {
        main_help(&xl, 0, NULL);
        return 1;
    }
    xl.cmd = xl_find_cmd(argv[at], true);
    if (!xl.cmd) {
        return 1;
    }
    if (xl.dryrun && !(xl.cmd->flags & XL_CAN_DRYRUN)) {
        fprintf(stderr, "xl: %s has no dry run (-N)\n", xl.cmd->name);
        return 1;
    }
    flags = (xl.timestamps ? XTL_STDIOSTREAM_SHOW_DATE | XTL_STDIOSTREAM_SHOW_PID : 0) |
            (xl.progress_cr ? XTL_STDIOSTREAM_PROGRESS_USE_CR : 0);
    xl.logger = xtl_createlogger_stdiostream(stderr, xl.min_level, flags);
    if (!xl.logger) {
        xl_error("out of memory");
        return 1;
    }
    if (xl_conf_load(&xl)) {
        rc = 1;
    } else {
        rc = xl.cmd->main(&xl, argc - at, argv + at);
    }
    if (fflush(stdout) || ferror(stdout)) {
        xl_error("cannot write the output");
        rc = rc ? rc : 1;
    }
    xl_conf_free(&xl);
    if (xl.ctx) {
        libxl_ctx_free(xl.ctx);
    }
    xtl_logger_destroy((xentoollog_logger *)xl.logger);
    return rc;
}
