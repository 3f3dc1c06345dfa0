"""Starts the workers of a cluster as processes on this machine."""

import json
import os
import socket
import subprocess
import time


def free_ports(number):
    """Ports of this machine that no program listens at."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(command, workers):
    """Starts a command as each worker of a cluster; returns the processes."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    return [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            },
        )
        for index in range(workers)
    ]


def finished(processes, poll_seconds=0.2):
    """Waits for all workers, and returns whether all of them succeeded.

    If one fails, the others are stopped: they would wait for it.
    """
    while True:
        codes = [process.poll() for process in processes]
        if all(code == 0 for code in codes):
            return True
        if any(code not in (None, 0) for code in codes):
            for process in processes:
                process.kill()
                process.wait()
            return False
        time.sleep(poll_seconds)


def run(command, workers, restarts):
    """Runs a command as each worker, and again if a worker fails.

    Args:
        command: a list of strings.
        workers: their number.
        restarts: how often to start all of them again, at most.

    Returns:
        The exit status: 0 if all workers succeeded.
    """
    for attempt in range(restarts + 1):
        if finished(start(command, workers)):
            return 0
        if attempt < restarts:
            print(
                "A worker failed. All workers are started again.", flush=True
            )
    return 1
