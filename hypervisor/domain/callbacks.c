/* SPDX-License-Identifier: MIT */
#include "hypervisor/domain/callbacks.h"

#include "hypervisor/domain/control.h"
#include "hypervisor/domain/ioreq.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/vcpu.h"

#define PORT_DEBUG 0xe9         /* bytes written there go to the host's log of this guest */

static struct vcpu *vcpu_of(void *opaque, unsigned id)
{
    return &((struct machine *)opaque)->vcpu[id];
}

static enum engine_verdict turn(struct vcpu *v)
{
    return vcpu_needs_turn(v) ? ENGINE_STOP : ENGINE_CONTINUE;
}

/*
 * Port I/O is the debug port's or a device model's; elsewhere reads float high and writes are lost.
 * A wait for a device model takes time, hence the turn of the loop after it.
 */
static enum engine_verdict pio_in(void *opaque, unsigned vcpu, uint16_t port, unsigned size,
                                  uint32_t *value)
{
    if (port == PORT_DEBUG && size == 1) {
        *value = PORT_DEBUG;    /* by convention: the port is there */
        return ENGINE_CONTINUE;
    }
    if (ioreq_port_in(vcpu_of(opaque, vcpu), port, size, value)) {
        return ENGINE_STOP;
    }
    *value = size == 4 ? 0xffffffffu : (1u << (size * 8)) - 1;
    return ENGINE_CONTINUE;
}

static enum engine_verdict pio_out(void *opaque, unsigned vcpu, uint16_t port, unsigned size,
                                   uint32_t value)
{
    if (port == PORT_DEBUG && size == 1) {
        control_debug_char(vcpu_of(opaque, vcpu), (char)value);
        return ENGINE_CONTINUE;
    }
    return ioreq_port_out(vcpu_of(opaque, vcpu), port, size, value) ? ENGINE_STOP : ENGINE_CONTINUE;
}

static bool pio_rep(void *opaque, unsigned vcpu, uint16_t port, unsigned size, bool in, uint64_t gpa,
                    unsigned count, bool down)
{
    return ioreq_port_rep(vcpu_of(opaque, vcpu), port, size, in, gpa, count, down);
}

static enum engine_verdict mmio_read(void *opaque, unsigned vcpu, uint64_t gpa, unsigned size,
                                     uint64_t *value)
{
    struct vcpu *v = vcpu_of(opaque, vcpu);

    if (lapic_mmio_hit(v, gpa)) {
        lapic_mmio_read(v, gpa, size, value);
        return turn(v);
    }
    if (ioreq_read(v, gpa, size, value)) {
        return ENGINE_STOP;
    }
    *value = UINT64_MAX;
    return ENGINE_CONTINUE;
}

static enum engine_verdict mmio_write(void *opaque, unsigned vcpu, uint64_t gpa, unsigned size,
                                      uint64_t value)
{
    struct vcpu *v = vcpu_of(opaque, vcpu);

    if (lapic_mmio_hit(v, gpa)) {
        lapic_mmio_write(v, gpa, size, value);
        return turn(v);
    }
    return ioreq_write(v, gpa, size, value) ? ENGINE_STOP : ENGINE_CONTINUE;
}

static uint64_t read_cr8(void *opaque, unsigned vcpu)
{
    return lapic_read_cr8(vcpu_of(opaque, vcpu));
}

static enum engine_verdict write_cr8(void *opaque, unsigned vcpu, uint64_t value)
{
    struct vcpu *v = vcpu_of(opaque, vcpu);

    if (value > 15) {
        return ENGINE_FAULT_GP;
    }
    lapic_write_cr8(v, value);
    return turn(v);
}

void callbacks_init(struct machine *m, struct engine_env *env)
{
    *env = (struct engine_env){
        .opaque = m, .nr_vcpus = m->nr_vcpus, .ram = m->ram, .gpa_limit = m->gpa_limit,
        .gfn_type = m->gfn_type, .cpuid = cpuid_read, .hypercall = hypercall,
        .rdmsr = msr_read, .wrmsr = msr_write, .pio_in = pio_in, .pio_out = pio_out,
        .pio_rep = pio_rep,
        .mmio_read = mmio_read, .mmio_write = mmio_write,
        .read_cr8 = read_cr8, .write_cr8 = write_cr8,
    };
}
