/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdint.h>

#include "tests/guests/guest.h"

#include <xen/io/console.h>

const struct hvm_start_info *start_info;
struct shared_info *shared;
unsigned failures;

/* Well above the image and what the builder puts behind it, start info and command line. */
static uint8_t *next_page = (uint8_t *)0x800000;
static struct xencons_interface *console;
static uint32_t console_port;
static bool console_lock;

void *memset(void *to, int c, size_t n)
{
    uint8_t *p = to;

    while (n--) {
        *p++ = (uint8_t)c;
    }
    return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
    uint8_t *p = to;
    const uint8_t *q = from;

    while (n--) {
        *p++ = *q++;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a, *q = b;

    for (; n--; p++, q++) {
        if (*p != *q) {
            return *p < *q ? -1 : 1;
        }
    }
    return 0;
}

bool has_word(const char *list, const char *word)
{
    while (*list) {
        const char *w = word;

        while (*w && *list == *w) {
            w++;
            list++;
        }
        if (!*w && (!*list || *list == ' ')) {
            return true;
        }
        while (*list && *list != ' ') {
            list++;
        }
        while (*list == ' ') {
            list++;
        }
    }
    return false;
}

void *page_alloc(unsigned pages)
{
    uint8_t *at = next_page;

    next_page += pages * PAGE;
    memset(at, 0, pages * PAGE);
    return at;
}

long hypercall5(uint64_t op, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    register uint64_t r10 asm("r10") = a4, r8 asm("r8") = a5;
    uint64_t rc;

    if (op >= 128) {
        /* No stub for it: as the stub would. */
        asm volatile("vmmcall" : "=a"(rc), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     : "0"(op) : "memory", "rcx", "r11");
        return (long)rc;
    }
    asm volatile("call *%[page]" : "=a"(rc), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                 : [page] "b"(hypercall_page + op * 32) : "memory", "rcx", "r11");
    return (long)rc;
}

long hvm_param(uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };
    long rc = HC(hvm_op, HVMOP_get_param, &p, 0);

    *value = p.value;
    return rc;
}

long hvm_param_set(uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index, .value = value };

    return HC(hvm_op, HVMOP_set_param, &p, 0);
}

long map_xen_page(unsigned space, uint64_t index, void *at)
{
    struct xen_add_to_physmap add = { .domid = DOMID_SELF, .space = space, .idx = index,
                                      .gpfn = (uint64_t)at / PAGE };

    return HC(memory_op, XENMEM_add_to_physmap, &add, 0);
}

/* The console: the debug port always, the PV ring if there is one. */

static void putc_ring(char c)
{
    struct evtchn_send send = { .port = console_port };
    uint32_t prod = console->out_prod;

    for (unsigned spins = 0;
         prod - *(volatile uint32_t *)&console->out_cons >= sizeof(console->out); spins++) {
        if (spins % 1000 == 0) {
            HC(event_channel_op, EVTCHNOP_send, &send, 0);
            HC(sched_op, SCHEDOP_yield, 0, 0);
        }
        if (spins > 10000000) {
            return;     /* nobody reads */
        }
        pause();
    }
    console->out[MASK_XENCONS_IDX(prod, console->out)] = c;
    asm volatile("" : : : "memory");
    console->out_prod = prod + 1;
}

static void putc(char c)
{
    if (c == '\n') {
        putc('\r');
    }
    if (c != '\r') {
        asm volatile("outb %%al, $0xe9" : : "a"(c));
    }
    if (console) {
        putc_ring(c);
    }
}

static void put_number(uint64_t n, unsigned base, unsigned width, char pad, bool negative)
{
    char digits[24];
    unsigned len = 0;

    do {
        digits[len++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    if (negative) {
        putc('-');
    }
    for (unsigned i = len; i < width; i++) {
        putc(pad);
    }
    while (len) {
        putc(digits[--len]);
    }
}

static void put_conversion(const char **fmt, va_list *args)
{
    char pad = ' ';
    unsigned width = 0;
    bool wide = false;
    int64_t n;

    if (**fmt == '0') {
        pad = '0';
    }
    while (**fmt >= '0' && **fmt <= '9') {
        width = width * 10 + (unsigned)(*(*fmt)++ - '0');
    }
    while (**fmt == 'l') {
        wide = true;
        (*fmt)++;
    }
    switch (*(*fmt)++) {
    case 's':
        for (const char *s = va_arg(*args, const char *); *s; s++) {
            putc(*s);
        }
        break;
    case 'c':
        putc((char)va_arg(*args, int));
        break;
    case 'd':
        n = wide ? va_arg(*args, long) : va_arg(*args, int);
        put_number(n < 0 ? -(uint64_t)n : (uint64_t)n, 10, width, pad, n < 0);
        break;
    case 'u':
        put_number(wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned), 10, width, pad,
                   false);
        break;
    case 'x':
        put_number(wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned), 16, width, pad,
                   false);
        break;
    case 'p':
        put_number((uint64_t)va_arg(*args, void *), 16, 0, pad, false);
        break;
    default:
        putc('%');
    }
}

