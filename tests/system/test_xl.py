# SPDX-License-Identifier: MIT
"""xl's commands and its supervisor, on guests that take milliseconds."""
import json
import os
import signal
import subprocess
import time

from host import GUESTS, HostTest

HELLO = os.path.join(GUESTS, "hello.elf")


class Xl(HostTest):
    def hello(self, **keys):
        return self.host.config(**dict(dict(kernel=HELLO, ramdisk=None, extra=None, memory=32), **keys))

    def gone(self, name="guest"):
        self.host.wait("%s is gone" % name, lambda: name not in self.host.domains(), 20)

    def test_dry_run_is_json(self):
        for argv in (["create", "-n"], ["-N", "create"]):
            config = json.loads(self.host.xl(*argv, self.hello(vcpus=2, maxvcpus=3)))
            self.assertEqual(config["c_info"]["name"], "guest")
            self.assertEqual(config["b_info"]["max_vcpus"], 3)
            self.assertEqual(config["b_info"]["avail_vcpus"], [0, 1])
            self.assertEqual(config["b_info"]["max_memkb"], 32 << 10)
        self.assertEqual(self.host.domains(), {})

    def test_list_long(self):
        self.host.xl("create", "-p", self.hello())
        listed = json.loads(self.host.xl("list", "-l"))
        self.assertEqual([d["domid"] for d in listed], [0, self.host.domains()["guest"]])
        self.assertEqual(listed[1]["config"]["b_info"]["kernel"], HELLO)
        uuid = listed[1]["config"]["c_info"]["uuid"]
        self.assertIn(uuid, self.host.xl("list", "-v"))
        # A domain is named by its UUID as well.
        self.host.xl("destroy", uuid)
        self.assertEqual(self.host.domains(), {})

    def test_settings_on_the_command_line(self):
        self.host.xl("create", "-p", self.hello(), "name=other", "memory=40", "vcpus=2")
        # vCPU 1 exists and is offline until the guest brings it up.
        self.assertRegex(self.host.xl("list", "other"), r"other +\d+ +40 +1 +--p---")
        self.assertEqual(len(self.host.xl("vcpu-list", "other").splitlines()), 3)

    def test_names(self):
        self.host.xl("create", "-p", self.hello())
        domid = str(self.host.domains()["guest"])
        self.assertEqual(self.host.xl("domid", "guest").strip(), domid)
        self.assertEqual(self.host.xl("domname", domid).strip(), "guest")
        self.host.xl("rename", "guest", "renamed")
        self.assertEqual(self.host.xl("domname", domid).strip(), "renamed")
        self.assertNotEqual(self.host.run("xl", "rename", "renamed", "Domain-0").returncode, 0)

    def test_actions(self):
        """hello powers off at once."""
        self.host.xl("create", self.hello())
        self.gone()
        self.host.xl("create", self.hello(on_poweroff="preserve"))
        self.host.wait("it has shut down", lambda: "---sr-" in self.host.xl("list") or "---s--" in self.host.xl("list"), 20)
        self.host.xl("destroy", "guest")
        self.host.xl("create", self.hello(on_poweroff="rename-restart"))
        self.host.wait("two of them", lambda: len(self.host.domains()) >= 2, 20)
        for name in self.host.domains():
            self.host.run("xl", "destroy", name)

    def test_foreground(self):
        r = self.host.run("xl", "create", "-F", self.hello(), timeout=30)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(self.host.domains(), {})

    def test_unsupervised(self):
        self.host.xl("create", "-e", self.hello())
        self.host.wait("it has shut down", lambda: "---s" in self.host.xl("list"), 20)
        time.sleep(0.5)
        self.assertIn("guest", self.host.domains())

    def test_supervisor_killed(self):
        """What ends while nobody supervises is dealt with by the next supervisor."""
        self.host.xl("create", "-p", self.hello())
        # The create has only forked it.
        self.host.wait("there is one supervisor", lambda: len(self.host.processes("supervise")) == 1, 10)
        os.kill(int(self.host.processes("supervise")[0]), signal.SIGKILL)
        self.host.xl("unpause", "guest")
        self.host.wait("it has shut down", lambda: "---s" in self.host.xl("list"), 20)
        self.host.xl("supervise", timeout=20)
        self.assertEqual(self.host.domains(), {})

    def test_supervisor_goes_with_its_domains(self):
        for _ in range(5):
            self.host.xl("create", self.hello())
            self.gone()
        self.host.wait("the supervisor ends", lambda: not self.host.processes("supervise"), 10)

    def test_many_at_once(self):
        procs = [subprocess.Popen(["xl", "create", "-q", "-p", self.hello(name="many%d" % i)], env=self.host.env,
                                  stderr=subprocess.PIPE, text=True) for i in range(8)]
        for p in procs:
            _, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
        self.assertEqual(len(self.host.domains()), 8)

    def test_create_destroy_leaves_nothing(self):
        self.host.xl("create", "-p", self.hello())
        self.host.xl("destroy", "guest")
        before = self.host.snapshot()
        for _ in range(20):
            self.host.xl("create", "-q", "-p", self.hello())
            self.host.xl("destroy", "guest")
        self.host.wait("all is as before", lambda: self.host.snapshot() == before, 10)

    def test_information(self):
        info = self.host.xl("info")
        for name in ("host", "nr_cpus", "total_memory", "free_memory", "xen_version", "xen_caps", "engine", "kvm"):
            self.assertRegex(info, r"(?m)^%s +: ." % name)
        self.assertTrue(self.host.xl("info", "xen_version").startswith("4.17"))
        self.assertNotEqual(self.host.run("xl", "info", "nosuch").returncode, 0)
        self.assertIn("Pool-0", self.host.xl("cpupool-list"))
        self.assertIn("(XEN)", self.host.xl("dmesg"))
        self.host.xl("debug-keys", "q")
        self.host.xl("dmesg", "-c")
        self.assertEqual(self.host.xl("dmesg"), "")

    def test_help_and_prefix(self):
        for line in self.host.xl("help").splitlines()[2:]:
            if line.startswith("  ") and not line.startswith("  -"):
                self.assertIn("usage: xl " + line.split()[0], self.host.xl("help", line.split()[0]))
        self.assertIn("Domain-0", self.host.xl("li"))
        self.assertNotEqual(self.host.run("xl", "re").returncode, 0)

    def test_init_dom0_again(self):
        """Keeps what others have changed."""
        self.host.ok("xenstore-write", "/local/domain/0/name", "host")
        self.host.ok("xen-init-dom0")
        self.assertIn("host ", self.host.xl("list", "0"))
        self.assertEqual(self.host.ok("xenstore-read", "/local/pool/0/name").strip(), "Pool-0")
        self.host.ok("xenstore-write", "/local/domain/0/name", "Domain-0")

    def test_other_users_are_shut_out(self):
        for path in (self.host.path("core"), self.host.path("xenstored", "socket")):
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)
