/* SPDX-License-Identifier: MIT */
/*
 * What the process gives up before guest code runs: privileges, descriptors, and every system call
 * that running a guest does not need. A guest that takes over this process can burn its own CPU
 * time and talk to the core as itself, nothing more.
 */
#ifndef KR_DOMAIN_SANDBOX_H
#define KR_DOMAIN_SANDBOX_H

/* First thing in main(): closes every descriptor above `keep`, no core dumps, not dumpable, no way
 * to gain privileges. Returns 0 or -1/errno. */
int sandbox_early(int keep);

/* Last thing before guest code, with all threads running: drops capabilities and filters system
 * calls of all threads. A failure means that no guest may run. Returns 0 or -1/errno. */
int sandbox_enter(void);

#endif
