/* SPDX-License-Identifier: MIT */
/*
 * Random hypercalls from a guest with random memory, against the domain process's handlers and a
 * core that refuses everything. The input is a script: each step writes guest memory, makes a
 * hypercall, lets time pass, or has another domain or the core act.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/domain/callbacks.h"
#include "hypervisor/domain/event.h"
#include "hypervisor/domain/lapic.h"
#include "hypervisor/domain/time.h"
#include "hypervisor/domain/vcpu.h"
#include "tests/unit/fake_engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VCPUS 3u

struct input { const uint8_t *at; size_t left; };

static uint64_t take(struct input *in, size_t n)
{
    uint64_t v = 0;

    n = n < in->left ? n : in->left;
    memcpy(&v, in->at, n);
    in->at += n;
    in->left -= n;
    return v;
}

/* The core: says no. Ends with its socket. */
static void *core(void *arg)
{
    struct fake_domain *d = arg;
    struct kl_ret ret = { .h = { KL_RET, sizeof(ret) }, .ret = -ENOSYS };
    struct kl_hypercall call;

    while (recv(d->core_sock[0], &call, sizeof(call), 0) > 0) {
        send(d->core_sock[0], &ret, sizeof(ret), MSG_NOSIGNAL);
    }
    return NULL;
}

static void step(struct fake_domain *d, struct vcpu *v, struct input *in)
{
    uint64_t op, a[4], value;
    uint8_t what = (uint8_t)take(in, 1), junk[64];
    ssize_t drained;

    switch (what % 8) {
    case 0:
        op = take(in, 2) % (FAKE_RAM_PAGES * 4096 - 8);
        value = take(in, 8);
        memcpy(fake_ram(d, op), &value, 8);
        break;
    case 1:
        op = take(in, 2) & 4095;
        value = take(in, 4);
        memcpy(d->m->xen_pages + (op & ~3ull), &value, 4);
        break;
    case 2:
        fake_port(d, 1 + (uint32_t)(take(in, 2) % 5000), (uint32_t)take(in, 1) % 6,
                  (uint32_t)take(in, 1) % VCPUS, (uint32_t)take(in, 1));
        break;
    case 3:
        if (take(in, 1) & 1) {
            msr_write(d->m, 0, 0x800 + (uint32_t)take(in, 1), take(in, 8));
        } else {
            lapic_mmio_write(v, 0xfee00000 + take(in, 2) % 4096, 4, take(in, 4));
        }
        lapic_pending(v);
        break;
    case 4:
        time_run_timers(v, host_now() + take(in, 4));
        time_refresh(v, host_now());
        break;
    default:
        op = what & 0x80 ? take(in, 8) : take(in, 1) % 48;
        for (int i = 0; i < 4; i++) {
            a[i] = take(in, what & 0x40 ? 8 : i == 0 ? 1 : 2);
        }
        if ((uint32_t)op == __HYPERVISOR_multicall) {
            a[1] %= 80;         /* longer lists cost time and show nothing new */
        }
        v->ev->mode = what & 0x20 ? 32 : 64;
        fake_hypercall(v, op, a[0], a[1], a[2], a[3]);
    }
    v->block = VCPU_AWAKE;
    v->polling = 0;
    d->m->pollers = 0;
    v->hold = false;
    atomic_store(&v->work, 0);
    do {
        drained = recv(d->core_control, junk, sizeof(junk), MSG_DONTWAIT);
    } while (drained > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = { data, size };
    struct fake_domain d;
    struct vcpu *v;
    pthread_t t;

    fake_domain_start(&d, VCPUS);
    d.m->tsc_khz = 2600000;
    v = fake_be(&d, 0);
    pthread_create(&t, NULL, core, &d);
    for (int i = 0; i < 200 && in.left; i++) {
        step(&d, v, &in);
    }
    shutdown(d.m->vcpu[0].sock, SHUT_RDWR);
    pthread_join(t, NULL);
    fake_domain_stop(&d);
    return 0;
}
