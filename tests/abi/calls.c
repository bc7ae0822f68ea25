/* SPDX-License-Identifier: MIT */
/*
 * Stands below libxenctrl and libxenguest, ours or Xen's own, and writes down what they ask of a
 * host: check-calls generates the rest of the program, a table of calls with the headers'
 * prototypes, and compares what is written. The functions here take the place of libxencall's and
 * libxenforeignmemory's, as symbols of the program go before those of libraries.
 *
 * A host either refuses everything (ENOSYS), or takes everything and answers 3 in every field.
 */
#include "calls.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA_SIZE  (1u << 20)
#define MAX_ALLOCS  1024
#define MAX_DEPTH   4
#define MAX_EVENTS  40
#define ANSWER      3
#define POISON_SIZE (64u << 10)

static struct {
    char *arena;
    size_t used;
    struct {
        char *at;
        size_t size;
    } allocs[MAX_ALLOCS];
    unsigned int nr_allocs;
    unsigned int events;
    bool accepts;
    int poison;
} host;

xc_interface *calls_xch;

/* ---- hypercall memory ------------------------------------------------------------------- */

static void *arena_alloc(size_t size)
{
    size_t step = (size + 63) & ~(size_t)63;
    char *p = host.arena + host.used;

    if (host.used + step + 64 > ARENA_SIZE || host.nr_allocs == MAX_ALLOCS) {
        errno = ENOMEM;
        return NULL;
    }
    host.used += step + 64;
    host.allocs[host.nr_allocs].at = p;
    host.allocs[host.nr_allocs++].size = size;
    memset(p, host.poison, size);
    return p;
}

/* Bytes from p to the end of its allocation; 0 if p is not in one. */
static size_t arena_left(uint64_t p)
{
    for (unsigned int i = 0; i < host.nr_allocs; i++) {
        uint64_t at = (uintptr_t)host.allocs[i].at;

        if (p >= at && p < at + host.allocs[i].size) {
            return (size_t)(at + host.allocs[i].size - p);
        }
    }
    return 0;
}

/* Bytes in their order; pointers are followed, zeroes at the end left out. */
static void dump(uint64_t p, unsigned int depth)
{
    const uint8_t *b = (const void *)(uintptr_t)p;
    size_t len = arena_left(p);

    while (len && !b[len - 1]) {
        len--;
    }
    printf("{");
    for (size_t i = 0; i < len; i += 8) {
        size_t n = len - i < 8 ? len - i : 8;
        uint64_t word = 0;

        memcpy(&word, b + i, n);
        if (depth < MAX_DEPTH && arena_left(word)) {
            dump(word, depth + 1);
            continue;
        }
        for (size_t j = 0; j < n; j++) {
            printf("%02x", b[i + j]);
        }
        printf(n == 8 && i + 8 < len ? " " : "");
    }
    printf("}");
}

/* Every word that is no pointer becomes ANSWER, so that counts in it stay small. */
static void answer(uint64_t p, size_t skip, unsigned int depth)
{
    uint8_t *b = (void *)(uintptr_t)p;
    size_t len = arena_left(p);

    for (size_t i = skip; i + 8 <= len; i += 8) {
        uint64_t word;

        memcpy(&word, b + i, 8);
        if (depth < MAX_DEPTH && arena_left(word)) {
            answer(word, 0, depth + 1);
            continue;
        }
        word = ANSWER;
        memcpy(b + i, &word, 8);
    }
}

/* A call that does not end by itself, as no answer satisfies it, has said enough. */
static void event(void)
{
    if (++host.events > MAX_EVENTS) {
        printf("  and so on\n");
        fflush(stdout);
        _exit(0);
    }
}

/* ---- libxencall ------------------------------------------------------------------------- */

static long hypercall(unsigned int nr, unsigned int args, const uint64_t *arg);

/* Xen's library wraps calls with long results so; what counts is what is in it. */
static long multicall(multicall_entry_t *calls, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t args[2] = { calls[i].args[0], calls[i].args[1] };
        long rc = hypercall((unsigned int)calls[i].op,
                            calls[i].op == __HYPERVISOR_platform_op ? 1 : 2, args);

        calls[i].result = (unsigned long)(rc < 0 ? -errno : rc);
    }
    return 0;
}

