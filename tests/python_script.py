"""A program in Python, for tests that play one: its first lines start this Python from a path of any kind.

What follows `#!` ends at a space, so a shell starts Python, which reads the shell's line as a text.
"""

import shlex
import sys

HEAD = f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} \"$0\" \"$@\"\n' '''\n"
