# SPDX-License-Identifier: MIT
"""What is wrong is said in one clear line, the exit status is not 0, and nothing is left behind."""
import os
import signal
import struct
import subprocess
import time

from host import INITRD, KERNEL, HostTest


def elf(segments, entry=0x100000, size=None):
    """A small PVH ELF: segments are (paddr, filesz, memsz)."""
    note = struct.pack("<III", 4, 4, 18) + b"Xen\0" + struct.pack("<I", entry)
    n = len(segments) + 1
    base = 64 + 56 * n
    out = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, n, 0, 0, 0)
    out += struct.pack("<IIQQQQQQ", 4, 4, base, 0, 0, len(note), len(note), 4)
    for paddr, filesz, memsz in segments:
        out += struct.pack("<IIQQQQQQ", 1, 7, base + len(note), paddr, paddr, filesz, memsz, 4096)
    return out + note + b"\xf4" * max(s[1] for s in segments)


class BadInput(HostTest):
    def file(self, data, name="file"):
        path = os.path.join(self.host.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def refused(self, cfg, *say, extra=()):
        """create fails, the output holds each text of say, and nothing changes."""
        before = self.host.snapshot()
        r = self.host.run("xl", "create", cfg, *extra)
        self.assertNotEqual(r.returncode, 0, r.stderr)
        for text in say:
            self.assertIn(text, r.stderr)
        end = time.monotonic() + 10
        while self.host.snapshot() != before and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(self.host.snapshot(), before)
        return r.stderr

    def test_no_config(self):
        self.refused("/nonexistent.cfg", "/nonexistent.cfg", "No such file")

    def test_unreadable_config(self):
        self.refused(self.host.dir, "Is a directory")

    def test_unknown_key(self):
        self.refused(self.host.config(memroy=5), "memroy", "did you mean 'memory'")

    def test_wrong_type(self):
        self.refused(self.host.config(memory=["1"]), "memory must be a single value")
        self.refused(self.host.config(vcpus="two"), "vcpus must be a number")
        self.refused(self.host.config(type="foo"), "no type 'foo'")

    def test_syntax(self):
        self.refused(self.host.config(text="name = \"x\nmemory = 1\n"), ":1:", "not closed")

    def test_missing_kernel(self):
        self.refused(self.host.config(kernel="/nonexistent"), "/nonexistent", "No such file")
        self.refused(self.host.config(kernel=None), "kernel is required")

    def test_missing_ramdisk(self):
        self.refused(self.host.config(ramdisk="/nonexistent"), "/nonexistent", "No such file")

    def test_broken_bzimage(self):
        with open(KERNEL, "rb") as f:
            image = f.read()
        self.refused(self.host.config(kernel=self.file(image[:len(image) // 2])), "kernel")
        self.refused(self.host.config(kernel=self.file(image[:600])), "kernel")
        damaged = bytearray(image)
        damaged[len(image) // 2:len(image) // 2 + 4096] = os.urandom(4096)
        self.refused(self.host.config(kernel=self.file(bytes(damaged))), "kernel")
        self.refused(self.host.config(kernel=self.file(os.urandom(65536))), "kernel")
        self.refused(self.host.config(kernel=self.file(b"")), "kernel")

    def test_bad_elf(self):
        mb = 1 << 20
        for why, segments in (("overlap", [(mb, 4096, 8192), (mb + 4096, 4096, 4096)]),
                              ("outside memory", [(mb, 4096, 1 << 40)]),
                              ("outside memory", [(1 << 45, 4096, 4096)]),
                              ("wraps", [((1 << 64) - 4096, 4096, 8192)])):
            with self.subTest(why):
                self.refused(self.host.config(kernel=self.file(elf(segments)), ramdisk=None))

    def test_initramfs_too_large(self):
        path = self.file(b"")
        os.truncate(path, 256 << 20)
        self.refused(self.host.config(ramdisk=path), "ramdisk")

    def test_too_much_memory(self):
        self.refused(self.host.config(memory=8 << 20, kernel=KERNEL), "memory")

    def test_vcpu_counts(self):
        self.refused(self.host.config(vcpus=0), "vcpus = 0 is out of range")
        self.refused(self.host.config(vcpus=4000), "vcpus = 4000 is out of range")

    def test_name_in_use(self):
        self.host.xl("create", "-p", self.host.config(name="taken"))
        self.refused(self.host.config(name="taken"), "taken", "in use")

    def test_bad_names(self):
        for name in ("", "a/b", "n" * 300, "1234", "a b"):
            with self.subTest(name):
                self.refused(self.host.config(name=name), "name")

    def test_commands_on_no_domain(self):
        for argv in (["pause", "999"], ["unpause", "x"], ["destroy", "x"], ["shutdown", "999"], ["console", "x"],
                     ["rename", "x", "y"], ["list", "x"], ["uptime", "999"], ["destroy", "0"], ["nosuch"],
                     ["list", "--bogus"], ["create"], ["vcpu-set", "0"]):
            with self.subTest(argv):
                r = self.host.run("xl", *argv)
                self.assertNotEqual(r.returncode, 0)
                self.assertTrue(r.stderr.strip())
                self.assertNotIn("Traceback", r.stderr)

    def test_xl_killed_in_create(self):
        """At many points of a create: what is left can be destroyed, and the next create works."""
        cfg = self.host.config(name="half")
        for delay in (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5):
            p = subprocess.Popen(["xl", "create", "-p", cfg], env=self.host.env, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            p.send_signal(signal.SIGKILL)
            p.wait()
            for domid in self.host.domains().values():
                self.host.xl("destroy", str(domid))
            self.host.wait("domain processes end", lambda: not self.host.processes("krypton-domain"), 10)
        self.host.xl("create", "-p", cfg)


class NoCore(HostTest):
    def test_core_not_running(self):
        self.host.stop()
        try:
            r = self.host.run("xl", "list")
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("krypton start", r.stderr)
        finally:
            self.host.start()
