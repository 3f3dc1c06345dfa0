"""A time limit for the start of a cluster.

TensorFlow waits without a limit until all workers of a cluster are there, and
holds Python's lock meanwhile, so that no thread of the worker can end the
wait. Another process does: this file, which imports no TensorFlow.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys

MESSAGE = (
    "All workers in TF_CONFIG must start within {} s. These workers do not "
    "answer: {}. Start them, correct TF_CONFIG, or raise the limit. This "
    "worker ends."
)


@contextlib.contextmanager
def start_timeout(seconds):
    """Ends this process, with a message, if the block takes longer.

    The message names the workers of TF_CONFIG that do not answer.
    """
    watcher = subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), str(seconds)],
        stdin=subprocess.PIPE,
    )
    try:
        yield
    finally:
        # The watcher ends with this pipe, also if this process is killed.
        watcher.stdin.close()
        watcher.wait()


def silent_workers(config, seconds=2):
    """The addresses of the workers that accept no connection."""
    silent = []
    for address in config.get("cluster", {}).get("worker", []):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), seconds).close()
        except OSError:
            silent.append(address)
    return silent


def watch(process, seconds):
    """Ends a process unless standard input is closed in time."""
    closed, _, _ = select.select([sys.stdin], [], [], seconds)
    if closed:
        return
    silent = silent_workers(json.loads(os.environ.get("TF_CONFIG", "{}")))
    names = ", ".join(silent) or "none"
    print(MESSAGE.format(f"{seconds:g}", names), file=sys.stderr, flush=True)
    os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
