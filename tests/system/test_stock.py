# SPDX-License-Identifier: MIT
"""Debian's unmodified Xen 4.17 programs, above our low libraries and on our core; stock.py says how they are run."""
import json
import os
import re
import subprocess

from host import Console
from stock import LOW, PROMPT, STOCK, StockTest, StoreTest


class Toolstack(StockTest):
    """Debian's xl."""

    def test_libraries_are_whose_they_should_be(self):
        ours = {*LOW, *self.ours}
        for program in ("xl", "xenstored", "oxenstored", "xenconsoled", "xen-init-dom0", "xentop"):
            libraries = self.libraries(program)
            self.assertTrue(libraries, program)
            for name, path in libraries.items():
                self.assertEqual(path.startswith(self.host.dir), name in ours, path)
                self.assertEqual(path.startswith(STOCK), name not in ours, path)

    def test_xl_information(self):
        info = self.xl("info")
        self.assertRegex(info, r"(?m)^xen_major +: 4$")
        self.assertRegex(info, r"(?m)^xen_minor +: 17$")
        total = int(re.search(r"(?m)^total_memory +: (\d+)$", info).group(1))
        self.assertEqual(total, int(self.host.xl("info", "total_memory")))
        self.done("xl", "info")
        self.assertIn("Domain-0", self.xl("list"))
        self.done("xl", "list")
        self.assertIn("(XEN)", self.xl("dmesg"))
        self.done("xl", "dmesg")
        self.assertRegex(self.xl("cpupool-list"), r"(?m)^Pool-0 +\d+ +credit2 +y +1$")
        self.done("xl", "cpupool-list")

    def test_xl_whole_life(self):
        """From create to shutdown, with Debian's kernel."""
        self.xl("create", self.host.config(vcpus=2, memory=200, maxmem=256, max_grant_frames=12))
        con = self.stock_console("guest")
        con.expect(PROMPT, 180)
        self.done("xl", "create: Debian's kernel as PVH to its shell")
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/type").strip(), "xen")
        self.done("xl", "console")
        self.life_names()
        self.life_pause(con)
        self.life_vcpus(con)
        self.life_scheduling()
        self.life_keys(con)
        self.life_memory(con)
        con.close()
        self.life_reboot()
        self.xl("shutdown", "-w", "guest")
        self.gone("guest")
        self.done("xl", "shutdown")
        self.host.wait("domain processes end", lambda: not self.host.processes("krypton-domain"), 10)

    def life_names(self):
        domid = str(self.host.domains()["guest"])
        self.assertEqual(self.row("guest")[2], "2")
        listed = json.loads(self.xl("list", "-l", "guest"))[0]
        config = listed["config"]
        self.assertEqual((str(listed["domid"]), config["c_info"]["name"], config["c_info"]["type"],
                          config["b_info"]["max_vcpus"], config["b_info"]["max_grant_frames"]),
                         (domid, "guest", "pvh", 2, 12))
        self.done("xl", "list -l")
        self.assertEqual(self.xl("domid", "guest").strip(), domid)
        self.assertEqual(self.xl("domname", domid).strip(), "guest")
        self.done("xl", "domid, domname")
        self.xl("rename", "guest", "renamed")
        self.assertEqual(self.host.domains(), {"renamed": int(domid)})
        self.assertEqual(self.xl("domid", "renamed").strip(), domid)
        self.xl("rename", "renamed", "guest")
        self.assertEqual(self.host.xl("domname", domid).strip(), "guest")
        self.done("xl", "rename")
        self.assertRegex(self.xl("uptime", "guest"), r"(?m)^guest +%s  0:0\d:\d\d$" % domid)
        self.done("xl", "uptime")
        self.assertRegex(self.xl("claims"), r"(?m)^guest +%s +\d+ .* 0$" % domid)
        self.done("xl", "claims")

    def life_memory(self, con):
        """Its configuration says 200 of at most 256 MiB."""
        self.host.wait("it has what it asked for", lambda: int(self.row("guest")[1]) in (199, 200, 201), 60)
        self.done("xl", "create: less memory than its maximum, populated on demand")
        before = int(self.ask(con, "awk '/MemTotal/{print $2}' /proc/meminfo"))
        self.xl("mem-set", "guest", "250")
        self.host.wait("the guest has more memory", lambda: int(self.row("guest")[1]) >= 249, 60)
        self.assertGreater(int(self.ask(con, "awk '/MemTotal/{print $2}' /proc/meminfo")), before + 40 * 1024)
        self.xl("mem-set", "guest", "180")
        self.host.wait("the guest has given memory back", lambda: int(self.row("guest")[1]) <= 181, 60)
        self.done("xl", "mem-set: up and down, seen by the guest")

    def life_pause(self, con):
        self.xl("pause", "guest")
        self.assertRegex(self.row("guest")[3], r"^[-r][-b]p---$")
        self.xl("unpause", "guest")
        self.assertNotIn("p", self.row("guest")[3])
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        self.done("xl", "pause, unpause")

    def life_vcpus(self, con):
        rows = [line.split() for line in self.xl("vcpu-list", "guest").splitlines()[1:]]
        self.assertEqual([(r[0], r[2]) for r in rows], [("guest", "0"), ("guest", "1")])
        self.done("xl", "vcpu-list")
        self.xl("vcpu-set", "guest", "1")
        self.host.wait("one vCPU is left", lambda: self.row("guest")[2] == "1", 30)
        self.assertEqual(self.ask(con, "cat /sys/devices/system/cpu/online").strip(), "0")
        self.xl("vcpu-set", "guest", "2")
        # Linux only makes it present: bringing it up is udev's part.
        self.ask(con, "while ! echo 1 2>/dev/null >/sys/devices/system/cpu/cpu1/online; do sleep 0.2; done")
        self.host.wait("there are two vCPUs", lambda: self.row("guest")[2] == "2", 30)
        self.done("xl", "vcpu-set: down and up, seen by the guest")

    def life_scheduling(self):
        last = int(self.host.xl("info", "nr_cpus")) - 1
        self.xl("vcpu-pin", "guest", "0", str(last))
        self.xl("vcpu-pin", "guest", "1", "all", str(last))
        for who in (self.xl, self.host.xl):
            rows = who("vcpu-list", "guest")
            # On a single CPU "all" says the same.
            self.assertRegex(rows, r"(?m)^guest +\d+ +0 .* (%d|all) / all$" % last)
            self.assertRegex(rows, r"(?m)^guest +\d+ +1 .* all / (%d|all)$" % last)
        self.xl("vcpu-pin", "guest", "all", "all", "all")
        self.assertEqual(len(re.findall(r"(?m) all / all$", self.host.xl("vcpu-list", "guest"))), 2)
        self.done("xl", "vcpu-pin: hard and soft")
        self.xl("sched-credit2", "-d", "guest", "-w", "512", "-c", "80")
        for who in (self.xl, self.host.xl):
            self.assertRegex(who("sched-credit2", "-d", "guest"), r"guest +\d+ +512 +80")
        self.done("xl", "sched-credit2")
        before = re.search(r"ratelimit=(\d+)us", self.xl("sched-credit2", "-s")).group(1)
        self.xl("sched-credit2", "-s", "-p", "Pool-0", "-r", "2000")
        for who in (self.xl, self.host.xl):
            self.assertIn("ratelimit=2000us", who("sched-credit2", "-s"))
        self.xl("sched-credit2", "-s", "-p", "Pool-0", "-r", before)
        self.done("xl", "sched-credit2 -s")

    def life_keys(self, con):
        domid = self.host.domains()["guest"]
        self.xl("dmesg", "-c")
        self.xl("debug-keys", "q")
        self.assertIn("(XEN) domain %d: guest" % domid, self.xl("dmesg"))
        self.done("xl", "debug-keys, dmesg -c")
        self.xl("sysrq", "guest", "h")
        self.host.wait("the guest's kernel has the key",
                       lambda: "HELP" in self.ask(con, "dmesg | grep sysrq:"), 60)
        self.done("xl", "sysrq: seen by the guest")
        self.xl("trigger", "guest", "nmi", "1")
        self.host.wait("the guest has its NMI",
                       lambda: self.ask(con, "grep NMI: /proc/interrupts").split()[1:3] == ["0", "1"], 60)
        self.done("xl", "trigger nmi: seen by the guest")

    def life_reboot(self):
        before = self.host.domains()["guest"]
        self.xl("reboot", "guest")
        self.host.wait("the guest is another domain",
                       lambda: self.host.domains().get("guest", before) != before, 60)
        con = self.stock_console("guest")
        con.expect(PROMPT, 180)
        self.assertRegex(self.row("guest")[3], r"^[-r][-b]----$")
        con.close()
        self.done("xl", "reboot: its shell again, as another domain")

    def test_xl_destroy(self):
        self.xl("create", "-p", self.hello())
        self.assertRegex(self.row("guest")[3], "p")
        self.xl("destroy", "guest")
        self.assertEqual(self.host.domains(), {})
        self.done("xl", "create -p, destroy")

    def test_xl_create_destroy_leaves_nothing(self):
        self.xl("create", "-p", self.hello())
        self.xl("destroy", "guest")
        before = self.host.snapshot()
        for _ in range(3):
            self.xl("create", "-p", self.hello())
            self.xl("destroy", "guest")
        after = self.host.snapshot()
        # Debian's xl keeps its log files, and turns them.
        for state in (before, after):
            state["files"] = [f for f in state["files"] if not f.startswith(self.host.path("log"))]
        self.assertEqual(after, before)
        self.done("xl", "create and destroy again: nothing is left")

    def test_cross_ours_then_debian(self):
        self.host.xl("create", "-p", self.hello(name="ours", on_poweroff="preserve"))
        domid = str(self.host.domains()["ours"])
        self.assertEqual(self.row("ours")[0], domid)
        self.assertEqual(self.xl("domid", "ours").strip(), domid)
        self.assertIn('"name": "ours"', self.xl("list", "-l", "ours"))
        self.xl("unpause", "ours")
        self.host.wait("it has shut down", lambda: "s" in self.row("ours")[3], 20)
        self.xl("destroy", "ours")
        self.gone("ours")
        self.done("xl", "sees, unpauses and destroys a domain of our xl")

    def test_cross_debian_then_ours(self):
        self.xl("create", "-p", self.hello(name="theirs", on_poweroff="preserve"))
        self.assertIn("theirs", self.host.domains())
        self.assertIn('"name": "theirs"', self.host.xl("list", "-l"))
        self.host.xl("unpause", "theirs")
        self.host.wait("it has shut down", lambda: "---s" in self.host.xl("list", "theirs"), 20)
        self.host.xl("destroy", "theirs")
        self.assertIsNone(self.row("theirs"))
        self.done("our xl", "sees, unpauses and destroys a domain of Debian's xl")


