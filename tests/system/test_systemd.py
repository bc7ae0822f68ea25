# SPDX-License-Identifier: MIT
"""The units under a systemd of their own: process 1 of namespaces, on a copy of the root file system that nothing
outside sees. What dies is started again, and nobody loses more than the one that died had."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from host import GUESTS, PREFIX

UNITS = os.path.join(PREFIX, "lib", "systemd", "system")

# $1 is a folder of ours, $2 the cgroup that all is in. Only systemd's own hierarchy is shown, and none of it but ours.
BOOT = r"""
set -e
dir=$1 root=$1/root
mkdir "$root" "$dir/layer"
mount -t tmpfs layer "$dir/layer"
mkdir "$dir/layer/up" "$dir/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/layer/up,workdir=$dir/layer/work" "$root"
for d in run tmp; do mount -t tmpfs $d "$root/$d"; done
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs cgroup "$root/sys/fs/cgroup"
if grep -q name=systemd /proc/self/cgroup; then
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
else
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
fi
for seen in "$KR_TOP" "$KR_PREFIX" "$KR_GUESTS"; do mkdir -p "$root/$seen"; mount --rbind "$seen" "$root/$seen"; done
mkdir -p "$root/run/systemd/system" "$root/etc/xen/auto"
cp "$dir"/units/* "$root/run/systemd/system"
cp "$dir"/auto/* "$root/etc/xen/auto"
for u in systemd-udevd systemd-udev-trigger systemd-remount-fs systemd-random-seed systemd-timesyncd; do
    ln -s /dev/null "$root/run/systemd/system/$u.service"
done
cd "$root"
mkdir -p tmp/old
pivot_root . tmp/old
umount -l /tmp/old
exec env -i container=krypton-test PATH="$PATH" /lib/systemd/systemd --system --unit=krypton-test.target \
    --log-target=console --show-status=no
"""

TARGET = """[Unit]
Wants=basic.target kryptond.service xenstored.service xenconsoled.service xendomains.service
"""


def cgroup_root():
    with open("/proc/self/cgroup") as f:
        lines = [line.strip().split(":", 2) for line in f]
    for _, names, path in lines:
        if names == "name=systemd":
            return "/sys/fs/cgroup/systemd" + path
    return "/sys/fs/cgroup" + dict((n, p) for _, n, p in lines).get("", "/")


@unittest.skipUnless(os.geteuid() == 0 and os.path.exists("/lib/systemd/systemd"), "needs root and systemd")
class Systemd(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="krypton-systemd.")
        self.addCleanup(subprocess.run, ["rm", "-rf", "--one-file-system", self.dir])
        self.cgroup = os.path.join(cgroup_root(), os.path.basename(self.dir))
        os.mkdir(self.cgroup)
        self.addCleanup(self.remove_cgroup)
        for name in ("units", "auto"):
            os.mkdir(os.path.join(self.dir, name))
        for unit in os.listdir(UNITS):
            with open(os.path.join(UNITS, unit)) as f:
                self.write("units/" + unit, f.read())
        self.write("units/krypton-test.target", TARGET)
        keys = dict(name="store", type="pvh", kernel=os.path.join(GUESTS, "store.elf"), memory=32, on_poweroff="preserve")
        self.write("auto/store.cfg", "".join("%s = %s\n" % (k, json.dumps(v)) for k, v in keys.items()))
        self.boot()

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def boot(self):
        def into_cgroup():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w") as f:
                f.write("0")
        env = dict(os.environ, KR_TOP=os.path.realpath(os.path.join(PREFIX, "..", "..")), KR_PREFIX=PREFIX, KR_GUESTS=GUESTS)
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.outer = subprocess.Popen(["unshare", "-m", "-p", "-f", "-C", "-u", "-i", "--propagation", "private",
                                           "--kill-child", "/bin/bash", "-c", BOOT, "boot", self.dir, self.cgroup],
                                          env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=into_cgroup)
        self.addCleanup(self.end)
        self.wait("systemd runs", lambda: self.ctl("is-system-running") in ("running", "degraded"), 60)

    def end(self):
        self.outer.send_signal(signal.SIGKILL)
        self.outer.wait()

    def remove_cgroup(self):
        for _ in range(100):
            for root, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(root)
                except OSError:
                    pass
            if not os.path.exists(self.cgroup):
                return
            time.sleep(0.1)

    def inside(self, *argv, timeout=60):
        """As of the namespaces' first process; fails while there is none."""
        if self.outer.poll() is not None:
            self.fail("systemd has ended: " + self.log())
        with open("/proc/%d/task/%d/children" % (self.outer.pid, self.outer.pid)) as f:
            init = f.read().split()
        if not init:
            return subprocess.CompletedProcess(argv, 1, "", "")
        env = dict(os.environ, PATH="%s/bin:%s/sbin:%s" % (PREFIX, PREFIX, os.environ["PATH"]))
        return subprocess.run(["nsenter", "-t", init[0], "-m", "-p", "-C", "-u", "-i", *argv], env=env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              errors="replace")

    def ok(self, *argv, **kw):
        r = self.inside(*argv, **kw)
        self.assertEqual(r.returncode, 0, "%s: %s%s\n%s" % (" ".join(argv), r.stdout, r.stderr, self.log()))
        return r.stdout

    def log(self):
        with open(os.path.join(self.dir, "log"), errors="replace") as f:
            return f.read()[-3000:]

    def wait(self, what, condition, timeout=30):
        end = time.monotonic() + timeout
        while not condition():
            self.assertLess(time.monotonic(), end, "timed out: %s\n%s" % (what, self.log()))
            time.sleep(0.1)

    def ctl(self, *argv):
        return self.inside("systemctl", *argv).stdout.strip()

    def runs(self):
        """The run of each unit: its name changes when it is started again."""
        return {u: self.ctl("show", "--value", "-p", "InvocationID", u)
                for u in ("kryptond", "xenstored", "xenconsoled", "xendomains")}

    def kill(self, unit):
        before = self.runs()
        self.ok("systemctl", "kill", "-s", "KILL", unit)
        self.wait("%s is there again" % unit, lambda: self.ctl("is-active", unit) == "active" and
                  self.runs()[unit] != before[unit])
        self.wait("the others, too", lambda: all(self.ctl("is-active", u) == "active" for u in before))
        after = self.runs()
        return {u for u in before if before[u] != after[u]}

    def guests(self):
        return {line.split()[0]: int(line.split()[1]) for line in self.ok("xl", "list").splitlines()[2:]}

    def result(self, domid):
        return self.inside("xenstore-read", "/local/domain/%d/data/result" % domid).stdout.strip()

    def test_what_dies_is_started_again(self):
        self.assertEqual(self.ctl("--failed", "--no-legend", "list-units", "*xen*", "*krypton*"), "")
        # The guest asks the store all the time, and counts the answers; it is to notice nothing.
        self.wait("xendomains has started the guest", lambda: "store" in self.guests())
        domid = self.guests()["store"]
        self.ok("xenstore-write", "/tool/kept", "as it was")
        for _ in range(2):
            self.assertEqual(self.kill("xenstored"), {"xenstored"})
            self.assertEqual(self.ok("xenstore-read", "/tool/kept").strip(), "as it was")
            time.sleep(0.5)
        self.assertEqual(self.kill("xenconsoled"), {"xenconsoled"})
        self.assertEqual(self.guests(), {"store": domid})
        self.wait("the guest is done", lambda: self.result(domid))
        self.assertRegex(self.result(domid), r"\d+ ok$")
        # The core takes its guests along. What depends on it begins anew, with the guests that start with the host.
        self.assertEqual(self.kill("kryptond"), {"kryptond", "xenstored", "xenconsoled", "xendomains"})
        self.assertEqual(list(self.guests()), ["store"])
        self.assertNotEqual(self.inside("xenstore-exists", "/tool/kept").returncode, 0)
        domid = self.guests()["store"]
        self.wait("the new guest is done", lambda: re.search(r"\d+ ok$", self.result(domid)))


if __name__ == "__main__":
    unittest.main()
