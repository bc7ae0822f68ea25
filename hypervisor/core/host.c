/* SPDX-License-Identifier: MIT */
/* What the host has, read once when the core starts. */
#include "hypervisor/core/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_KIB 4u

/* Guests never get the last eighth of memory, nor the last 256 MiB: the host has to live too. */
#define RESERVE_FRACTION 8
#define RESERVE_MIN_PAGES 65536u

static uint64_t number_after(const char *path, const char *key)
{
    char line[256];
    unsigned long long v = 0;
    FILE *f = fopen(path, "re");

    while (f && fgets(line, sizeof(line), f)) {
        if (!*key || !strncmp(line, key, strlen(key))) {
            if (sscanf(line + strlen(key), "%*[ \t:]%llu", &v) == 1 ||
                sscanf(line, "%llu", &v) == 1) {
                break;
            }
        }
    }
    if (f) {
        fclose(f);
    }
    return v;
}

/* The memory limit of our control group, in pages; none: UINT64_MAX. */
static uint64_t cgroup_pages(void)
{
    char line[512], path[640];
    uint64_t best = UINT64_MAX, v;
    FILE *f = fopen("/proc/self/cgroup", "re");

    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::", 3)) {
            continue;
        }
        snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
        v = number_after(path, "");
        if (v) {
            best = v / 4096;
        }
    }
    if (f) {
        fclose(f);
    }
    return best;
}

static uint32_t distinct(const char *what, uint32_t cpu, uint32_t fallback)
{
    char path[128];
    uint64_t v;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/%s", cpu, what);
    if (access(path, R_OK) != 0) {
        return fallback;
    }
    v = number_after(path, "");
    return (uint32_t)v;
}

void host_cpu_topology(uint32_t cpu, uint32_t *core, uint32_t *socket)
{
    *core = distinct("core_id", cpu, cpu);
    *socket = distinct("physical_package_id", cpu, 0);
}

static void count_topology(struct host_info *h)
{
    uint32_t in_socket = 0, same_core = 0, core0, socket0, first = 0;

    while (!CPU_ISSET(first, &h->cpus)) {
        first++;
    }
    host_cpu_topology(first, &core0, &socket0);
    for (uint32_t i = 0; i < h->nr_cpu_ids; i++) {
        uint32_t core, socket;

        if (!CPU_ISSET(i, &h->cpus)) {
            continue;
        }
        host_cpu_topology(i, &core, &socket);
        in_socket += socket == socket0;
        same_core += socket == socket0 && core == core0;
    }
    h->threads_per_core = same_core ? same_core : 1;
    h->cores_per_socket = in_socket / h->threads_per_core;
    if (!h->cores_per_socket) {
        h->cores_per_socket = 1;
    }
}

static uint32_t cpu_khz(void)
{
    char line[256];
    double mhz = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "cpu MHz : %lf", &mhz) == 1) {
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return (uint32_t)(mhz * 1000);
}

uint64_t host_idle_ns(uint32_t cpu)
{
    char line[256], key[32];
    unsigned long long idle = 0, iowait = 0;
    FILE *f = fopen("/proc/stat", "re");
    long hz = sysconf(_SC_CLK_TCK);

    snprintf(key, sizeof(key), "cpu%u ", cpu);
    while (f && fgets(line, sizeof(line), f)) {
        if (!strncmp(line, key, strlen(key))) {
            if (sscanf(line + strlen(key), "%*u %*u %*u %llu %llu", &idle, &iowait) < 1) {
                idle = 0;
            }
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    return (idle + iowait) * (1000000000ull / (unsigned long long)(hz > 0 ? hz : 100));
}

/*
 * The host's CPUs are those that are online and that we may use: a control group's cpuset, or taskset,
 * may have left us some of them only, and no thread of a guest could run on the others.
 */
static void read_cpus(struct host_info *h)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    CPU_ZERO(&h->cpus);
    if (sched_getaffinity(0, sizeof(h->cpus), &h->cpus) < 0 || !CPU_COUNT(&h->cpus)) {
        for (long i = 0; i < online && i < CPU_SETSIZE; i++) {
            CPU_SET((size_t)i, &h->cpus);
        }
        CPU_SET(0, &h->cpus);
    }
    h->nr_cpus = (uint32_t)CPU_COUNT(&h->cpus);
    for (uint32_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &h->cpus)) {
            h->nr_cpu_ids = i + 1;
        }
    }
}

void host_read(struct host_info *h)
{
    uint64_t limit = cgroup_pages();

    memset(h, 0, sizeof(*h));
    h->total_pages = number_after("/proc/meminfo", "MemTotal") / PAGE_KIB;
    if (limit < h->total_pages) {
        h->total_pages = limit;
    }
    h->reserve_pages = h->total_pages / RESERVE_FRACTION;
    if (h->reserve_pages < RESERVE_MIN_PAGES) {
        h->reserve_pages = RESERVE_MIN_PAGES;
    }
    if (h->reserve_pages > h->total_pages) {
        h->reserve_pages = h->total_pages;
    }
    read_cpus(h);
    count_topology(h);
    h->cpu_khz = cpu_khz();
}
