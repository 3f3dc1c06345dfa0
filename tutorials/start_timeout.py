"""A time limit for the start of a cluster.

TensorFlow waits for all workers while it holds Python's lock, so that no
Python thread can end the wait. `faulthandler` ends it from a thread of C, and
another process, which runs this file without TensorFlow, says why.
"""

import contextlib
import faulthandler
import json
import os
import select
import socket
import subprocess
import sys

MESSAGE = (
    "All workers in TF_CONFIG must start within {} s. These workers do not "
    "answer: {}. Start them, correct TF_CONFIG, or raise the limit. This "
    "worker ends."
)
# The time to find out which workers do not answer.
GRACE_SECONDS = 5


@contextlib.contextmanager
def start_timeout(seconds):
    """Ends this process with status 1 if the block takes longer.

    A message names the workers of TF_CONFIG that do not answer.
    """
    watcher = subprocess.Popen(
        [sys.executable, __file__, str(seconds)], stdin=subprocess.PIPE
    )
    faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        # The watcher ends with this pipe, also if this process is killed.
        watcher.stdin.close()
        watcher.wait()


def silent_workers(config, seconds):
    """The addresses of the workers that accept no connection."""
    addresses = config.get("cluster", {}).get("worker", [])
    silent = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            limit = seconds / len(addresses)
            socket.create_connection((host, int(port)), limit).close()
        except OSError:
            silent.append(address)
    return silent


def watch(seconds):
    """Prints the message unless standard input is closed in time."""
    closed, _, _ = select.select([sys.stdin], [], [], seconds)
    if closed:
        return
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    names = ", ".join(silent_workers(config, GRACE_SECONDS / 2)) or "none"
    print(MESSAGE.format(f"{seconds:g}", names), file=sys.stderr, flush=True)


if __name__ == "__main__":
    watch(float(sys.argv[1]))
