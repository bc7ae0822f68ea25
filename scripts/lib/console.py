#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Plays a person at a guest's console: waits for text, types lines, in the order of the options.

    console.py DOMAIN [--expect TEXT] [--send LINE] ... [--timeout SECONDS] [--log FILE]

Shows what the console shows. Exit status 0 when every expected text came; 1 when the console ended or
the time (per text, 120 s by default) ran out.
"""
import os
import pty
import re
import select
import subprocess
import sys
import time


class Console:
    """`xl console DOMAIN` on a terminal of its own."""

    def __init__(self, domain, env=None, command=None, echo=None, log=None):
        self.master, slave = pty.openpty()
        self.proc = subprocess.Popen(command or ["xl", "console", domain], stdin=slave, stdout=slave,
                                     stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        self.seen = b""       # all that came
        self.at = 0           # where the next expect() starts to look
        self.echo, self.log = echo, log

    def _read(self, timeout):
        if not select.select([self.master], [], [], max(timeout, 0))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            data = b""
        if not data:
            raise EOFError("the console has ended; last: %r" % self.seen[-300:])
        self.seen += data
        for out in (self.echo, self.log):
            if out:
                out.write(data)
                out.flush()
        return True

    def expect(self, pattern, timeout=120):
        """Waits for a regular expression (bytes or str) and returns the match."""
        if isinstance(pattern, str):
            pattern = pattern.encode()
        end = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.seen[self.at:])
            if match:
                self.at += match.end()
                return match
            if time.monotonic() > end or not self._read(end - time.monotonic()):
                if time.monotonic() > end:
                    raise TimeoutError("%r did not come within %d s; last: %r" % (pattern, timeout, self.seen[-300:]))

    def send(self, line):
        os.write(self.master, line.encode() + b"\r")

    def close(self):
        """Leaves with Ctrl-]; once closed, nothing."""
        if self.master < 0:
            return
        try:
            os.write(self.master, b"\x1d")
            self.proc.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            self.proc.kill()
            self.proc.wait()
        os.close(self.master)
        self.master = -1


def main(argv):
    domain, timeout, log, acts = None, 120, None, []
    words = iter(argv)
    for word in words:
        if word in ("--expect", "--send"):
            acts.append((word, next(words)))
        elif word == "--timeout":
            timeout = float(next(words))
        elif word == "--log":
            log = open(next(words), "wb")
        elif domain is None:
            domain = word
        else:
            sys.exit("console.py: what is %s?" % word)
    con = Console(domain, echo=sys.stdout.buffer, log=log)
    try:
        for what, text in acts:
            if what == "--send":
                con.send(text)
            else:
                con.expect(re.escape(text), timeout)
    except (EOFError, TimeoutError) as why:
        print("\nconsole.py: %s" % why, file=sys.stderr)
        return 1
    finally:
        con.close()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
