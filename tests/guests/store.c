/* SPDX-License-Identifier: MIT */
/*
 * The store as a guest sees it: requests over its ring as Linux makes them, one outstanding and several.
 * What came of it is in data/result: "NAME OUTSTANDING REQUESTS-PER-SECOND" for each load, the median of some
 * slices, as machines are noisy; then how many requests there were in all, and "ok".
 */
#include "tests/guests/guest.h"

#include <xen/io/xs_wire.h>

#define SLICES   7
#define SLICE_NS 100000000ull

static struct xenstore_domain_interface *ring;
static uint32_t port;

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void kick(void)
{
    struct evtchn_send send = { .port = port };

    HC(event_channel_op, EVTCHNOP_send, &send, 0);
}

/* Until *word is not `is`; the port is masked, and stays. */
static void wait_while(const uint32_t *word, uint32_t is)
{
    evtchn_port_t p = port;
    struct sched_poll poll = { .nr_ports = 1 };

    set_xen_guest_handle(poll.ports, &p);
    while (load(word) == is) {
        __atomic_fetch_and(&shared->evtchn_pending[port / 64], ~(1ul << port % 64), __ATOMIC_SEQ_CST);
        if (load(word) == is) {
            HC(sched_op, SCHEDOP_poll, &poll, 0);
        }
    }
}

static void put(const char *data, uint32_t len)
{
    while (len) {
        uint32_t prod = ring->req_prod, cons = load(&ring->req_cons), n = 0;

        if (prod - cons == XENSTORE_RING_SIZE) {
            wait_while(&ring->req_cons, cons);
            continue;
        }
        while (n < len && prod + n - cons < XENSTORE_RING_SIZE) {
            ring->req[MASK_XENSTORE_IDX(prod + n)] = data[n];
            n++;
        }
        data += n;
        len -= n;
        __atomic_store_n(&ring->req_prod, prod + n, __ATOMIC_SEQ_CST);
        /* Who has taken all that there was waits to hear of more. */
        if (load(&ring->req_cons) == prod) {
            kick();
        }
    }
}

static void get(char *data, uint32_t len)
{
    while (len) {
        uint32_t cons = ring->rsp_cons, prod = load(&ring->rsp_prod), n = 0;

        if (prod == cons) {
            wait_while(&ring->rsp_prod, prod);
            continue;
        }
        for (; n < len && cons + n != prod; n++) {
            data[n] = ring->rsp[MASK_XENSTORE_IDX(cons + n)];
        }
        data += n;
        len -= n;
        __atomic_store_n(&ring->rsp_cons, cons + n, __ATOMIC_SEQ_CST);
        if (load(&ring->rsp_prod) - cons == XENSTORE_RING_SIZE) {
            kick(); /* it was full */
        }
    }
}

static uint32_t sent;

static void request(uint32_t type, const char *data, uint32_t len)
{
    char buf[sizeof(struct xsd_sockmsg) + 512];
    struct xsd_sockmsg h = { .type = type, .req_id = ++sent, .len = len };

    memcpy(buf, &h, sizeof(h));
    memcpy(buf + sizeof(h), data, len);
    put(buf, (uint32_t)sizeof(h) + len);
}

/* The next reply; they come in the order of the requests. */
static bool reply(void)
{
    static char body[XENSTORE_PAYLOAD_MAX];
    static uint32_t answered;
    struct xsd_sockmsg h;

    get((char *)&h, sizeof(h));
    get(body, h.len);
    return h.req_id == ++answered && h.type != XS_ERROR;
}

static const struct {
    const char *name;
    uint32_t type[2];           /* in turn */
    const char *data;
    uint32_t len;
} loads[] = {
    { "read", { XS_READ, XS_READ }, "data/leaf", 10 },
    { "write", { XS_WRITE, XS_WRITE }, "data/leaf\0value", 15 },
    { "directory", { XS_DIRECTORY, XS_DIRECTORY }, "data", 5 },
    { "mkdir,rm", { XS_MKDIR, XS_RM }, "data/new", 9 },
};

static bool all_well = true;

/* With `window` requests outstanding. Requests per second. */
static uint64_t rate(unsigned which, unsigned window)
{
    uint64_t start = clock_ns(0), now, done = 0;
    uint32_t out = 0;

    do {
        for (; out < window; out++) {
            request(loads[which].type[sent & 1], loads[which].data, loads[which].len);
        }
        all_well &= reply();
        out--;
        done++;
        now = clock_ns(0);
    } while (now - start < SLICE_NS);
    while (out--) {
        all_well &= reply();
    }
    return done * 1000000000 / (now - start);
}

static uint32_t number(char *at, uint64_t v)
{
    char digits[20];
    uint32_t n = 0, len;

    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    for (len = n; n; at++) {
        *at = digits[--n];
    }
    return len;
}

static uint32_t text(char *at, const char *s)
{
    uint32_t n = 0;

    for (; s[n]; n++) {
        at[n] = s[n];
    }
    return n;
}

static uint64_t median(uint64_t *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        for (unsigned k = i; k && v[k - 1] > v[k]; k--) {
            uint64_t t = v[k];

            v[k] = v[k - 1];
            v[k - 1] = t;
        }
    }
    return v[n / 2];
}

#define LOADS (sizeof(loads) / sizeof(loads[0]))
static const unsigned windows[] = { 1, 16 };
static uint64_t rates[2][LOADS][SLICES];

static void measure(void)
{
    for (unsigned s = 0; s < SLICES; s++) {
        for (unsigned k = 0; k < 2 * LOADS; k++) {
            if (sent & 1) { /* what comes in turn begins with the first */
                request(XS_READ, "data/leaf", 10);
                all_well &= reply();
            }
            rates[k / LOADS][k % LOADS][s] = rate(k % LOADS, windows[k / LOADS]);
        }
    }
}

bool guest_main(const char *cmdline)
{
    char result[480];
    uint64_t pfn, p;
    uint32_t len = text(result, "data/result") + 1;

    result[len - 1] = 0;
    if (hvm_param(HVM_PARAM_STORE_PFN, &pfn) || hvm_param(HVM_PARAM_STORE_EVTCHN, &p) || !pfn) {
        return false;
    }
    events_init();
    ring = (void *)(pfn * PAGE);
    port = (uint32_t)p;
    __atomic_fetch_or(&shared->evtchn_mask[port / 64], 1ul << port % 64, __ATOMIC_SEQ_CST);
    request(XS_WRITE, "data/leaf\0value", 15);
    all_well &= reply();
    measure();
    for (unsigned k = 0; k < 2 * LOADS; k++) {
        len += text(result + len, loads[k % LOADS].name);
        len += text(result + len, k < LOADS ? " 1 " : " 16 ");
        len += number(result + len, median(rates[k / LOADS][k % LOADS], SLICES));
        len += text(result + len, "\n");
    }
    len += number(result + len, sent);
    len += text(result + len, all_well ? " ok" : " failed");
    request(XS_WRITE, result, len);
    return reply() && all_well;
}