static void vprint(const char *fmt, va_list *args)
{
    struct evtchn_send send = { .port = console_port };

    while (__atomic_exchange_n(&console_lock, true, __ATOMIC_ACQUIRE)) {
        pause();
    }
    while (*fmt) {
        char c = *fmt++;

        if (c == '%') {
            put_conversion(&fmt, args);
        } else {
            putc(c);
        }
    }
    if (console) {
        HC(event_channel_op, EVTCHNOP_send, &send, 0);
    }
    __atomic_store_n(&console_lock, false, __ATOMIC_RELEASE);
}

void print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprint(fmt, &args);
    va_end(args);
}

bool check(bool ok, const char *fmt, ...)
{
    va_list args;

    if (!ok) {
        failures++;
    }
    print("%s ", ok ? "ok  " : "FAIL");
    va_start(args, fmt);
    vprint(fmt, &args);
    va_end(args);
    print("\n");
    return ok;
}

void shutdown(unsigned reason)
{
    struct sched_shutdown s = { .reason = reason };

    for (;;) {
        HC(sched_op, SCHEDOP_shutdown, &s, 0);
    }
}

uint64_t clock_ns(unsigned vcpu)
{
    volatile struct vcpu_time_info *t = &shared->vcpu_info[vcpu].time;
    uint32_t version;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        asm volatile("" : : : "memory");
        delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        ns = t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
        asm volatile("" : : : "memory");
    } while ((version & 1) || version != t->version);
    return ns;
}

__attribute__((weak)) void ap_main(void)
{
    for (;;) {
        asm volatile("hlt");
    }
}

static void find_hypercalls(void)
{
    uint32_t out[4];

    cpuid(0x40000000, 0, out);
    if (out[1] != 0x566e6558 || out[0] < 0x40000002) {
        for (const char *s = "no Xen here\n"; *s; s++) {
            putc(*s);
        }
        for (;;) {
            asm volatile("cli; hlt");
        }
    }
    cpuid(0x40000002, 0, out);
    wrmsr(out[1], (uint64_t)hypercall_page);
}

void guest_start(const struct hvm_start_info *info);

void guest_start(const struct hvm_start_info *info)
{
    uint64_t pfn = 0, port = 0;
    bool ok;

    start_info = info;
    find_hypercalls();
    if (!hvm_param(HVM_PARAM_CONSOLE_PFN, &pfn) && pfn &&
        !hvm_param(HVM_PARAM_CONSOLE_EVTCHN, &port) && port) {
        console = (void *)(pfn * PAGE);
        console_port = (uint32_t)port;
    }
    shared = page_alloc(1);
    traps_init();
    if (map_xen_page(XENMAPSPACE_shared_info, 0, shared)) {
        print("cannot map shared_info\n");
    }
    ok = guest_main(info->cmdline_paddr ? (const char *)info->cmdline_paddr : "");
    print("%s\n", ok && !failures ? "SUCCESS" : "FAILURE");
    shutdown(SHUTDOWN_poweroff);
}

void ap_context(struct vcpu_hvm_context *ctx)
{
    extern uint8_t ap_start64[], page_root[];
    extern uint64_t ap_stack;
    uint64_t cr;

    memset(ctx, 0, sizeof(*ctx));
    ctx->mode = VCPU_HVM_MODE_64B;
    ap_stack = (uint64_t)page_alloc(4) + STACK_SIZE;
    asm volatile("movq %%cr0, %0" : "=r"(cr));
    ctx->cpu_regs.x86_64.cr0 = cr;
    asm volatile("movq %%cr4, %0" : "=r"(cr));
    ctx->cpu_regs.x86_64.cr4 = cr;
    ctx->cpu_regs.x86_64.cr3 = (uint64_t)page_root;
    ctx->cpu_regs.x86_64.efer = rdmsr(0xc0000080);
    ctx->cpu_regs.x86_64.rip = (uint64_t)ap_start64;
    ctx->cpu_regs.x86_64.rflags = 2;
}
