/* SPDX-License-Identifier: MIT */
/* CPU pools: cpupool-create, -list, -destroy, -rename, -cpu-add, -cpu-remove, -migrate, -numa-split. */
#include "xl/xl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(const libxl_cpupoolinfo *pool)
{
    return pool->pool_name ? pool->pool_name : "(no name)";
}

/* Name or number to the id of a pool that exists; on failure says so and returns -1. */
static int find_pool(struct xl *xl, const char *who, uint32_t *id)
{
    if (xl_ctx_open(xl)) {
        return -1;
    }
    if (libxl_cpupool_qualifier_to_cpupoolid(xl->ctx, who, id, NULL) ||
        !libxl_cpupoolid_is_valid(xl->ctx, *id)) {
        xl_error("there is no CPU pool '%s'", who);
        return -1;
    }
    return 0;
}

/* ---- creating */

/* What a pool's configuration says, xlcpupool.cfg(5). */
struct pool_config {
    const char *name, *sched, *cpus;
    char *cpu_text;           /* what cpus points to, if it was put together */
};

/* A list of CPUs or nodes may be one string or a list of them; joined, each word after prefix. */
static char *list_text(XLU_Config *cfg, const char *key, const char *prefix)
{
    XLU_ConfigList *list;
    const char *one;
    char *text = NULL, *more;
    int nr = 1, e = xlu_cfg_get_list(cfg, key, &list, &nr, 1);

    if (e && xlu_cfg_get_string(cfg, key, &one, 1)) {
        return NULL;
    }
    for (int i = 0; i < nr; i++) {
        const char *word = e ? one : xlu_cfg_get_listitem(list, i);

        if (!word || asprintf(&more, "%s%s%s%s", text ? text : "", text ? "," : "", prefix, word) < 0) {
            free(text);
            return NULL;
        }
        free(text);
        text = more;
    }
    return text;
}

static int read_keys(XLU_Config *cfg, struct pool_config *c)
{
    const char *key, *where;

    for (int i = 0; (key = xlu_cfg_key(cfg, i, &where)); i++) {
        if (strcmp(key, "name") && strcmp(key, "sched") && strcmp(key, "cpus") && strcmp(key, "nodes")) {
            xlu_cfg_complain(cfg, key, "there is no key '%s'", key);
            return -1;
        }
    }
    xlu_cfg_get_string(cfg, "name", &c->name, 1);
    xlu_cfg_get_string(cfg, "sched", &c->sched, 1);
    c->cpu_text = list_text(cfg, "nodes", "node:");
    c->cpu_text = c->cpu_text ? c->cpu_text : list_text(cfg, "cpus", "");
    c->cpus = c->cpu_text;
    if (!c->name || !*c->name || strchr(c->name, '/')) {
        xl_error(c->name ? "'%s' is no name for a CPU pool" : "a CPU pool needs a name", c->name);
        return -1;
    }
    return 0;
}

/* The CPUs asked for, which must be free; without any wish, the first that is. */
static int choose_cpus(struct xl *xl, const struct pool_config *c, libxl_bitmap *map)
{
    libxl_bitmap unused;
    int rc = -1;

    libxl_bitmap_init(&unused);
    if (libxl_get_freecpus(xl->ctx, &unused) || libxl_cpu_bitmap_alloc(xl->ctx, map, 0) ||
        (c->cpus && xl_parse_cpus(xl, c->cpus, map))) {
        goto out;
    }
    for (int i = 0; i < (int)unused.size * 8; i++) {
        if (!c->cpus && libxl_bitmap_test(&unused, i)) {
            libxl_bitmap_set(map, i);
            break;
        }
        if (libxl_bitmap_test(map, i) && !libxl_bitmap_test(&unused, i)) {
            xl_error("CPU %d is in another pool, or does not exist", i);
            goto out;
        }
    }
    if (libxl_bitmap_is_empty(map)) {
        xl_error("no CPU is free; `xl cpupool-cpu-remove` takes one from a pool");
        goto out;
    }
    rc = 0;
out:
    libxl_bitmap_dispose(&unused);
    return rc;
}

static int create(struct xl *xl, const struct pool_config *c)
{
    int sched = libxl_get_scheduler(xl->ctx), rc = 1;
    uint32_t id = LIBXL_CPUPOOL_POOLID_ANY;
    libxl_scheduler wanted = (libxl_scheduler)sched;
    libxl_bitmap map;
    libxl_uuid uuid;
    uint32_t other;

    libxl_bitmap_init(&map);
    if (sched < 0 || (c->sched && libxl_scheduler_from_string(c->sched, &wanted))) {
        xl_error(sched < 0 ? "the core does not say its scheduler" : "there is no scheduler '%s'", c->sched);
        return 1;
    }
    if (!libxl_name_to_cpupoolid(xl->ctx, c->name, &other)) {
        xl_error("there is a CPU pool '%s' already", c->name);
        return 1;
    }
    if (choose_cpus(xl, c, &map)) {
        goto out;
    }
    printf("cpupool name:   %s\nscheduler:      %s\nnumber of cpus: %d\n", c->name,
           libxl_scheduler_to_string(wanted), libxl_bitmap_count_set(&map));
    rc = 0;
    if (!xl->dryrun) {
        libxl_uuid_generate(&uuid);
        rc = libxl_cpupool_create(xl->ctx, c->name, wanted, map, &uuid, &id);
        rc = rc ? xl_fail(xl, rc, "cannot make CPU pool '%s'", c->name) : 0;
    }
out:
    libxl_bitmap_dispose(&map);
    return rc;
}

