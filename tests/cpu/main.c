/* SPDX-License-Identifier: MIT */
/* cpudiff: see cpudiff.h. Exits 0 if all cases agree, 1 if not, 77 if the host cannot run it. */
#define _GNU_SOURCE
#include "tests/cpu/cpudiff.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define SHOWN_PER_FORM 1

#if KR_ASAN
#define DEFAULT_RUNS 20000         /* the child's forks are slow */
#else
#define DEFAULT_RUNS 100000
#endif

static struct options {
    uint64_t runs, seed;
    const char *mnemonic;          /* only forms of this one */
    const char *hex;               /* only these bytes */
    bool compat, verbose, list;
    unsigned show;                 /* failures to print in full */
    uint64_t sequences;            /* UINT64_MAX: one for every four runs */
} opt = { .runs = DEFAULT_RUNS, .seed = 1, .show = 40, .sequences = UINT64_MAX };

static struct totals { uint64_t run, failed, hung, not_run, no_case; } total;
static uint8_t *pool;
static struct cpu_case *cases;
static struct cpu_outcome *native;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void usage(void)
{
    printf("usage: cpudiff [-n RUNS] [-s SEED] [-m MNEMONIC] [-q SEQUENCES] [-c FAILURES SHOWN]\n"
           "               [-l] [-v] [--form HEX | --form32 HEX]\n");
}

static bool parse(int argc, char **argv)
{
    const char *env = getenv("KR_CPUDIFF_RUNS");

    if (env)
        opt.runs = strtoull(env, NULL, 0);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(a, "-l")) {
            opt.list = true;
            continue;
        }
        if (!strcmp(a, "-v")) {
            opt.verbose = true;
            continue;
        }
        if (!value)
            return false;
        i++;
        if (!strcmp(a, "-n"))
            opt.runs = strtoull(value, NULL, 0);
        else if (!strcmp(a, "-s"))
            opt.seed = strtoull(value, NULL, 0);
        else if (!strcmp(a, "-m"))
            opt.mnemonic = value;
        else if (!strcmp(a, "-q"))
            opt.sequences = strtoull(value, NULL, 0);
        else if (!strcmp(a, "-c"))
            opt.show = (unsigned)strtoul(value, NULL, 0);
        else if (!strcmp(a, "--form") || !strcmp(a, "--form32")) {
            opt.hex = value;
            opt.compat = a[6] == '3';
        } else
            return false;
    }
    return true;
}

/* Memory that the native child writes and the parent reads. */
static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* ---------------------------------------------------------------- running */

/* An instruction of an extension that CPUID does not offer must not exist. */
static void check_absent(const struct cpu_case *c)
{
    static struct cpu_outcome g;

    guest_run(c, &g);
    total.run++;
    if (g.vector == 6 || (g.vector == 14 && g.cr2 == CODE_VA + CODE_SIZE))
        return;
    forms.f[c->form].failed++;
    total.failed++;
    if (opt.show && forms.f[c->form].failed <= SHOWN_PER_FORM) {
        opt.show--;
        printf("not offered by CPUID, yet it does not raise #UD (vector %u):\n", g.vector);
        print_case(c, stdout);
    }
}

/* AddressSanitizer's shadow is mapped in the native child and not in the guest. */
static bool in_shadow(uint64_t va)
{
#if KR_ASAN
    return va >= 0x7fff8000 && va < 0x10007fff8000;
#else
    (void)va;
    return false;
#endif
}

static void check(const struct cpu_case *c, struct cpu_outcome *n);

/* A branch to itself or a REP of very many turns ends on neither side, and where a timer stops it
 * says nothing: the same case is compared after one step. */
static void check_endless(const struct cpu_case *c)
{
    static struct cpu_case stepped;
    static struct cpu_outcome *n;

    if (!n)
        n = shared(sizeof(*n));
    if (opt.verbose) {
        printf("endless on both sides%s:\n", c->step ? ", although it is stepped" : "");
        print_case(c, stdout);
    }
    if (c->step || !n) {
        total.hung++;
        return;
    }
    stepped = *c;
    stepped.step = true;
    stepped.in.rflags |= 0x100;
    native_run(&stepped, n, 1);
    total.run--;                   /* it is counted once */
    check(&stepped, n);
}

