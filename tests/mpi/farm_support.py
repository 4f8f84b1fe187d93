"""What the farm tests share: starting, watching and ending runs of fake jobs."""
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN, MPIEXEC = sys.argv[1], sys.argv[2]
RECOVERY = ["--enable-recovery"]
FAST = ["beat_s=0.2", "lost_after_s=2"]
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
for name in [n for n in ENVIRONMENT if n.startswith(("OMPI_COMM", "PMIX_", "PMI_", "SLURM_", "PBS_"))]:
    del ENVIRONMENT[name]


def job(key, do="nothing", **more):
    payload = {"do": do, **{k: more.pop(k) for k in ("seconds", "file", "text") if k in more}}
    return {"key": key, "payload": payload, **more}


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid):
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(entry))
        except OSError:
            pass  # it has just ended
    return found


class Farm(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="qsmpi-farm.")
        self.out = os.path.join(self.folder, "out")
        self.processes = []

    def tearDown(self):
        for p in self.processes:
            if p.poll() is None:
                p.kill()
                p.wait()
            p.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.folder, name)

    def start(self, jobs, *options, ranks=0, launcher=()):
        jobs_file = self.file(f"jobs-{len(self.processes)}.json")  # an earlier one may still be reading its own
        with open(jobs_file, "w") as f:
            json.dump(jobs, f)
        command = [f"{BIN}/farm", f"{BIN}/fake_job", self.out, jobs_file, *options]
        if ranks:
            command = [MPIEXEC, "--oversubscribe", *launcher, "-np", str(ranks), *command]
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        self.processes.append(p)
        return p

    def run_farm(self, jobs, *options, timeout=100, **more):
        p = self.start(jobs, *options, **more)
        self.text, _ = p.communicate(timeout=timeout)
        return p.returncode

    def finish(self, p, timeout=100):
        self.text, _ = p.communicate(timeout=timeout)
        return p.returncode

    def pids(self, p, n):
        """Process numbers of the ranks, which farm prints first."""
        found = {}
        while len(found) < n:
            line = p.stdout.readline()
            self.assertTrue(line, "the run ended early")
            if match := re.match(r"pid (\d+) (\d+)", line):
                found[int(match[1])] = int(match[2])
        return found

    def journal(self):
        with open(os.path.join(self.out, "journal.jsonl")) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]

    def events(self, *kinds):
        return [r for r in self.journal() if r["event"] in kinds]

    def states(self):
        with open(os.path.join(self.out, "jobs.csv")) as f:
            return {row["key"]: row["state"] for row in csv.DictReader(f)}

    def status(self):
        try:
            with open(os.path.join(self.out, "status")) as f:
                return int(f.read())
        except FileNotFoundError:
            return None

    def until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.01)
        self.fail("what was waited for did not happen")

    def started(self, n):
        return lambda: len(self.events("started")) >= n

    def check_all_done(self, n):
        done = [r["key"] for r in self.events("done")]
        self.assertEqual(len(done), n)
        self.assertEqual(len(set(done)), n, "each job is done once")
