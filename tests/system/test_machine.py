# SPDX-License-Identifier: MIT
"""`krypton machine`: Debian's linux-image-amd64, unmodified, as the PVH domain 0 of a Xen machine of its own, and
inside it Debian's own toolstack with Debian's own libraries, on that kernel's /dev/xen.

KR_KERNEL_AMD64 is the kernel and KR_DOM0_INITRD its initramfs (kr_dom0_initramfs in scripts/lib/common.sh); skipped
when one is unset. What a test adds to the initramfs is put behind it: the kernel unpacks both.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import uuid

import stock
from host import GUESTS, INITRD, KERNEL, PREFIX, Console, Host

KERNEL_AMD64 = os.environ.get("KR_KERNEL_AMD64", "")
DOM0_INITRD = os.environ.get("KR_DOM0_INITRD", "")
MACHINE = [os.path.join(PREFIX, "bin", "krypton"), "machine"]
UP = r"KRYPTON-DOM0-UP"
PROMPT = "dom0# "
# A shell that shows neither a prompt nor what was typed: output is then all that comes.
QUIET = "stty -echo; dmesg -n 1; echo QUI''ET; while read -r l; do eval \"$l\"; done"


def cpio(files, out):
    """Writes an initramfs ("newc") of name -> (mode, bytes)."""
    for inode, (name, (mode, data)) in enumerate(sorted(files.items()) + [("TRAILER!!!", (0, b""))], 1):
        head = "070701" + "".join("%08x" % n for n in (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0))
        for part in (head.encode() + name.encode() + b"\0", data):
            out.write(part + b"\0" * (-len(part) % 4))


def own_xl():
    """Our xl, and the libraries that it needs beside the C library, as files of a folder own."""
    path = os.path.join(PREFIX, "bin", "xl")
    out = subprocess.run(["ldd", path], check=True, stdout=subprocess.PIPE, text=True).stdout
    files = dict(re.findall(r"(\S+) => (/\S+)", out), xl=path)
    files.pop("libc.so.6")
    result = {}
    for name, where in files.items():
        with open(where, "rb") as f:
            result["own/" + name] = f.read()
    return result


class MachineTest(unittest.TestCase):
    """A folder, and what must be left of a machine: nothing."""

    @classmethod
    def setUpClass(cls):
        if not KERNEL_AMD64 or not DOM0_INITRD:
            raise unittest.SkipTest("KR_KERNEL_AMD64 or KR_DOM0_INITRD is not set")
        cls.dir = tempfile.mkdtemp(prefix="krypton-test.")
        # Whatever runs for a machine has this in its environment, or a parent that has.
        cls.mark = "KRYPTON_TEST_MACHINE=" + uuid.uuid4().hex
        cls.env = dict(os.environ, TMPDIR=cls.dir, **dict([cls.mark.split("=")]))
        cls.env.pop("XDG_RUNTIME_DIR", None)

    @classmethod
    def tearDownClass(cls):
        left = cls.processes()
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
        files = [name for name in os.listdir(cls.dir) if name.startswith("krypton-machine")]
        shutil.rmtree(cls.dir)
        if left or files:
            raise AssertionError("left behind: processes %s, files %s" % (left, files))

    @classmethod
    def processes(cls):
        return Host.marked(cls.mark)

    @classmethod
    def initrd(cls, **files):
        """DOM0_INITRD with files in /root behind it."""
        path = os.path.join(cls.dir, "initrd")
        with open(path, "wb") as out, open(DOM0_INITRD, "rb") as first:
            shutil.copyfileobj(first, out)
            entries = {"root/" + name: (0o100755, data) for name, data in files.items()}
            folders = {os.path.dirname(name): (0o40755, b"") for name in entries}
            cpio(dict(entries, **folders), out)
        return path

    @classmethod
    def command(cls, *options, kernel=KERNEL_AMD64, initrd=DOM0_INITRD):
        return MACHINE + ["--kernel", kernel] + (["--ramdisk", initrd] if initrd else []) + list(options)

    @classmethod
    def boot(cls, *options, **kw):
        return Console("dom0", env=cls.env, command=cls.command(*options, **kw))

    def fails(self, status, text, *argv):
        r = subprocess.run(argv, env=self.env, timeout=120, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        self.assertEqual(r.returncode, status, r.stderr)
        self.assertRegex(r.stderr, text)


def ended(console, timeout=120):
    """What came until the machine ended, and its exit status."""
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            console._read(end - time.monotonic())
    except EOFError:
        pass
    return console.seen.decode(errors="replace"), console.proc.wait(timeout=30)


class Life(MachineTest):
    """How machines end, and that they leave nothing."""

    def up(self, console):
        console.expect(UP, 300)
        console.expect(PROMPT, 120)

    def gone(self):
        end = time.monotonic() + 60
        while self.processes():
            self.assertLess(time.monotonic(), end, "still there: %s" % self.processes())
            time.sleep(0.1)
        self.assertEqual([n for n in os.listdir(self.dir) if n.startswith("krypton-machine")], [])

    def test_power_off(self):
        log = os.path.join(self.dir, "log")
        console = self.boot("--log", log)
        self.up(console)
        console.send("poweroff -f")
        text, status = ended(console)
        self.assertEqual(status, 0, text[-500:])
        with open(log, "rb") as f:
            self.assertIn(b"Linux version", f.read())
        self.gone()

    def test_reboot(self):
        console = self.boot("--dom0-memory", "320", "--memory", "400")
        self.up(console)
        console.send("reboot -f")
        self.up(console)                  # once more
        console.send("free -m | grep Mem; exec reboot -f")
        console.expect(r"Mem: +(2\d\d|30\d) ")
        console.expect(r"\(XEN\) Krypton", 120)
        os.write(console.master, b"\x1dq")
        self.assertEqual(ended(console)[1], 0)
        self.gone()

    def test_crash(self):
        console = self.boot()
        self.up(console)
        console.send("echo c > /proc/sysrq-trigger")
        text, status = ended(console)
        self.assertEqual(status, 3, text[-500:])
        self.assertIn("domain 0 crashed", text)
        self.gone()

    def test_no_reboot(self):
        console = self.boot("--no-reboot")
        self.up(console)
        console.send("reboot -f")
        self.assertEqual(ended(console)[1], 0)
        self.gone()

    def test_switched_off(self):
        """By the escape key, after which a letter is needed; by a signal; and with no time to clean up."""
        console = self.boot()
        self.up(console)
        os.write(console.master, b"\x1d?")
        console.expect("switch the machine off")
        os.write(console.master, b"cat\r\x1d\x1d\r")
        console.expect(r"\^\]")           # the machine's own terminal shows it so
        os.write(console.master, b"\x1dq")
        self.assertEqual(ended(console)[1], 0)
        self.gone()
        for sig, status in ((signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGKILL, -signal.SIGKILL)):
            console = self.boot()
            console.expect("Linux version", 120)
            console.proc.send_signal(sig)
            self.assertEqual(ended(console)[1], status)
            self.gone()

    def test_pipe(self):
        """Input from a pipe that ends, output to one."""
        p = subprocess.Popen(self.command(), env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        p.stdin.write(b"echo from a pi''pe; poweroff -f\n")
        p.stdin.close()
        out = p.stdout.read()
        p.stdout.close()
        self.assertEqual(p.wait(timeout=60), 0)
        self.assertIn(b"from a pipe", out)
        self.gone()

    def test_wrong(self):
        """What cannot be is refused with its reason."""
        text = os.path.join(self.dir, "text")
        with open(text, "w") as f:
            f.write("no kernel\n" * 1000)
        self.fails(2, "a kernel is needed", *MACHINE)
        self.fails(2, "what is x", *self.command("x"))
        self.fails(2, "--vcpus=0: a number from 1 to 128", *self.command("--vcpus", "0"))
        self.fails(2, "--memory=12x: a number", *self.command("--memory", "12x"))
        self.fails(2, "do not fit", *self.command("--memory", "100", "--dom0-memory", "100"))
        self.fails(1, "kernel /nowhere: No such file", *self.command(kernel="/nowhere"))
        self.fails(1, "ramdisk /nowhere: No such file", *self.command(initrd="/nowhere"))
        self.fails(1, "cannot open /nowhere/log", *self.command("--log", "/nowhere/log"))
        self.fails(1, "kernel .*text cannot be domain 0's", *self.command(kernel=text))
        self.fails(1, "a machine with 16777216 MiB: the host has", *self.command("--memory", "16777216"))
        self.fails(1, "domain 0's kernel cannot be loaded|cannot have 16 MiB", *self.command("--dom0-memory", "16"))
        self.gone()


class Toolstack(MachineTest):
    """One machine; its domain 0 is set up as Debian's init scripts do."""
    XENSTORED = "xenstored --pid-file /run/xen/xenstored.pid"
    XENCONSOLED = "xenconsoled --pid-file /run/xen/xenconsoled.pid --log=guest --log-dir=/var/log/xen/console"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        files = {}
        with open(os.path.join(GUESTS, "hello.elf"), "rb") as f:
            files["hello.elf"] = f.read()
        for name, path in (("vmlinuz", KERNEL), ("initrd.gz", INITRD)):
            with open(path, "rb") as f:
                files[name] = f.read()
        files["hello.cfg"] = b'name="hello"\ntype="pvh"\nkernel="/root/hello.elf"\nmemory=32\non_poweroff="preserve"\n'
        files["linux.cfg"] = (b'name="linux"\ntype="pvh"\nkernel="/root/vmlinuz"\nramdisk="/root/initrd.gz"\n'
                              b'extra="console=hvc0"\nmemory=192\n')
        files.update(own_xl())
        cls.console = None
        try:
            cls.console = cls.boot("--vcpus", "2", "--log", os.path.join(cls.dir, "log"), initrd=cls.initrd(**files))
            cls.console.expect(UP, 300)
            cls.console.expect(PROMPT, 120)
            cls.console.send(QUIET)
            cls.console.expect("QUIET\r\n")
            for command in (cls.XENSTORED, "xen-init-dom0", cls.XENCONSOLED):
                cls.sh(command)
        except BaseException:
            cls.switch_off()
            super().tearDownClass()
            raise

    @classmethod
    def switch_off(cls):
        if cls.console:
            cls.console.proc.terminate()
            ended(cls.console)

    @classmethod
    def tearDownClass(cls):
        cls.switch_off()
        super().tearDownClass()
        stock.write_table()

    @staticmethod
    def done(what):
        """A row of the table of Debian's clients: the whole of its toolstack, on its own kernel's /dev/xen."""
        stock.StockTest.add_row("krypton machine's domain 0: linux-image-amd64, xl, xenstored, xenconsoled", what, "works",
                                stock.package_version(stock.STOCK, "xen-utils-4.17"), "all, the low ones too")

    @classmethod
    def sh(cls, command, status=0, timeout=300, hypervisor=False):
        """A command in domain 0: what it printed. The hypervisor's lines may come in between anywhere; they are
        taken out, unless they are what the command prints."""
        before = len(cls.console.seen)
        cls.console.send(command + "; echo END-$?-")
        end = time.monotonic() + timeout
        while True:
            text = cls.console.seen[before:].decode(errors="replace").replace("\r\n", "\n")
            if not hypervisor:
                text = re.sub(r"\((XEN|d\d+)\) .*\n", "", text)
            done = re.search(r"END-(\d+)-\n", text)
            if done:
                break
            if not cls.console._read(end - time.monotonic()) and time.monotonic() > end:
                raise AssertionError("%s did not end in %d s: %s" % (command, timeout, text[-500:]))
        text = text[:done.start()]
        if status is not None and int(done.group(1)) != status:
            raise AssertionError("%s: exit %s\n%s" % (command, done.group(1), text))
        return text

    def tearDown(self):
        if not self.console:
            return
        for line in self.sh("xl list").splitlines()[2:]:
            self.sh("xl destroy " + line.split()[1])

    def domains(self):
        """name -> the words of its line in xl list"""
        rows = [line.split() for line in self.sh("xl list").splitlines()]
        self.assertEqual(rows[0][:2], ["Name", "ID"])
        return {row[0]: row[1:] for row in rows[1:]}

    def until(self, what, condition, timeout=300):
        end = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), end, "timed out: " + what)
            time.sleep(0.2)

    def test_domain_0(self):
        self.assertEqual(self.sh("cat /proc/xen/capabilities"), "control_d\n")
        self.assertEqual(self.sh("cat /sys/hypervisor/type /sys/hypervisor/guest_type"), "xen\nPVH\n")
        self.assertEqual(sorted(self.sh("ls /dev/xen").split()),
                         ["evtchn", "gntalloc", "gntdev", "hypercall", "privcmd", "xenbus", "xenbus_backend"])
        domains = self.domains()
        self.assertEqual(list(domains), ["Domain-0"])
        self.assertEqual(domains["Domain-0"][:3], ["0", "512", "2"])
        self.assertEqual(self.sh("xenstore-read /local/domain/0/name"), "Domain-0\n")
        self.done("the kernel boots as PVH domain 0; xenstored, xenconsoled, xen-init-dom0; xl list")

    def test_info(self):
        info = dict(re.split(r"\s*: ", line, maxsplit=1) for line in self.sh("xl info").splitlines() if ": " in line)
        self.assertRegex(info["xen_version"], r"^4\.17")
        self.assertEqual(info["total_memory"], "1024")
        self.assertLessEqual(int(info["free_memory"]), 512)
        self.assertIn("hvm", info["virt_caps"])
        self.assertRegex(self.sh("xl dmesg", hypervisor=True), r"(?m)^\(XEN\) Krypton .* 1024 MiB")
        self.assertNotIn("Booting kernel on Xen PVH", self.sh("xl dmesg", hypervisor=True))
        self.done("xl info, xl dmesg")

    def test_guest(self):
        """A guest's whole life, seen from domain 0."""
        free = self.sh("xl info free_memory")
        self.sh("xl create -p /root/hello.cfg")
        self.assertRegex(self.domains()["hello"][3], "^--p---$")
        self.sh("xl unpause hello")
        self.until("it has shut down", lambda: self.domains()["hello"][3] == "---s--")
        log = self.sh("cat /var/log/xen/console/guest-hello.log")
        self.assertIn("hello from a PVH guest on Xen 4.17", log)
        self.assertIn("SUCCESS", log)
        self.sh("xl pause hello")
        self.assertEqual(self.domains()["hello"][3], "--ps--")
        self.sh("xl destroy hello")
        self.assertEqual(list(self.domains()), ["Domain-0"])
        self.until("its memory is free", lambda: self.sh("xl info free_memory") == free)
        self.done("xl create -p, unpause, pause, destroy")

    def test_console(self):
        """xl's console on domain 0's terminal, until the guest ends."""
        self.assertIn("SUCCESS", self.sh("xl create -c -q /root/hello.cfg 'on_poweroff=\"destroy\"'"))
        self.done("xl create -c")

    def test_linux(self):
        """A Debian kernel under a Debian kernel: two guests deep in one toolstack."""
        self.sh("xl create /root/linux.cfg")
        self.until("it is up", lambda: "KRYPTON-GUEST-UP" in self.sh("cat /var/log/xen/console/guest-linux.log"))
        self.assertRegex(self.sh("cat /var/log/xen/console/guest-linux.log"), "Booting paravirtualized kernel on Xen PVH|"
                         "Hypervisor detected: Xen HVM")
        self.sh("xl pause linux")
        self.assertRegex(self.domains()["linux"][3], "^-[-b]p---$")
        self.sh("xl unpause linux")
        self.sh("xl shutdown -w linux")
        self.until("xl create's watcher has destroyed it", lambda: list(self.domains()) == ["Domain-0"])
        self.done("xl create: Debian's kernel as a PVH guest; xl shutdown -w")

    def test_our_xl(self):
        """Ours beside Debian's: the libraries' other transport, on the devices of a real Linux."""
        own = "LD_LIBRARY_PATH=/root/own /root/own/xl "
        self.assertRegex(self.sh(own + "list"), r"(?m)^Domain-0 +0 +512 +2 ")
        self.assertRegex(self.sh(own + "info total_memory"), "^1024$")
        self.sh(own + "create -p /root/hello.cfg")
        self.assertRegex(self.domains()["hello"][3], "^--p---$")
        self.sh(own + "unpause hello")
        self.until("it has shut down", lambda: self.domains()["hello"][3] == "---s--")
        self.assertIn("SUCCESS", self.sh("cat /var/log/xen/console/guest-hello.log"))
        self.assertRegex(self.sh(own + "list hello"), r"(?m)^hello +\d+ +32 +1 +---s-- ")
        self.sh(own + "destroy hello")
        self.assertEqual(list(self.domains()), ["Domain-0"])

    def test_z_power_off(self):
        """Guests end with the machine."""
        self.sh("xl create /root/hello.cfg")
        self.console.send("poweroff -f")
        text, status = ended(self.console)
        type(self).console = None
        self.assertEqual(status, 0, text[-500:])
        self.assertEqual(self.processes(), [])


if __name__ == "__main__":
    unittest.main()