class CrossPairs(StockTest):
    """One xl creates Debian's kernel, the other controls it until it has shut down."""

    def control(self, creator, other, supervisor):
        creator("create", self.host.config(name="shared", vcpus=2, memory=256))
        con = self.stock_console("shared")
        con.expect(PROMPT, 180)
        other("pause", "shared")
        self.assertRegex(self.row("shared")[3], r"^[-r][-b]p---$")
        other("unpause", "shared")
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        other("vcpu-set", "shared", "1")
        self.host.wait("one vCPU is left", lambda: self.row("shared")[2] == "1", 30)
        other("mem-set", "shared", "200")
        self.host.wait("the guest has given memory back", lambda: int(self.row("shared")[1]) <= 201, 60)
        other("shutdown", "shared")
        self.host.wait("%s, which created it, has destroyed it" % supervisor,
                       lambda: not self.host.domains(), 60)

    def test_debian_controls_ours(self):
        self.control(self.host.xl, self.xl, "our xl")
        self.done("xl", "a guest of our xl: pause, unpause, vcpu-set, mem-set, shutdown")

    def test_ours_controls_debians(self):
        self.control(self.xl, self.host.xl, "Debian's xl")
        self.done("our xl", "a guest of Debian's xl: pause, unpause, vcpu-set, mem-set, shutdown")


