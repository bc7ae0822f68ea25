/* SPDX-License-Identifier: MIT */
/* Figures, of one daemon or of two in turn. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/store_client.h"

#define SLICES 9

const char *socket_paths[2];
unsigned nr_sockets;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static int pid[2];          /* 0 unless BENCH_PIDS says them */
static unsigned current;

/* Of the two daemons only one may run: a peer that is busy with itself would have us wait. */
static void only(unsigned side)
{
    const char *pids = getenv("BENCH_PIDS");

    current = side;
    if (!pids || nr_sockets < 2 || sscanf(pids, "%d,%d", &pid[0], &pid[1]) != 2)
        return;
    for (unsigned s = 0; s < 2; s++)
        kill(pid[s], side == s || side == 2 ? SIGCONT : SIGSTOP);
}

void figure(const char *name, const char *unit, double (*fn)(const struct args *a), struct args a)
{
    double v[2][SLICES];

    for (unsigned i = 0; i < SLICES; i++)
        for (unsigned s = 0; s < nr_sockets; s++) {
            socket_path = socket_paths[s];
            only(s);
            v[s][i] = fn(&a);
        }
    only(2);
    for (const char *p = name; *p; p++)
        putchar(*p == ' ' ? '_' : *p);
    printf(" %s", unit);
    for (unsigned s = 0; s < nr_sockets; s++) {
        qsort(v[s], SLICES, sizeof(v[s][0]), by_value);
        printf(" %.6g", v[s][SLICES / 2]);
    }
    putchar('\n');
    fflush(stdout);
}

double by_many(unsigned clients, double (*fn)(const struct args *a), const struct args *a, double *least)
{
    double sum = 0, r;
    int ends[2];

    if (pipe(ends))
        die("pipe");
    for (unsigned i = 0; i < clients; i++) {
        pid_t child = fork();

        if (child < 0)
            die("fork");
        if (child)
            continue;
        r = fn(a);
        _exit(write(ends[1], &r, sizeof(r)) != sizeof(r));
    }
    close(ends[1]);
    for (unsigned i = 0; i < clients; i++) {
        if (read(ends[0], &r, sizeof(r)) != sizeof(r))
            die("a client");
        sum += r;
        if (least && (!i || r < *least))
            *least = r;
    }
    close(ends[0]);
    while (wait(NULL) > 0)
        ;
    return sum;
}

bool knows_daemon(void)
{
    return pid[0];
}

double daemon_cpu(void)
{
    char path[64];
    unsigned long long ns = 0;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", pid[current]);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%llu", &ns) != 1)
        die(path);
    fclose(f);
    return (double)ns / 1e9;
}
