# SPDX-License-Identifier: MIT
"""The freestanding guests of tests/guests, started as any guest; each says SUCCESS or FAILURE on its console."""
import os
import re
import subprocess
import tempfile

from host import GUESTS, PREFIX, HostTest


class Guests(HostTest):
    def start(self, guest, args=None, **keys):
        """Starts a guest with its console on a pipe."""
        keys = dict(dict(name=guest, memory=32, ramdisk=None, extra=args), **keys)
        cfg = self.host.config(kernel=os.path.join(GUESTS, guest + ".elf"), **keys)
        p = subprocess.Popen(["xl", "create", "-q", "-c", cfg], env=self.host.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.addCleanup(p.wait)
        self.addCleanup(p.stdin.close)
        self.addCleanup(p.kill)
        self.addCleanup(p.stdout.close)
        return p

    def verdict(self, guest, args=None, **keys):
        p = self.start(guest, args, **keys)
        seen = ""
        for line in p.stdout:
            seen += line
            if "SUCCESS" in line:
                return seen
            if "FAILURE" in line:
                break
        self.fail("%s: %s" % (guest, seen))

    def test_hello(self):
        self.verdict("hello")

    def test_hypercalls(self):
        self.verdict("hypercalls", vcpus=2)

    def test_narrow(self):
        self.verdict("narrow")

    def test_cpu(self):
        self.verdict("cpu")

    def test_smp(self):
        self.verdict("smp", vcpus=4)

    def test_abuse(self):
        """A hostile guest harms itself alone: another guest and the host's services go on."""
        self.host.xl("create", self.host.config(name="bystander", kernel=os.path.join(GUESTS, "hello.elf"),
                                                ramdisk=None, extra=None, memory=32, on_poweroff="preserve"))
        for mode in ("hypercalls", "shared_info", "rings", "start_info"):
            with self.subTest(mode):
                self.verdict("abuse", mode, name="abuse-" + mode)
        self.assertIn("bystander", self.host.domains())
        self.host.ok("krypton", "status")
        self.host.ok("xenstore-ls")
        self.verdict("hello", name="after")

    def test_unprivileged(self):
        """Every op of the privilege table, tried on another domain: all refused, nothing changed."""
        self.host.xl("create", self.host.config(name="target", kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None,
                                                extra=None, memory=32, on_poweroff="preserve"))
        domid = self.host.xl("domid", "target").strip()
        before = self.host.xl("list", "target").split("\n")[1].split()[:4]
        self.assertIn("against domain %s" % domid, self.verdict("unprivileged", "other=" + domid))
        self.assertEqual(self.host.xl("list", "target").split("\n")[1].split()[:4], before)
        self.host.ok("xenstore-ls")

    def test_peers(self):
        """One guest maps another's grant: the page is put apart and comes home under the granter's hands."""
        granter = self.start("peers", "grant", name="granter")
        for line in granter.stdout:
            if "GRANTED" in line:
                break
        else:
            self.fail("the granter ended")
        domid = self.host.xl("domid", "granter").strip()
        self.verdict("peers", "map other=" + domid, name="mapper")
        seen = granter.stdout.read()
        self.assertIn("SUCCESS", seen)

    def test_privileged(self):
        """Domain 0 of a machine of its own makes a domain, maps its memory and grants, and ends it."""
        with tempfile.TemporaryDirectory(prefix="krypton-test.") as tmp:
            env = dict(os.environ, TMPDIR=tmp)
            env.pop("XDG_RUNTIME_DIR", None)
            r = subprocess.run([os.path.join(PREFIX, "bin", "krypton"), "machine", "--no-reboot", "--kernel",
                                os.path.join(GUESTS, "privileged.elf")], env=env, timeout=300,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               errors="replace")
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertNotIn("FAIL", r.stdout)
        self.assertIn("PRIVILEGED-OK", r.stdout)

    def test_triple_fault(self):
        """Ends the domain as a reboot (as on Xen), here with the action preserve so that it can be seen."""
        self.start("abuse", "triple_fault", on_reboot="preserve", on_crash="preserve")
        self.host.wait("the domain has shut down",
                       lambda: re.search(r"(?m)^abuse .* ---s[rc]- ", self.host.xl("list")), 30)

    def test_core_dump(self):
        """Its memory is kept before it goes; and `xl dump-core` of one that lives."""
        self.start("abuse", "triple_fault", on_reboot="coredump-destroy", on_crash="coredump-destroy")
        paths = [self.host.path("lib", "dump", "abuse"), os.path.join(self.host.dir, "core")]
        self.host.wait("the domain is gone",
                       lambda: os.path.exists(paths[0]) and "abuse" not in self.host.domains(), 60)
        self.host.xl("create", "-p", self.host.config(name="target", kernel=os.path.join(GUESTS, "hello.elf"),
                                                      ramdisk=None, extra=None, memory=32))
        self.host.xl("dump-core", "target", paths[1])
        for path, least in zip(paths, (8, 32)):
            with open(path, "rb") as f:
                self.assertEqual(f.read(4), b"\x7fELF")
                self.assertGreater(os.fstat(f.fileno()).st_size, least << 20)
        r = self.host.run("xl", "dump-core", "target", os.path.join(self.host.dir, "no", "core"))
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("No such file", r.stderr)
