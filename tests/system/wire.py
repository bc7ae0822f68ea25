# SPDX-License-Identifier: MIT
"""The core's wire (hypervisor/core/wire.h) by hand: a client that can do everything wrong."""
import array
import ctypes
import errno
import mmap
import socket
import struct

MAGIC, VERSION = 0x5952504b, 1
HELLO, ARENA, HYPERCALL, RESTRICT, UNBOUND, INTERDOMAIN, VIRQ, UNBIND, FOREIGN, RESOURCE, GNT_MAP, GNT_UNMAP, \
    GNT_NOTIFY, SHARE, UNSHARE = range(1, 16)
MAX_MSG, MAX_FDS = 65536, 16
VA = 0x10000000

MEMORY_OP, XEN_VERSION, DOMCTL, SYSCTL = 12, 17, 36, 35
DOMCTL_VERSION = SYSCTL_VERSION = 0x15


class Client:
    def __init__(self, path, hello=True, arena=0):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(60)
        self.seq = 0
        self.arena = None
        try:
            self.sock.connect(path)
            if hello:
                self.call(HELLO, struct.pack("<II", MAGIC, VERSION))
            if arena:
                _, fds = self.call(ARENA, struct.pack("<QQ", VA, arena))
                self.arena = mmap.mmap(fds[0], arena)
                socket.close(fds[0])
        except BaseException:
            self.sock.close()
            raise

    def close(self):
        self.sock.close()

    def send(self, op, body=b"", fds=()):
        self.seq += 1
        packet = struct.pack("<II", op, self.seq) + body
        self.sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])

    def receive(self):
        """(status, body, descriptors) of a reply; None at the end."""
        data, ancillary, _, _ = self.sock.recvmsg(MAX_MSG, socket.CMSG_SPACE(4 * MAX_FDS))
        fds = array.array("i")
        for level, kind, got in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(got[:len(got) - len(got) % 4])
        if not data:
            return None
        return struct.unpack_from("<i", data, 4)[0], data[8:], list(fds)

    def ask(self, op, body=b"", fds=()):
        """Request and reply: the status; descriptors are closed."""
        self.send(op, body, fds)
        reply = self.receive()
        if reply is None:
            return None
        for fd in reply[2]:
            socket.close(fd)
        return reply[0]

    def call(self, op, body=b""):
        """(body, descriptors) of a request that works."""
        self.send(op, body)
        status, body, fds = self.receive() or (-errno.ECONNRESET, b"", [])
        if status:
            raise OSError(-status, "request %d" % op)
        return body, fds

    def hypercall(self, op, *args):
        body, _ = self.call(HYPERCALL, struct.pack("<6Q", op, *(list(args) + [0] * (5 - len(args)))))
        return struct.unpack("<q", body)[0]

    def domctl(self, cmd, domid=0, body=b"", version=DOMCTL_VERSION):
        """The result, and the argument as it came back (its union)."""
        self.arena[:16 + 128] = struct.pack("<IIHHI", cmd, version, domid, 0, 0) + body.ljust(128, b"\0")
        return self.hypercall(DOMCTL, VA), self.arena[16:16 + 128]


def dead_on_arrival():
    """In a child: die with the parent."""
    ctypes.CDLL(None).prctl(1, 9)