static long hypercall(unsigned int nr, unsigned int args, const uint64_t *arg)
{
    if (nr == __HYPERVISOR_multicall) {
        return multicall((multicall_entry_t *)(uintptr_t)arg[0], arg[1]);
    }
    event();
    printf("  hypercall %u", nr);
    for (unsigned int i = 0; i < args; i++) {
        printf(" ");
        if (arena_left(arg[i])) {
            dump(arg[i], 0);
        } else {
            printf("%llx", (unsigned long long)arg[i]);
        }
    }
    printf("\n");
    calls_poison();
    if (!host.accepts) {
        errno = ENOSYS;
        return -1;
    }
    for (unsigned int i = 0; i < args; i++) {
        if (arena_left(arg[i])) {
            /* Behind command, version and domain of a domctl, command and version of others. */
            answer(arg[i], nr == __HYPERVISOR_domctl ? 16 : args == 1 ? 8 : 0, 0);
        }
    }
    if (nr == __HYPERVISOR_domctl) {
        xen_domctl_t *d = (void *)(uintptr_t)arg[0];

        if (d->cmd == XEN_DOMCTL_getdomaininfo) {
            d->u.getdomaininfo.domain = d->domain;
        }
    }
    return 0;
}

void *xencall_open(void *logger, unsigned flags) { return &host; }
int xencall_close(void *h) { return 0; }
void *xencall_alloc_buffer(void *h, size_t size) { return arena_alloc(size); }
void *xencall_alloc_buffer_pages(void *h, size_t pages) { return arena_alloc(pages << 12); }
void xencall_free_buffer(void *h, void *p) { }
void xencall_free_buffer_pages(void *h, void *p, size_t pages) { }
int xencall_buffers_never_fault(void *h) { return 1; }

int xencall0(void *h, unsigned int op) { return (int)hypercall(op, 0, NULL); }
int xencall1(void *h, unsigned int op, uint64_t a)
{
    return (int)hypercall(op, 1, (uint64_t[]){ a });
}
int xencall2(void *h, unsigned int op, uint64_t a, uint64_t b)
{
    return (int)hypercall(op, 2, (uint64_t[]){ a, b });
}
long xencall2L(void *h, unsigned int op, uint64_t a, uint64_t b)
{
    return hypercall(op, 2, (uint64_t[]){ a, b });
}
int xencall3(void *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c)
{
    return (int)hypercall(op, 3, (uint64_t[]){ a, b, c });
}
int xencall4(void *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    return (int)hypercall(op, 4, (uint64_t[]){ a, b, c, d });
}
int xencall5(void *h, unsigned int op, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    return (int)hypercall(op, 5, (uint64_t[]){ a, b, c, d, e });
}

/* ---- libxenforeignmemory ---------------------------------------------------------------- */

void *xenforeignmemory_open(void *logger, unsigned flags) { return &host; }
int xenforeignmemory_close(void *h) { return 0; }

