/* SPDX-License-Identifier: MIT */
/* engine_ops of the soft CPU: creation, state in and out, and the small accessors. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/engine/soft/internal.h"

static struct soft_vcpu *vcpu(struct engine_vcpu *v) { return (struct soft_vcpu *)v; }
static struct soft_engine *engine(struct engine *e) { return (struct soft_engine *)e; }

/* Zeroed memory that costs nothing until it is touched. */
static void *reserve(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static struct engine *create(const struct engine_env *env)
{
    struct soft_engine *e;
    const char *trace = getenv("KRYPTON_SOFT_TRACE");

    if (!env->nr_vcpus || !env->ram || !env->gpa_limit || env->gpa_limit & (SOFT_PAGE_SIZE - 1)) {
        errno = EINVAL;
        return NULL;
    }
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->env = *env;
    e->nr_gfns = env->gpa_limit >> SOFT_PAGE_SHIFT;
    e->vcpus = calloc(env->nr_vcpus, sizeof(struct soft_vcpu *));
    e->code_map = reserve(e->nr_gfns * sizeof(*e->code_map));
    e->trace = trace && *trace && *trace != '0';
    e->amd = soft_vendor_amd();
    if (!e->vcpus || !e->code_map) {
        if (e->code_map)
            munmap((void *)e->code_map, e->nr_gfns * sizeof(*e->code_map));
        free(e->vcpus);
        free(e);
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&e->split_lock, NULL);
    return (struct engine *)e;
}

static void vcpu_free(struct soft_vcpu *v)
{
    soft_drop_all_code(v);
    soft_free_dead(v);
    soft_free_cross(v);
    if (v->pages)
        munmap(v->pages, v->e->nr_gfns * sizeof(*v->pages));
    pthread_mutex_destroy(&v->inval.lock);
    munmap(v, sizeof(*v));
}

static void destroy(struct engine *en)
{
    struct soft_engine *e = engine(en);

    for (unsigned i = 0; i < e->env.nr_vcpus; i++)
        if (e->vcpus[i])
            vcpu_free(e->vcpus[i]);
    munmap((void *)e->code_map, e->nr_gfns * sizeof(*e->code_map));
    pthread_mutex_destroy(&e->split_lock);
    free(e->vcpus);
    free(e);
}

/* Power-on state, SDM vol. 3 table 10-1. */
static void reset(struct soft_vcpu *v)
{
    for (unsigned i = 0; i < ENGINE_NR_SREGS; i++)
        soft_set_seg(v, (enum engine_sreg)i, &(struct engine_segment){ .limit = 0xffff,
                                                                       .attr = 0x93 });
    soft_set_seg(v, ENGINE_CS, &(struct engine_segment){ .sel = 0xf000, .base = 0xffff0000,
                                                         .limit = 0xffff,
                                                         .attr = 0x9b });
    v->tr = (struct engine_segment){ .limit = 0xffff, .attr = 0x8b };
    v->ldtr = (struct engine_segment){ .limit = 0xffff, .attr = 0x82 };
    v->gdtr.limit = v->idtr.limit = 0xffff;
    v->cr0 = CR0_ET | CR0_NW | CR0_CD;
    v->gpr[16] = 0xfff0;
    v->pat = 0x0007040600070406ull;
    v->xcr0 = 1;
    v->dr[6] = 0xffff0ff0;
    v->dr[7] = 0x400;
    soft_set_flags(v, 0);
    soft_fp_reset(v);
    soft_update_fpu(v);
    soft_update_mode(v);
}

static struct engine_vcpu *vcpu_create(struct engine *en, unsigned id)
{
    struct soft_engine *e = engine(en);
    struct soft_vcpu *v;

    if (id >= e->env.nr_vcpus || e->vcpus[id]) {
        errno = EINVAL;
        return NULL;
    }
    v = reserve(sizeof(*v));
    if (!v) {
        errno = ENOMEM;
        return NULL;
    }
    v->e = e;
    v->m = &e->env;
    v->ram = e->env.ram;
    v->id = id;
    v->trace = e->trace;
    v->pages = reserve(e->nr_gfns * sizeof(*v->pages));
    if (!v->pages) {
        munmap(v, sizeof(*v));
        errno = ENOMEM;
        return NULL;
    }
    pthread_mutex_init(&v->inval.lock, NULL);
    soft_tlb_init(v);
    reset(v);
    __atomic_store_n(&e->vcpus[id], v, __ATOMIC_RELEASE);
    return (struct engine_vcpu *)v;
}

static void vcpu_destroy(struct engine_vcpu *ev)
{
    struct soft_vcpu *v = vcpu(ev);

    __atomic_store_n(&v->e->vcpus[v->id], NULL, __ATOMIC_RELEASE);
    vcpu_free(v);
}

/* ---------------------------------------------------------------- state */

static void get_state(struct engine_vcpu *ev, struct engine_state *s)
{
    static const uint8_t type_code[] = { [SOFT_EV_FAULT] = 3, [SOFT_EV_IRQ] = 0, [SOFT_EV_NMI] = 2,
                                         [SOFT_EV_SOFT] = 4 };
    const struct soft_vcpu *v = vcpu(ev);

    memset(s, 0, sizeof(*s));
    memcpy(s->gpr, v->gpr, sizeof(s->gpr));
    s->rip = v->gpr[16];
    s->rflags = soft_get_rflags(v);
    memcpy(s->seg, v->seg, sizeof(s->seg));
    s->tr = v->tr;
    s->ldtr = v->ldtr;
    s->gdtr = v->gdtr;
    s->idtr = v->idtr;
    s->cr0 = v->cr0;
    s->cr2 = v->cr2;
    s->cr3 = v->cr3;
    s->cr4 = v->cr4;
    s->efer = v->efer;
    memcpy(s->dr, v->dr, sizeof(s->dr));
    s->star = v->star;
    s->lstar = v->lstar;
    s->cstar = v->cstar;
    s->sfmask = v->sfmask;
    s->kernel_gs_base = v->kernel_gs_base;
    s->sysenter_cs = v->sysenter_cs;
    s->sysenter_esp = v->sysenter_esp;
    s->sysenter_eip = v->sysenter_eip;
    s->pat = v->pat;
    s->tsc_aux = v->tsc_aux;
    s->xcr0 = v->xcr0;
    s->xss = v->xss;
    s->tsc_offset = v->tsc_offset;
    soft_fp_save(v, s->fx);
    s->sti_shadow = v->sti_shadow;
    s->mov_ss_shadow = v->mov_ss_shadow;
    s->nmi_blocked = v->nmi_blocked;
    s->halted = v->halted;
    s->event.valid = v->event.valid;
    if (v->event.valid) {
        s->event.vector = v->event.vector;
        s->event.type = type_code[v->event.type & 3];
        s->event.error = v->event.error;
        s->event.has_error = v->event.has_error;
    }
}

/* What a CPU cannot be in: the checks that VM entry would make, as far as the soft CPU depends
 * on them. */
static bool state_valid(const struct engine_state *s)
{
    bool pg = s->cr0 & CR0_PG, lma = s->efer & EFER_LMA;

    if (s->cr0 >> 32 || (pg && !(s->cr0 & CR0_PE)))
        return false;
    if (s->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
        return false;
    if (lma != (pg && s->efer & EFER_LME))
        return false;
    if (lma && !(s->cr4 & CR4_PAE))
        return false;
    if (s->rflags & FL_VM && !lma)
        return false;
    if (!lma && s->rip >> 32)
        return false;
    return true;
}

static void apply_event(struct soft_vcpu *v, const struct engine_state *s)
{
    v->event.valid = s->event.valid;
    v->event.vector = s->event.vector;
    v->event.error = s->event.error;
    v->event.has_error = s->event.has_error;
    v->event.type = s->event.type == 0 ? SOFT_EV_IRQ : s->event.type == 2 ? SOFT_EV_NMI
                  : s->event.type == 4 || s->event.type == 6 ? SOFT_EV_SOFT : SOFT_EV_FAULT;
    v->int_rip = s->rip;
}

static int set_state(struct engine_vcpu *ev, const struct engine_state *s)
{
    struct soft_vcpu *v = vcpu(ev);

    if (!state_valid(s) || soft_fp_load(v, s->fx)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(v->gpr, s->gpr, sizeof(s->gpr));
    v->gpr[16] = s->rip;
    v->gpr[17] = 0;
    v->rflags = s->rflags & (FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_AC | FL_VIF |
                             FL_VIP | FL_ID);
    soft_set_flags(v, (uint32_t)s->rflags & FL_ARITH);
    for (unsigned i = 0; i < ENGINE_NR_SREGS; i++)
        soft_set_seg(v, (enum engine_sreg)i, &s->seg[i]);
    v->tr = s->tr;
    v->ldtr = s->ldtr;
    v->gdtr = s->gdtr;
    v->idtr = s->idtr;
    v->cr0 = s->cr0 | CR0_ET;
    v->cr2 = s->cr2;
    v->cr3 = s->cr3;
    v->cr4 = s->cr4;
    v->efer = s->efer;
    memcpy(v->dr, s->dr, sizeof(v->dr));
    v->star = s->star;
    v->lstar = s->lstar;
    v->cstar = s->cstar;
    v->sfmask = s->sfmask;
    v->kernel_gs_base = s->kernel_gs_base;
    v->sysenter_cs = s->sysenter_cs;
    v->sysenter_esp = s->sysenter_esp;
    v->sysenter_eip = s->sysenter_eip;
    v->pat = s->pat;
    v->tsc_aux = s->tsc_aux;
    v->xcr0 = s->xcr0;
    v->xss = s->xss;
    v->tsc_offset = s->tsc_offset;
    v->sti_shadow = s->sti_shadow;
    v->mov_ss_shadow = s->mov_ss_shadow;
    v->nmi_blocked = s->nmi_blocked;
    v->halted = s->halted;
    apply_event(v, s);
    v->in_delivery = false;
    v->failed = false;
    /* The CPL is SS's DPL; a null SS in 64-bit mode holds it in the selector. */
    if (!(v->cr0 & CR0_PE))
        v->cpl = 0;
    else if (s->seg[ENGINE_SS].attr & SEG_P)
        v->cpl = (uint8_t)SEG_DPL(&s->seg[ENGINE_SS]);
    else
        v->cpl = s->seg[ENGINE_SS].sel & 3;
    soft_tlb_flush(v, true);
    soft_update_fpu(v);
    soft_update_mode(v);
    return 0;
}

/* ---------------------------------------------------------------- accessors */

static const char *error(struct engine_vcpu *v) { return vcpu(v)->error; }
static void kick(struct engine_vcpu *v) { atomic_fetch_or(&vcpu(v)->attention, SOFT_ATT_KICK); }

static bool irq_ready(struct engine_vcpu *ev)
{
    const struct soft_vcpu *v = vcpu(ev);

    return v->rflags & FL_IF && !v->sti_shadow && !v->mov_ss_shadow && !v->event.valid;
}

static void want_irq_window(struct engine_vcpu *v, bool want)
{
    vcpu(v)->want_window = want;
    if (want)
        soft_attend(vcpu(v), SOFT_ATT_EVENT);
}

static void inject(struct soft_vcpu *v, uint8_t vector, enum soft_event type)
{
    v->event.valid = true;
    v->event.vector = vector;
    v->event.type = type;
    v->event.has_error = false;
    v->halted = false;
}

static void inject_irq(struct engine_vcpu *v, uint8_t vector) { inject(vcpu(v), vector,
                                                                       SOFT_EV_IRQ); }

static void inject_nmi(struct engine_vcpu *v)
{
    vcpu(v)->nmi_pending = true;
    vcpu(v)->halted = false;
}

static void set_halted(struct engine_vcpu *v, bool halted) { vcpu(v)->halted = halted; }
static unsigned cpl(struct engine_vcpu *v) { return vcpu(v)->cpl; }

static unsigned mode(struct engine_vcpu *ev)
{
    const struct soft_vcpu *v = vcpu(ev);

    return v->mode & SOFT_M_CODE64 ? 64 : v->mode & SOFT_M_CODE32 ? 32 : 16;
}

static uint64_t rip(struct engine_vcpu *ev)
{
    const struct soft_vcpu *v = vcpu(ev);

    return v->cb_op ? SOFT_RIP(v, v->cb_op) : v->gpr[16];
}

static void paging(struct engine_vcpu *ev, uint64_t *cr0, uint64_t *cr3, uint64_t *cr4,
                   uint64_t *efer)
{
    const struct soft_vcpu *v = vcpu(ev);

    *cr0 = v->cr0;
    *cr3 = v->cr3;
    *cr4 = v->cr4;
    *efer = v->efer;
}

static size_t gva_read(struct engine_vcpu *v, uint64_t gva, void *buf, size_t len)
{
    return soft_gva_copy(vcpu(v), gva, buf, len, false);
}

static size_t gva_write(struct engine_vcpu *v, uint64_t gva, const void *buf, size_t len)
{
    return soft_gva_copy(vcpu(v), gva, (void *)(uintptr_t)buf, len, true);
}

static void invalidate_gfns(struct engine *en, uint64_t gfn, uint64_t nr)
{
    struct soft_engine *e = engine(en);

    for (unsigned i = 0; i < e->env.nr_vcpus; i++) {
        struct soft_vcpu *v = __atomic_load_n(&e->vcpus[i], __ATOMIC_ACQUIRE);
        if (!v)
            continue;
        if (nr > SOFT_INVAL_MAX / 2) {
            soft_post_inval_all(v);
            continue;
        }
        for (uint64_t k = 0; k < nr; k++)
            soft_post_inval(v, gfn + k, SOFT_INVAL_TLB);
    }
}

static void stats(struct engine_vcpu *v, struct engine_stats *out) { *out = vcpu(v)->stats; }

const struct engine_ops engine_soft = {
    .name = "soft",
    .create = create,
    .destroy = destroy,
    .host_cpuid = soft_host_cpuid,
    .host_arch_caps = soft_host_arch_caps,
    .vcpu_create = vcpu_create,
    .vcpu_destroy = vcpu_destroy,
    .get_state = get_state,
    .set_state = set_state,
    .run = soft_run,
    .error = error,
    .kick = kick,
    .irq_ready = irq_ready,
    .want_irq_window = want_irq_window,
    .inject_irq = inject_irq,
    .inject_nmi = inject_nmi,
    .set_halted = set_halted,
    .cpl = cpl,
    .mode = mode,
    .rip = rip,
    .paging = paging,
    .gva_read = gva_read,
    .gva_write = gva_write,
    .invalidate_gfns = invalidate_gfns,
    .stats = stats,
};
