# SPDX-License-Identifier: MIT
"""A malformed device specification is named at its line and column, before anything is built."""
from host import HostTest

BASE = 'name = "t"\ntype = "pvh"\nmemory = 32\nkernel = "/dev/null"\n'


class Devices(HostTest):
    def errors(self, text, *extra):
        cfg = self.host.config(text=BASE + text)
        r = self.host.run("xl", "create", "-n", cfg, *extra)
        self.assertEqual(r.returncode, 1, r.stderr)
        return [line.replace(cfg, "CFG") for line in r.stderr.splitlines() if not line.startswith("Parsing config")]

    def test_disk(self):
        self.assertEqual(self.errors("disk = [ '/a,raw,xvda,rw',\n  '/b,rwa,xvdb', '/c,raw' ]\n"), [
            "CFG:6:3: disk '/b,rwa,xvdb': format 'rwa' is none of: raw, qcow, qcow2, vhd, qed, empty",
            "CFG:6:18: disk '/c,raw': no vdev is given"])

    def test_vif(self):
        lines = self.errors("vif = [ 'mac=1:2', 'rate=10Mb',\n'bridg=x', ['y'] ]\n")
        self.assertEqual([line.split()[0] for line in lines], ["CFG:5:9:", "CFG:5:20:", "CFG:6:1:", "CFG:6:12:"])
        for line, part in zip(lines, ("mac '1:2'", "'10Mb' is no rate", "no parameter 'bridg'", "must be a string")):
            self.assertIn(part, line)

    def test_pci_and_rdm(self):
        self.assertEqual(self.errors("pci = [ '36:00.0,sieze=1' ]\nrdm = 'strategy=guest'\n"), [
            "CFG:5:9: pci '36:00.0,sieze=1': there is no option 'sieze'",
            "CFG:6: rdm 'strategy=guest': strategy 'guest' is none of: host"])

    def test_command_line(self):
        self.assertEqual(self.errors("", "disk=['x']"), ["command line:1:7: disk 'x': no vdev is given"])

    def test_well_formed(self):
        lines = self.errors("disk = [ 'phy:/a,xvda,w' ]\nvif = [ '', 'mac=00:16:3e:00:00:01,rate=1MB/s@20ms,"
                            "bridge=br0,mtu=9000,trusted' ]\npci = [ '36:00.*@5,seize=1' ]\nrdm = 'strategy=host'\n")
        self.assertEqual(sorted(lines), sorted("CFG:%d: %s is not offered by this version of Krypton" % row for row in
                                               enumerate(("disk", "vif", "pci", "rdm"), 5)))