void *xenforeignmemory_map(void *h, uint32_t dom, int prot, size_t pages, const xen_pfn_t arr[],
                           int err[])
{
    void *p;

    event();
    printf("  map %zu of %u prot %d:", pages, dom, prot);
    for (size_t i = 0; i < pages && i < 16; i++) {
        printf(" %llx", (unsigned long long)arr[i]);
    }
    printf("\n");
    if (!host.accepts) {
        errno = ENOSYS;
        return NULL;
    }
    if (err) {
        memset(err, 0, pages * sizeof(*err));
    }
    p = mmap(NULL, pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int xenforeignmemory_unmap(void *h, void *addr, size_t pages)
{
    return munmap(addr, pages << 12);
}

void *xenforeignmemory_map_resource(void *h, domid_t dom, unsigned int type, unsigned int id,
                                    unsigned long frame, unsigned long nr, void **addr, int prot,
                                    int flags)
{
    event();
    printf("  resource %u of %u: id %u, %lu from %lu, prot %d\n", type, dom, id, nr, frame, prot);
    errno = ENOSYS;
    return NULL;
}

int xenforeignmemory_unmap_resource(void *h, void *resource) { return 0; }

/* The generated functions of the other libraries. */
long calls_other(const char *name, unsigned int args, const uint64_t *arg, const char *kinds)
{
    event();
    printf("  %s", name);
    for (unsigned int i = 1; i < args; i++) {
        if (kinds[i] == 'p') {
            printf(arg[i] ? " pointer" : " null");
        } else {
            printf(" %llx", (unsigned long long)arg[i]);
        }
    }
    printf("\n");
    errno = ENOSYS;
    return host.accepts ? 0 : -1;
}

/* ---- the caller ------------------------------------------------------------------------- */

static void on_log(xentoollog_logger *l, xentoollog_level level, int err, const char *context,
                   const char *format, va_list al)
{
    char text[1024];

    vsnprintf(text, sizeof(text), format, al);
    event();
    for (char *c = text; *c; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
    printf("  log %s\n", text);
}

static void on_progress(xentoollog_logger *l, const char *context, const char *doing, int percent,
                        unsigned long done, unsigned long total)
{
}

static void on_destroy(xentoollog_logger *l)
{
}

static xentoollog_logger logger = { on_log, on_progress, on_destroy };

void *calls_memory(void)
{
    /* As many words as no call looks beyond. */
    uint64_t *p = malloc(CALLS_MEMORY);

    for (size_t i = 0; i < CALLS_MEMORY / sizeof(*p); i++) {
        p[i] = 2;
    }
    return p;
}

void *calls_text(const char *text)
{
    char *p = calloc(1, CALLS_MEMORY);

    return strcpy(p, text);
}

void calls_show_text(const char *what, const char *text)
{
    printf("  %s: ", what);
    for (; *text; text++) {
        putchar(*text == '\n' ? '|' : *text);
    }
    putchar('\n');
}

/* What a call changed of memory that it was given. */
void calls_show(const char *what, const void *p)
{
    const uint64_t *w = p;
    size_t len = CALLS_MEMORY / sizeof(*w);

    while (len && w[len - 1] == 2) {
        len--;
    }
    if (!len) {
        return;
    }
    printf("  %s:", what);
    for (size_t i = 0; i < len && i < 16; i++) {
        printf(" %llx", (unsigned long long)w[i]);
    }
    printf("\n");
}

void __attribute__((noinline)) calls_poison(void)
{
    volatile char below[POISON_SIZE];

    memset((void *)(uintptr_t)below, host.poison, sizeof(below));
    __asm__ volatile("" : : "r"(below) : "memory");
    errno = 0;
}

static void child(const struct call *c)
{
    host.arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    mallopt(M_PERTURB, host.poison);
    calls_xch = xc_interface_open(&logger, &logger, 0);
    if (!calls_xch) {
        printf("  no handle\n");
        exit(1);
    }
    alarm(10);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    host.events = 0;
    c->run();
    fflush(stdout);
    _exit(0);
}

static void run(const struct call *c)
{
    int status;
    pid_t pid;

    printf("%s\n", c->name);
    fflush(stdout);
    pid = fork();
    if (!pid) {
        child(c);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
        printf("  DIED with %#x\n", (unsigned int)status);
    }
}

/* calls ACCEPTS POISON [NAME] */
int main(int argc, char **argv)
{
    struct rlimit none = { 0, 0 }, much = { 1u << 30, 1u << 30 };

    setrlimit(RLIMIT_CORE, &none);
#ifndef CALLS_SANITIZED      /* AddressSanitizer reserves more */
    setrlimit(RLIMIT_AS, &much);
#endif
    host.accepts = argc > 1 && atoi(argv[1]);
    host.poison = argc > 2 ? atoi(argv[2]) : 1;
    for (unsigned int i = 0; i < calls_count; i++) {
        if (argc < 4 || !strcmp(argv[3], calls_table[i].name)) {
            run(&calls_table[i]);
        }
    }
    return 0;
}
