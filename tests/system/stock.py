# SPDX-License-Identifier: MIT
"""How Debian's unmodified programs are run above our low libraries and on our core, and the table of what was
done.

KR_STOCK_XEN is the folder of Debian's Xen programs (kr_stock_xen in scripts/lib/common.sh); all is skipped when
it is unset. They insist on /run/xen, /var/lib/xen, /var/log/xen and /usr/lib/xen-4.17, so each runs in a user and
mount namespace where these places are the test's own. What was done is written to stock-clients.md in the build
folder; run as a program, this compares that page with docs/stock-clients.md.
"""
import ctypes
import glob
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import unittest

from host import GUESTS, PREFIX, Console, HostTest

STOCK = os.environ.get("KR_STOCK_XEN", "")
BIN = os.path.join(STOCK, "usr/lib/xen-4.17/bin")
TABLE = os.path.join(os.path.dirname(PREFIX), "stock-clients.md")
PROMPT = "guest# "
LOW = ["libxen" + name for name in
       "toolcore toollog call evtchn foreignmemory gnttab devicemodel hypfs store".split()]
# What Debian's programs have compiled in: a folder, its entry, and where that is here (below the host's folder, or
# an absolute path). Below "run" is what our own programs use in its place, so that both meet; libxenstat reads the
# folder of dom0's backend drivers.
PLACES = [("/run", "xen", "run/xen"), ("/run", "xenstored", "run/xenstored"), ("/run", "lock", "lock"),
          ("/var/lib", "xen", "run/lib"), ("/var/log", "xen", "run/log"),
          ("/usr/lib", "xen-4.17", os.path.join(STOCK, "usr/lib/xen-4.17")),
          ("/sys/bus", "xen-backend", "xen-backend")]
HEAD = """# Debian's unmodified clients on Krypton

Written by the test run (`scripts/test gcc install system publish`), which does all of it anew every time. Every
client is Debian's program as it is packaged. All that a row does not name is ours: the core, the other daemons,
and below the client every Xen library that is not in its third column. Where that column has several lists, it
was done on each of them.

"""
COLUMNS = ["client", "version", "Debian's Xen libraries below it", "what was done", "result"]
ROWS = []                             # a dict each: client, version, stack, what was done, result


def package_version(root, package):
    """The version of one of Debian's packages, as its changelog names it."""
    names = glob.glob(os.path.join(root, "usr/share/doc", package, "changelog.Debian*"))
    out = subprocess.run(["gzip", "-dcf", *names[:1]], stdout=subprocess.PIPE, text=True, errors="replace")
    found = re.match(r"\S+ \((\S+)\)", out.stdout)
    return found.group(1) if found else "?"


class Namespace:
    """Runs commands where some places are the test's own, and all else is as it is."""

    SCRIPT = """
ns=$1 folders=$2; shift 2
for d in $folders; do
    mount --rbind $d "$ns/old$d" && mount --bind "$ns/new$d" $d || exit 125
done
exec "$@"
"""

    def __init__(self, root, places):
        self.folder = os.path.join(root, "ns")
        self.folders = sorted({place[0] for place in places})
        os.makedirs(os.path.join(root, "xen-backend", "devices"))
        for folder, own, here in places:
            new, old = self.folder + "/new" + folder, self.folder + "/old" + folder
            if not os.path.isdir(new):
                os.makedirs(new)
                os.makedirs(old)
                for name in os.listdir(folder):
                    os.symlink(os.path.join(old, name), os.path.join(new, name))
            entry = os.path.join(new, own)
            if os.path.islink(entry):
                os.unlink(entry)
            target = os.path.join(root, here)
            os.makedirs(target, mode=0o700, exist_ok=True)
            os.symlink(target, entry)

    def add_proc_xen(self, port):
        """For a store: /proc/xen as a Xen dom0's kernel has it, with the store's port and its page, and a limit
        of open files that nobody needs to be root for."""
        new = self.folder + "/new/proc"
        os.makedirs(new + "/xen")
        os.makedirs(new + "/sys/fs")
        os.makedirs(self.folder + "/old/proc")
        for name in os.listdir("/proc"):
            if not name.isdigit() and name not in ("xen", "sys"):
                os.symlink(self.folder + "/old/proc/" + name, os.path.join(new, name))
        for name, text in (("xen/xsd_port", str(port)), ("xen/xsd_kva", "\0" * 4096),
                           ("sys/fs/nr_open", "%d\n" % resource.getrlimit(resource.RLIMIT_NOFILE)[1])):
            with open(os.path.join(new, name), "w") as f:
                f.write(text)

    def command(self, *argv, proc=False):
        folders = self.folders + ["/proc"] * proc
        return ["unshare", "-U", "-r", "-m", "sh", "-c", self.SCRIPT, "sh", self.folder, " ".join(folders),
                *argv]

    def why_not(self, **kw):
        """Why this machine lets nobody make such namespaces, or None."""
        r = subprocess.run(self.command("true", **kw), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True)
        return r.stdout.strip() if r.returncode else None


