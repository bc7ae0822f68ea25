# SPDX-License-Identifier: MIT
"""The store goes on: live updates and kills under running guests, and hand-overs between Debian's daemon and ours."""
import ctypes
import errno
import os
import signal
import subprocess

import test_stock
from host import GUESTS, PREFIX, HostTest
from stock import PROMPT, StockTest, StoreTest

OURS = os.path.join(PREFIX, "sbin", "xenstored")


class GoesOn(HostTest):
    def boot(self):
        self.host.xl("create", self.host.config())
        con = self.host.console("guest")
        self.addCleanup(con.close)
        con.expect(PROMPT, 180)
        return con

    def shut_down(self):
        """The guest's kernel hears of it by a watch on its ring, and the toolstack of its end by one of its own."""
        self.host.xl("shutdown", "-w", "guest")
        self.host.wait("the guest is gone", lambda: not self.host.domains(), 60)

    def test_live_update(self):
        self.boot()
        before = self.host.ok("xenstore-ls", "-fp")
        pid = self.host.service_pid("xenstored")
        for _ in range(3):
            self.assertEqual(self.host.ok("xenstore-control", "live-update", OURS), "OK\n")
        self.assertEqual(self.host.service_pid("xenstored"), pid)
        os.kill(pid, 0)
        self.assertEqual(self.host.ok("xenstore-ls", "-fp"), before)
        self.assertEqual(self.host.ok("xenstore-control", "check"), "OK\n")
        self.shut_down()

    def test_live_update_to_nothing(self):
        r = self.host.run("xenstore-control", "live-update", "/bin/true/not")
        self.assertEqual(r.returncode, 1)
        self.assertIn("File not accessible", r.stderr)
        script = os.path.join(self.host.dir, "bad-program")
        with open(script, "w") as f:
            f.write("#!/nowhere/interpreter\n")
        os.chmod(script, 0o755)
        r = self.host.run("xenstore-control", "live-update", script)
        self.assertEqual(r.returncode, 1)
        self.assertIn("No such file", r.stderr)
        # All is as it was, deaths of domains included.
        self.host.xl("create", "-p", self.host.config(kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None,
                                                      extra=None, memory=32))
        self.host.xl("destroy", "guest")
        self.assertEqual(self.host.domains(), {})

    def kill_store(self):
        """As systemd would, it is started again; what else runs stays as it is."""
        others = {name: self.host.service_pid(name) for name in ("xenconsoled", "xl-supervisor")}
        os.kill(self.host.service_pid("xenstored"), signal.SIGKILL)
        self.host.wait("the store is dead", lambda: not self.host.processes("sbin/xenstored"), 10)
        self.host.start()
        return others

    def test_killed(self):
        self.boot().close()
        before = self.host.ok("xenstore-ls", "-fp")
        for _ in range(2):
            others = self.kill_store()
            self.assertEqual(self.host.ok("xenstore-ls", "-fp"), before)
            self.assertEqual(self.host.ok("xenstore-control", "check"), "OK\n")
        # A client finds the guest's console, and the daemon has found the store again.
        con = self.host.console("guest")
        self.addCleanup(con.close)
        con.send("echo al''ive")
        con.expect("alive", 60)
        con.close()
        # The guest hears of it by way of the store, and so does who cares for its end.
        self.shut_down()
        # The next guest gets a console from the same daemon.
        self.boot()
        self.shut_down()
        self.assertEqual(self.host.service_pid("xenconsoled"), others["xenconsoled"])
        os.kill(others["xenconsoled"], 0)


