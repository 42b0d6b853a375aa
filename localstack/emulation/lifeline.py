"""Ends this process when standard input closes, that is when whoever started it has ended, however it ended."""

import os
import sys
import threading


def hold():
    """Watches from a thread of its own."""
    threading.Thread(target=watch, daemon=True).start()


def watch():
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)
