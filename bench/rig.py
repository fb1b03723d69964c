"""What the bench scripts share: building, starting and stopping servers, asking them, and reading what they cost."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICK = os.sysconf("SC_CLK_TCK")

# The limits are part of what is measured; their being reached is not.
RAISED_LIMITS = {
    "CHATELAINE_LIMITS__WORKSPACE_PER_MINUTE": "100000000",
    "CHATELAINE_LIMITS__SESSIONS_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__MESSAGES_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__FAILURES_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__PUBLIC_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__HISTORY_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__PARTICIPANT_PER_MINUTE": "1000000",
    "CHATELAINE_LIMITS__PARTICIPANT_PER_ADDRESS_PER_MINUTE": "100000000",
    "CHATELAINE_LIMITS__SOCKETS_PER_ADDRESS": "0",
}


class RigError(Exception):
    """The measurement could not be made; the text says why."""


def build(profile, packages, features=(), target_dir=None):
    """Builds and returns the folder of the binaries."""
    command = ["cargo", "build", "--profile", profile]
    for package in packages:
        command += ["-p", package]
    if features:
        command += ["--features", ",".join(features)]
    if target_dir is None:
        described = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=ROOT, check=True, capture_output=True
        )
        target_dir = json.loads(described.stdout)["target_directory"]
    command += ["--target-dir", target_dir]
    print("== " + " ".join(command), flush=True)
    subprocess.run(command, cwd=ROOT, check=True)
    return os.path.join(target_dir, profile)


def need(*programs):
    """Names the programs that are not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise RigError("install first: " + ", ".join(missing))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """One connection to a server; opens it again when the server closed it."""

    def __init__(self, url, timeout=30):
        self.address = urllib.parse.urlsplit(url).netloc
        self.timeout = timeout
        self.connection = None

    def call(self, method, path, credential=None, body=None, headers=()):
        """Returns status, headers and the whole body. Raises OSError or HTTPException when the answer did not arrive whole."""
        headers = dict(headers)
        if credential is not None:
            headers["Authorization"] = "Bearer " + credential
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.address, timeout=self.timeout)
        try:
            self.connection.request(method, path, body=body, headers=headers)
            answer = self.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return answer.status, answer.headers, content

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Server:
    """A server process on a port of its own."""

    def __init__(self, command, log, core=None, env=None, port=None):
        self.port = port or free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.log = log
        pinned = [] if core is None else ["taskset", "-c", str(core)]
        with open(log, "ab") as output:
            self.begin = time.monotonic()
            self.process = subprocess.Popen(
                pinned + [part.replace("{listen}", "127.0.0.1:%d" % self.port) for part in command],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=dict(os.environ, **(env or {})),
            )

    def wait_ready(self, path="/readyz", seconds=60):
        """Waits for a 200 and returns the seconds since the start."""
        client = Client(self.url, timeout=5)
        while time.monotonic() - self.begin < seconds:
            if self.process.poll() is not None:
                raise RigError("the server ended with %s:\n%s" % (self.process.returncode, self.tail()))
            try:
                if client.call("GET", path)[0] == 200:
                    return time.monotonic() - self.begin
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise RigError("the server was not ready after %s s:\n%s" % (seconds, self.tail()))

    def tail(self):
        with open(self.log, "rb") as log:
            return log.read()[-2000:].decode("utf-8", "replace")

    def cpu_seconds(self):
        """User and system time so far, all threads."""
        with open("/proc/%d/stat" % self.process.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def resident_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def kill(self):
        """SIGKILL: what the server had not written is gone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
