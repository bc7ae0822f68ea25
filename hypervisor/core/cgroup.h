/* SPDX-License-Identifier: MIT */
/*
 * A control group v2 subtree that is ours (systemd's Delegate=, or --cgroup), with a group per
 * domain in it: dom1, dom2 ... The core, and what else runs in the subtree's own group, moves to
 * "core" beside them, for a group with processes may not have children with controllers (kernel,
 * admin-guide/cgroup-v2).
 *
 * Never: touches a group that was not given to us, or kills what runs in one.
 */
#ifndef KR_CORE_CGROUP_H
#define KR_CORE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CGROUP_MAX_WEIGHT 10000u
#define CGROUP_DEFAULT_WEIGHT 100u

/* The file system calls, which tests replace: all 0 or -errno, paths below dirfd. */
struct cgroup_fs {
    int (*make)(int dirfd, const char *name);
    int (*remove)(int dirfd, const char *name);
    int (*write)(int dirfd, const char *path, const char *text);
};
extern const struct cgroup_fs cgroup_kernel;

struct cgroup;

/*
 * The group in which systemd has delegated to this very process, as a path below /sys/fs/cgroup.
 * False if there is none.
 */
bool cgroup_delegated(char *path, size_t len);
/*
 * Takes the group at dir over: moves its processes into "core" below it, hands the cpu controller
 * down, and clears away what an earlier core left. NULL with errno: ENOTSUP without the controller.
 */
struct cgroup *cgroup_open(const char *dir, const struct cgroup_fs *fs);
void cgroup_close(struct cgroup *g);

/* All 0 or -errno. A new domain's group, with its process in it. */
int cgroup_add(struct cgroup *g, unsigned domid, pid_t pid);
int cgroup_remove(struct cgroup *g, unsigned domid);
/* weight: 1 to CGROUP_MAX_WEIGHT. */
int cgroup_weight(struct cgroup *g, unsigned domid, unsigned weight);
/* per cent of one CPU, 0: no limit */
int cgroup_cap(struct cgroup *g, unsigned domid, unsigned percent);

#endif
