/* SPDX-License-Identifier: MIT */
/* The KVM probe's guest on a CPU that is known to work -- the soft engine -- so that a refusal of
 * KVM is KVM's fault and not the guest's. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "hypervisor/engine/engine.h"
#include "hypervisor/engine/kvm/probe_guest.h"

static unsigned step, chunks;
static uint8_t gfn_type[PROBE_GPA_SIZE >> 12];

static enum engine_verdict on_out(void *opaque, unsigned v, uint16_t port, unsigned size,
                                  uint32_t value)
{
    assert_int_equal(size, 1);
    if (port == PROBE_PORT_CHUNK) {
        chunks++;
    } else {
        assert_int_equal(port, PROBE_PORT_STEP);
        assert_int_equal((uint8_t)value, step + 1);
        step++;
    }
    return ENGINE_CONTINUE;
}

static void on_cpuid(void *opaque, unsigned v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    engine_soft.host_cpuid(leaf, subleaf, out);
}

static struct engine_segment seg(uint16_t sel, uint16_t attr)
{
    return (struct engine_segment){ .sel = sel, .limit = 0xffffffff, .attr = attr };
}

static void set_state(struct engine_vcpu *v)
{
    struct engine_state s;

    memset(&s, 0, sizeof(s));
    s.rip = PROBE_GPA_CODE;
    s.gpr[ENGINE_RSP] = PROBE_GPA_STACK_TOP;
    s.rflags = 2;
    for (int i = 0; i < ENGINE_NR_SREGS; i++)
        s.seg[i] = seg(0x10, 0xc93);
    s.seg[ENGINE_CS] = seg(0x08, 0xa9b);
    s.tr = (struct engine_segment){ .base = PROBE_GPA_TSS, .limit = 0x67, .attr = 0x8b };
    s.gdtr = (struct engine_table){ PROBE_GPA_GDT, PROBE_GDT_LIMIT };
    s.cr0 = PROBE_CR0;
    s.cr3 = PROBE_GPA_PML4;
    s.cr4 = PROBE_CR4;
    s.efer = PROBE_EFER;
    s.dr[6] = 0xffff0ff0;
    s.dr[7] = 0x400;
    s.pat = 0x0007040600070406;
    s.xcr0 = 1;
    s.fx[0] = 0x7f;
    s.fx[1] = 0x03;
    s.fx[24] = 0x80;
    s.fx[25] = 0x1f;
    assert_int_equal(engine_soft.set_state(v, &s), 0);
}

static void probe_guest_runs(void **state)
{
    uint8_t *ram = mmap(NULL, PROBE_GPA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0);
    assert_ptr_not_equal(ram, MAP_FAILED);
    struct engine_env env = {
        .nr_vcpus = 1, .ram = ram, .gpa_limit = PROBE_GPA_SIZE, .gfn_type = gfn_type,
        .cpuid = on_cpuid, .pio_out = on_out,
    };
    memset(gfn_type, ENGINE_GFN_RAM, sizeof(gfn_type));
    kvm_probe_fill_memory(ram);
    struct engine *e = engine_soft.create(&env);
    assert_non_null(e);
    struct engine_vcpu *v = engine_soft.vcpu_create(e, 0);
    assert_non_null(v);
    set_state(v);
    enum engine_exit why = ENGINE_EXIT_KICK;
    for (int slices = 0; slices < 1000 && why == ENGINE_EXIT_KICK; slices++)
        why = engine_soft.run(v, 1000000);
    assert_int_equal(why, ENGINE_EXIT_HLT);
    assert_int_equal(step, KVM_STEP_DONE);
    assert_int_equal(chunks, PROBE_CHUNKS);
    engine_soft.vcpu_destroy(v);
    engine_soft.destroy(e);
    munmap(ram, PROBE_GPA_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(probe_guest_runs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
