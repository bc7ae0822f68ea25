/* SPDX-License-Identifier: MIT */
/*
 * `krypton machine`: a Xen machine of one's own in the foreground, as `qemu -kernel` is a PC.
 *
 * The program starts a core (`kryptond --machine`) with a serial line to itself, builds domain 0 on
 * it from a kernel as Xen's own PVH dom0 builder does, lets it run, and is the terminal at the line.
 * A machine shares nothing with a running host, nor with another machine: its socket lies in a
 * folder of its own, which is gone as soon as domain 0 runs.
 */
#ifndef KR_MACHINE_H
#define KR_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct options {
    const char *kernel, *ramdisk, *cmdline, *log;
    unsigned long memory, dom0_memory;   /* MiB; 0: chosen */
    unsigned long vcpus;
    bool no_reboot, verbose;
};

/* A running core. */
struct core_process {
    pid_t pid;
    int line;                    /* our end of its serial line, or -1 */
    int log;                     /* a file with what it said, or -1 with --verbose */
    char dir[64];                /* its folder, or empty */
};

/* Says "krypton machine: ..." on stderr. Returns -1. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* core.c: starts a core; $KRYPTON_RUNDIR then leads to it. Returns 0, or -1 after a complaint. */
int core_start(struct core_process *c, const struct options *o);
/* Takes away its folder: whoever has no connection yet gets none. */
void core_hide(struct core_process *c);
/* Switches it off if it runs. Returns its wait status; 0 in *known if there is none. */
int core_stop(struct core_process *c, bool *known);
/* The end of its log, for somebody who has to find out. */
void core_last_words(const struct core_process *c);

/* dom0.c: builds domain 0 on the core that $KRYPTON_RUNDIR leads to, and starts it. 0 or -1. */
int dom0_build(const struct options *o);

/* terminal.c: stdin and stdout as a terminal at the line, until somebody ends it. */
enum end { END_CORE, END_USER, END_SIGNAL };
/* Blocks the signals that end a machine; they are taken by terminal_run(). */
int terminal_init(const char *log);
enum end terminal_run(int line);
/* Puts the terminal back as it was. */
void terminal_close(void);

#endif
