# SPDX-License-Identifier: MIT
"""Many creates and destroys, and services killed: afterwards the host is as it was before."""
import os
import random
import re
import signal
import subprocess
import time

from host import GUESTS, HostTest

SERVICES = ("kryptond", "xenstored", "xenconsoled")
ROUNDS = 40


class Soak(HostTest):
    def hello(self, **keys):
        """A guest that says hello and stays."""
        return self.host.config(**dict(dict(name="hello", kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None,
                                            extra=None, memory=32, on_poweroff="preserve"), **keys))

    def usage(self):
        """What each service has open, its threads, and its memory in KiB."""
        found = {}
        for name in SERVICES:
            proc = "/proc/%d" % self.host.service_pid(name)
            with open(proc + "/status") as f:
                status = f.read()
            found[name] = {"fds": len(os.listdir(proc + "/fd")),
                           "threads": int(re.search(r"Threads:\s+(\d+)", status).group(1)),
                           "rss": int(re.search(r"VmRSS:\s+(\d+)", status).group(1))}
        return found

    def files(self):
        return sorted(os.path.join(root, n) for root, _, names in os.walk(self.host.path()) for n in names
                      if not re.search(r"^xl-supervisor\.|\.log$", n))

    def round(self, cfg):
        self.host.xl("create", "-q", cfg)
        self.host.xl("destroy", "hello")

    def settle(self, before):
        """The supervisor ends after its last domain, and a console outlives its guest for its last words."""
        def as_before():
            now = self.usage()
            return all(now[s][k] <= before[s][k] for s in SERVICES for k in ("fds", "threads"))
        self.host.wait("the services have let go: %s, now %s" % (before, self.usage()), as_before, 10)

    def test_rounds_leave_nothing(self):
        cfg = self.hello()
        for _ in range(3):
            self.round(cfg)
        self.host.wait("the supervisor has ended", lambda: not self.host.processes("supervise"), 10)
        time.sleep(2.5)
        before, files, snapshot = self.usage(), self.files(), self.host.snapshot()
        for _ in range(ROUNDS):
            self.round(cfg)
        self.host.wait("the supervisor has ended", lambda: not self.host.processes("supervise"), 10)
        self.settle(before)
        self.assertEqual(self.files(), files)
        self.assertEqual(self.host.snapshot(), snapshot)
        after = self.usage()
        for name in SERVICES:
            # 10 KiB a round would be a leak; what malloc keeps is less.
            self.assertLess(after[name]["rss"] - before[name]["rss"], 10 * ROUNDS + 512, name)

    def test_domain_processes_killed(self):
        cfg = self.hello(on_crash="destroy")
        self.round(cfg)
        snapshot = self.host.snapshot()
        for i in range(5):
            self.host.xl("create", "-q", cfg)
            time.sleep(i * 0.01)
            for pid in self.host.processes("krypton-domain"):
                os.kill(int(pid), signal.SIGKILL)
            self.host.run("xl", "destroy", "hello")
            self.host.wait("the domain is gone", lambda: not self.host.domains(), 10)
        self.assertEqual(self.host.snapshot(), snapshot)

    def test_xl_killed_in_create(self):
        cfg, rng = self.hello(), random.Random(1)
        self.round(cfg)
        self.host.wait("the supervisor has ended", lambda: not self.host.processes("supervise"), 10)
        snapshot = self.host.snapshot()
        for _ in range(10):
            p = subprocess.Popen(["xl", "create", "-q", cfg], env=self.host.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 0.02))
            p.kill()
            p.wait()
            for domid in self.host.domains().values():
                self.host.xl("destroy", str(domid))
            self.round(cfg)
        self.assertEqual(self.host.snapshot(), snapshot)

    def test_console_daemon_killed(self):
        """The console of a running guest comes back, and what was typed before `xl console` was ready is not lost."""
        self.host.xl("create", self.host.config())
        con = self.host.console("guest")
        try:
            con.expect("guest# ", 180)
        finally:
            con.close()
        for i in range(2):
            os.kill(self.host.service_pid("xenconsoled"), signal.SIGKILL)
            self.host.wait("xenconsoled is dead", lambda: not self.host.processes("sbin/xenconsoled"), 10)
            self.host.start()
            con = self.host.console("guest")
            try:
                con.send("echo ba''ck%d" % i)
                con.expect("back%d" % i, 30)
            finally:
                con.close()
