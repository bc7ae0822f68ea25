# SPDX-License-Identifier: MIT
"""Debian's unmodified libvirtd and virsh, with its Xen driver: on Debian's libxl, and on ours.

KR_STOCK_LIBVIRT is the folder of Debian's programs (kr_stock_libvirt in scripts/lib/common.sh); skipped when it
is unset. libvirtd runs as it does for a whole system: its user namespace makes it root, of folders that are the
test's.
"""
import os
import re
import signal
from xml.etree import ElementTree

from host import GUESTS, INITRD, KERNEL, PREFIX, Console
from stock import LOW, PROMPT, STOCK, StockTest

LIBVIRT = os.environ.get("KR_STOCK_LIBVIRT", "")
DRIVER = os.path.join(LIBVIRT, "usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_libxl.so")
CLIENT = "libvirtd, virsh"
# No polkit, and no address or unit of the machine's own libvirtd.
CONFIG = """
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "4b727970-746f-4e20-8000-6c6962766972"
log_outputs = "2:stderr"
log_filters = "3:util 3:rpc 3:event"
"""


class Libvirt(StockTest):
    """On Debian's libxl, libxenguest and libxenctrl."""
    roots = {**StockTest.roots, LIBVIRT: "libvirt0"}
    # It takes a host for Xen's dom0 by the store's device file.
    places = [("/etc", "libvirt", "libvirt/etc"), ("/run", "libvirt", "libvirt/run"),
              ("/var/lib", "libvirt", "libvirt/lib"), ("/var/cache", "libvirt", "libvirt/cache"),
              ("/var/log", "libvirt", "libvirt/log"), ("/dev", "xen", "libvirt/dev"),
              ("/usr/share", "libvirt", os.path.join(LIBVIRT, "usr/share/libvirt"))]

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.folder = os.path.join(cls.host.dir, "libvirt")
        drivers = os.path.join(cls.folder, "drivers")
        os.mkdir(drivers)
        os.symlink(DRIVER, os.path.join(drivers, os.path.basename(DRIVER)))
        # Its other drivers (networks, storage, QEMU) are for what these domains do not have.
        cls.env["LIBVIRT_DRIVER_DIR"] = drivers
        open(os.path.join(cls.folder, "dev", "xenstored"), "w").close()
        with open(os.path.join(cls.folder, "libvirtd.conf"), "w") as f:
            f.write(CONFIG)

    def setUp(self):
        self.start_libvirtd()

    def start_libvirtd(self):
        self.libvirtd = self.daemon("libvirtd", "--config", os.path.join(self.folder, "libvirtd.conf"),
                                    "--pid-file", os.path.join(self.folder, "libvirtd.pid"))
        self.host.wait("libvirtd answers", lambda: self.libvirtd.poll() is not None or
                       "error:" not in self.virsh("uri", status=None), 60)
        self.alive()

    def kill_libvirtd(self):
        self.libvirtd.send_signal(signal.SIGKILL)
        self.libvirtd.wait()

    def alive(self):
        self.assertIsNone(self.libvirtd.poll(), self.log_of("libvirtd"))

    def virsh(self, *args, **kw):
        return self.stock("virsh", "-c", "xen:///system", *args, **kw)

    def did(self, what):
        self.done(CLIENT, what, DRIVER)

    def xml(self, name, kernel=os.path.join(GUESTS, "hello.elf"), initrd=None, memory=32, now=None, vcpus=1):
        """The XML of a domain, in a file."""
        def add(parent, tag, text=None, **attributes):
            element = ElementTree.SubElement(parent, tag, attributes)
            element.text = text
            return element
        domain = ElementTree.Element("domain", type="xen")
        add(domain, "name", name)
        add(domain, "memory", str(memory), unit="MiB")
        add(domain, "currentMemory", str(now or memory), unit="MiB")
        add(domain, "vcpu", str(vcpus))
        kind = add(domain, "os")
        add(kind, "type", "xenpvh", arch="x86_64", machine="xenpvh")
        add(kind, "kernel", kernel)
        if initrd:
            add(kind, "initrd", initrd)
        add(kind, "cmdline", "console=hvc0")
        console = add(add(domain, "devices"), "console", type="pty")
        add(console, "target", type="xen", port="0")
        path = os.path.join(self.host.dir, name + ".xml")
        ElementTree.ElementTree(domain).write(path)
        return path

    def facts(self, command, *args):
        """What virsh prints as `name: value`."""
        return dict(re.findall(r"(?m)^([^:\n]+?) *: *(.*?) *$", self.virsh(command, *args)))

    def state(self, name):
        return self.virsh("domstate", name).strip()

    def await_state(self, name, state):
        self.host.wait("libvirt says that %s is %s" % (name, state), lambda: self.state(name) == state, 60)

    def console_of(self, name):
        con = Console(name, env=self.env,
                      command=self.ns.command(self.program("virsh"), "-c", "xen:///system", "console", name))
        self.addCleanup(con.close)
        con.expect("Escape character is", 60)
        return con

    def shell(self, con):
        """Presses Enter until the shell answers: virsh drops what is typed while it connects."""
        def answered():
            con.send("")
            try:
                return con.expect(PROMPT, 3)
            except TimeoutError:
                return False
        self.host.wait("the guest's shell answers", answered, 180)

    def test_libraries_are_whose_they_should_be(self):
        ours = {*LOW, *self.ours}
        libraries = self.libraries(DRIVER)
        self.assertIn("libxenlight", libraries)
        for name, path in libraries.items():
            self.assertEqual(path.startswith(self.host.dir), name in ours, path)
            self.assertEqual(path.startswith(STOCK), name not in ours, path)
        # What the dynamic linker would do is also what it did.
        with open("/proc/%d/maps" % self.libvirtd.pid) as f:
            maps = f.read()
        self.assertEqual(os.path.join(PREFIX, "lib", "libxenlight") in maps, "libxenlight" in ours)
        self.assertEqual(os.path.join(STOCK, "usr/lib/x86_64-linux-gnu", "libxenlight") in maps,
                         "libxenlight" not in ours)

    def test_host(self):
        self.assertRegex(self.virsh("version"), r"(?m)^Running hypervisor: Xen 4\.17\.0$")
        self.did("version")
        capabilities = ElementTree.fromstring(self.virsh("capabilities"))
        self.assertEqual(capabilities.findtext("host/cpu/arch"), "x86_64")
        guests = {(g.findtext("os_type"), g.find("arch").get("name")) for g in capabilities.findall("guest")}
        self.assertIn(("xenpvh", "x86_64"), guests)
        cpus = capabilities.findall("host/topology/cells/cell/cpus/cpu")
        self.assertEqual(len(cpus), int(self.host.xl("info", "nr_cpus")))
        self.did("capabilities")
        node = self.facts("nodeinfo")
        self.assertEqual(int(node["CPU(s)"]), len(cpus))
        self.assertEqual(int(node["Memory size"].split()[0]) // 1024,
                         int(self.host.xl("info", "total_memory")))
        self.did("nodeinfo")
        self.assertRegex(self.virsh("list"), r"(?m)^ +0 +Domain-0 +running$")
        self.assertEqual(self.facts("dominfo", "0")["Name"], "Domain-0")
        self.did("list, dominfo: Domain-0")

    def test_whole_life(self):
        """From define to undefine, with Debian's kernel."""
        self.virsh("define", self.xml("guest", KERNEL, INITRD, memory=256, now=200, vcpus=2))
        self.assertEqual(self.state("guest"), "shut off")
        self.did("define")
        self.virsh("start", "guest")
        con = self.console_of("guest")
        con.expect(PROMPT, 180)
        self.did("start: Debian's kernel as PVH to its shell")
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/type").strip(), "xen")
        self.did("console: typed into the guest's shell")
        domid = str(self.host.domains()["guest"])
        self.assertRegex(self.virsh("list"), r"(?m)^ +%s +guest +running$" % domid)
        info = self.facts("dominfo", "guest")
        self.assertEqual([info[k] for k in ("Id", "OS Type", "CPU(s)", "Max memory", "Persistent")],
                         [domid, "xenpvh", "2", "262144 KiB", "yes"])
        self.assertIn(info["UUID"], self.host.ok("xenstore-read", "/local/domain/%s/vm" % domid))
        self.did("list, dominfo")
        self.assertRegex(self.row("guest")[3], r"^[-r][-b]----$")
        self.assertIn('"name": "guest"', self.xl("list", "-l", "guest"))
        self.did("its domain in Debian's xl list, and in xl list -l")

        self.life_suspend(con)
        self.life_vcpus(con)
        self.life_memory()
        con.close()
        con = self.life_restart(domid)

        self.virsh("reboot", "guest")
        self.host.wait("the guest runs as another domain", lambda: self.state("guest") == "running" and
                       self.virsh("domid", "guest").strip() not in (domid, "-"), 60)
        con.close()
        con = self.console_of("guest")
        self.shell(con)
        self.did("reboot: its shell again, as another domain")

        self.virsh("shutdown", "guest")
        self.await_state("guest", "shut off")
        self.gone("guest")
        con.close()
        self.did("shutdown")
        self.virsh("undefine", "guest")
        self.assertNotIn("guest", self.virsh("list", "--all"))
        self.did("undefine")
        self.host.wait("domain processes end", lambda: not self.host.processes("krypton-domain"), 10)
        self.alive()

    def life_suspend(self, con):
        self.virsh("suspend", "guest")
        self.assertEqual(self.state("guest"), "paused")
        self.assertRegex(self.row("guest")[3], r"^[-r][-b]p---$")
        self.virsh("resume", "guest")
        self.assertEqual(self.state("guest"), "running")
        self.assertNotIn("p", self.row("guest")[3])
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        self.did("suspend, resume")

    def life_vcpus(self, con):
        self.virsh("setvcpus", "guest", "1")
        self.host.wait("one vCPU is left", lambda: self.row("guest")[2] == "1", 30)
        self.assertEqual(self.ask(con, "cat /sys/devices/system/cpu/online").strip(), "0")
        self.virsh("setvcpus", "guest", "2")
        # Linux only makes it present: bringing it up is udev's part.
        self.ask(con, "while ! echo 1 2>/dev/null >/sys/devices/system/cpu/cpu1/online; do sleep 0.2; done")
        self.host.wait("there are two vCPUs", lambda: self.row("guest")[2] == "2", 30)
        self.did("setvcpus: down and up, seen by the guest")
        last = int(self.host.xl("info", "nr_cpus")) - 1
        self.virsh("vcpupin", "guest", "0", str(last))
        self.assertRegex(self.virsh("vcpuinfo", "guest"),
                         r"(?m)^VCPU: +0\n(?:.+\n)*CPU Affinity: +%sy$" % ("-" * last))
        self.assertRegex(self.host.xl("vcpu-list", "guest"), r"(?m)^guest +\d+ +0 .* %d / all$" % last)
        self.did("vcpupin, vcpuinfo")
        self.virsh("schedinfo", "guest", "weight=512", "cap=80")
        self.assertEqual(self.facts("schedinfo", "guest"),
                         {"Scheduler": "credit2", "weight": "512", "cap": "80"})
        self.assertRegex(self.host.xl("sched-credit2", "-d", "guest"), r"guest +\d+ +512 +80")
        self.did("schedinfo")

    def life_memory(self):
        self.host.wait("it has what it asked for", lambda: int(self.row("guest")[1]) in (199, 200, 201), 60)
        self.virsh("setmem", "guest", "250M")
        self.host.wait("the guest has more memory", lambda: int(self.row("guest")[1]) >= 249, 60)
        self.virsh("setmem", "guest", "180M")
        self.host.wait("the guest has given memory back", lambda: int(self.row("guest")[1]) <= 181, 60)
        self.assertLessEqual(int(self.facts("dominfo", "guest")["Used memory"].split()[0]), 181 * 1024)
        self.did("currentMemory below memory; setmem up and down")

    def life_restart(self, domid):
        """A libvirtd that is killed finds its running domain again, and its events still come."""
        self.kill_libvirtd()
        self.assertEqual(self.row("guest")[0], domid)
        self.start_libvirtd()
        self.assertRegex(self.virsh("list"), r"(?m)^ +%s +guest +running$" % domid)
        con = self.console_of("guest")
        self.shell(con)
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        self.did("libvirtd killed and started again: the domain is found, with its console")
        return con

    def test_destroy(self):
        self.virsh("define", self.xml("short"))
        before = self.host.snapshot()
        for _ in range(2):
            self.virsh("start", "--paused", "short")
            self.assertRegex(self.row("short")[3], "p")
            self.assertEqual(self.state("short"), "paused")
            self.virsh("destroy", "short")
            self.assertEqual(self.state("short"), "shut off")
            self.gone("short")
        self.assertEqual(self.host.snapshot()["store"], before["store"])
        self.assertEqual(self.host.snapshot()["free"], before["free"])
        self.virsh("undefine", "short")
        self.did("start --paused, destroy: nothing is left")

    def test_end_of_its_own(self):
        """A guest that powers itself off is shut off for libvirt, without being asked."""
        self.virsh("create", self.xml("transient"))
        self.host.wait("it has ended", lambda: "transient" not in self.virsh("list", "--all"), 60)
        self.gone("transient")
        self.did("create: a transient domain, gone when its guest has ended")

    def test_gone_while_away(self):
        """A domain that ended while there was no libvirtd is shut off, and starts again."""
        self.virsh("define", self.xml("away"))
        self.virsh("start", "--paused", "away")
        self.kill_libvirtd()
        self.host.xl("destroy", "away")
        self.start_libvirtd()
        self.assertEqual(self.state("away"), "shut off")
        self.virsh("start", "--paused", "away")
        self.assertEqual(self.state("away"), "paused")
        self.virsh("destroy", "away")
        self.virsh("undefine", "away")
        self.did("libvirtd killed and started again: a domain that has ended in between is shut off")

    def test_bad_kernel(self):
        """What cannot be started is refused, and leaves nothing."""
        junk = os.path.join(self.host.dir, "junk")
        with open(junk, "w") as f:
            f.write("not a kernel\n" * 1000)
        before = self.host.snapshot()
        for name, kernel in (("missing", os.path.join(self.host.dir, "no-such-kernel")), ("bad", junk)):
            self.virsh("define", self.xml(name, kernel))
            self.assertIn("failed to create new domain", self.virsh("start", name, status=None))
            self.assertEqual(self.state(name), "shut off")
            self.virsh("undefine", name)
        self.assertEqual(self.host.domains(), {})
        self.assertEqual(self.host.snapshot()["store"], before["store"])
        self.assertEqual(self.host.snapshot()["processes"], before["processes"])
        self.alive()
        self.did("start: a kernel that is missing or none is refused, and nothing is left")


class LibvirtOnOurs(Libvirt):
    """On our libxl and libxlutil too, so that nothing of Xen is Debian's."""
    ours = ("libxenctrl", "libxenguest", "libxenlight", "libxlutil")

    def test_no_kernel(self):
        """Without a kernel, Debian's libxl ends libvirtd with an assertion; ours refuses it."""
        path = self.xml("none")
        tree = ElementTree.parse(path)
        tree.find("os").remove(tree.find("os/kernel"))
        tree.write(path)
        self.virsh("define", path)
        self.assertIn("failed to create new domain", self.virsh("start", "none", status=None))
        self.assertEqual(self.state("none"), "shut off")
        self.virsh("undefine", "none")
        self.alive()