class HandOver(StoreTest):
    """Xen's migration stream, written and read by Debian's 4.17 daemon."""

    def serve(self, program, *args):
        self.addCleanup(self.host.start)
        self.replace_service("xenconsoled")
        self.replace_service("xenstored")
        store = self.daemon(program, *args, proc=True)
        self.host.wait("%s answers; it said:\n%s" % (program, self.log_of(os.path.basename(program))),
                       lambda: store.poll() is not None or self.host.run("xenstore-exists", "/").returncode == 0, 10)
        self.assertIsNone(store.poll(), self.log_of(os.path.basename(program)))
        self.stock("xen-init-dom0")
        super().daemon("xenconsoled", "-i")
        return store

    @staticmethod
    def program(name):
        return name if name.startswith("/") else StockTest.program(name)

    def daemon(self, program, *args, **kw):
        if program != OURS:
            return super().daemon(program, *args, **kw)
        os.makedirs(os.path.dirname(os.path.join(self.host.dir, "xenstored.log")), exist_ok=True)
        with open(os.path.join(self.host.dir, "xenstored.log"), "ab") as log:
            proc = subprocess.Popen(self.ns.command(program, *args, **kw), env=self.env,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.addCleanup(self.end, proc)
        return proc

    def over(self, first, second, update, *args, killed=False):
        store = self.serve(first, *args)
        self.host.ok("xenstore-write", "/tool/kept", "as it was")
        self.host.ok("xenstore-chmod", "/tool/kept", "n0", "r1")
        config = self.host.config(kernel=os.path.join(GUESTS, "hello.elf"), ramdisk=None, extra=None, memory=32)
        self.host.xl("create", "-p", config)
        before = self.host.ok("xenstore-ls", "-fp")
        if first == OURS:  # the stream has this in a record of ours, which others pass over
            self.host.ok("xenstore-control", "logfile", os.path.join(self.host.dir, "named-log"))
        if update:
            out = self.host.run("xenstore-control", "live-update", *update, second)
            self.assertEqual(out.returncode, 0, "%s%s: %s" % (out.stderr, store.poll(), self.log_of("xenstored")))
        else:
            self.stock("xenstore-control", "live-update", second)
        self.assertIsNone(store.poll(), self.log_of("xenstored"))
        exe = os.readlink("/proc/%d/exe" % store.pid)
        self.assertEqual(os.path.realpath(exe), os.path.realpath(second))
        after = self.host.ok("xenstore-ls", "-fp")
        self.assertEqual(sorted(after.splitlines()), sorted(before.splitlines()))
        if killed:
            domid = self.host.domains()["guest"]
            store.kill()
            store.wait()
            # In the same namespace: /proc is another outside, and with it the host's identity.
            store = self.daemon(second, "-N", proc=True)
            self.host.wait("it answers", lambda: self.host.run("xenstore-exists", "/").returncode == 0, 10)
            self.assertEqual(sorted(self.host.ok("xenstore-ls", "-fp").splitlines()), sorted(before.splitlines()))
            self.assertIn("going on with the store", self.log_of("xenstored"))
            self.assertNotIn("domain %d: cannot connect its ring again" % domid, self.log_of("xenstored"))
        self.host.xl("destroy", "guest")
        self.host.wait("its nodes are gone", lambda: self.host.domains() == {}, 20)
        if not killed:
            self.assertIsNone(store.poll(), self.log_of("xenstored"))

    def test_from_debian_to_ours(self):
        self.over("xenstored", OURS, [], "-N", "-R", killed=True)
        self.done("xenstored", "live update from it to our daemon, under a guest")

    def test_from_ours_to_debian(self):
        self.over(OURS, self.program("xenstored"), ["-v", "1", "-c", "-N"], "-N")
        self.done("xenstored", "live update from our daemon to it, under a guest")


class Older(StoreTest):
    """Our library and tools with Debian's daemons, which know nothing of what came after 4.17."""

    def calls(self):
        """What became of each call: its errno, 0 if it did what it should."""
        lib = ctypes.CDLL(os.path.join(PREFIX, "lib/libxenstore.so.4"), use_errno=True)
        lib.xs_open.restype = ctypes.c_void_p
        os.environ["XENSTORED_PATH"] = os.path.join(self.host.env["KRYPTON_RUNDIR"], "xenstored/socket")
        handle = ctypes.c_void_p(lib.xs_open(0))
        del os.environ["XENSTORED_PATH"]
        self.assertTrue(handle)
        self.addCleanup(lib.xs_close, handle)
        number = ctypes.c_uint(77)
        out = {}

        def call(name, *args):
            function = getattr(lib, name)
            function.restype = ctypes.c_void_p if name in ("xs_get_quota_names", "xs_read_watch") else ctypes.c_bool
            ctypes.set_errno(0)
            out[name] = 0 if function(handle, *args) else ctypes.get_errno()

        call("xs_get_features_supported", ctypes.byref(number))
        call("xs_get_features_domain", 0, ctypes.byref(number))
        call("xs_set_features_domain", 1, 3)
        call("xs_get_quota_names", ctypes.byref(number))
        call("xs_get_global_quota", b"nodes", ctypes.byref(number))
        call("xs_set_global_quota", b"nodes", 1000)
        call("xs_get_domain_quota", 0, b"nodes", ctypes.byref(number))
        call("xs_set_domain_quota", 1, b"nodes", 1000)
        call("xs_clone", 0, b"/tool", b"/copy")
        call("xs_watch_depth", b"/tool", b"t", 0)
        self.assertEqual(number.value, 77)
        call("xs_watch_try_depth", b"/tool", b"t", 0)
        call("xs_read_watch", None)
        return out

    def refused(self, *daemon):
        self.start_store(*daemon)
        got = self.calls()
        self.assertEqual({name: err for name, err in got.items() if not err},
                         {"xs_watch_try_depth": 0, "xs_read_watch": 0})
        self.assertEqual({err for err in got.values() if err}, {errno.ENOSYS}, got)
        for argv in (("xenstore-clone", "/tool", "/copy"), ("xenstore-watch", "-d", "1", "-n", "1", "/tool")):
            r = self.host.run(*argv)
            self.assertEqual(r.returncode, 1)
            self.assertIn("Function not implemented", r.stderr)
        self.assertEqual(self.host.run("xenstore-exists", "/copy").returncode, 1)

    def test_xenstored(self):
        self.refused("xenstored", "-N", "-R")

    def test_oxenstored(self):
        self.refused(*test_stock.Stores.oxenstored(self))