/* One KEY=VALUE word as a line of a configuration; values without quotes are text. */
static int read_word(XLU_Config *cfg, const char *word)
{
    const char *eq = strchr(word, '='), *quote;
    char *line;
    int rc;

    if (!eq || eq == word) {
        xl_error("'%s' is not KEY=VALUE", word);
        return -1;
    }
    quote = strchr("\"'[", eq[1]) && eq[1] ? "" : "\"";
    if (asprintf(&line, "%.*s=%s%s%s\n", (int)(eq - word), word, quote, eq + 1, quote) < 0) {
        return -1;
    }
    rc = xlu_cfg_readdata_label(cfg, "command line", line, (int)strlen(line));
    free(line);
    return rc ? -1 : 0;
}

int main_cpupool_create(struct xl *xl, int argc, char **argv)
{
    struct pool_config pool = { NULL, NULL, NULL, NULL };
    const char *file = NULL;
    XLU_Config *cfg;
    int c, rc = 1;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        xl->dryrun |= c == 'n';
        file = c == 'f' ? optarg : file;
    }
    if (!file && optind < argc && !strchr(argv[optind], '=')) {
        file = argv[optind++];
    }
    if (!file && optind >= argc) {
        xl_usage_error(xl, "a configuration file or KEY=VALUE expected");
    }
    cfg = xl_ctx_open(xl) ? NULL : xlu_cfg_init(stderr, file ? file : "command line");
    if (!cfg) {
        return 1;
    }
    if (file && (c = xlu_cfg_readfile(cfg, file))) {
        if (c != EINVAL) {
            xl_error("cannot read the configuration %s: %s", file, strerror(c));
        }
        goto out;
    }
    for (; optind < argc; optind++) {
        if (read_word(cfg, argv[optind])) {
            goto out;
        }
    }
    rc = read_keys(cfg, &pool) ? 1 : create(xl, &pool);
out:
    free(pool.cpu_text);
    xlu_cfg_destroy(cfg);
    return rc;
}

/* ---- looking */

int main_cpupool_list(struct xl *xl, int argc, char **argv)
{
    libxl_cpupoolinfo *pool;
    uint32_t only = 0;
    bool cpus = false, one;
    char buf[512];
    int c, nr = 0;

    while ((c = xl_getopt(xl, argc, argv)) != -1) {
        cpus |= c == 'c';
    }
    xl_operands(xl, argc, 0, 1);
    one = optind < argc;
    if (xl_ctx_open(xl) || (one && find_pool(xl, argv[optind], &only))) {
        return 1;
    }
    pool = libxl_list_cpupool(xl->ctx, &nr);
    printf("%-19s", "Name");
    printf(cpus ? "CPU list\n" : "CPUs   Sched     Active   Domain count\n");
    for (int i = 0; pool && i < nr; i++) {
        if (one && pool[i].poolid != only) {
            continue;
        }
        printf("%-19s", name_of(&pool[i]));
        if (cpus) {
            /* One past the end, so that it never says "all". */
            puts(xl_format_cpus(&pool[i].cpumap, (int)pool[i].cpumap.size * 8 + 1, buf, sizeof(buf)));
        } else {
            printf("%3d %9s       y       %4u\n", libxl_bitmap_count_set(&pool[i].cpumap),
                   libxl_scheduler_to_string(pool[i].sched), pool[i].n_dom);
        }
    }
    libxl_cpupoolinfo_list_free(pool, pool ? nr : 0);
    return pool ? 0 : 1;
}

/* ---- changing */

int main_cpupool_destroy(struct xl *xl, int argc, char **argv)
{
    uint32_t id;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 1, 1);
    if (find_pool(xl, argv[optind], &id)) {
        return 1;
    }
    rc = libxl_cpupool_destroy(xl->ctx, id);
    return rc ? xl_fail(xl, rc, "cannot destroy CPU pool '%s'", argv[optind]) : 0;
}

