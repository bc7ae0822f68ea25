/* SPDX-License-Identifier: MIT */
/*
 * A small device model on the public libraries alone, as QEMU stands on them: the device of
 * device_model.h for tests/guests/ioreq.c. It would serve a guest on a stock Xen host just so.
 *
 *   device_model DOMID [restrict]      serves the domain until it is gone
 *   device_model DOMID destroy ID      takes the server of a model that died away
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "include/xendevicemodel.h"
#include "include/xenevtchn.h"
#include "include/xenforeignmemory.h"
#include "include/xentoolcore.h"

#include "tests/system/device_model.h"

#define PAGE 4096u
#define MAX_VCPUS 8

static domid_t domid;
static xendevicemodel_handle *dm;
static xenforeignmemory_handle *fm;
static xenevtchn_handle *evt;
static ioservid_t server;
static struct shared_iopage *page;
static unsigned nr_vcpus;
static evtchn_port_t port[MAX_VCPUS];

static struct {
    uint32_t latch, stream, sum, watched, dropped, requests, cpu[DM_CPUS];
    uint64_t watch_gfn;
    uint8_t memory[PAGE];
    bool hang, lie;
} dev;

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "device_model: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static uint32_t port_in(unsigned at)
{
    if (at >= DM_CPU && at < DM_CPU + 4 * DM_CPUS) {
        return dev.cpu[(at - DM_CPU) / 4];
    }
    switch (at) {
    case DM_ID: return DM_ID_VALUE;
    case DM_LATCH: return dev.latch;
    case DM_STREAM: return dev.stream++;
    case DM_SUM: return dev.sum;
    case DM_WATCH: return dev.watched;
    case DM_DROPPED: return dev.dropped;
    case DM_REQUESTS: return dev.requests;
    case DM_VCPUS: return nr_vcpus;
    default: return 0xffffffff;
    }
}

static void watch(uint32_t gfn)
{
    bool on = gfn;

    if (on) {
        must(!xendevicemodel_map_mem_type_to_ioreq_server(dm, domid, server, HVMMEM_ioreq_server,
                                                          XEN_DMOP_IOREQ_MEM_ACCESS_WRITE),
             "map_mem_type");
        must(!xendevicemodel_set_mem_type(dm, domid, HVMMEM_ioreq_server, gfn, 1), "set_mem_type");
    } else {
        must(!xendevicemodel_map_mem_type_to_ioreq_server(dm, domid, server, HVMMEM_ioreq_server, 0),
             "map_mem_type 0");
    }
    dev.watch_gfn = gfn;
}

static void port_out(unsigned at, unsigned size, uint32_t x)
{
    if (at >= DM_CPU && at < DM_CPU + 4 * DM_CPUS) {
        dev.cpu[(at - DM_CPU) / 4] = x;
        return;
    }
    switch (at) {
    case DM_LATCH:
        dev.latch = size == 1 ? (dev.latch & ~0xffu) | (x & 0xff) : x;
        break;
    case DM_SUM:
        dev.sum = x ? dev.sum * 31 + x : 0;
        break;
    case DM_MSI:
        must(!xendevicemodel_inject_msi(dm, domid, 0xfee00000, x & 0xff), "inject_msi");
        break;
    case DM_HANG:
        dev.hang = true;
        break;
    case DM_LIE:
        dev.lie = true;
        break;
    case DM_INJECT:
        must(!xendevicemodel_inject_event(dm, domid, 0, 13, XEN_DMOP_EVENT_hw_exc, 0x18, 0, 0),
             "inject_event");
        break;
    case DM_WATCH:
        watch(x);
        break;
    case DM_OFF:
        must(!xendevicemodel_shutdown(dm, domid, 0), "shutdown");
        break;
    }
}

/* One element of a repeated access, to or from guest memory. */
static void element(struct ioreq *r, uint64_t gpa)
{
    xen_pfn_t gfn[2] = { gpa / PAGE, (gpa + r->size - 1) / PAGE };
    uint8_t *mem = xenforeignmemory_map(fm, domid, PROT_READ | PROT_WRITE, 1 + (gfn[0] != gfn[1]), gfn,
                                        NULL);
    uint32_t x = 0;

    must(mem, "map guest memory");
    if (r->dir == IOREQ_READ) {
        x = port_in((unsigned)r->addr);
        memcpy(mem + gpa % PAGE, &x, r->size);
    } else {
        memcpy(&x, mem + gpa % PAGE, r->size);
        port_out((unsigned)r->addr, r->size, x);
    }
    xenforeignmemory_unmap(fm, mem, 1 + (gfn[0] != gfn[1]));
}

static void port_request(struct ioreq *r)
{
    if (!r->data_is_ptr) {
        if (r->dir == IOREQ_READ) {
            r->data = port_in((unsigned)r->addr);
        } else {
            port_out((unsigned)r->addr, r->size, (uint32_t)r->data);
        }
        return;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        element(r, r->df ? r->data - (uint64_t)i * r->size : r->data + (uint64_t)i * r->size);
    }
}

