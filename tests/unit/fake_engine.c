/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "tests/unit/fake_engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/ioreq.h"
#include "hypervisor/domain/memory.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"

static struct engine *e_create(const struct engine_env *env)
{
    struct engine *e = calloc(1, sizeof(*e));

    e->env = *env;
    return e;
}

static void e_destroy(struct engine *e)
{
    free(e);
}

static void e_host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    if (leaf == 0) {
        out[0] = 0xd;
        memcpy(&out[1], "Authcamdenti", 12);
    }
}

static struct engine_vcpu *e_vcpu_create(struct engine *e, unsigned id)
{
    struct engine_vcpu *v = calloc(1, sizeof(*v));

    v->e = e;
    v->id = id;
    v->mode = 64;
    return v;
}

static void e_vcpu_destroy(struct engine_vcpu *v)
{
    free(v);
}

static void e_get_state(struct engine_vcpu *v, struct engine_state *s)
{
    *s = v->s;
}

static int e_set_state(struct engine_vcpu *v, const struct engine_state *s)
{
    if ((s->cr0 >> 31 & 1) && !(s->cr0 & 1)) {
        return -1;
    }
    v->s = *s;
    return 0;
}

static enum engine_exit e_run(struct engine_vcpu *v, uint64_t max_insns)
{
    v->insns += max_insns;
    if (atomic_exchange(&v->kicked, false)) {
        return ENGINE_EXIT_KICK;
    }
    return v->script ? v->script(v) : ENGINE_EXIT_KICK;
}

static const char *e_error(struct engine_vcpu *v)
{
    return "fake";
}

static void e_kick(struct engine_vcpu *v)
{
    atomic_store(&v->kicked, true);
}

static bool e_irq_ready(struct engine_vcpu *v)
{
    return !v->irqs_off;
}

static void e_window(struct engine_vcpu *v, bool want)
{
    v->window = want;
}

static void e_inject_irq(struct engine_vcpu *v, uint8_t vector)
{
    if (v->nr_injected < 64) {
        v->injected[v->nr_injected++] = vector;
    }
}

static void e_inject_nmi(struct engine_vcpu *v)
{
    v->nr_nmi++;
}

static void e_set_halted(struct engine_vcpu *v, bool halted)
{
    v->s.halted = halted;
}

static unsigned e_cpl(struct engine_vcpu *v)
{
    return v->cpl;
}

static uint64_t e_rip(struct engine_vcpu *v)
{
    return v->s.rip;
}

static unsigned e_mode(struct engine_vcpu *v)
{
    return v->mode;
}

static void e_paging(struct engine_vcpu *v, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                     uint64_t *efer)
{
    *cr0 = v->s.cr0;
    *cr3 = v->s.cr3;
    *cr4 = v->s.cr4;
    *efer = v->s.efer;
}

static size_t access_gva(struct engine_vcpu *v, uint64_t gva, void *buf, size_t len, bool write)
{
    const struct engine_env *env = &v->e->env;
    size_t done = 0;

    while (done < len) {
        uint64_t at = gva + done, n = PAGE_SIZE - (at & 4095);

        if (at >= env->gpa_limit || env->gfn_type[at >> 12] != ENGINE_GFN_RAM) {
            break;
        }
        n = n < len - done ? n : len - done;
        if (write) {
            memcpy(env->ram + at, (char *)buf + done, n);
        } else {
            memcpy((char *)buf + done, env->ram + at, n);
        }
        done += n;
    }
    return done;
}

static size_t e_gva_read(struct engine_vcpu *v, uint64_t gva, void *buf, size_t len)
{
    return access_gva(v, gva, buf, len, false);
}

static size_t e_gva_write(struct engine_vcpu *v, uint64_t gva, const void *buf, size_t len)
{
    return access_gva(v, gva, (void *)(uintptr_t)buf, len, true);
}

static void e_invalidate(struct engine *e, uint64_t gfn, uint64_t nr)
{
    __atomic_add_fetch(&e->nr_invalidated, 1, __ATOMIC_RELAXED);
}

static void e_stats(struct engine_vcpu *v, struct engine_stats *out)
{
    memset(out, 0, sizeof(*out));
    out->insns = v->insns;
}

const struct engine_ops engine_fake = {
    .name = "fake",
    .create = e_create,
    .destroy = e_destroy,
    .host_cpuid = e_host_cpuid,
    .vcpu_create = e_vcpu_create,
    .vcpu_destroy = e_vcpu_destroy,
    .get_state = e_get_state,
    .set_state = e_set_state,
    .run = e_run,
    .error = e_error,
    .kick = e_kick,
    .irq_ready = e_irq_ready,
    .want_irq_window = e_window,
    .inject_irq = e_inject_irq,
    .inject_nmi = e_inject_nmi,
    .set_halted = e_set_halted,
    .cpl = e_cpl,
    .rip = e_rip,
    .mode = e_mode,
    .paging = e_paging,
    .gva_read = e_gva_read,
    .gva_write = e_gva_write,
    .invalidate_gfns = e_invalidate,
    .stats = e_stats,
};

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

