# SPDX-License-Identifier: MIT
"""A Krypton host of its own for a test: services in a private directory, xl, consoles, and the check that a
failed command leaves nothing behind.

Environment: KR_PREFIX is where Krypton is installed, KR_KERNEL and KR_INITRD the guest (scripts/test sets them).
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "scripts", "lib"))
from console import Console  # noqa: E402

PREFIX = os.environ.get("KR_PREFIX", os.path.join(TOP, "build", "inst"))
KERNEL = os.environ.get("KR_KERNEL", "")
INITRD = os.environ.get("KR_INITRD", "")
GUESTS = os.environ.get("KR_GUESTS", os.path.join(PREFIX, "..", "tests", "guests"))


class Host:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="krypton-test.")
        self.env = dict(os.environ, KRYPTON_RUNDIR=os.path.join(self.dir, "run"),
                        PATH="%s/bin:%s/sbin:%s" % (PREFIX, PREFIX, os.environ["PATH"]))

    def run(self, *argv, timeout=120, **kw):
        return subprocess.run(argv, env=self.env, timeout=timeout, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)

    def ok(self, *argv, **kw):
        r = self.run(*argv, **kw)
        if r.returncode:
            raise AssertionError("%s: exit %d\n%s%s" % (" ".join(argv), r.returncode, r.stdout, r.stderr))
        return r.stdout

    def xl(self, *argv, **kw):
        return self.ok("xl", *argv, **kw)

    def start(self):
        self.ok("krypton", "start")

    def stop(self):
        self.ok("krypton", "stop")

    def close(self):
        self.run("krypton", "stop")
        for _ in range(50):         # what was told to end may take a moment
            left = self.processes()
            if not left:
                break
            time.sleep(0.1)
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        if left:
            raise AssertionError("processes left behind: %s" % left)

    def processes(self, name=None):
        """Processes of this host."""
        return [pid for pid in self.marked("KRYPTON_RUNDIR=%s" % self.env["KRYPTON_RUNDIR"])
                if name is None or name in self.command(pid)]

    @staticmethod
    def marked(mark):
        """Processes with a word in their environment; that of a domain process cannot be read, so it is found by
        its parent."""
        mine = mark.encode()
        found, parents = [], {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/stat" % pid) as f:
                    state, parents[pid] = f.read().rpartition(")")[2].split()[:2]
                with open("/proc/%s/environ" % pid, "rb") as f:
                    if mine in f.read().split(b"\0") and state != "Z" and int(pid) != os.getpid():
                        found.append(pid)
            except OSError:
                continue
        found += [pid for pid, parent in parents.items() if parent in found and pid not in found]
        return [pid for pid in found if Host.command(pid)]

    @staticmethod
    def command(pid):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                return f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""

    def service_pid(self, name):
        with open(os.path.join(self.env["KRYPTON_RUNDIR"], name + ".pid")) as f:
            return int(f.read())

    def path(self, *names):
        return os.path.join(self.env["KRYPTON_RUNDIR"], *names)

    def domains(self):
        """name -> domid of the guests"""
        rows = [line.split() for line in self.xl("list").splitlines()[1:]]
        return {row[0]: int(row[1]) for row in rows if row[1] != "0"}

    def config(self, text=None, **keys):
        """Writes a configuration file; keys override the default guest's."""
        if text is None:
            keys = dict(dict(name="guest", type="pvh", kernel=KERNEL, ramdisk=INITRD, extra="console=hvc0", memory=192),
                        **keys)
            text = "".join("%s = %s\n" % (k, json.dumps(v)) for k, v in keys.items() if v is not None)
        fd, path = tempfile.mkstemp(suffix=".cfg", dir=self.dir)
        with os.fdopen(fd, "w") as f:
            f.write(text)
        return path

    def console(self, domain):
        return Console(domain, env=self.env, command=[os.path.join(PREFIX, "bin", "xl"), "console", domain])

    def wait(self, what, condition, timeout=120):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise AssertionError("timed out: " + what)
            time.sleep(0.1)

    def snapshot(self):
        """What a failed command must leave as it was: domains, domain processes, store, files, memory."""
        store = self.ok("xenstore-ls", "-f")
        # The containers stay once there was a domain, as on a stock host.
        store = re.sub(r"(?m)^(/local/domain/0/memory.*|/vm = \"\"|/libxl = \"\")$\n?", "", store)
        files = []
        for root, _, names in os.walk(self.env["KRYPTON_RUNDIR"]):
            files += [os.path.join(root, n) for n in names
                      if not n.endswith((".log", ".lock", ".gate", ".pid")) and "domid" not in n]
        return {"domains": self.domains(), "processes": sorted(self.processes("krypton-domain")), "store": store,
                "files": sorted(files), "free": self.xl("info", "free_memory")}


class HostTest(unittest.TestCase):
    """Each test class has one host; each test ends with no guests on it."""
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        try:
            cls.host.start()
        except BaseException:
            cls.host.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.host.close()

    def tearDown(self):
        for domid in self.host.domains().values():
            self.host.run("xl", "destroy", str(domid))
