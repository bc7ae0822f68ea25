# SPDX-License-Identifier: MIT
"""Host clients that misbehave or are killed at the worst moment, against a real core: what they held is freed, and
an honest client that works at the same time is served."""
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import wire
from host import GUESTS, Host, HostTest

LIMIT = 600                 # descriptors of the core: floods are to meet it soon


class Hostile(HostTest):
    @classmethod
    def setUpClass(cls):
        cls.host = Host()
        try:
            cls.host.ok("prlimit", "--nofile=%d:%d" % (LIMIT, LIMIT), "krypton", "start")
        except BaseException:
            cls.host.close()
            raise
        cls.pid = cls.host.service_pid("kryptond")

    def setUp(self):
        # -e: no supervisor, whose connections come and go when it likes.
        self.host.xl("create", "-q", "-e", self.host.config(name="honest", kernel=os.path.join(GUESTS, "spin.elf"),
                                                            ramdisk=None, extra=None, memory=32))
        self.domid = self.host.domains()["honest"]
        self.before = None
        self.host.wait("all is quiet", self.settled, 30)

    def client(self, **kw):
        c = wire.Client(self.host.path("core"), **kw)
        self.addCleanup(c.close)
        return c

    def books(self):
        """What a client that comes and goes leaves as it was."""
        self.host.xl("dmesg", "-c")
        self.host.xl("debug-keys", "qm")
        counts = re.findall(r"domain (\d+): .*(pages=\d+).*(ports=\d+) (grants=\d+)|(pages: .*)", self.host.xl("dmesg"))
        with open("/proc/%d/maps" % self.pid) as f:
            maps = f.read()
        return {"fds": len(os.listdir("/proc/%d/fd" % self.pid)), "counts": counts, "arenas": maps.count("krypton-arena")}

    def settled(self):
        last, self.before = self.before, self.books()
        time.sleep(0.2)
        return last == self.before

    def as_before(self):
        self.host.wait("all is as before: %s" % (self.before,), lambda: self.books() == self.before, 30)

    def honest(self, stop, errors):
        """Another client's day: it looks, and makes and ends domains."""
        cfg = self.host.config(name="busy", kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None, extra=None, memory=32)
        while not stop.is_set():
            for argv in (["list"], ["create", "-q", "-e", "-p", cfg], ["vcpu-list", "honest"], ["destroy", "busy"]):
                r = self.host.run("xl", *argv, timeout=60)
                if r.returncode:
                    errors.append("%s: %s" % (argv, r.stderr))
                    return

    def beside_an_honest_client(self, attack):
        stop, errors = threading.Event(), []
        thread = threading.Thread(target=self.honest, args=(stop, errors))
        thread.start()
        try:
            attack()
        finally:
            stop.set()
            thread.join()
        self.assertEqual(errors, [])
        self.assertEqual(set(self.host.domains()), {"honest"})

    def foreign(self, gfn=0):
        return struct.pack("<IIIIQ", self.domid, 1, 1, 0, gfn)

    def test_errors(self):
        c = self.client(arena=1 << 20)
        for version in (0, 0x14, 0x16):
            self.assertEqual(c.domctl(5, self.domid, version=version)[0], -13)         # EACCES
        self.assertEqual(c.domctl(5, 999)[0], -3)                                      # ESRCH
        self.assertEqual(c.domctl(99, self.domid)[0], -38)                             # ENOSYS
        self.assertEqual(c.hypercall(wire.DOMCTL, wire.VA + (1 << 20) - 8), -14)       # EFAULT
        self.assertEqual(c.hypercall(wire.DOMCTL, (1 << 64) - 8), -14)
        self.assertEqual(c.ask(wire.FOREIGN, struct.pack("<IIIIQ", 999, 1, 1, 0, 0)), -3)
        self.assertEqual(c.ask(wire.FOREIGN, self.foreign(1 << 40)), 0)                # an error for that page
        self.assertEqual(c.ask(wire.ARENA, struct.pack("<QQ", wire.VA, 4096)), -22)
        self.assertEqual(c.ask(77), -38)
        null = os.open("/dev/null", os.O_RDONLY)
        for _ in range(50):
            self.assertEqual(c.ask(wire.FOREIGN, self.foreign(), [null] * 16), 0)
        os.close(null)
        c.close()
        self.as_before()

    def test_no_reader(self):
        """Replies with descriptors that nobody reads count against everybody's (unix(7): ETOOMANYREFS)."""
        def attack():
            for _ in range(40):
                c = self.client()
                c.sock.setblocking(False)
                try:
                    for _ in range(300):
                        c.send(wire.FOREIGN, self.foreign())
                except OSError:
                    pass
                time.sleep(0.02)
        self.beside_an_honest_client(attack)
        self.doCleanups()
        self.as_before()

    def test_connections_without_end(self):
        def attack():
            for hello in (False, True):
                kept = []
                for _ in range(500):
                    try:
                        kept.append(self.client(hello=hello, arena=4096 if hello else 0))
                    except OSError:
                        pass            # turned away
                self.assertGreater(len(kept), 20)
                time.sleep(1)
                for c in kept:
                    c.close()
        self.beside_an_honest_client(attack)
        self.as_before()

    def test_ports_and_shares_without_end(self):
        def attack():
            for _ in range(8):
                c = self.client()
                status, n = 0, 0
                while status == 0 and n < 1000:
                    status = c.ask(wire.UNBOUND, struct.pack("<II", self.domid, 0)) if n % 2 else \
                        c.ask(wire.SHARE, struct.pack("<IIII", self.domid, 1, 1, 0))
                    n += 1
                self.assertEqual(status, -28)       # ENOSPC
            time.sleep(1)
        self.beside_an_honest_client(attack)
        self.doCleanups()
        self.as_before()

    def test_garbage(self):
        def attack():
            for i in range(300):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.connect(self.host.path("core"))
                try:
                    s.send(struct.pack("<IIII", wire.HELLO, 1, wire.MAGIC, wire.VERSION))
                    for _ in range(5):
                        s.send(struct.pack("<II", i % 20, 1) + os.urandom(i))
                except OSError:
                    pass
                s.close()
        self.beside_an_honest_client(attack)
        # Garbage may have been a restriction or a port, never a domain's end.
        self.as_before()

    # What killed clients hold: each line runs in a process of its own, with c a client, domid a domain.
    HOLDS = {
        "a connection": "",
        "an arena": "c.arena[:] = b'x' * len(c.arena)",
        "a foreign map": "body, fds = c.call(FOREIGN, struct.pack('<IIIIQ', domid, 3, 1, 0, 0)); "
                         "m = mmap.mmap(fds[0], 4096)",
        "a grant of dom0's own": "body, fds = c.call(SHARE, struct.pack('<IIII', 0, 4, 1, 0)); "
                                 "ref, = struct.unpack_from('<I', body, 16); "
                                 "body, fds = c.call(GNT_MAP, struct.pack('<IIII', 1, 3, 0, ref)); "
                                 "port, = struct.unpack_from('<I', c.call(UNBOUND, struct.pack('<II', 0, 0))[0]); "
                                 "c.call(GNT_NOTIFY, body[:8] + struct.pack('<IIQ', 3, port, 8))",
        "ports": "c.call(UNBOUND, struct.pack('<II', domid, 0)); c.call(VIRQ, struct.pack('<II', 0, 6)); "
                 "port, = struct.unpack_from('<I', c.call(UNBOUND, struct.pack('<II', 0, 0))[0]); "
                 "c.call(INTERDOMAIN, struct.pack('<II', 0, port))",
        "a request under way": "c.send(HYPERCALL, struct.pack('<6Q', DOMCTL, VA, 0, 0, 0, 0))",
        "unread replies": "[c.send(HYPERCALL, struct.pack('<6Q', XEN_VERSION, 0, 0, 0, 0, 0)) for _ in range(50)]",
    }

    def kill_while(self, what):
        code = ("import mmap, struct, sys, time\nfrom wire import *\ndead_on_arrival()\n"
                "c = Client(sys.argv[1], arena=1 << 20)\ndomid = int(sys.argv[2])\n%s\nprint('ready', flush=True)\n"
                "time.sleep(600)\n" % what)
        p = subprocess.Popen([sys.executable, "-B", "-c", code, self.host.path("core"), str(self.domid)],
                             cwd=os.path.dirname(os.path.abspath(wire.__file__)), stdout=subprocess.PIPE, text=True)
        said = p.stdout.readline()
        p.send_signal(signal.SIGKILL)
        p.wait()
        p.stdout.close()
        self.assertEqual(said, "ready\n")

    def test_killed(self):
        def attack():
            for name, what in self.HOLDS.items():
                with self.subTest(name):
                    self.kill_while(what)
        self.beside_an_honest_client(attack)
        self.as_before()

    def test_killed_in_a_creation(self):
        """A half-made domain stays, as on Xen, and can be seen and destroyed."""
        body = struct.pack("<I16sIIIIiiIIIII", 0, b"\7" * 16, 1, 0, 1, 100, 4, 100, 2, 0, 0, 1, 0)
        self.kill_while("assert c.domctl(1, 0, bytes.fromhex('%s'))[0] == 0" % body.hex())
        listed = self.host.xl("list")
        domid, = re.findall(r"(?m)^\S* +(\d+) +\d+ +\d+ +--p---", listed)
        self.host.xl("destroy", domid)
        self.as_before()


if __name__ == "__main__":
    import unittest
    unittest.main()
