"""One LocalStack process: its environment, its wait for readiness, its end."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from .cache import Failure

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE = 120  # seconds; a cold start on a busy machine takes a quarter of it
ATTEMPTS = 3  # someone else may take the free port between our look and LocalStack's bind


class Running:
    """A LocalStack that answers."""

    def __init__(self, process, port, state, python):
        self.process, self.port, self.state, self.python = process, port, state, python
        self.url = f"http://127.0.0.1:{port}"
        self.log = os.path.join(state, "localstack.log")

    def serve_until(self, stream):
        """Returns when the stream closes; a server that ends by itself before that is a failure."""
        while not closed(stream.fileno(), 0.5):
            if self.process.poll() is not None:
                raise Failure(f"LocalStack ended with {self.process.returncode}:\n{tail(self.log)}")


@contextlib.contextmanager
def start(installed, port, fidelity, detach):
    """Starts LocalStack; kills it and removes its state at the end unless detached."""
    running = launch(installed, port, fidelity, detach)
    try:
        yield running
    except BaseException:
        stop(running.process.pid, running.state)
        raise
    if detach:
        os.makedirs(installed.detached, exist_ok=True)
        with open(os.path.join(installed.detached, str(running.process.pid)), "w") as note:
            note.write(running.state)
    else:
        stop(running.process.pid, running.state)
        running.process.wait()


def launch(installed, port, fidelity, detach):
    for attempt in range(1, ATTEMPTS + 1):
        state = tempfile.mkdtemp(prefix="moat-localstack-")
        candidate = port or free_port()
        process = spawn(installed, candidate, state, fidelity, detach)
        running = Running(process, candidate, state, installed.python)
        try:
            await_ready(running, fidelity)
            return running
        except BaseException as failure:
            stop(process.pid, state)
            process.wait()
            if attempt == ATTEMPTS or port or not isinstance(failure, Failure):
                raise


def spawn(installed, port, state, fidelity, detach):
    """A LocalStack with a state of its own; what is installed and its catalogue of services are everyone's."""
    files = os.path.join(state, "fs")
    scripts = os.path.join(files, "etc", "localstack", "init", "start.d")
    os.makedirs(scripts)
    os.makedirs(os.path.join(state, "home"))
    for name in sorted(os.listdir(os.path.join(HERE, "init"))):
        if name.endswith(".py") and (fidelity or "fidelity" not in name) and not (detach and "lifeline" in name):
            os.symlink(os.path.join(HERE, "init", name), os.path.join(scripts, name))
    library = os.path.join(files, "var", "lib", "localstack")
    os.makedirs(library)
    os.symlink(installed.warm, os.path.join(library, "cache"))
    environment = {
        "PATH": os.path.dirname(installed.python) + ":/usr/bin:/bin",
        "HOME": os.path.join(state, "home"),
        "PYTHONPATH": HERE,
        "PYTHONDONTWRITEBYTECODE": "1",
        "MOAT_LOCALSTACK_STATE": state,
        "FILESYSTEM_ROOT": files,
        "OVERRIDE_IN_DOCKER": "0",
        "SERVICES": "ec2",
        "STRICT_SERVICE_LOADING": "1",
        "EAGER_SERVICE_LOADING": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LOCALSTACK_HOST": f"localhost:{port}",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DNS_ADDRESS": "0",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }
    with open(os.path.join(state, "localstack.log"), "w") as log:
        return subprocess.Popen(
            [installed.python, "-m", "emulation.main"],
            cwd=state, env=environment, stdout=log, stderr=log, start_new_session=True,
            stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
        )


def await_ready(running, fidelity):
    """Waits until EC2 runs, the init scripts have succeeded, and a first call (which loads the API model) is answered."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if running.process.poll() is not None:
            raise Failure(f"LocalStack ended with {running.process.returncode}:\n{tail(running.log)}")
        try:
            health = json.loads(get(running.url + "/_localstack/health"))
            scripts = json.loads(get(running.url + "/_localstack/init"))
        except (OSError, ValueError):
            time.sleep(0.1)
            continue
        states = {script["name"]: script["state"] for script in scripts["scripts"]}
        if "ERROR" in states.values():
            raise Failure(f"an init script failed: {states}\n{tail(running.log)}")
        if health["services"].get("ec2") == "running" and scripts["completed"]["START"]:
            get(running.url + "/?Action=DescribeRegions&Version=2016-11-15", signed=True)
            return
        time.sleep(0.1)
    raise Failure(f"LocalStack did not answer within {PATIENCE} s:\n{tail(running.log)}")


def get(url, signed=False):
    scope = "AWS4-HMAC-SHA256 Credential=999999999999/20260101/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
    request = urllib.request.Request(url, headers={"Authorization": scope} if signed else {})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as answer:
        return answer.read()


def ours(pid):
    """Whether this process is a LocalStack of ours, and not somebody else's that got its id."""
    try:
        with open(f"/proc/{pid}/cmdline") as line:
            return "emulation.main" in line.read()
    except OSError:
        if os.path.isdir("/proc/self"):
            return False
    shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], stdout=subprocess.PIPE, text=True)
    return "emulation.main" in shown.stdout


def stop(pid, state):
    """SIGKILL: LocalStack takes seconds to end itself and keeps nothing worth saving."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(state, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def closed(descriptor, seconds):
    """Whether the descriptor reports its end within so many seconds; what is sent on it is dropped."""
    readable, _, _ = select.select([descriptor], [], [], seconds)
    return bool(readable) and not os.read(descriptor, 4096)


def tail(path):
    with contextlib.suppress(OSError):
        with open(path, errors="replace") as log:
            return "".join(log.readlines()[-20:])
    return ""
