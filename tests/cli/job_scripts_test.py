"""The job scripts of slurm/ and pbs/ with stand-ins for the program, mpirun and scontrol."""
import os
import shutil
import signal
import stat
import subprocess
import time

from support import HERE, Case, environment, main, wait_for

ROOT = os.path.dirname(os.path.dirname(HERE))

# Notes its arguments, waits if asked to, and ends as a run does: the exit code goes to the status file.
PROGRAM = """#!/bin/bash
echo "$*" >> "$NOTES"
out=$3 shard=
while [ $# -gt 0 ]; do [ "$1" = --shard ] && shard=.${2/\\//-of-}; shift; done
code=${CODE:-0}
trap 'echo USR1 >> "$NOTES"; code=75; waiting=' USR1
waiting=${WAIT:-}
touch "$NOTES.ready"
while [ -n "$waiting" ]; do sleep 0.05; done
[ "$code" = died ] || echo "$code" > "$out/status$shard"
exit 0
"""
MPIRUN = """#!/bin/bash
echo "mpirun $*" >> "$NOTES"
while [ "$1" != "$QSMPI" ]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$NOTES"
"""


# Notes its arguments, and fails to build.
CMAKE = """#!/bin/sh
echo "$*" >> "$NOTES"
[ "$1" != --build ]
"""
DPKG_QUERY = """#!/bin/sh
echo "install ok installed"
"""


class StartScript(Case):
    def test_the_demo_builds_the_program_alone(self):
        os.makedirs(self.path("project/src"))
        shutil.copy(os.path.join(ROOT, "src/start"), self.path("project/src/start"))
        for name, content in (("cmake", CMAKE), ("dpkg-query", DPKG_QUERY)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(content)
            os.chmod(self.path(name), stat.S_IRWXU)
        for word, target in (("demo", "qsmpi"), ("build", "all"), ("test", "all")):
            subprocess.run(["sh", self.path("project/src/start"), word], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           env=environment(PATH=self.folder + ":" + os.environ["PATH"], NOTES=self.path("notes")), check=False)
            self.assertEqual(self.read("notes").splitlines(), ["--preset release", f"--build build --target {target}"])
            os.remove(self.path("notes"))


class JobScripts(Case):
    def setUp(self):
        super().setUp()
        for name, content in (("program", PROGRAM), ("mpirun", MPIRUN), ("scontrol", SCONTROL)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(content)
            os.chmod(self.path(name), stat.S_IRWXU)
        with open(self.path("nodes"), "w", encoding="utf-8") as file:
            file.write("node1\nnode2\nnode3\n")

    def start(self, script, *arguments, **variables):
        shutil.rmtree(self.path("out"), ignore_errors=True)
        for name in ("notes", "notes.ready"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        folder = self.folder
        extra = {"PATH": folder + ":" + os.environ["PATH"], "NOTES": self.path("notes"), "QSMPI": self.path("program"),
                 "SLURM_JOB_ID": "77", "SLURM_NTASKS": "2", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MAX": "3",
                 "PBS_NODEFILE": self.path("nodes"), "PBS_O_WORKDIR": folder, "PBS_ARRAY_INDEX": "2", **variables}
        return subprocess.Popen(["bash", os.path.join(ROOT, script), *arguments], env=environment(**extra), cwd=folder,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, script, *arguments, **variables):
        process = self.start(script, *arguments, **variables)
        process.communicate(timeout=30)
        return process.returncode, self.read("notes") if os.path.exists(self.path("notes")) else ""

    SCRIPTS = ("slurm/qsmpi.sbatch", "slurm/array.sbatch", "pbs/qsmpi.pbs", "pbs/array.pbs")

    def test_pass_folders_and_options_on(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                code, notes = self.finish(script, "/data/my scans", self.path("out"), "--inversion", "tkd")
                self.assertEqual(code, 0)
                self.assertIn(f"run /data/my scans {self.path('out')} --no-progress", notes)
                self.assertIn("--inversion tkd", notes)
                self.assertEqual("--shard 2/4" in notes, "array" in script)
                self.assertEqual("--enable-recovery" in notes, "array" not in script)

    def test_take_folders_from_the_environment_too(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                code, notes = self.finish(script, BIDS_DIR="/data/ds", OUT_DIR=self.path("out"), QSMPI_OPTIONS="--check headers")
                self.assertEqual(code, 0)
                self.assertIn(f"run /data/ds {self.path('out')}", notes)
                if script.startswith("pbs"):
                    self.assertIn("--check headers", notes)
                    self.assertIn("--deadline-s 14100", notes)

    def test_without_folders_they_stop_before_anything_runs(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                code, notes = self.finish(script)
                self.assertNotEqual(code, 0)
                self.assertEqual(notes, "")

    def test_end_with_the_code_of_the_run_that_mpirun_hides(self):
        for script in self.SCRIPTS:
            for code in ("0", "1", "3"):
                with self.subTest(script=script, code=code):
                    self.assertEqual(self.finish(script, "in", self.path("out"), CODE=code)[0], int(code))

    def test_a_run_without_a_last_word_ends_with_70(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                self.assertEqual(self.finish(script, "in", self.path("out"), CODE="died")[0], 70)

    def test_slurm_puts_an_interrupted_run_back_and_no_other(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                code, notes = self.finish(script, "in", self.path("out"), CODE="75")
                self.assertEqual(code, 75)
                self.assertEqual("scontrol requeue 77" in notes, script.startswith("slurm"))
                self.assertNotIn("scontrol", self.finish(script, "in", self.path("out"), CODE="1")[1])
                self.assertNotIn("scontrol", self.finish(script, "in", self.path("out"), CODE="75", SLURM_RESTART_COUNT="50")[1])

    def test_the_early_signal_reaches_the_run(self):
        for script in self.SCRIPTS:
            with self.subTest(script=script):
                process = self.start(script, "in", self.path("out"), WAIT="1")
                wait_for(lambda: os.path.exists(self.path("notes.ready")), 20)
                time.sleep(0.1)
                process.send_signal(signal.SIGUSR1)
                process.communicate(timeout=30)
                self.assertEqual(process.returncode, 75)
                self.assertIn("USR1", self.read("notes"))

    def test_index_of_torque_is_understood(self):
        process = self.start("pbs/array.pbs", "in", self.path("out"), PBS_ARRAY_INDEX="", PBS_ARRAYID="1", QSMPI_SHARDS="9")
        process.communicate(timeout=30)
        self.assertIn("--shard 1/9", self.read("notes"))


if __name__ == "__main__":
    main()
