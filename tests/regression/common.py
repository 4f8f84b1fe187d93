"""What the regression tests share: arguments, running the program, a score made without the program."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np


def arguments(cases):
    parser = argparse.ArgumentParser()
    parser.add_argument("--qsmpi", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--case", choices=sorted(cases), required=True)
    parser.add_argument("--keep", help="folder for inputs and outputs, kept")
    return parser.parse_args()


class Workplace:
    """A folder for one test, deleted at the end unless asked to keep it; a private cache of FFT plans."""

    def __init__(self, keep):
        self.keep = keep
        self.path = keep or tempfile.mkdtemp(prefix="qsmpi-regression-")
        os.makedirs(self.path, exist_ok=True)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        if not self.keep:
            shutil.rmtree(self.path, ignore_errors=True)


def run(command, expect=(0,), **kwargs):
    """Runs a command; prints its output and fails when the exit code is not an expected one."""
    command = [str(c) for c in command]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            stdin=subprocess.DEVNULL, **kwargs)
    if result.returncode not in expect:
        print("$", " ".join(command), "->", result.returncode)
        print(result.stdout)
        sys.exit(f"exit code {result.returncode}, expected one of {expect}")
    return result.stdout


def mpirun(mpiexec, ranks):
    return [mpiexec, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", ranks]


def nrmse_percent(map_ppm, truth_ppm, mask):
    """100 |demeaned difference| / |demeaned truth| over the mask."""
    x, t = map_ppm[mask] - map_ppm[mask].mean(), truth_ppm[mask] - truth_ppm[mask].mean()
    return 100 * np.linalg.norm(x - t) / np.linalg.norm(t)


class Checks:
    """Collects failures, so that one run shows them all."""

    def __init__(self):
        self.failed = 0

    def that(self, condition, text):
        print("ok  " if condition else "FAIL", text)
        self.failed += not condition

    def finish(self):
        sys.exit(1 if self.failed else 0)
