# SPDX-License-Identifier: MIT
"""Where guests run and how much they get: affinity, CPU pools, caps and weights, with our xl and with Debian's."""
import os
import re
import time
import unittest

from stock import StockTest
from host import GUESTS, HostTest

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_list(text):
    """ "0-2,5" -> {0, 1, 2, 5} """
    found = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


ALL = os.sched_getaffinity(0)


class Spinning:
    """Guests whose vCPUs compute without end."""

    def spin(self, name="spin", vcpus=1, **keys):
        """Returns the pid of its process, once all vCPUs run."""
        before = set(self.host.processes("krypton-domain"))
        self.host.xl("create", "-q", self.host.config(name=name, kernel=os.path.join(GUESTS, "spin.elf"), ramdisk=None,
                                                      extra=None, memory=32, vcpus=vcpus, **keys))
        pid, = set(self.host.processes("krypton-domain")) - before
        self.host.wait("all vCPUs run", lambda: self.listed(name)[3] == str(vcpus), 60)
        return pid

    def listed(self, name):
        return next(line.split() for line in self.host.xl("list").splitlines() if line.startswith(name + " "))

    @staticmethod
    def threads(pid, field):
        """That field of /proc/PID/task/*/status, of the vCPUs' threads: all but the first."""
        values = []
        for tid in os.listdir("/proc/%s/task" % pid):
            if tid != pid:
                with open("/proc/%s/task/%s/status" % (pid, tid)) as f:
                    values.append(re.search(r"(?m)^%s:\s*(\S+)$" % field, f.read()).group(1))
        return values

    def allowed(self, pid):
        """Where the host lets each vCPU run."""
        return [cpu_list(v) for v in self.threads(pid, "Cpus_allowed_list")]

    @staticmethod
    def used(pid):
        """Processor time of a process, in seconds."""
        with open("/proc/%s/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def share(self, pid, seconds):
        """Per cent of a CPU that a process uses in that time (the host's own clock)."""
        start, before = time.monotonic(), self.used(pid)
        time.sleep(seconds)
        return (self.used(pid) - before) * 100 / (time.monotonic() - start)


class Affinity(HostTest, Spinning):
    def test_pin(self):
        pid = self.spin(vcpus=2)
        self.assertEqual(self.allowed(pid), [ALL, ALL])
        one = min(ALL)
        self.host.xl("vcpu-pin", "spin", "all", str(one))
        self.assertEqual(self.allowed(pid), [{one}, {one}])
        self.assertEqual({line.split()[3] for line in self.host.xl("vcpu-list", "spin").splitlines()[1:]}, {str(one)})
        self.host.xl("vcpu-pin", "spin", "1", "all")
        self.assertCountEqual(self.allowed(pid), [{one}, ALL])
        # Soft affinity is kept and shown.
        self.host.xl("vcpu-pin", "spin", "0", "-", str(one))
        self.assertRegex(self.host.xl("vcpu-list", "spin"), r"(?m)^spin +\d+ +0 .* %d / %d$" % (one, one))
        r = self.host.run("xl", "vcpu-pin", "spin", "0", "4000")
        self.assertNotEqual(r.returncode, 0)
        self.assertCountEqual(self.allowed(pid), [{one}, ALL])
        r = self.host.run("xl", "vcpu-pin", "spin", "all", "all")
        self.assertEqual(r.stderr, "")
        self.assertEqual(self.allowed(pid), [ALL, ALL])

    def test_from_the_configuration(self):
        one = max(ALL)
        self.assertEqual(self.allowed(self.spin(vcpus=2, cpus=str(one))), [{one}, {one}])


class Shares(HostTest, Spinning):
    """What a domain gets has bounds above only: the machine may be busy with something else."""

    def test_cap(self):
        pid = self.spin(vcpus=2)
        self.assertIn(self.host.xl("info", "cpu_caps").strip(), ("domain process", "control group"))
        for cap in (20, 50):
            self.host.xl("sched-credit2", "-d", "spin", "-c", str(cap))
            self.assertRegex(self.host.xl("sched-credit2", "-d", "spin"), r"(?m)^spin +\d+ +256 +%d$" % cap)
            time.sleep(0.2)
            share = self.share(pid, 3)
            self.assertLess(share, cap * 1.25 + 2)
            self.assertGreater(share, 0)
        # What waits for its budget is not slow to obey.
        self.host.xl("sched-credit2", "-d", "spin", "-c", "1")
        self.host.xl("pause", "spin", timeout=20)
        self.assertIn("p", self.listed("spin")[4])
        self.host.xl("unpause", "spin")
        self.host.xl("sched-credit2", "-d", "spin", "-c", "0")
        self.host.wait("the limit has gone", lambda: self.share(pid, 1) > 8, 60)

    def test_cap_of_the_configuration(self):
        pid = self.spin(cap=10, cpu_weight=300)
        self.assertRegex(self.host.xl("sched-credit2"), r"(?m)^spin +\d+ +300 +10$")
        self.assertLess(self.share(pid, 2), 15)

    def test_cap_bounds(self):
        self.spin(vcpus=2)
        for cap in ("201", "-1", "x"):
            r = self.host.run("xl", "sched-credit2", "-d", "spin", "-c", cap)
            self.assertNotEqual(r.returncode, 0)
        for weight in ("0", "65536"):
            r = self.host.run("xl", "sched-credit2", "-d", "spin", "-w", weight)
            self.assertNotEqual(r.returncode, 0)
        self.assertRegex(self.host.xl("sched-credit2"), r"(?m)^spin +\d+ +256 +0$")

    def test_weight(self):
        """Two guests on one CPU: the heavier one gets more, if the host lets weights be enforced."""
        heavy, light = self.spin("heavy"), self.spin("light")
        for name in ("heavy", "light"):
            self.host.xl("vcpu-pin", name, "all", str(min(ALL)))
        self.host.xl("sched-credit2", "-d", "light", "-w", "32")
        self.assertRegex(self.host.xl("sched-credit2"), r"(?m)^light +\d+ +32 +0$")
        if self.host.xl("info", "cpu_weights").startswith("not enforced"):
            with open(self.host.path("log", "kryptond.log")) as f:
                self.assertIn("a weight is kept, but not enforced", f.read())
            return
        before = self.used(heavy), self.used(light)
        time.sleep(4)
        self.assertGreater(self.used(heavy) - before[0], 2 * (self.used(light) - before[1]))
        self.host.xl("sched-credit2", "-d", "light", "-w", "256")

    def test_ratelimit(self):
        self.assertIn("ratelimit=1000us", self.host.xl("sched-credit2", "-s"))
        self.host.xl("sched-credit2", "-s", "-r", "5000")
        self.assertIn("ratelimit=5000us", self.host.xl("sched-credit2", "-s"))
        for us in ("50", "500001"):
            self.assertNotEqual(self.host.run("xl", "sched-credit2", "-s", "-r", us).returncode, 0)
        self.host.xl("sched-credit2", "-s", "-r", "1000")


@unittest.skipIf(len(ALL) < 2, "one CPU cannot be in two pools")
class Pools(HostTest, Spinning):
    one = max(ALL)

    def pools(self):
        """name -> CPUs"""
        return {line.split()[0]: cpu_list((line.split() + [""])[1])
                for line in self.host.xl("cpupool-list", "-c").splitlines()[1:]}

    def test_pool(self):
        self.assertEqual(self.pools(), {"Pool-0": ALL})
        self.assertNotEqual(self.host.run("xl", "cpupool-create", "name=second").returncode, 0)    # no CPU is free
        pid = self.spin(vcpus=2)
        self.host.xl("cpupool-cpu-remove", "Pool-0", str(self.one))
        self.assertEqual(self.host.xl("info", "free_cpus").strip(), "1")
        self.assertEqual(self.allowed(pid), [ALL - {self.one}] * 2)
        self.assertIn("second", self.host.xl("cpupool-create", "name=second"))
        self.assertEqual(self.pools(), {"Pool-0": ALL - {self.one}, "second": {self.one}})
        self.assertNotEqual(self.host.run("xl", "cpupool-create", "name=second").returncode, 0)
        self.assertEqual(self.host.ok("xenstore-read", "/local/pool/1/name").strip(), "second")
        self.assertRegex(self.host.ok("xenstore-read", "/local/pool/1/uuid"), r"^[0-9a-f-]{36}\n$")
        self.host.xl("sched-credit2", "-d", "spin", "-w", "300", "-c", "150")
        self.host.xl("cpupool-migrate", "spin", "second")
        self.assertEqual(self.allowed(pid), [{self.one}] * 2)
        self.assertRegex(self.host.xl("list", "-c", "spin"), r"(?m)^spin .* second$")
        self.assertRegex(self.host.xl("sched-credit2", "-p", "second"), r"(?m)^spin +\d+ +256 +0$")
        self.assertRegex(self.host.xl("cpupool-list"), r"(?m)^second +1 +credit2 +y +1$")
        # In use, in every way.
        for argv in (["cpupool-destroy", "second"], ["cpupool-cpu-remove", "second", str(self.one)],
                     ["cpupool-cpu-add", "second", str(min(ALL))], ["cpupool-destroy", "Pool-0"],
                     ["vcpu-pin", "spin", "all", str(min(ALL))], ["cpupool-rename", "second", "Pool-0"],
                     ["cpupool-migrate", "spin", "third"], ["cpupool-migrate", "0", "second"]):
            with self.subTest(argv):
                r = self.host.run("xl", *argv)
                self.assertNotEqual(r.returncode, 0)
                self.assertTrue(r.stderr.strip())
        self.assertEqual(self.allowed(pid), [{self.one}] * 2)
        # A guest made in it.
        other = self.spin("other", pool="second")
        self.assertEqual(self.allowed(other), [{self.one}])
        self.host.xl("cpupool-rename", "second", "2nd")
        self.assertRegex(self.host.xl("cpupool-list", "2nd"), r"(?m)^2nd +1 +credit2 +y +2$")
        self.host.xl("destroy", "other")
        self.host.xl("cpupool-migrate", "spin", "Pool-0")
        self.host.xl("cpupool-destroy", "2nd")
        self.assertEqual(self.host.run("xenstore-read", "/local/pool/1/name").returncode, 1)
        self.host.xl("cpupool-cpu-add", "Pool-0", "all" if self.one != max(ALL) else str(self.one))
        self.assertEqual(self.allowed(pid), [ALL] * 2)
        self.assertEqual(self.pools(), {"Pool-0": ALL})

    def test_create_from_a_file(self):
        cfg = self.host.config(text='name = "filed"\nsched = "credit2"\ncpus = ["%d"]\n' % self.one)
        self.assertNotEqual(self.host.run("xl", "cpupool-create", cfg).returncode, 0)      # the CPU is not free
        self.host.xl("cpupool-cpu-remove", "Pool-0", str(self.one))
        self.assertIn("number of cpus: 1", self.host.xl("cpupool-create", "-n", cfg))
        self.assertEqual(set(self.pools()), {"Pool-0"})
        for wrong in ('sched="credit"', 'sched="none"', 'colour="blue"', 'name=""', 'cpus="77"'):
            r = self.host.run("xl", "cpupool-create", cfg, wrong)
            self.assertNotEqual(r.returncode, 0, wrong)
            self.assertEqual(set(self.pools()), {"Pool-0"})
        self.host.xl("cpupool-create", "-f", cfg)
        self.assertEqual(self.pools()["filed"], {self.one})
        self.host.xl("cpupool-destroy", "filed")
        self.host.xl("cpupool-cpu-add", "0", str(self.one))

    def test_numa_split(self):
        self.host.xl("cpupool-numa-split")
        self.assertEqual(self.pools(), {"Pool-node0": ALL})
        self.host.xl("cpupool-rename", "Pool-node0", "Pool-0")


@unittest.skipIf(len(ALL) < 2, "one CPU cannot be in two pools")
class StockPools(StockTest, Spinning):
    """Debian's xl: the same."""
    one = max(ALL)

    def test_xl_pools(self):
        pid = self.spin(vcpus=2)
        self.xl("vcpu-pin", "spin", "all", str(min(ALL)))
        self.assertEqual(self.allowed(pid), [{min(ALL)}] * 2)
        self.xl("vcpu-pin", "spin", "all", "all")
        self.assertEqual(self.allowed(pid), [ALL] * 2)
        self.done("xl", "vcpu-pin: the host's threads follow")
        self.xl("cpupool-cpu-remove", "Pool-0", str(self.one))
        self.xl("cpupool-create", 'name="second"', 'cpus="%d"' % self.one)
        self.assertRegex(self.host.xl("cpupool-list", "-c"), r"(?m)^second +%d$" % self.one)
        self.assertRegex(self.xl("cpupool-list", "-c"), r"(?m)^second +%d$" % self.one)
        self.xl("cpupool-migrate", "spin", "second")
        self.assertEqual(self.allowed(pid), [{self.one}] * 2)
        self.stock("xl", "cpupool-destroy", "second", status=1)
        self.xl("cpupool-rename", "second", "2nd")
        self.xl("create", "-p", self.hello(name="inside", pool="2nd"))
        self.assertRegex(self.xl("list", "-c"), r"(?m)^inside .* 2nd$")
        self.xl("destroy", "inside")
        self.xl("cpupool-migrate", "spin", "Pool-0")
        self.xl("cpupool-cpu-remove", "2nd", str(self.one))
        self.xl("cpupool-cpu-add", "Pool-0", str(self.one))
        self.xl("cpupool-destroy", "2nd")
        self.assertEqual(self.allowed(pid), [ALL] * 2)
        self.xl("cpupool-numa-split")
        self.xl("cpupool-rename", "Pool-node0", "Pool-0")
        self.done("xl", "cpupool-create, -list -c, -migrate, -rename, -cpu-add, -cpu-remove, -destroy, -numa-split; pool=")
        self.xl("sched-credit2", "-s", "-r", "2000")
        self.assertIn("ratelimit=2000us", self.host.xl("sched-credit2", "-s"))
        self.xl("sched-credit2", "-d", "spin", "-c", "20")
        time.sleep(0.2)
        self.assertLess(self.share(pid, 2), 30)
        self.done("xl", "sched-credit2: rate limit; a cap, measured")
