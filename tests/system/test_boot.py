# SPDX-License-Identifier: MIT
"""Debian's stock kernels as PVH guests, from create to the end."""
import os
import re
import time
import unittest

from host import KERNEL, HostTest

PROMPT = "guest# "


class Boot(HostTest):
    def boot(self, **keys):
        self.host.xl("create", self.host.config(**keys))
        con = self.host.console(keys.get("name", "guest"))
        self.addCleanup(con.close)
        con.expect(PROMPT, 180)
        return con

    def ask(self, con, command, timeout=60):
        """Runs a command in the guest and returns what it printed."""
        con.send("echo B''EGIN; %s; echo E''ND" % command)
        return con.expect(r"BEGIN\r?\n((?s:.*?))END\r?\n", timeout).group(1).decode(errors="replace").replace("\r", "")

    def test_guest_sees_xen(self):
        con = self.boot(vcpus=2)
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/type /sys/hypervisor/version/major "
                                       "/sys/hypervisor/version/minor").split(), ["xen", "4", "17"])
        self.assertEqual(self.ask(con, "grep -c ^processor /proc/cpuinfo").strip(), "2")
        dmesg = self.ask(con, "dmesg")
        self.assertIn("Xen version 4.17", dmesg)
        self.assertRegex(dmesg, r"xen:?_?balloon|xen_balloon|xen:balloon")
        self.assertIn("printk: console [hvc0] enabled", dmesg)
        self.assertNotRegex(dmesg, r"(?i)call trace|\bBUG:|\bOops|soft lockup|rcu.*stall")
        uuid = self.ask(con, "cat /sys/hypervisor/uuid").strip()
        self.assertIn(uuid, self.host.xl("vm-list"))
        store = self.host.ok("xenstore-ls", "-f", "/local/domain/%d" % self.host.domains()["guest"])
        # Nodes that only the guest's own xenbus driver writes.
        self.assertRegex(store, r'control/feature-poweroff = "1"')

    def test_guest_keeps_time(self):
        con = self.boot(vcpus=2)
        guest = float(self.ask(con, "date +%s").strip())
        self.assertLess(abs(guest - time.time()), 3)
        # A sleep of the guest's lasts as long for the host, and its clock agrees with the host's over it.
        before = time.monotonic()
        up = self.ask(con, "cut -d' ' -f1 /proc/uptime; sleep 5; cut -d' ' -f1 /proc/uptime").split()
        lasted = time.monotonic() - before
        self.assertGreater(lasted, 4.9)
        self.assertLess(lasted, 12)
        self.assertAlmostEqual(float(up[1]) - float(up[0]), 5, delta=2)

    def test_shutdown_from_outside(self):
        self.boot()
        self.host.xl("shutdown", "-w", "guest")
        self.host.wait("the domain is destroyed", lambda: not self.host.domains(), 30)
        self.host.wait("domain processes end", lambda: not self.host.processes("krypton-domain"), 10)
        self.assertNotIn("/local/domain/1", self.host.ok("xenstore-ls", "-f"))

    def test_poweroff_destroys(self):
        con = self.boot()
        con.send("poweroff -f")
        self.host.wait("the domain is destroyed", lambda: not self.host.domains(), 60)

    def test_reboot_restarts(self):
        con = self.boot()
        first = self.host.domains()["guest"]
        con.send("reboot -f")
        self.host.wait("another domain has the name", lambda: self.host.domains().get("guest", first) != first, 60)
        con = self.host.console("guest")
        self.addCleanup(con.close)
        con.expect(PROMPT, 180)

    def test_crash_preserves(self):
        con = self.boot(on_crash="preserve")
        con.send("echo c >/proc/sysrq-trigger")
        self.host.wait("the domain has crashed", lambda: "sc" in self.host.xl("list"), 60)
        self.host.xl("destroy", "guest")

    def test_pause_and_vcpus(self):
        con = self.boot(vcpus=2, maxvcpus=2)
        self.host.xl("pause", "guest")
        self.assertRegex(self.host.xl("list", "guest"), r"guest .* --p---|guest .* -bp---")
        con.send("echo pa''used")
        with self.assertRaises(TimeoutError):
            con.expect("paused", 2)
        self.host.xl("unpause", "guest")
        con.expect("paused", 30)
        self.assertEqual(len(re.findall(r"(?m)^guest ", self.host.xl("vcpu-list", "guest"))), 2)

    def test_domain_process_killed(self):
        self.boot()
        pids = self.host.processes("krypton-domain")
        self.assertEqual(len(pids), 1)
        os.kill(int(pids[0]), 9)
        self.host.wait("the domain is gone", lambda: not self.host.domains(), 30)
        self.host.xl("create", "-p", self.host.config())


@unittest.skipUnless(os.environ.get("KR_KERNEL_AMD64"), "needs linux-image-amd64")
class BootAmd64(HostTest):
    def test_full_kernel(self):
        self.host.xl("create", self.host.config(kernel=os.environ["KR_KERNEL_AMD64"], vcpus=2, memory=320))
        con = self.host.console("guest")
        self.addCleanup(con.close)
        con.expect(PROMPT, 240)


if __name__ == "__main__":
    unittest.main()
