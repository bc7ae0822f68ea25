# SPDX-License-Identifier: MIT
"""The freestanding guests of tests/guests, started as any guest; each says SUCCESS or FAILURE on its console."""
import os
import re
import subprocess

from host import GUESTS, HostTest


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

    def test_triple_fault(self):
        """Ends the domain as a reboot (as on Xen), here with the action preserve so that it can be seen."""
        self.start("abuse", "triple_fault", on_reboot="preserve", on_crash="preserve")
        self.host.wait("the domain has shut down",
                       lambda: re.search(r"(?m)^abuse .* ---s[rc]- ", self.host.xl("list")), 30)