static void check(const struct cpu_case *c, struct cpu_outcome *n)
{
    static struct cpu_outcome g;
    uint32_t *failed = c->form == UINT32_MAX ? NULL : &forms.f[c->form].failed;

    total.run++;
    if (n->vector == VEC_NOT_RUN) {
        total.not_run++;
        if (opt.verbose) {
            printf("the host's child died on:\n");
            print_case(c, stdout);
        }
        return;
    }
    guest_run(c, &g);
    if (n->vector == VEC_HANG && g.vector == VEC_HANG) {
        check_endless(c);
        return;
    }
    if (in_shadow(n->cr2) || in_shadow(g.cr2))
        return;
    if (!compare(c, n, &g, NULL)) {
        if (opt.verbose && opt.hex) {
            printf("equal, vector %u\n", n->vector);
            print_case(c, stdout);
        }
        return;
    }
    if (failed)
        ++*failed;
    total.failed++;
    if (opt.show && (!failed || *failed <= SHOWN_PER_FORM || opt.verbose)) {
        opt.show--;
        print_case(c, stdout);
        if (n->vector == g.vector)
            printf("    both: vector %u\n", n->vector);
        compare(c, n, &g, stdout);
    }
}

/* Bytes that are no instruction, and extensions by prefix that CPUID does not offer: #UD. What
 * the host's CPU knows although Zydis does not is not held against the engine. */
static void check_unknown(struct rng *r, bool vex, uint64_t runs)
{
    static struct cpu_outcome g;

    for (uint64_t i = 0; i < runs; i++) {
        if (!gen_unknown(r, vex, &cases[0]))
            continue;
        if (!vex)
            native_run(cases, native, 1);
        if (!vex && native[0].vector != 6)
            continue;
        guest_run(&cases[0], &g);
        total.run++;
        if (g.vector == 6 && g.s.rip == cases[0].in.rip)
            continue;
        total.failed++;
        if (opt.show) {
            opt.show--;
            printf("%s, yet the soft CPU raises vector %u instead of #UD:\n",
                   vex ? "not offered by CPUID" : "no instruction", g.vector);
            print_case(&cases[0], stdout);
        }
    }
}

static void flush_batch(unsigned nr)
{
    native_run(cases, native, nr);
    for (unsigned i = 0; i < nr; i++)
        check(&cases[i], &native[i]);
}

/* ---------------------------------------------------------------- choosing */

struct choice { uint32_t *run, *absent; size_t nr_run, nr_absent; };

static bool wanted(const struct form *f)
{
    return !opt.mnemonic || !strcasecmp(opt.mnemonic, ZydisMnemonicGetString(f->mnemonic));
}

/* Sorts the forms into those to compare, those to check for absence, and those left out by name. */
static int choose(struct choice *ch)
{
    uint8_t told[ZYDIS_MNEMONIC_MAX_VALUE + 1] = { 0 };

    ch->run = calloc(forms.nr, sizeof(*ch->run));
    ch->absent = calloc(forms.nr, sizeof(*ch->absent));
    if (!ch->run || !ch->absent)
        return -1;
    for (uint32_t k = 0; k < forms.nr; k++) {
        const struct form *f = &forms.f[k];
        const char *why = excluded(f->mnemonic);
        bool offered = isa_offer(f->isa, false) == OFFER_YES;
        if (!wanted(f))
            continue;
        if (!why && offered && isa_offer(f->isa, true) != OFFER_YES)
            why = "the host's CPU lacks it";
        if (!why && offered)
            ch->run[ch->nr_run++] = k;
        else if (!why)
            ch->absent[ch->nr_absent++] = k;
        else if (!told[f->mnemonic]++ && (opt.verbose || opt.list))
            printf("left out: %s: %s\n", ZydisMnemonicGetString(f->mnemonic), why);
    }
    return 0;
}

/* Every form gets its turn; forms with an idle prefix one time in ten. */
static void run_sequences(struct rng *r, const struct choice *ch);

static void run_forms(struct rng *r, const struct choice *ch)
{
    unsigned nr = 0;
    uint64_t made = 0;
    size_t next = 0;

    while (made < opt.runs && ch->nr_run) {
        uint32_t k = ch->run[next];
        next = (next + 1) % ch->nr_run;
        if (forms.f[k].redundant && rnd_below(r, 10))
            continue;
        made++;
        if (!gen_case(r, k, &cases[nr])) {
            forms.f[k].skipped++;
            total.no_case++;
            continue;
        }
        forms.f[k].runs++;
        if (++nr == BATCH) {
            flush_batch(nr);
            nr = 0;
        }
    }
    flush_batch(nr);
    for (size_t i = 0; i < ch->nr_absent; i++)
        for (int times = 0; times < 2; times++)
            if (gen_case(r, ch->absent[i], &cases[0]))
                check_absent(&cases[0]);
    if (!opt.mnemonic) {
        run_sequences(r, ch);
        check_unknown(r, true, opt.runs / 50);
        check_unknown(r, false, opt.runs / 100);
    }
}