void fake_domain_start(struct fake_domain *d, unsigned vcpus)
{
    struct machine *m = calloc(1, sizeof(*m));
    int ram = memfd_create("ram", MFD_CLOEXEC), xen = memfd_create("xen", MFD_CLOEXEC), sv[2];
    struct kl_run_map run = { 0, FAKE_RAM_PAGES, 0, KL_MEM_RAM, ENGINE_GFN_RAM };
    struct kl_run_map shared = { FAKE_SHARED_GFN, 1, 0, KL_MEM_XEN, ENGINE_GFN_RAM };
    struct engine_env env;
    static uint64_t khz;

    must(ftruncate(ram, FAKE_RAM_PAGES * 4096) == 0 && ftruncate(xen, KL_XEN_PAGES * 4096) == 0);
    m->ops = &engine_fake;
    m->domid = 7;
    m->nr_vcpus = vcpus;
    m->state =
        mmap(NULL, sizeof(*m->state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    m->epoll = epoll_create1(0);
    pthread_mutex_init(&m->mem_lock, NULL);
    pthread_mutex_init(&m->ports_lock, NULL);
    pthread_mutex_init(&m->run_lock, NULL);
    pthread_mutex_init(&m->ioreq_lock, NULL);
    pthread_cond_init(&m->run_cond, NULL);
    must(memory_init(m, FAKE_GPA_LIMIT, KL_XEN_PAGES, ram, xen) == 0);
    if (!khz) {
        khz = time_tsc_khz(20);
    }
    time_init(m, khz);
    callbacks_init(m, &env);
    m->engine = m->ops->create(&env);
    must(vcpus_create(m) == 0);
    must(memory_map(m, &run, -1) == 0 && memory_map(m, &shared, -1) == 0);
    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
    m->control = sv[0];
    d->core_control = sv[1];
    for (unsigned i = 0; i < vcpus; i++) {
        must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
        m->vcpu[i].sock = sv[0];
        d->core_sock[i] = sv[1];
    }
    d->m = m;
}

void fake_domain_stop(struct fake_domain *d)
{
    struct machine *m = d->m;

    for (unsigned i = 0; i < m->nr_vcpus; i++) {
        m->ops->vcpu_destroy(m->vcpu[i].ev);
        close(m->vcpu[i].sock);
        event_vcpu_free(&m->vcpu[i]);
        close(d->core_sock[i]);
    }
    for (uint32_t id = 0; id < KL_XEN_MAX_IOREQ_SERVERS; id++) {
        const struct kl_ioreq gone = { .id = id, .state = KL_IOREQ_GONE };

        must(ioreq_update(m, &gone, sizeof(gone)) == 0);
    }
    m->ops->destroy(m->engine);
    for (unsigned b = 0; b < NR_PORT_BUCKETS; b++) {
        for (unsigned i = 0; m->bucket[b] && i < PORTS_PER_BUCKET; i++) {
            struct port *p = &m->bucket[b][i];

            if (p->recv >= 0) {
                close(p->recv);
            }
            if (p->send >= 0) {
                close(p->send);
            }
        }
        free(m->bucket[b]);
    }
    munmap(m->ram, m->gpa_limit);
    munmap(m->gfn_type, m->nr_gfns);
    munmap(m->foreign, (m->nr_gfns + 63) / 64 * 8);
    munmap(m->xen_pages, KL_XEN_PAGES * 4096);
    munmap(m->state, sizeof(*m->state));
    close(m->fd_ram);
    close(m->fd_xen);
    close(m->control);
    close(d->core_control);
    close(m->epoll);
    free(m->vcpu);
    free(m);
    current = NULL;
}

struct vcpu *fake_be(struct fake_domain *d, unsigned vcpu)
{
    current = &d->m->vcpu[vcpu];
    atomic_store(&current->online, 1);
    atomic_store(&current->initialised, 1);
    return current;
}

int64_t fake_hypercall(struct vcpu *v, uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4)
{
    uint64_t gpr[16] = { 0 };
    bool wide = v->ev->mode == 64;

    gpr[ENGINE_RAX] = op;
    gpr[wide ? ENGINE_RDI : ENGINE_RBX] = a1;
    gpr[wide ? ENGINE_RSI : ENGINE_RCX] = a2;
    gpr[ENGINE_RDX] = a3;
    gpr[wide ? ENGINE_R10 : ENGINE_RSI] = a4;
    do {
        v->rewind = false;
        gpr[ENGINE_RAX] = op;
        hypercall(v->m, v->id, gpr);
    } while (v->rewind);
    return wide ? (int64_t)gpr[ENGINE_RAX] : (int64_t)(int32_t)gpr[ENGINE_RAX];
}

void fake_port(struct fake_domain *d, uint32_t port, uint32_t kind, uint32_t vcpu, uint32_t virq)
{
    static uint32_t seq;
    struct kl_port msg = { .port = port, .kind = kind, .vcpu = vcpu, .virq = virq, .seq = ++seq };

    must(event_port_update(d->m, &msg, -1, -1) == 0);
}

void *fake_ram(struct fake_domain *d, uint64_t gpa)
{
    return d->m->ram + gpa;
}