class StockTest(HostTest):
    ours = ()                         # libraries above the low ones that are ours too
    places = ()                       # besides PLACES
    roots = {STOCK: "xen-utils-4.17"}  # where Debian's packages are unpacked: one that names their version

    @classmethod
    def setUpClass(cls):
        if not all(cls.roots):
            raise unittest.SkipTest("no Debian programs: KR_STOCK_XEN or KR_STOCK_LIBVIRT is not set")
        super().setUpClass()
        try:
            cls.prepare()
        except unittest.SkipTest as why:
            cls.add_row(cls.__name__, str(why), "skipped")
            write_table()
            super().tearDownClass()
            raise
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def prepare(cls):
        host = cls.host
        cls.ns = Namespace(host.dir, [*PLACES, *cls.places])
        why = cls.ns.why_not()
        if why:
            raise unittest.SkipTest("no user namespaces here: " + why)
        libs = os.path.join(host.dir, "lib")
        os.mkdir(libs)
        for name in LOW + list(cls.ours):
            found = glob.glob("%s/lib/%s.so.[0-9]*" % (PREFIX, name))
            if not found:
                raise AssertionError("our %s is not installed" % name)
            for path in found:
                os.symlink(path, os.path.join(libs, os.path.basename(path)))
        paths = [libs] + [os.path.join(root, folder, "x86_64-linux-gnu")
                          for root in cls.roots for folder in ("usr/lib", "lib")]
        cls.env = dict(host.env, XENSTORED_PATH=host.path("xenstored", "socket"),
                       LD_LIBRARY_PATH=":".join(paths))

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        write_table()

    def stock(self, program, *args, status=0, timeout=120):
        """Runs one of Debian's programs and returns what it printed, or fails."""
        r = subprocess.run(self.ns.command(self.program(program), *args), env=self.env, timeout=timeout,
                           text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        if status is not None and r.returncode != status:
            raise AssertionError("Debian's %s %s: exit %d\n%s%s" %
                                 (program, " ".join(args), r.returncode, r.stdout, r.stderr))
        return r.stdout + (r.stderr if status is None else "")

    @classmethod
    def program(cls, name):
        for folder in [BIN] + [os.path.join(root, d) for root in cls.roots for d in ("usr/bin", "usr/sbin")]:
            if os.path.isfile(os.path.join(folder, name)):
                return os.path.join(folder, name)
        raise AssertionError("Debian has no " + name)

    def xl(self, *args, **kw):
        return self.stock("xl", *args, **kw)

    def daemon(self, program, *args, **kw):
        """Starts one of Debian's daemons in the foreground; it ends with the test."""
        log = open(os.path.join(self.host.dir, program + ".log"), "ab")
        self.addCleanup(log.close)
        # unshare and the shell exec, so this pid is the daemon's.
        proc = subprocess.Popen(self.ns.command(self.program(program), *args, **kw), env=self.env,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.addCleanup(self.end, proc)
        return proc

    @staticmethod
    def end(proc):
        proc.terminate()
        try:
            proc.wait(timeout=5)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()

    def log_of(self, program):
        with open(os.path.join(self.host.dir, program + ".log"), errors="replace") as f:
            return f.read()[-2000:]

    def replace_service(self, name):
        """Stops our own daemon; the host starts it again after the test."""
        pid = self.host.service_pid(name)
        os.kill(pid, signal.SIGTERM)
        self.host.wait("our %s has ended" % name, lambda: not self.host.processes("sbin/" + name), 10)
        os.unlink(self.host.path(name + ".pid"))

    def libraries(self, program):
        """Where the dynamic linker finds a program's Xen libraries: name -> path."""
        out = subprocess.run(["/lib64/ld-linux-x86-64.so.2", "--list", self.program(program)], env=self.env,
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        return dict(re.findall(r"(libx(?:en|l)\w+)\.so\S* => (\S+)", out))

    def done(self, client, what, program=None):
        """A row of the table: says that what was asserted since the last one holds."""
        if client.startswith("our "):
            self.add_row(client, what, "works")
            return
        path = self.program(program or client)
        theirs = sorted(name for name, where in self.libraries(path).items() if where.startswith(STOCK))
        root = next(root for root in self.roots if path.startswith(root))
        self.add_row(client, what, "works", package_version(root, self.roots[root]),
                     ", ".join(theirs) or "none")

    @staticmethod
    def add_row(client, what, result, version="", stack=""):
        ROWS.append({"client": client, "version": version, "stack": stack, "what was done": what,
                     "result": result})

    def run(self, result=None):
        bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
        value = super().run(result)
        name = self.id().partition(".")[2]
        if len(result.failures) + len(result.errors) > bad:
            self.add_row(name, "the steps after the rows above", "FAILED")
        elif len(result.skipped) > skipped:
            self.add_row(name, result.skipped[-1][1], "skipped")
        return value

    def hello(self, **keys):
        hello = dict(kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None, extra=None, memory=32)
        return self.host.config(**dict(hello, **keys))

    def stock_console(self, name):
        con = Console(name, env=self.env, command=self.ns.command(self.program("xl"), "console", name))
        self.addCleanup(con.close)
        return con

    def ask(self, con, command, timeout=60):
        con.send("echo B''EGIN; %s; echo E''ND" % command)
        said = con.expect(r"BEGIN\r?\n((?s:.*?))END\r?\n", timeout).group(1)
        return said.decode(errors="replace").replace("\r", "")

    def row(self, name):
        """A domain's line of xl list: domid, memory, vcpus, state."""
        for line in self.xl("list").splitlines():
            if line.split()[0] == name:
                return line.split()[1:5]
        return None

    def gone(self, name, timeout=30):
        self.host.wait("%s is gone" % name, lambda: name not in self.host.domains(), timeout)


class StoreTest(StockTest):
    """Where a store of Debian's may run in place of ours."""

    def setUp(self):
        # A dom0's kernel gives its store a port to bind to: here this test is that kernel.
        lib = ctypes.CDLL(os.path.join(PREFIX, "lib/libxenevtchn.so.1"), use_errno=True)
        lib.xenevtchn_open.restype = ctypes.c_void_p
        before = os.environ.get("KRYPTON_RUNDIR")
        os.environ["KRYPTON_RUNDIR"] = self.host.env["KRYPTON_RUNDIR"]
        handle = lib.xenevtchn_open(None, 0)
        os.environ.pop("KRYPTON_RUNDIR")
        if before is not None:
            os.environ["KRYPTON_RUNDIR"] = before
        self.assertTrue(handle, os.strerror(ctypes.get_errno()))
        handle = ctypes.c_void_p(handle)
        self.addCleanup(lib.xenevtchn_close, handle)
        self.port = lib.xenevtchn_bind_unbound_port(handle, 0)
        self.assertGreater(self.port, 0, os.strerror(ctypes.get_errno()))
        self.ns.add_proc_xen(self.port)
        self.addCleanup(shutil.rmtree, self.ns.folder + "/new/proc")
        self.addCleanup(os.rmdir, self.ns.folder + "/old/proc")
        why = self.ns.why_not(proc=True)
        if why:
            self.skipTest("no /proc of its own here: " + why)

    def tearDown(self):
        """Not the base's: xl needs a store, and ours is back only after the clean-ups."""

    def start_store(self, name, *args):
        """Our services but the store and the consoles, and one of Debian's stores."""
        self.addCleanup(self.host.start)
        self.replace_service("xenconsoled")
        self.replace_service("xenstored")
        store = self.daemon(name, *args, proc=True)
        self.host.wait("%s answers" % name, lambda: store.poll() is not None or
                       self.host.run("xenstore-exists", "/").returncode == 0, 30)
        self.assertIsNone(store.poll(), self.log_of(name))
        self.addCleanup(self.destroy_all)
        return store

    def destroy_all(self):
        for domid in self.host.domains().values():
            self.host.run("xl", "destroy", str(domid))

    def boot(self, xl):
        xl("create", self.host.config())
        con = self.stock_console("guest")
        con.expect(PROMPT, 180)
        self.assertEqual(self.ask(con, "cat /sys/hypervisor/type").strip(), "xen")
        return con


def write_table():
    """Client by client, in the order in which it was done; what was done on several stacks is one row."""
    rows = {}
    for row in ROWS:
        stacks = rows.setdefault((row["client"], row["version"], row["what was done"], row["result"]), [])
        if row["stack"] not in stacks:
            stacks.append(row["stack"])
    lines = [COLUMNS, ["---"] * len(COLUMNS)] + [
        [client, version, "; ".join(sorted(stacks, key=len, reverse=True)), what, result]
        for (client, version, what, result), stacks in sorted(rows.items(), key=lambda item: item[0][0])]
    with open(TABLE, "w") as f:
        f.write(HEAD)
        for cells in lines:
            f.write("| %s |\n" % " | ".join(cells))


def rows_of(path):
    """A table's rows, without the versions, which change whenever Debian publishes a fix."""
    with open(path) as f:
        lines = [line.strip().strip("|") for line in f if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [" | ".join(row[:1] + row[2:]) for row in cells[2:]]


def main(run, page):
    """Whether a page says what a run has done; prints the rows that differ."""
    done, said = rows_of(run), rows_of(page)
    if any(row.endswith("| skipped") for row in done):
        print("%s: not compared, since this run skipped tests" % page)
        return 0
    for row in [row for row in done if row not in said]:
        print("not in %s: %s" % (page, row))
    for row in [row for row in said if row not in done]:
        print("only in %s: %s" % (page, row))
    if sorted(done) != sorted(said):
        print("%s is not what this run did: scripts/test gcc install system publish" % page)
    return sorted(done) != sorted(said)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