/* One sequence for every four single instructions, in both modes by turns. */
static void run_sequences(struct rng *r, const struct choice *ch)
{
    uint32_t *of[2] = {
        calloc(ch->nr_run + 1, sizeof(**of)), calloc(ch->nr_run + 1, sizeof(**of)),
    };
    size_t nr_of[2] = { 0, 0 };
    uint64_t want = opt.sequences == UINT64_MAX ? opt.runs / 4 : opt.sequences;
    unsigned nr = 0;

    for (size_t i = 0; of[0] && of[1] && i < ch->nr_run; i++) {
        const struct form *f = &forms.f[ch->run[i]];
        if (gen_sequential(f))
            of[f->compat][nr_of[f->compat]++] = ch->run[i];
    }
    for (uint64_t made = 0; made < want && nr_of[0] && nr_of[1]; made++) {
        if (gen_sequence(r, of[made & 1], nr_of[made & 1], &cases[nr]) && ++nr == BATCH) {
            flush_batch(nr);
            nr = 0;
        }
    }
    flush_batch(nr);
    free(of[0]);
    free(of[1]);
}

static int run_hex(struct rng *r)
{
    uint8_t b[16] = { 0 };
    unsigned len = 0, x;

    for (const char *p = opt.hex; len < 15 && sscanf(p, "%2x", &x) == 1; p += 2) {
        b[len++] = (uint8_t)x;
        if (!p[1])
            break;
    }
    for (uint64_t done = 0; done < opt.runs;) {
        unsigned nr = 0;
        while (nr < BATCH && done < opt.runs) {
            done++;
            if (!gen_bytes(r, b, len, opt.compat, &cases[nr++])) {
                fprintf(stderr, "cpudiff: %s does not decode\n", opt.hex);
                return 2;
            }
        }
        flush_batch(nr);
    }
    return 0;
}

/* ---------------------------------------------------------------- the end */

static void summary(double took, const struct choice *ch)
{
    unsigned never = 0, bad = 0;

    for (size_t i = 0; i < ch->nr_run; i++) {
        const struct form *f = &forms.f[ch->run[i]];
        bad += f->failed != 0;
        if (f->skipped && !f->runs) {
            never++;
            if (opt.verbose)
                printf("no case: %s map %u opcode %02x: %s\n",
                       ZydisMnemonicGetString(f->mnemonic), f->map, f->opcode,
                       f->why ? f->why : "no encoding found by chance");
        }
    }
    printf("cpudiff: seed %llu: %llu cases of %zu forms (%zu absent ones checked): %llu differ in "
           "%u forms, %llu endless, %llu not run, %u forms without a case; %.1f s, %.1f us each\n",
           (unsigned long long)opt.seed, (unsigned long long)total.run, ch->nr_run, ch->nr_absent,
           (unsigned long long)total.failed, bad, (unsigned long long)total.hung,
           (unsigned long long)total.not_run, never, took,
           total.run ? took * 1e6 / (double)total.run : 0);
}

/* Per mnemonic, which fail: the engine's list of things to do. */
static void print_failures(void)
{
    static uint32_t failed[ZYDIS_MNEMONIC_MAX_VALUE + 1], runs[ZYDIS_MNEMONIC_MAX_VALUE + 1];

    for (size_t k = 0; k < forms.nr; k++) {
        failed[forms.f[k].mnemonic] += forms.f[k].failed;
        runs[forms.f[k].mnemonic] += forms.f[k].runs;
    }
    for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
        if (failed[m])
            printf("  differs: %-12s %u of %u\n", ZydisMnemonicGetString((ZydisMnemonic)m),
                   failed[m], runs[m]);
}

/* Linux keeps the number of the CPU in a segment limit, which LSL can see: guest.c makes the same
 * descriptor, so the host's side must stay where it is. */
static void stay_on_this_cpu(void)
{
    cpu_set_t one;
    int cpu = sched_getcpu();

    CPU_ZERO(&one);
    if (cpu >= 0 && cpu < CPU_SETSIZE)
        CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) < 0)
        perror("cpudiff: sched_setaffinity: LSL of selector 0x78 may differ");
}

int main(int argc, char **argv)
{
    struct choice ch = { 0 };
    struct rng r;
    double start = seconds();
    int rc;

    if (!parse(argc, argv)) {
        usage();
        return 2;
    }
    pool = shared(POOL_SIZE);
    cases = shared(BATCH * sizeof(*cases));
    native = shared(BATCH * sizeof(*native));
    if (!pool || !cases || !native)
        return 2;
    stay_on_this_cpu();
    rng_seed(&r, opt.seed);
    gen_pool(&r, pool);
    rc = native_init(pool);
    if (rc)
        return rc < 0 ? 2 : rc;
    if (guest_init(pool) < 0 || forms_build() < 0 || choose(&ch) < 0) {
        fprintf(stderr, "cpudiff: cannot set up the guest\n");
        return 2;
    }
    if (opt.hex)
        rc = run_hex(&r);
    else if (!opt.list)
        run_forms(&r, &ch);
    print_failures();
    summary(seconds() - start, &ch);
    guest_exit();
    free(ch.run);
    free(ch.absent);
    free(forms.f);
    return rc ? rc : total.failed != 0;
}
