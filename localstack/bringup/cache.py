"""The pinned packages in a virtual environment of their own, made once and kept outside the clone."""

import fcntl
import hashlib
import ipaddress
import os
import shutil
import subprocess
import sys
import urllib.parse

REQUIREMENTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "requirements.txt")
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3")
SUPPORTED = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"


class Failure(Exception):
    """Something that the caller has to mend, said in full."""


class Installed:
    """One installation: `python` of the virtual environment, and `warm`, the folder of LocalStack's own cache."""

    def __init__(self, root):
        self.root = root
        self.python = os.path.join(root, "venv", "bin", "python")
        self.warm = os.path.join(root, "warm")
        self.detached = os.path.join(root, "detached")


def home(name="localstack"):
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "moat", name)


def python():
    """The installed interpreter; under `localstack/up --` the one that LocalStack runs on."""
    return os.environ.get("MOAT_LOCALSTACK_PYTHON") or prepare().python


def become(name, *arguments):
    """Goes on as the installed interpreter with these arguments, where the packages of this folder can be imported."""
    try:
        path = python()
    except Failure as failure:
        sys.exit(f"localstack/{name}: {failure}")
    os.execve(path, [path, "-B", *arguments], {**os.environ, "PYTHONPATH": os.path.dirname(REQUIREMENTS)})


def prepare():
    """The installation; made if it is not there. Several callers wait for one."""
    python = interpreter()
    with open(REQUIREMENTS, "rb") as pins:
        digest = hashlib.sha256(pins.read() + version(python)).hexdigest()[:16]
    installed = Installed(os.path.join(home(), digest))
    once(installed.root, lambda: install(python, installed))
    return installed


def once(root, make):
    """Makes the contents of a folder, if nobody has; whoever comes meanwhile waits."""
    os.makedirs(root, exist_ok=True)
    with open(os.path.join(root, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = os.path.join(root, "complete")
        if not os.path.exists(complete):
            make()
            open(complete, "w").close()


def install(python, installed):
    print(f"localstack: installing LocalStack into {installed.root} (once)", file=sys.stderr, flush=True)
    shutil.rmtree(os.path.join(installed.root, "venv"), ignore_errors=True)
    os.makedirs(installed.warm, exist_ok=True)
    run(python, "-m", "venv", os.path.join(installed.root, "venv"))
    run(installed.python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-r", REQUIREMENTS)


def interpreter():
    """A Python that LocalStack runs on and that can make virtual environments."""
    for name in PYTHONS:
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", SUPPORTED], stderr=subprocess.DEVNULL).returncode == 0:
            return path
    raise Failure("no Python 3.11 to 3.13 with venv found; on Debian or Ubuntu: apt-get install python3 python3-venv")


def version(python):
    return subprocess.run([python, "-c", "import sys; print(sys.version_info[:2])"], stdout=subprocess.PIPE, check=True).stdout


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure(f"`{' '.join(command)}` failed:\n{done.stdout}")


def on_loopback(endpoint):
    host = urllib.parse.urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
