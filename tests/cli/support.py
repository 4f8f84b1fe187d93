"""What the command-line tests share: running the program, NIfTI files made by hand, comparing output trees."""
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

QSMPI = os.environ["QSMPI"]
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
FAST = ["--no-progress", "--inversion", "tkd", "--background", "vsharp"]
HERE = os.path.dirname(os.path.abspath(__file__))


def environment(**extra):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "PMIX_", "PMI_", "SLURM_", "PBS_", "QSMPI_"))}
    return {**kept, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", **extra}


def run(*arguments, command=None, expect=0, timeout=300, **extra_environment):
    """The result of a command; its exit code must be the expected one."""
    command = [str(c) for c in (command or [QSMPI])] + [str(a) for a in arguments]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                            stdin=subprocess.DEVNULL, env=environment(**extra_environment))
    if expect is not None and result.returncode != expect:
        raise AssertionError(f"{' '.join(command)}\nended with {result.returncode}, expected {expect}\n"
                             f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
    return result


def mpirun(ranks, *options):
    return [MPIEXEC, "--oversubscribe", "--bind-to", "none", *options, "-np", str(ranks), QSMPI]


class Case(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="qsmpi-cli-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def read(self, *parts):
        with open(self.path(*parts), encoding="utf-8") as file:
            return file.read()

    def phantom(self, subjects=2, name="bids", *options):
        """A tiny cohort: 44x52x44 voxels of 4.2 mm, 3 echoes."""
        run("phantom", self.path(name), "--subjects", subjects, "--dims", "44,52,44", "--voxel-mm", "4.2", "--echo-times-s",
            "0.004,0.010,0.016", "--b0-tesla", "3", "--no-progress", *options)
        return self.path(name)


def nifti_bytes(shape, values, voxel_mm=(1, 1, 1), first_x_mm=0.0):
    """A NIfTI-1 file of floats, 3-D or 4-D; values in x-fastest order; x rises from `first_x_mm`."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, 16, 32)
    struct.pack_into("<8f", header, 76, 1, *voxel_mm, 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352)
    header[123] = 2
    struct.pack_into("<hh", header, 252, 0, 1)
    for i in range(3):
        row = [0.0] * 4
        row[i] = voxel_mm[i]
        row[3] = first_x_mm if i == 0 else 0.0
        struct.pack_into("<4f", header, 280 + 16 * i, *row)
    header[344:348] = b"n+1\0"
    return bytes(header) + struct.pack(f"<{len(values)}f", *values)


def write_nifti(path, shape, value, **place):
    """value(x, y, z) for each voxel; `place` as for nifti_bytes()."""
    values = [value(x, y, z) for z in range(shape[2]) for y in range(shape[1]) for x in range(shape[0])]
    with open(path, "wb") as file:
        file.write(nifti_bytes(shape, values, **place))


def read_nifti(path):
    """Shape and values (x fastest) of a little-endian float32, int16 or uint8 file."""
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        content = file.read()
    shape = struct.unpack_from("<3h", content, 42)
    kind = {16: "f", 4: "h", 2: "B"}[struct.unpack_from("<h", content, 70)[0]]
    return shape, struct.unpack_from(f"<{shape[0] * shape[1] * shape[2]}{kind}", content, 352)


# Files that tell of a run rather than of its results.
OF_THE_RUN = ("journal", "jobs", "status", "logs/", ".qsmpi/", ".lock")
TIMINGS = ("seconds", "peak_mb", "peakmb", "threads", "host", "time", "date", "rank")


def without_timings(node):
    if isinstance(node, dict):
        return {k: without_timings(v) for k, v in node.items() if not any(t in k.lower().split("_") or k.lower() == t for t in TIMINGS)}
    return [without_timings(v) for v in node] if isinstance(node, list) else node


def tree(folder):
    """Name and content of every result; times and hosts taken out of JSON."""
    found = {}
    for path, _, files in os.walk(folder):
        for file in files:
            name = os.path.relpath(os.path.join(path, file), folder)
            if name.startswith(OF_THE_RUN):
                continue
            with open(os.path.join(path, file), "rb") as stream:
                content = stream.read()
            if name.endswith(".json"):
                content = json.dumps(without_timings(json.loads(content)), sort_keys=True).encode()
            found[name] = content
    return found


def assert_same_tree(case, one, other):
    a, b = tree(one), tree(other)
    case.assertEqual(sorted(a), sorted(b))
    case.assertGreater(len(a), 5)
    different = [name for name in a if a[name] != b[name]]
    case.assertEqual(different, [])


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.02)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]], verbosity=2)
