# SPDX-License-Identifier: MIT
"""A device model (tests/system/device_model.c) serves a guest (tests/guests/ioreq.c), and what happens to the
guest, and to nobody else, when it does not."""
import os
import re
import subprocess
import unittest

from host import GUESTS, HostTest

MODEL = os.path.join(GUESTS, "..", "system", "device_model")


class DeviceModel(HostTest):
    def start(self, args=None, **keys):
        """A guest that waits for its device model."""
        cfg = self.host.config(name="ioreq", kernel=os.path.join(GUESTS, "ioreq.elf"), memory=32, ramdisk=None,
                               extra=args, **keys)
        p = subprocess.Popen(["xl", "create", "-q", "-c", cfg], env=self.host.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.addCleanup(p.wait)
        self.addCleanup(p.stdin.close)
        self.addCleanup(p.kill)
        self.addCleanup(p.stdout.close)
        self.host.wait("the domain is there", lambda: "ioreq" in self.host.domains())
        return p, self.host.domains()["ioreq"]

    def model(self, domid, *args):
        p = subprocess.Popen([MODEL, str(domid), *args], env=self.host.env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.kill)
        line = p.stdout.readline()
        if not line.startswith("ready "):
            p.kill()
            self.fail("device_model: %r %s" % (line, p.stderr.read()))
        return p, line.split()[1]

    def until(self, p, text):
        seen = ""
        for line in p.stdout:
            seen += line
            if text in line:
                return seen
            if "FAILURE" in line:
                break
        self.fail("the guest said: " + seen)

    def state(self):
        found = re.search(r"(?m)^ioreq +\d+ +\d+ +\d+ +(\S+) ", self.host.xl("list"))
        return found and found.group(1)

    def test_serves(self):
        p, domid = self.start(vcpus=2)
        self.model(domid)
        self.until(p, "SUCCESS")

    def test_serves_restricted(self):
        """With all its handles restricted to the domain, as a deprivileged QEMU runs; it shuts the guest down."""
        p, domid = self.start("off", vcpus=2, on_poweroff="preserve")
        self.model(domid, "restrict")
        self.until(p, "SUCCESS")
        self.host.wait("the domain is shut down", lambda: self.state() == "---s--")

    def test_no_answer(self):
        """A model that does not answer: the guest's vCPU waits, everything else goes on."""
        p, domid = self.start("hang")
        m, server = self.model(domid)
        self.until(p, "asking")
        self.host.wait("the vCPU waits", lambda: self.state() == "-b----")
        self.host.xl("pause", "ioreq")
        self.assertRegex(self.state(), "p")
        self.host.xl("unpause", "ioreq")
        m.kill()
        m.wait()
        # A dead model's server stays, as on Xen; whoever takes it away sets the guest free.
        self.host.wait("the vCPU waits", lambda: self.state() == "-b----")
        self.host.ok(MODEL, str(domid), "destroy", server)
        self.until(p, "answer ffffffff")
        self.until(p, "SUCCESS")

    def test_destroyed_while_waiting(self):
        p, domid = self.start("hang")
        self.model(domid)
        self.until(p, "asking")
        self.host.wait("the vCPU waits", lambda: self.state() == "-b----")
        self.host.xl("destroy", "ioreq")
        self.assertNotIn("ioreq", self.host.domains())

    def test_liar(self):
        """A model that breaks the protocol crashes its guest."""
        _, domid = self.start("lie", on_crash="preserve")
        self.model(domid)
        self.host.wait("the domain has crashed", lambda: (self.state() or "")[3:5] in ("sc", "-c"))


if __name__ == "__main__":
    unittest.main()
