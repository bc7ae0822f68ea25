#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures Krypton beside a peer on the same machine, in the same run, in turn; medians, and ratios.

The machines are noisy: only the ratios of one run mean something. A bench is a function of this file with
the @bench decorator; it returns rows (name, unit, ours, peer or None).
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))
from host import GUESTS, INITRD, KERNEL, Host  # noqa: E402

BENCHES = {}


def bench(doc):
    def register(func):
        BENCHES[func.__name__] = (doc, func)
        return func
    return register


def until(stream, marker):
    """Reads a pipe until marker; returns what came."""
    seen = b""
    while marker not in seen:
        data = os.read(stream.fileno(), 65536)
        if not data:
            raise EOFError("ended before %r: %r" % (marker, seen[-200:]))
        seen += data
    return seen


UP = b"KRYPTON-GUEST-UP"


def boot_krypton(host, vcpus):
    cfg = host.config(memory=256, vcpus=vcpus, extra="console=hvc0 quiet")
    start = time.monotonic()
    p = subprocess.Popen(["xl", "create", "-q", "-c", cfg], env=host.env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(p.stdout, UP)
    took = time.monotonic() - start
    host.run("xl", "destroy", "guest")
    p.stdin.close()
    p.wait()
    return took


def boot_qemu(vcpus):
    start = time.monotonic()
    p = subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-smp", str(vcpus), "-nodefaults",
                          "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", KERNEL, "-initrd", INITRD,
                          "-append", "console=ttyS0 quiet"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    until(p.stdout, UP)
    took = time.monotonic() - start
    p.kill()
    p.wait()
    return took


@bench("xl create to the guest's init: Debian's cloud kernel, 256 MiB; peer: qemu-system-x86_64 -accel tcg")
def boot(host, runs):
    rows = []
    for vcpus in (1, 2):
        ours, peer = [], []
        for _ in range(runs):
            ours.append(boot_krypton(host, vcpus))
            peer.append(boot_qemu(vcpus))
        rows.append(("create to init, %d vCPU" % vcpus, "s", statistics.median(ours), statistics.median(peer)))
    return rows


@bench("xl create -p and xl destroy of a small guest; peer: fork and exec of /bin/true")
def create(host, runs):
    hello = os.path.join(GUESTS, "hello.elf")
    cfg = host.config(kernel=hello, ramdisk=None, extra=None, memory=16)
    times = {"create": [], "destroy": [], "true": []}
    for _ in range(runs * 5):
        for name, argv in (("create", ["xl", "create", "-q", "-p", cfg]), ("destroy", ["xl", "destroy", "guest"]),
                           ("true", ["/bin/true"])):
            start = time.monotonic()
            host.ok(*argv)
            times[name].append((time.monotonic() - start) * 1000)
    med = {k: statistics.median(v) for k, v in times.items()}
    worst = max(times["create"])
    return [("xl create -p", "ms", med["create"], med["true"]), ("xl create -p, worst", "ms", worst, None),
            ("xl destroy", "ms", med["destroy"], med["true"])]


@bench("xl create -p, xl list and xenstore-ls beside 10 and 500 domains (no peer: the first of the two)")
def many(host, runs):
    cfg = dict(kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None, extra=None, memory=4)
    rows, first, made = [], {}, 0
    for count in (10, 500):
        while made < count:
            host.ok("xl", "create", "-q", "-p", host.config(name="many%d" % made, **cfg))
            made += 1
        one = host.config(name="one-more", **cfg)
        for what, argv in (("xl create -p", ("xl", "create", "-q", "-p", one)), ("xl list", ("xl", "list")),
                           ("xenstore-ls", ("xenstore-ls",))):
            took = []
            for _ in range(runs):
                start = time.monotonic()
                host.ok(*argv)
                took.append((time.monotonic() - start) * 1000)
                if "create" in argv:
                    host.ok("xl", "destroy", "one-more")
            rows.append(("%s, %d domains" % (what, count), "ms", statistics.median(took), first.get(what)))
            first.setdefault(what, statistics.median(took))
    for i in range(made):
        host.ok("xl", "destroy", "many%d" % i)
    return rows


def memory_of(pid):
    """Private and proportional kB of a process, and the part of it that is guest RAM (memfds)."""
    total = guest = 0
    name = ""
    with open("/proc/%s/smaps" % pid) as f:
        for line in f:
            if re.match(r"^[0-9a-f]+-", line):
                name = line.split(None, 5)[5] if len(line.split(None, 5)) > 5 else ""
            elif line.startswith("Pss:"):
                kb = int(line.split()[1])
                total += kb
                guest += kb if "memfd:" in name and "ram" in name else 0
    return total, guest


@bench("memory of a running Debian guest beyond its own; peer: qemu-system-x86_64 -accel tcg")
def memory(host, runs):
    core = host.service_pid("kryptond")
    before = memory_of(core)[0]
    cfg = host.config(memory=256, extra="console=hvc0 quiet")
    p = subprocess.Popen(["xl", "create", "-q", "-c", cfg], env=host.env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(p.stdout, UP)
    time.sleep(1)
    total, guest = memory_of(host.processes("krypton-domain")[0])
    grown = memory_of(core)[0] - before
    host.run("xl", "destroy", "guest")
    p.stdin.close()
    p.wait()
    q = subprocess.Popen(["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none",
                          "-object", "memory-backend-memfd,id=ram,size=256M,share=on", "-machine", "memory-backend=ram",
                          "-serial", "stdio", "-kernel", KERNEL, "-initrd", INITRD, "-append", "console=ttyS0 quiet"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    until(q.stdout, UP)
    time.sleep(1)
    q_total = memory_of(q.pid)[0]
    with open("/proc/%d/smaps" % q.pid) as f:
        smaps = f.read()
    q_guest = sum(int(m) for m in re.findall(r"memfd:.*?\nPss:\s+(\d+)", smaps, re.S))
    q_guest = min(q_guest, q_total)
    q.kill()
    q.wait()
    return [("domain process beyond guest RAM", "kB", total - guest, max(q_total - q_guest, 1)),
            ("core's growth", "kB", grown, None), ("guest RAM touched", "kB", guest, q_guest or None)]


def guest_report(host, **keys):
    """Runs the freestanding bench guest and returns its `name value unit` lines."""
    cfg = host.config(kernel=os.path.join(GUESTS, "bench.elf"), ramdisk=None, memory=32, **keys)
    p = subprocess.Popen(["xl", "create", "-q", "-c", cfg], env=host.env, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = until(p.stdout, b"SUCCESS").decode(errors="replace")
    host.run("xl", "destroy", "guest")
    p.stdin.close()
    p.wait()
    return re.findall(r"BENCH (\S+) ([0-9.]+) (\S+)", text)


@bench("seen from inside a guest: instructions per second and the commonest hypercalls (no peer)")
def guest(host, runs):
    figures = {}
    for _ in range(runs):
        for name, value, unit in guest_report(host, extra=None):
            figures.setdefault((name, unit), []).append(float(value))
    return [(name, unit, statistics.median(v), None) for (name, unit), v in figures.items()]


@bench("the store: operations, transactions, watches, many domains, memory, live update; peers: Debian's two daemons")
def store(host, runs):
    import store_bench
    return store_bench.run(host, runs)


def main():
    ap = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n\n")[0])
    ap.add_argument("name", nargs="?", help="the bench; without it, they are listed")
    ap.add_argument("--json", action="store_true", help="one JSON object of figures and ratios")
    ap.add_argument("--runs", type=int, default=5)
    args = ap.parse_args()
    if not args.name:
        for name, (doc, _) in BENCHES.items():
            print("%-10s %s" % (name, doc))
        return 0
    if args.name not in BENCHES:
        ap.error("there is no bench '%s': %s" % (args.name, ", ".join(BENCHES)))
    host = Host()
    try:
        host.start()
        rows = BENCHES[args.name][1](host, args.runs)
    finally:
        host.close()
    if args.json:
        print(json.dumps({"bench": args.name, "runs": args.runs, "figures": [
            {"name": n, "unit": u, "ours": round(o, 3), "peer": p and round(p, 3), "ratio": p and round(o / p, 3)}
            for n, u, o, p in rows]}))
        return 0
    print("%-36s %12s %12s %8s" % (args.name, "ours", "peer", "ratio"))
    for name, unit, ours, peer in rows:
        print("%-36s %9.2f %-2s %s" % (name, ours, unit, "" if peer is None else
              "%9.2f %-2s %8s" % (peer, unit, "%.2f" % (ours / peer) if peer else "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
