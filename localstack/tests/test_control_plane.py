"""The control plane: it answers, and nothing of it outlives whoever started it."""

import os
import subprocess
import sys
import tempfile
import unittest

from .test_bringup import HERE, gone

UP, DOWN = os.path.join(HERE, "cluster", "up"), os.path.join(HERE, "cluster", "down")
ELSEWHERE = "clusters: [{name: live, cluster: {server: 'https://10.0.0.1:6443'}}]"
HERE_TOO = '{"clusters": [{"name": "kind", "cluster": {"server": "https://127.0.0.1:6443"}}]}'
BARE = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}


def start(*arguments, environment=BARE):
    process = subprocess.Popen([UP, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    said = {}
    for line in process.stdout:
        name, said[name] = line.rstrip("\n").split("=", 1)
        if name == "READY":
            break
    return process, said


class ControlPlane(unittest.TestCase):
    def end(self, process):
        process.stdin.close()
        process.wait(30)
        process.stdout.close()

    def test_a_killed_parent_takes_it_along(self):
        nested = f"import subprocess; subprocess.Popen([{UP!r}], stdin=subprocess.PIPE).wait()"
        parent = subprocess.Popen([sys.executable, "-c", nested], stdout=subprocess.PIPE, text=True, env=BARE)
        said = dict(parent.stdout.readline().rstrip("\n").split("=", 1) for _ in range(4))
        parent.kill()
        parent.wait()
        self.assertTrue(gone(said["MOAT_CLUSTER_PID"], 30))
        self.assertFalse(os.path.exists(os.path.dirname(said["KUBECONFIG"])))
        parent.stdout.close()

    def test_its_own_death_takes_its_parts_and_its_folder_along(self):
        process, said = start()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", said["MOAT_CLUSTER_PID"]], stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertEqual(len(children), 4)
        process.kill()
        self.assertTrue(all(gone(child) for child in children))
        self.assertFalse(os.path.exists(os.path.dirname(said["KUBECONFIG"])))
        self.end(process)

    def test_a_folder_is_kept_and_starts_again(self):
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                process, said = start(folder)
                self.assertEqual(said["KUBECONFIG"], os.path.join(folder, "kubeconfig"))
                self.end(process)
                self.assertEqual(process.returncode, 0)
            self.assertTrue(os.path.exists(os.path.join(folder, "etcd")))

    def test_a_command_runs_within_and_its_status_comes_back(self):
        done = subprocess.run([UP, "--", "sh", "-c", "grep -c https://127.0.0.1 $KUBECONFIG; exit 7"], stdout=subprocess.PIPE, text=True, env=BARE)
        self.assertEqual((done.returncode, done.stdout), (7, "1\n"))

    def test_detached_until_down(self):
        done = subprocess.run([UP, "--detach"], stdout=subprocess.PIPE, text=True, check=True, env=BARE)
        pid = dict(line.split("=", 1) for line in done.stdout.split())["MOAT_CLUSTER_PID"]
        os.kill(int(pid), 0)
        subprocess.run([DOWN, pid], check=True, stdout=subprocess.DEVNULL)
        self.assertTrue(gone(pid))

    def test_a_cluster_of_the_environment_is_taken_if_it_is_on_loopback(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(HERE_TOO)
            file.flush()
            process, said = start(environment={**BARE, "KUBECONFIG": file.name})
            self.assertEqual(said, {"KUBECONFIG": file.name, "READY": "1"})
            self.end(process)
            file.seek(0)
            file.write(ELSEWHERE)
            file.truncate()
            file.flush()
            done = subprocess.run([UP], env={**BARE, "KUBECONFIG": file.name}, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("`https://10.0.0.1:6443` is not on loopback", done.stderr)
