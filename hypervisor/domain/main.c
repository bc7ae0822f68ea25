/* SPDX-License-Identifier: MIT */
/*
 * krypton-domain: one domain's machine. Started by kryptond with the control socket as descriptor
 * 3; not for people to call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/control.h"
#include "hypervisor/domain/describe.h"
#include "hypervisor/domain/memory.h"
#include "hypervisor/domain/sandbox.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

static char log_name[32] = "krypton-domain";

static int setup_locks(struct machine *m)
{
    return pthread_mutex_init(&m->mem_lock, NULL) || pthread_mutex_init(&m->ports_lock, NULL) ||
           pthread_mutex_init(&m->run_lock, NULL) || pthread_cond_init(&m->run_cond, NULL) ||
           pthread_mutex_init(&m->ioreq_lock, NULL) ? -1 : 0;
}

/* Everything that KL_SETUP asks for. Returns 0, or -1 with errno and *what failed. */
static int setup(struct machine *m, struct control_msg *msg, const char **what)
{
    const struct kl_setup *s = &msg->setup;
    struct engine_env env;

    *what = "KL_SETUP";
    errno = EPROTO;
    if (s->h.op != KL_SETUP || s->h.len != sizeof(*s) || s->version != KL_VERSION ||
        !s->max_vcpus || s->max_vcpus > KL_MAX_VCPUS || msg->fd[0] < 0 || msg->fd[1] < 0 ||
        msg->fd[2] < 0) {
        return -1;
    }
    m->domid = s->domid;
    m->nr_vcpus = s->max_vcpus;
    m->emulation_flags = s->emulation_flags;
    snprintf(log_name, sizeof(log_name), "krypton-domain[%u]", s->domid);
    *what = "state area";
    m->state = mmap(NULL, sizeof(*m->state), PROT_READ | PROT_WRITE, MAP_SHARED, msg->fd[2], 0);
    if (m->state == MAP_FAILED) {
        return -1;
    }
    *what = "guest memory";
    if (memory_init(m, s->gpa_limit, s->xen_pages, msg->fd[0], msg->fd[1]) < 0) {
        return -1;
    }
    msg->fd[0] = msg->fd[1] = -1;
    time_init(m, s->tsc_khz);
    *what = "engine";
    callbacks_init(m, &env);
    m->engine = m->ops->create(&env);
    if (!m->engine || vcpus_create(m) < 0) {
        return -1;
    }
    *what = "threads";
    return vcpus_start(m);
}

static int serve(void)
{
    struct kl_hdr ready = { KL_READY, sizeof(ready) };
    struct machine *m = calloc(1, sizeof(*m));
    struct control_msg *msg = malloc(sizeof(*msg));
    const char *what = "start";

    if (!m || !msg || setup_locks(m) < 0) {
        goto fail;
    }
    m->ops = describe_engine();
    m->control = KL_FD_CONTROL;
    m->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!m->ops || m->epoll < 0) {
        goto fail;
    }
    what = "waiting for KL_SETUP";
    if (control_recv(m->control, msg) < 0 || setup(m, msg, &what) < 0) {
        goto fail;
    }
    control_close_fds(msg);
    free(msg);
    msg = NULL;
    what = "sandbox";
    if (sandbox_enter() < 0 || control_send(m->control, &ready, sizeof(ready)) < 0) {
        goto fail;
    }
    control_loop(m);
    _exit(0);
fail:
    kr_log(KR_ERR, "%s: %s", what, strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    kr_log_init(log_name, KR_INFO);
    if (argc == 2 && !strcmp(argv[1], "--describe")) {
        return describe(KL_FD_CONTROL);
    }
    if (argc != 1) {
        fprintf(stderr, "krypton-domain is started by kryptond.\n");
        return 2;
    }
    if (sandbox_early(KL_FD_CONTROL) < 0) {
        kr_log(KR_ERR, "cannot give up privileges: %s", strerror(errno));
        return 1;
    }
    return serve();
}