static void memory_request(struct ioreq *r)
{
    uint64_t off = r->addr - DM_MEMORY;

    if (dev.watch_gfn && r->addr / PAGE == dev.watch_gfn) {
        dev.watched++;
    } else if (off >= PAGE || r->size > PAGE - off || r->data_is_ptr) {
        fprintf(stderr, "device_model: a request for %#" PRIx64 "\n", r->addr);
        exit(1);
    } else if (r->dir == IOREQ_READ) {
        r->data = 0;
        memcpy(&r->data, dev.memory + off, r->size);
    } else {
        memcpy(dev.memory + off, &r->data, r->size);
    }
}

static void request(struct ioreq *r)
{
    dev.requests++;
    switch (r->type) {
    case IOREQ_TYPE_PIO:
        port_request(r);
        break;
    case IOREQ_TYPE_COPY:
        memory_request(r);
        break;
    case IOREQ_TYPE_PCI_CONFIG:
        if (r->addr >> 32 != DM_DEVICE << 3) {
            fprintf(stderr, "device_model: a request for PCI %#" PRIx64 "\n", r->addr);
            exit(1);
        }
        r->data = DM_PCI_MAGIC | (r->addr & 0xff);
        break;
    case IOREQ_TYPE_INVALIDATE:
        dev.dropped++;
        break;
    default:
        fprintf(stderr, "device_model: a request of type %u\n", r->type);
        exit(1);
    }
}

static void serve(unsigned vcpu)
{
    struct ioreq *r = &page->vcpu_ioreq[vcpu];
    bool silent = dev.hang;

    if (r->state != STATE_IOREQ_READY || silent) {
        return;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    r->state = STATE_IOREQ_INPROCESS;
    request(r);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    r->state = dev.lie ? 9 : STATE_IORESP_READY;
    xenevtchn_notify(evt, port[vcpu]);
}

static void set_up(void)
{
    evtchn_port_t buffered;
    void *addr = NULL;

    must(!xendevicemodel_nr_vcpus(dm, domid, &nr_vcpus) && nr_vcpus <= MAX_VCPUS, "nr_vcpus");
    must(!xendevicemodel_create_ioreq_server(dm, domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &server),
         "create_ioreq_server");
    must(xenforeignmemory_map_resource(fm, domid, XENMEM_resource_ioreq_server, server, 0, 2, &addr,
                                       PROT_READ | PROT_WRITE, 0), "map the pages");
    page = (void *)((char *)addr + PAGE);
    must(!xendevicemodel_get_ioreq_server_info(dm, domid, server, NULL, NULL, &buffered), "info");
    must(!xendevicemodel_map_io_range_to_ioreq_server(dm, domid, server, 0, DM_ID, DM_LAST), "ports");
    must(!xendevicemodel_map_io_range_to_ioreq_server(dm, domid, server, 1, DM_MEMORY,
                                                      DM_MEMORY + PAGE - 1), "memory");
    must(!xendevicemodel_map_pcidev_to_ioreq_server(dm, domid, server, 0, 0, DM_DEVICE, 0), "pci");
    must(!xendevicemodel_set_ioreq_server_state(dm, domid, server, 1), "enable");
    for (unsigned v = 0; v < nr_vcpus; v++) {
        int p = xenevtchn_bind_interdomain(evt, domid, page->vcpu_ioreq[v].vp_eport);

        must(p > 0, "bind a vCPU's port");
        port[v] = (evtchn_port_t)p;
    }
    must(xenevtchn_bind_interdomain(evt, domid, buffered) > 0, "bind the buffered requests' port");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    domid = (domid_t)atoi(argv[1]);
    dm = xendevicemodel_open(NULL, 0);
    fm = xenforeignmemory_open(NULL, 0);
    evt = xenevtchn_open(NULL, 0);
    must(dm && fm && evt, "open");
    if (argc == 4 && !strcmp(argv[2], "destroy")) {
        must(!xendevicemodel_destroy_ioreq_server(dm, domid, (ioservid_t)atoi(argv[3])), "destroy");
        return 0;
    }
    set_up();
    if (argc == 3 && !strcmp(argv[2], "restrict")) {
        must(!xentoolcore_restrict_all(domid), "restrict");
    }
    printf("ready %u\n", server);
    fflush(stdout);
    for (;;) {
        struct pollfd p = { xenevtchn_fd(evt), POLLIN, 0 };
        xenevtchn_port_or_error_t got;

        for (unsigned v = 0; v < nr_vcpus; v++) {
            serve(v);
        }
        if (poll(&p, 1, -1) < 0) {
            continue;
        }
        got = xenevtchn_pending(evt);
        must(got >= 0 || errno == EAGAIN, "events");
        if (got >= 0) {
            xenevtchn_unmask(evt, (evtchn_port_t)got);
        }
    }
}
