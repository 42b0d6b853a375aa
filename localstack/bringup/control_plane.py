"""The program of `cluster/`, built once and kept outside the clone; and the processes of it that serve."""

import glob
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

from . import cache
from .cache import Failure

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cluster")
SOURCES = ("*.go", "go.*", "*.yaml")
OLDEST = (1, 25)  # what Kubernetes' own go.mod asks for
TOOLCHAIN = "golang.org/toolchain@v0.0.1-go1.26.8.{system}-{machine}"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# Every flag here is part of the key of Go's cache: change one, and all of Kubernetes compiles again, for minutes.
FLAGS = ("-trimpath", "-buildvcs=false")
STAMP = "-X k8s.io/component-base/version."  # what the API server says at /version
LINKER = f"-s -w {STAMP}gitVersion={{version}} {STAMP}gitMajor=1 {STAMP}gitMinor={{minor}}"


def home():
    return cache.home("cluster")


def build():
    """The program's path; built if it is not there. Several callers wait for one."""
    go = toolchain()
    digest = hashlib.sha256(f"{output(go, 'version')} {FLAGS} {LINKER}".encode())
    for path in sorted(path for pattern in SOURCES for path in glob.glob(os.path.join(HERE, pattern))):
        with open(path, "rb") as file:
            digest.update(file.read())
    root = os.path.join(home(), digest.hexdigest()[:16])
    program = os.path.join(root, "control-plane")
    cache.once(root, lambda: compile_into(go, root, program))
    return program


def compile_into(go, root, program):
    print(f"localstack: building Kubernetes' control plane into {root} (once, for minutes)", file=sys.stderr, flush=True)
    version = output(go, "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
    linker = LINKER.format(version=version, minor=version.split(".")[1])
    done = run(go, "build", *FLAGS, "-ldflags", linker, "-o", program, ".")
    if done.returncode:
        raise Failure(f"`go build` failed:\n{done.stdout}{done.stderr}")


def toolchain():
    """The path of a Go that is new enough. An older one fetches it as the module that publishes it."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not found:
        raise Failure("no Go found; on Debian or Ubuntu: apt-get install golang-go (an old one will do: it fetches what it needs)")
    number = re.search(r"go(\d+)\.(\d+)", output(found, "version"))
    if number and (int(number[1]), int(number[2])) >= OLDEST:
        return found
    module = TOOLCHAIN.format(system=platform.system().lower(), machine=MACHINES.get(platform.machine(), platform.machine()))
    done = run(found, "mod", "download", "-json", module, folder="/")
    told = json.loads(done.stdout or "{}")
    if done.returncode or "Dir" not in told:
        raise Failure(f"{found} is too old, and cannot fetch {module}: {told.get('Error') or done.stderr}")
    for path in glob.glob(os.path.join(told["Dir"], "bin", "*")) + glob.glob(os.path.join(told["Dir"], "pkg", "tool", "*", "*")):
        os.chmod(path, 0o755)  # a module's files are not executable
    return os.path.join(told["Dir"], "bin", "go")


def output(go, *arguments):
    done = run(go, *arguments)
    if done.returncode:
        raise Failure(f"`{go} {' '.join(arguments)}` failed:\n{done.stderr}")
    return done.stdout.strip()


def run(go, *arguments, folder=HERE):
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    return subprocess.run([go, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def given():
    """The kubeconfig of the environment, if there is one. Tests change a cluster as a whole: only one on loopback is taken."""
    path = os.environ.get("KUBECONFIG")
    if not path:
        return None
    try:
        with open(path) as file:
            servers = re.findall(r"""["']?server["']?:\s*["']?([^\s"',}]+)""", file.read())
    except OSError as problem:
        raise Failure(f"KUBECONFIG names `{path}`, which cannot be read: {problem.strerror}") from problem
    elsewhere = [server for server in servers if not cache.on_loopback(server)]
    if elsewhere or not servers:
        raise Failure(f"KUBECONFIG names `{path}`, whose server `{''.join(elsewhere[:1])}` is not on loopback: tests would change that cluster; unset it")
    return path


def start(program, arguments, **streams):
    """A control plane, and the variables that it has printed once it is ready."""
    process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True, **streams)
    variables = {}
    for line in process.stdout:
        name, _, value = line.rstrip("\n").partition("=")
        if name == "READY":
            return process, variables
        variables[name] = value
    raise Failure(f"the control plane ended with {process.wait()}: see above")


def note(pid):
    """Remembers a detached one for `cluster/down`."""
    folder = os.path.join(home(), "detached")
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, pid), "w").close()


def stop(wanted):
    """Stops the detached ones: every one, or those with the wanted process ids."""
    for path in glob.glob(os.path.join(home(), "detached", "*")):
        pid = os.path.basename(path)
        if not wanted or pid in wanted:
            if ours(pid):
                os.kill(int(pid), signal.SIGTERM)
                while ours(pid):
                    time.sleep(0.05)
                print(f"stopped {pid}")
            os.remove(path)


def ours(pid):
    shown = subprocess.run(["ps", "-o", "stat=,command=", "-p", pid], stdout=subprocess.PIPE, text=True).stdout
    return "control-plane" in shown and not shown.startswith("Z")