class Clients(StockTest):
    """Debian's other programs, beside our daemons."""

    def test_xenstore_tools(self):
        self.stock("xenstore-write", "/test/a", "1", "/test/b/c", "2")
        self.assertEqual(self.stock("xenstore-read", "/test/a"), "1\n")
        self.assertEqual(sorted(self.stock("xenstore-list", "/test").split()), ["a", "b"])
        self.assertEqual(self.stock("xenstore-ls", "-f", "/test"), self.host.ok("xenstore-ls", "-f", "/test"))
        self.stock("xenstore-chmod", "/test/a", "n0", "r1")
        self.assertIn("(n0,r1)", self.stock("xenstore-ls", "-p", "/test"))
        self.stock("xenstore-exists", "/test/a")
        self.stock("xenstore-rm", "/test")
        self.stock("xenstore-exists", "/test/a", status=1)
        self.stock("xenstore-read", "/test/a", status=1)
        self.done("xenstore-*", "write, read, list, ls, chmod, exists, rm", "xenstore-ls")
        watch = subprocess.Popen(self.ns.command(self.program("xenstore-watch"), "-n", "2", "/test/w"),
                                 env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, watch)
        with watch.stdout as out:
            self.assertEqual(out.readline(), "/test/w\n")
            self.stock("xenstore-write", "/test/w/x", "3")
            self.assertEqual(out.readline(), "/test/w/x\n")
        self.assertEqual(watch.wait(30), 0)
        self.stock("xenstore-rm", "/test")
        self.done("xenstore-*", "watch", "xenstore-watch")

    def test_xen_init_dom0(self):
        self.host.ok("xenstore-rm", "/local/domain/0/name")
        self.stock("xen-init-dom0")
        self.assertEqual(self.host.ok("xenstore-read", "/local/domain/0/name"), "Domain-0\n")
        self.assertIn("Domain-0", self.host.xl("list", "0"))
        self.done("xen-init-dom0", "names domain 0 again")

    def test_xentop(self):
        self.host.xl("create", "-p", self.hello(name="topped"))
        out = self.stock("xentop", "-b", "-i", "1")
        self.assertRegex(out, r"(?m)^ +Domain-0 ")
        self.assertRegex(out, r"(?m)^ +topped ----p- ")
        self.done("xentop", "-b -i 1 with a guest")

    def test_xen_diag(self):
        self.host.xl("create", "-p", self.hello(name="diagnosed", max_grant_frames=12))
        domid = self.host.domains()["diagnosed"]
        self.assertEqual(self.stock("xen-diag", "gnttab_query_size", str(domid)).strip(),
                         "domid=%d: nr_frames=1, max_nr_frames=12" % domid)
        self.stock("xen-diag", "gnttab_query_size", "4000", status=1)
        self.done("xen-diag", "gnttab_query_size")

    def test_xenconsole(self):
        self.host.xl("create", "-p", self.hello(name="shown", on_poweroff="preserve"))
        con = Console("shown", env=self.env, command=self.ns.command(
            self.program("xenconsole"), str(self.host.domains()["shown"])))
        self.addCleanup(con.close)
        self.host.xl("unpause", "shown")
        con.expect("SUCCESS", 60)
        self.done("xenconsole", "what a guest of our xl prints, from our xenconsoled")

    def test_xenconsoled(self):
        self.replace_service("xenconsoled")
        logs = os.path.join(self.host.dir, "console-logs")
        os.mkdir(logs)
        daemon = self.daemon("xenconsoled", "-i", "--log=guest", "--log-dir=" + logs)
        self.addCleanup(self.host.start)
        self.host.xl("create", self.host.config())
        con = self.host.console("guest")
        self.addCleanup(con.close)
        con.expect(PROMPT, 180)
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        self.assertIsNone(daemon.poll(), self.log_of("xenconsoled"))
        with open(os.path.join(logs, "guest-guest.log"), errors="replace") as f:
            self.assertIn("KRYPTON-GUEST-UP", f.read())
        self.done("xenconsoled", "a guest booted to its shell with our xl, through it")
        self.host.xl("destroy", "guest")


