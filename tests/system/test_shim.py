# SPDX-License-Identifier: MIT
"""Debian's own PVH programs as guests: Xen's shim, which runs PV kernels, and GRUB.

KR_STOCK_XEN is the folder of Debian's programs (kr_stock_xen in scripts/lib/common.sh); skipped when it is unset.
"""
import hashlib
import os
import re
import unittest

from host import HostTest
from stock import PROMPT, STOCK, StockTest

SHIM = os.path.join(STOCK, "usr/lib/xen-4.17/boot/xen-shim")
GRUB = os.path.join(STOCK, "usr/lib/grub-xen")
MENU = "grub> "
# The shim says each time that its guest wants the memory it has itself, amid what the guest says.
QUIET = "guest_loglvl=none"


class ShimTest(HostTest):
    def ask(self, con, command, timeout=60):
        con.send("echo B''EGIN; %s; echo E''ND" % command)
        return con.expect(r"BEGIN\r?\n((?s:.*?))END\r?\n", timeout).group(1).decode(errors="replace").replace("\r", "")

    def row(self, name="guest"):
        """A domain's line of xl list: domid, memory, vcpus, state."""
        for line in self.host.xl("list").splitlines():
            if line.split()[0] == name:
                return line.split()[1:5]
        return None

    def open(self, name="guest"):
        con = self.host.console(name)
        self.addCleanup(con.close)
        return con

    def gone(self, timeout=60):
        self.host.wait("the domain is gone", lambda: not self.host.domains(), timeout)


@unittest.skipUnless(STOCK, "KR_STOCK_XEN is not set")
class Shim(ShimTest):
    """Our xl."""

    def check_pv(self, con):
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/type /sys/hypervisor/guest_type").split(), ["xen", "PV"])
        dmesg = self.ask(con, "dmesg")
        self.assertIn("Hypervisor detected: Xen PV", dmesg)
        self.assertIn("Booting kernel on Xen", dmesg)
        self.assertNotRegex(dmesg, r"(?i)call trace|\bBUG:|\bOops|soft lockup|rcu.*stall")

    def test_pv_kernel_whole_life(self):
        """From create to a crash, with Debian's kernel; vCPU 2 is for later."""
        self.host.xl("create", self.host.config(pvshim=1, pvshim_path=SHIM, pvshim_extra=QUIET, vcpus=2, maxvcpus=3,
                                                memory=288, on_crash="preserve"))
        con = self.open()
        con.expect(r"\(XEN\) Xen version 4\.17", 60)
        con.expect(PROMPT, 240)
        self.check_pv(con)
        self.assertEqual(self.ask(con, "cat /sys/devices/system/cpu/online").strip(), "0-1")
        store = self.host.ok("xenstore-ls", "-f", "/local/domain/%s" % self.row()[0])
        self.assertRegex(store, r'control/feature-poweroff = "1"')     # written by the guest's driver

        # Memory and processes: page tables that the shim checks, TLBs, faults, signals.
        self.assertEqual(self.ask(con, "i=0; while [ $i -lt 60 ]; do (seq 300 | sort -n | md5sum >/dev/null) & "
                                       "i=$((i+1)); done; wait; seq 5000 | md5sum", 120).strip(),
                         hashlib.md5("".join("%d\n" % n for n in range(1, 5001)).encode()).hexdigest() + "  -")

        self.host.xl("pause", "guest")
        self.assertRegex(self.row()[3], r"^[-r][-b]p---$")
        self.host.xl("unpause", "guest")
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")

        self.host.xl("vcpu-set", "guest", "1")
        self.host.wait("one vCPU is left", lambda: self.row()[2] == "1", 60)
        self.assertEqual(self.ask(con, "cat /sys/devices/system/cpu/online").strip(), "0")

        # The shim's own memory is beside what the guest is told to have.
        before = int(self.row()[1])
        self.host.xl("mem-set", "guest", "240")
        self.host.wait("the guest has given memory back", lambda: int(self.row()[1]) <= before - 20, 60)
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")

        con.send("echo c >/proc/sysrq-trigger")
        self.host.wait("the domain has crashed", lambda: re.search("sc", self.row()[3]), 60)
        self.host.xl("destroy", "guest")
        self.assertIn("Xen version 4.17", self.host.xl("dmesg"))       # what the shim says goes there too

    def test_pv_grub(self):
        """GRUB as a PV guest of either width: 32-bit guests run in ring 1."""
        for width in ("x86_64", "i386"):
            with self.subTest(width):
                self.host.xl("create", self.host.config(kernel="%s/grub-%s-xen.bin" % (GRUB, width), ramdisk=None,
                                                        extra=None, pvshim=1, pvshim_path=SHIM, memory=96))
                con = self.open()
                con.expect(MENU, 120)
                con.send("functional_test all")
                con.expect("ALL TESTS PASSED", 60)
                con.send("halt")
                self.gone()

    def test_missing_shim(self):
        r = self.host.run("xl", "create", self.host.config(pvshim=1, pvshim_path="/nonexisting"))
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("shim /nonexisting: No such file", r.stderr)
        self.assertEqual(self.host.domains(), {})


@unittest.skipUnless(STOCK, "KR_STOCK_XEN is not set")
class Grub(ShimTest):
    def test_pvh_grub(self):
        """32-bit code without paging, and its hypercalls in the layouts of a 32-bit guest."""
        self.host.xl("create", self.host.config(kernel=GRUB + "/grub-i386-xen_pvh.bin", ramdisk=None, extra=None,
                                                memory=64))
        con = self.open()
        con.expect(MENU, 60)
        con.send("functional_test all")
        con.expect("ALL TESTS PASSED", 60)
        con.send("ls")
        con.expect(r"\(proc\)", 30)
        con.send("date")
        con.expect(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d \w+day", 30)
        first = self.row()[0]
        con.send("reboot")
        self.host.wait("it runs again", lambda: (self.row() or [first])[0] != first, 60)
        con = self.open()
        con.expect(MENU, 60)
        con.send("halt")
        self.gone()


@unittest.skipUnless(os.environ.get("KR_KERNEL_AMD64"), "needs linux-image-amd64")
class StockShim(StockTest):
    """Debian's xl, which finds the shim where its package has it."""

    def test_pv_kernel(self):
        self.xl("create", self.host.config(pvshim=1, pvshim_extra=QUIET, memory=448,
                                           kernel=os.environ["KR_KERNEL_AMD64"]))
        con = self.stock_console("guest")
        con.expect(r"Command line: pv-shim console=xen,pv " + QUIET, 60)
        con.expect(PROMPT, 240)
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/guest_type").strip(), "PV")
        self.xl("shutdown", "-w", "guest")
        self.gone("guest")
        self.done("xl", "pvshim: Debian's kernel as a PV guest below Debian's xen-shim")


if __name__ == "__main__":
    unittest.main()
