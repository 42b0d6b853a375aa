"""Bringing LocalStack up: nothing outlives whoever started it."""

import os
import signal
import subprocess
import time
import unittest
import urllib.request

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UP, DOWN = os.path.join(HERE, "up"), os.path.join(HERE, "down")


def start(*arguments):
    process = subprocess.Popen([UP, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    said = {}
    for line in process.stdout:
        name, value = line.rstrip("\n").split("=", 1)
        said[name] = value
        if name == "READY":
            break
    return process, said


def gone(pid, seconds=10):
    for _ in range(seconds * 20):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


class Up(unittest.TestCase):
    def end(self, process):
        process.stdin.close()
        process.wait(20)
        process.stdout.close()

    def test_several_at_once_on_loopback_only(self):
        pairs = [start(), start()]
        try:
            self.assertEqual(len({said["AWS_ENDPOINT_URL"] for _, said in pairs}), 2)
            for _, said in pairs:
                self.assertTrue(said["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:"))
                with urllib.request.urlopen(said["AWS_ENDPOINT_URL"] + "/_localstack/health", timeout=10) as answer:
                    self.assertEqual(answer.status, 200)
                self.assertEqual(listening(said["AWS_ENDPOINT_URL"]), ["0100007F"])
        finally:
            for process, _ in pairs:
                self.end(process)
        for process, said in pairs:
            self.assertEqual(process.returncode, 0)
            self.assertTrue(gone(said["MOAT_LOCALSTACK_PID"]))
            self.assertFalse(os.path.exists(os.path.dirname(said["MOAT_LOCALSTACK_LOG"])))

    def test_a_killed_parent_takes_it_along(self):
        process, said = start()
        process.kill()
        process.wait()
        self.assertTrue(gone(said["MOAT_LOCALSTACK_PID"]))
        self.assertFalse(os.path.exists(os.path.dirname(said["MOAT_LOCALSTACK_LOG"])))
        process.stdin.close()
        process.stdout.close()

    def test_sigterm_ends_it(self):
        process, said = start()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)
        self.assertTrue(gone(said["MOAT_LOCALSTACK_PID"]))
        self.end(process)

    def test_a_command_runs_within_and_its_status_comes_back(self):
        done = subprocess.run([UP, "--", "sh", "-c", "echo $AWS_ENDPOINT_URL; exit 7"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout[:17]), (7, "http://127.0.0.1:"))

    def test_detached_until_down(self):
        done = subprocess.run([UP, "--detach"], stdout=subprocess.PIPE, text=True, check=True)
        pid = dict(line.split("=", 1) for line in done.stdout.split())["MOAT_LOCALSTACK_PID"]
        os.kill(int(pid), 0)
        subprocess.run([DOWN, pid], check=True, stdout=subprocess.DEVNULL)
        self.assertTrue(gone(pid))


def listening(url):
    port = f"{int(url.rsplit(':', 1)[1]):04X}"
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as rows:
            found += [row.split()[1].split(":")[0] for row in rows if row.split()[1].endswith(":" + port) and row.split()[3] == "0A"]
    return found