class Stores(StoreTest):
    """Debian's daemons in place of ours, a guest booted through them."""

    def store_alone(self, name, *args):
        """It stands below our consoles, tools and xl."""
        store = self.start_store(name, *args)
        self.host.ok("xen-init-dom0")
        consoled = subprocess.Popen(["xenconsoled"], env=self.host.env, start_new_session=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, consoled)
        self.boot(self.host.xl)
        self.host.ok("xenstore-write", "/tool/test", "kept")
        self.assertEqual(self.host.ok("xenstore-read", "/tool/test"), "kept\n")
        self.host.xl("shutdown", "-w", "guest")
        self.gone("guest")
        self.assertIsNone(store.poll(), self.log_of(name))
        self.assertIsNone(consoled.poll())
        self.done(name, "in place of our store: a guest from our xl's create to its shutdown")

    def all_together(self, name, *args):
        """Nothing above the low libraries is ours."""
        store = self.start_store(name, *args)
        self.stock("xen-init-dom0")
        consoled = self.daemon("xenconsoled", "-i")
        self.assertIn("Domain-0", self.xl("list"))
        con = self.boot(self.xl)
        domid = self.row("guest")[0]
        self.assertEqual(self.stock("xenstore-read", "/local/domain/%s/name" % domid), "guest\n")
        self.assertIn("/local/domain/%s/memory/target = " % domid, self.stock("xenstore-ls", "-f"))
        self.assertRegex(self.stock("xentop", "-b", "-i", "1"), r"(?m)^ +guest ")
        self.assertIn("domid=%s: " % domid, self.stock("xen-diag", "gnttab_query_size", domid))
        self.xl("pause", "guest")
        self.xl("unpause", "guest")
        self.xl("mem-set", "guest", "150")
        self.host.wait("the guest has given memory back", lambda: int(self.row("guest")[1]) <= 151, 60)
        self.assertEqual(self.ask(con, "echo alive").strip(), "alive")
        self.xl("shutdown", "-w", "guest")
        self.host.wait("the guest is gone", lambda: self.row("guest") is None, 60)
        self.assertIsNone(store.poll(), self.log_of(name))
        self.assertIsNone(consoled.poll(), self.log_of("xenconsoled"))
        self.done("all together: xl, %s, xenconsoled, xen-init-dom0, xenstore-*, xentop, xen-diag" % name,
                  "a guest from create to shutdown, with console, pause, mem-set", "xl")

    def oxenstored(self):
        conf = os.path.join(self.host.dir, "oxenstored.conf")
        with open(conf, "w") as f:
            f.write("pid-file = %s/oxenstored.pid\nquota-activate = false\npersistent = false\n"
                    "xenstored-log-file = %s/oxenstored.debug\nxenstored-port = /proc/xen/xsd_port\n"
                    "xenstored-kva = /proc/xen/xsd_kva\n" % (self.host.dir, self.host.dir))
        return "oxenstored", "--no-fork", "--config-file", conf

    def test_oxenstored_alone(self):
        self.store_alone(*self.oxenstored())

    def test_all_with_oxenstored(self):
        self.all_together(*self.oxenstored())

    def test_xenstored_alone(self):
        self.store_alone("xenstored", "-N", "-R")

    def test_all_with_xenstored(self):
        self.all_together("xenstored", "-N", "-R")


class OurBuilder(Toolstack):
    """The same with our libxenctrl and libxenguest below Debian's libxl."""
    ours = ("libxenctrl", "libxenguest")


class OurLibxl(Toolstack):
    """Debian's xl alone, on our libxl and libxlutil."""
    ours = ("libxenctrl", "libxenguest", "libxenlight", "libxlutil")
