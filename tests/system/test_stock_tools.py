# SPDX-License-Identifier: MIT
"""Debian's unmodified small tools of Xen 4.17 above our libxenctrl and libxenguest: each loads with every symbol bound,
and does its work or says clearly that the host does not offer it."""
import os
import re
import struct
import subprocess

from host import GUESTS
from stock import BIN, StockTest

# What a tool may say of a host that lacks what it is about.
REFUSED = "function not implemented|operation not supported"


class Tools(StockTest):
    ours = ("libxenctrl", "libxenguest")

    def bound(self, program, *args, timeout=60):
        """Runs a tool with every symbol looked up at its start: (exit status, what it printed)."""
        r = subprocess.run(self.ns.command(self.program(program), *args), env=dict(self.env, LD_BIND_NOW="1"),
                           timeout=timeout, text=True, errors="replace", stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertNotRegex(r.stdout, "symbol lookup error|undefined symbol|no version information", program)
        self.assertGreaterEqual(r.returncode, 0, "%s died: %s" % (program, r.stdout))
        return r.returncode, r.stdout

    def works(self, program, *args, what=None, **kw):
        status, out = self.bound(program, *args, **kw)
        self.assertEqual(status, 0, "%s: %s" % (program, out))
        # What is in the table is the same in every run: not a domid, for one.
        self.done(program, what or " ".join(args) or "run")
        return out

    def refused(self, program, *args, pattern=REFUSED):
        """The host does not offer it: the tool fails, and says so."""
        status, out = self.bound(program, *args)
        self.assertNotEqual(status, 0, "%s claims success: %s" % (program, out))
        self.assertRegex(out.lower(), pattern, program)

    def test_every_program_is_bound(self):
        """Whatever the package has that is linked with the two libraries."""
        loader = "/lib64/ld-linux-x86-64.so.2"
        programs = 0
        for name in sorted(os.listdir(BIN)):
            path = os.path.join(BIN, name)
            with open(path, "rb") as f:
                if f.read(4) != b"\x7fELF":
                    continue
            # The loader resolves every symbol and stops before the program starts.
            r = subprocess.run([loader, "--list", path], env=dict(self.env, LD_BIND_NOW="1", LD_WARN="1"), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertNotRegex(r.stdout, "undefined symbol|symbol lookup error|version .* not found|"
                                "no version information", name)
            programs += "libxenctrl" in r.stdout
        self.assertGreater(programs, 20)
        self.done("all programs", "every symbol of ours that they want is there", "xen-diag")

    def test_about_the_host(self):
        out = self.works("xen-cpuid", "-p")
        self.assertRegex(out, r"(?i)policy")
        out = self.works("xen-cpuid")
        self.assertRegex(out, "(?s)Static sets:.*Known +bfebfbff:.*HVM Max")
        out = self.works("xenpm", "get-cpu-topology")
        self.assertRegex(out, r"(?m)^CPU0\s+0\s+0\s+0$")
        self.works("xentop", "-b", "-i", "1")

    def test_about_a_guest(self):
        self.xl("create", "-p", self.hello())
        self.addCleanup(self.stock, "xl", "destroy", "guest", status=None)
        domid = self.row("guest")[0]
        out = self.works("xen-hvmctx", domid, what="of a guest")
        self.assertRegex(out, r"(?s)Header: magic 0x54381286.*rip 0x")
        self.assertRegex(self.works("xen-diag", "gnttab_query_size", domid, what="gnttab_query_size"),
                         r"domid=%s: nr_frames=1, " % domid)
        self.assertRegex(self.works("lsevtchn", domid, what="of a guest"),
                         r"1: VCPU 0: Interdomain \(Connected\) - Remote Domain 0")
        # It says where the vCPU is, and points it elsewhere.
        rip = int(re.search(r"rip 0x([0-9a-f]+)", out).group(1), 16)
        self.assertIn("CPU[0]: RIP = %x" % rip, self.works("xen-hvmcrash", domid, what="of a guest"))
        self.assertNotIn("rip 0x%016x" % rip, self.works("xen-hvmctx", domid, what="of a guest"))

    def test_what_the_host_does_not_offer(self):
        self.refused("xenperf")
        self.refused("xenlockprof")
        self.refused("xen-livepatch", "list")
        self.refused("xen-ucode", self.program("xen-ucode"))
        self.refused("xencov", "reset")
        self.refused("xen-hptool", "cpu-offline", "1")
        # This one says errno in hexadecimal.
        self.refused("xen-hptool", "mem-offline", "1", pattern="failed, error 26")
        self.refused("xentrace_setsize", "1")
        self.refused("xen-mfndump", "dump-m2p")
        self.refused("flask-getenforce", pattern="not permitted|not implemented")
        # These go on, but say so.
        self.assertRegex(self.bound("xenpm", "set-max-cstate", "1")[1], "38 - Function not implemented")
        self.assertRegex(self.bound("xenpm", "get-cpufreq-para")[1], "failed to get cpufreq parameter")

    def test_what_a_guest_is_not_offered(self):
        self.xl("create", "-p", self.hello())
        self.addCleanup(self.stock, "xl", "destroy", "guest", status=None)
        domid = self.row("guest")[0]
        self.refused("xen-mfndump", "dump-p2m", domid, pattern="is no pv guest")
        self.refused("xenpaging", "-d", domid, "-f", os.path.join(self.host.dir, "paging"))
        self.refused("xen-vmtrace", domid, "0", pattern="resource_size.*(not supported|invalid argument)")

    def test_lowmemd(self):
        """It waits for the host to run short of memory: a VIRQ of domain 0's."""
        daemon = self.daemon("xen-lowmemd")
        self.host.wait("xen-lowmemd has bound its VIRQ",
                       lambda: "Virtual IRQ 12" in self.bound("lsevtchn", "0")[1], 30)
        self.assertIsNone(daemon.poll())
        self.done("xen-lowmemd", "waits for VIRQ_ENOMEM")

    def test_core_dump(self):
        """xl dump-core writes Xen's core format; the dumped memory is the guest's."""
        self.xl("create", "-p", self.hello())
        self.addCleanup(self.stock, "xl", "destroy", "guest", status=None)
        path = os.path.join(self.host.dir, "guest.core")
        self.xl("dump-core", "guest", path)
        with open(path, "rb") as f:
            core = f.read()
        sections = elf_sections(core)
        self.assertEqual(list(sections), ["", ".shstrtab", ".note.Xen", ".xen_prstatus", ".xen_pfn", ".xen_pages"])
        notes = {kind: desc for kind, desc in elf_notes(sections[".note.Xen"])}
        magic, vcpus, pages, size = struct.unpack("<4Q", notes[0x2000001])
        self.assertEqual((magic, vcpus, size), (0xf00febee, 1, 4096))
        self.assertEqual(notes[0x2000003], struct.pack("<Q", 1))
        pfns = struct.unpack("<%dQ" % pages, sections[".xen_pfn"])
        self.assertEqual(len(sections[".xen_pages"]), pages * 4096)
        self.assertEqual(list(pfns), sorted(set(pfns)))
        self.assertGreaterEqual(pages, 32 << 8)
        # The kernel is where its program headers say.
        with open(os.path.join(GUESTS, "hello.elf"), "rb") as f:
            kernel = f.read()
        offset, paddr, length = first_segment(kernel)
        at = pfns.index(paddr >> 12) * 4096 + paddr % 4096
        length = min(length, 4096 - paddr % 4096)
        self.assertEqual(sections[".xen_pages"][at:at + length], kernel[offset:offset + length])
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.done("xl", "dump-core: the guest's memory in Xen's core format")


def elf_sections(data):
    """name -> bytes, of a 64-bit file."""
    shoff, = struct.unpack_from("<Q", data, 40)
    count, names = struct.unpack_from("<HH", data, 60)
    heads = [struct.unpack_from("<II4QIIQQ", data, shoff + i * 64) for i in range(count)]
    text = data[heads[names][4]:heads[names][4] + heads[names][5]]
    return {text[h[0]:text.index(b"\0", h[0])].decode(): data[h[4]:h[4] + h[5]] if h[1] else b"" for h in heads}


def elf_notes(data):
    at = 0
    while at < len(data):
        namesz, descsz, kind = struct.unpack_from("<3I", data, at)
        at += 12 + (namesz + 3 & ~3)
        yield kind, data[at:at + descsz]
        at += descsz + 3 & ~3


def first_segment(data):
    """Offset, physical address and size of what is loaded first; either width."""
    if data[4] == 2:
        phoff, = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        heads = [struct.unpack_from("<II6Q", data, phoff + i * size) for i in range(count)]
        return next((h[2], h[4], h[5]) for h in heads if h[0] == 1)
    phoff, = struct.unpack_from("<I", data, 28)
    size, count = struct.unpack_from("<HH", data, 42)
    heads = [struct.unpack_from("<8I", data, phoff + i * size) for i in range(count)]
    return next((h[1], h[3], h[4]) for h in heads if h[0] == 1)