int main_cpupool_rename(struct xl *xl, int argc, char **argv)
{
    const char *name;
    uint32_t id, other;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    name = argv[optind + 1];
    if (find_pool(xl, argv[optind], &id)) {
        return 1;
    }
    if (!*name || strchr(name, '/') || !libxl_name_to_cpupoolid(xl->ctx, name, &other)) {
        xl_error(!*name || strchr(name, '/') ? "'%s' is no name for a CPU pool" :
                 "there is a CPU pool '%s' already", name);
        return 1;
    }
    rc = libxl_cpupool_rename(xl->ctx, name, id);
    return rc ? xl_fail(xl, rc, "cannot rename CPU pool '%s'", argv[optind]) : 0;
}

static int change_cpus(struct xl *xl, int argc, char **argv, const char *what,
                       int (*change)(libxl_ctx *, uint32_t, const libxl_bitmap *))
{
    libxl_bitmap map;
    uint32_t id;
    int rc = 1;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    libxl_bitmap_init(&map);
    if (find_pool(xl, argv[optind], &id) || libxl_cpu_bitmap_alloc(xl->ctx, &map, 0) ||
        xl_parse_cpus(xl, argv[optind + 1], &map)) {
        goto out;
    }
    rc = change(xl->ctx, id, &map);
    rc = rc ? xl_fail(xl, rc, "cannot %s CPU pool '%s' all of CPUs %s", what, argv[optind], argv[optind + 1]) : 0;
out:
    libxl_bitmap_dispose(&map);
    return rc;
}

int main_cpupool_cpu_add(struct xl *xl, int argc, char **argv)
{
    return change_cpus(xl, argc, argv, "give", libxl_cpupool_cpuadd_cpumap);
}

int main_cpupool_cpu_remove(struct xl *xl, int argc, char **argv)
{
    return change_cpus(xl, argc, argv, "take from", libxl_cpupool_cpuremove_cpumap);
}

int main_cpupool_migrate(struct xl *xl, int argc, char **argv)
{
    uint32_t domid, id;
    int rc;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 2, 2);
    if (xl_find_domain(xl, argv[optind], &domid) || find_pool(xl, argv[optind + 1], &id)) {
        return 1;
    }
    rc = libxl_cpupool_movedomain(xl->ctx, id, domid);
    return rc ? xl_fail(xl, rc, "cannot move domain '%s' to CPU pool '%s'", argv[optind], argv[optind + 1]) : 0;
}

/* A node's CPUs leave pool 0 for a pool of their own. */
static int split_off(struct xl *xl, int node, libxl_scheduler sched)
{
    uint32_t id = LIBXL_CPUPOOL_POOLID_ANY;
    char name[32];
    libxl_bitmap none;
    libxl_uuid uuid;
    int rc, n;

    snprintf(name, sizeof(name), "Pool-node%d", node);
    libxl_bitmap_init(&none);
    libxl_uuid_generate(&uuid);
    rc = libxl_cpupool_cpuremove_node(xl->ctx, 0, node, &n);
    rc = rc ? rc : libxl_cpu_bitmap_alloc(xl->ctx, &none, 0);
    rc = rc ? rc : libxl_cpupool_create(xl->ctx, name, sched, none, &uuid, &id);
    rc = rc ? rc : libxl_cpupool_cpuadd_node(xl->ctx, id, node, &n);
    libxl_bitmap_dispose(&none);
    return rc ? xl_fail(xl, rc, "cannot give node %d a CPU pool of its own", node) : 0;
}

int main_cpupool_numa_split(struct xl *xl, int argc, char **argv)
{
    libxl_cpupoolinfo *pool;
    libxl_bitmap nodes;
    int nr = 0, rc = 1, first = -1;

    xl_no_options(xl, argc, argv);
    xl_operands(xl, argc, 0, 0);
    if (xl_ctx_open(xl)) {
        return 1;
    }
    libxl_bitmap_init(&nodes);
    pool = libxl_list_cpupool(xl->ctx, &nr);
    if (!pool || nr != 1) {
        xl_error("there are CPU pools besides the first: the host is split already");
        goto out;
    }
    if (libxl_node_bitmap_alloc(xl->ctx, &nodes, 0) ||
        libxl_cpumap_to_nodemap(xl->ctx, &pool[0].cpumap, &nodes) || libxl_bitmap_is_empty(&nodes)) {
        xl_error("the core does not say which CPUs are in which node");
        goto out;
    }
    rc = 0;
    /* Pool 0 keeps the first node, the others get pools of their own. */
    for (int n = 0; !rc && n < (int)nodes.size * 8; n++) {
        if (!libxl_bitmap_test(&nodes, n)) {
            continue;
        }
        if (first < 0) {
            char name[32];

            first = n;
            snprintf(name, sizeof(name), "Pool-node%d", n);
            rc = libxl_cpupool_rename(xl->ctx, name, 0) ? 1 : 0;
        } else {
            rc = split_off(xl, n, pool[0].sched);
        }
    }
out:
    libxl_bitmap_dispose(&nodes);
    libxl_cpupoolinfo_list_free(pool, pool ? nr : 0);
    return rc;
}
