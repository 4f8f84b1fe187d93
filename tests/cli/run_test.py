"""`qsmpi run` end to end on a tiny simulated cohort."""
import csv
import json
import os
import shutil
import signal
import subprocess
import time

from support import FAST, QSMPI, Case, assert_same_tree, environment, main, mpirun, nifti_bytes, read_nifti, run, tree, wait_for


def stages_run(log):
    """Names of the stages of computation that a job's log says were run."""
    with open(log, encoding="utf-8") as file:
        stages = [line.split("INFO stage ")[1].split(",")[0] for line in file if "INFO stage " in line]
    return [s for s in stages if s not in ("record", "publish")]


class Run(Case):
    def out(self, name="out"):
        return self.path(name)

    def test_gives_maps_sidecars_pictures_table_and_status(self):
        bids = self.phantom(2)
        run("run", bids, self.out(), *FAST)
        for sub in ("sub-01", "sub-02"):
            base = self.path("out", sub, "anat", sub + "_")
            shape, chi = read_nifti(base + "Chimap.nii.gz")
            self.assertEqual(shape, (44, 52, 44))
            self.assertTrue(any(chi))
            with open(base + "Chimap.json", encoding="utf-8") as file:
                self.assertIn("tkd", file.read())
            for name in ("mask.nii.gz", "Chimap.png"):
                self.assertTrue(os.path.exists(base + name), name)
        for name in ("dataset_description.json", "methods.txt", "jobs.csv", "journal.jsonl", "contact_sheet.png"):
            self.assertTrue(os.path.exists(self.path("out", name)), name)
        self.assertEqual(self.read("out/status"), "0\n")
        with open(self.path("out/jobs.csv"), encoding="utf-8") as file:
            self.assertEqual([row["state"] for row in csv.DictReader(file)], ["done", "done"])
        status = json.loads(run("status", self.out(), "--json").stdout)
        self.assertEqual((status["done"], status["failed"]), (2, 0))
        self.assertEqual([n for n in tree(self.out()) if ".tmp" in n], [])

    def test_methods_txt_has_a_paragraph_for_scans_of_one_kind(self):
        bids = self.phantom(3)
        folder = os.path.join(bids, "sub-02/anat")
        for name in os.listdir(folder):
            if "echo-2" in name or "echo-3" in name:
                os.remove(os.path.join(folder, name))
        run("run", bids, self.out(), *FAST, "--reference", "none")
        text = self.read("out/methods.txt")
        several, one = text.split("Of 1 scan (sub-02):")
        self.assertIn("Of 2 scans (sub-01, sub-03):", several)
        self.assertIn("coil phase", several)
        self.assertNotIn("coil phase", one)
        for branch in ("Where", "or else", "two echoes", "or more"):
            self.assertNotIn(branch, text)
        before = os.stat(self.path("out/methods.txt")).st_mtime_ns
        run("run", bids, self.out(), *FAST, "--reference", "none")
        self.assertEqual(os.stat(self.path("out/methods.txt")).st_mtime_ns, before, "nothing was done")
        run("run", bids, self.out(), *FAST, "--unwrapping", "laplacian")
        self.assertIn("Laplacian", self.read("out/methods.txt"))

    def test_a_second_run_does_nothing(self):
        bids = self.phantom(2)
        run("run", bids, self.out(), *FAST)
        before = {n: os.stat(os.path.join(self.out(), n)).st_mtime_ns for n in tree(self.out()) if "Chimap" in n or n.endswith(".h5")}
        start = time.monotonic()
        text = run("run", bids, self.out(), *FAST).stderr
        self.assertLess(time.monotonic() - start, 5)  # 1 s on a quiet machine
        self.assertIn("nothing to do", text)
        after = {n: os.stat(os.path.join(self.out(), n)).st_mtime_ns for n in before}
        self.assertEqual(before, after)

    def test_force_does_all_of_it_again(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST)
        log = self.path("out/logs/sub-01.log")
        first = stages_run(log)
        os.remove(log)
        text = run("run", bids, self.out(), *FAST[1:], "--force").stderr
        self.assertNotIn("up to date", text)
        self.assertEqual(stages_run(log), first)

    def test_a_job_that_is_up_to_date_keeps_its_log(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST)
        before = self.read("out/logs/sub-01.log")
        os.remove(self.path("out/journal.jsonl"))  # as if the run had died before it was told of the end
        self.assertIn("up to date", run("run", bids, self.out(), *FAST[1:]).stderr)
        self.assertEqual(self.read("out/logs/sub-01.log"), before)
        self.assertEqual(os.listdir(self.path("out/logs")), ["sub-01.log"])
        run("run", bids, self.out(), *FAST, "--reference", "none")
        self.assertEqual(stages_run(self.path("out/logs/sub-01.log")), ["chi", "swi"])

    def test_a_changed_option_runs_again_from_the_stage_it_affects(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST)
        log = self.path("out/logs/sub-01.log")
        first = stages_run(log)
        self.assertIn("chi", first)
        os.remove(log)
        run("run", bids, self.out(), *FAST[:-4], "--inversion", "rts", "--background", "vsharp")
        self.assertEqual(stages_run(log), ["chi", "swi"])
        os.remove(log)
        run("run", bids, self.out(), *FAST[:-4], "--inversion", "rts", "--background", "vsharp", "--background-radius-mm", "9")
        self.assertEqual(stages_run(log), ["local_field", "chi", "swi"])

    def test_a_changed_input_runs_again_and_the_others_do_not(self):
        bids = self.phantom(2)
        run("run", bids, self.out(), *FAST)
        os.remove(self.path("out/logs/sub-01.log"))
        os.remove(self.path("out/logs/sub-02.log"))
        sidecar = os.path.join(bids, "sub-02/anat/sub-02_echo-1_part-phase_MEGRE.json")
        for part in ("mag", "phase"):
            sidecar = os.path.join(bids, f"sub-02/anat/sub-02_echo-3_part-{part}_MEGRE.json")
            with open(sidecar, encoding="utf-8") as file:
                content = json.load(file)
            content["EchoTime"] = 0.0161
            with open(sidecar, "w", encoding="utf-8") as file:
                json.dump(content, file)
        run("run", bids, self.out(), *FAST)
        self.assertFalse(os.path.exists(self.path("out/logs/sub-01.log")))
        self.assertTrue(os.path.exists(self.path("out/logs/sub-02.log")))

    def test_a_lost_output_is_made_again(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST)
        chi = self.path("out/sub-01/anat/sub-01_Chimap.nii.gz")
        with open(chi, "rb") as file:
            content = file.read()
        os.remove(chi)
        run("run", bids, self.out(), *FAST)
        with open(chi, "rb") as file:
            self.assertEqual(file.read(), content)

    def test_only_the_chosen_participants_are_done(self):
        bids = self.phantom(3)
        run("run", bids, self.out(), *FAST, "--participant-label", "01", "sub-03")
        self.assertEqual(sorted(d for d in os.listdir(self.out()) if d.startswith("sub-")), ["sub-01", "sub-03"])

    def test_a_broken_scan_is_refused_and_the_others_are_done(self):
        bids = self.phantom(2)
        os.truncate(os.path.join(bids, "sub-01/anat/sub-01_echo-2_part-phase_MEGRE.nii.gz"), 5000)
        os.remove(os.path.join(bids, "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz"))
        result = run("run", bids, self.out(), *FAST, "--report-json", self.path("report.json"), expect=1)
        self.assertIn("sub-01", result.stderr)
        self.assertIn("ERROR", result.stderr)
        self.assertEqual(self.read("out/status"), "1\n")
        self.assertTrue(os.path.exists(self.path("out/sub-02/anat/sub-02_Chimap.nii.gz")))
        self.assertFalse(os.path.exists(self.path("out/sub-01")))
        report = json.loads(self.read("report.json"))
        self.assertTrue(report["findings"])
        # Said again by a run that has nothing else to do.
        again = run("run", bids, self.out(), *FAST, expect=1)
        self.assertIn("ERROR", again.stderr)

    def test_with_nothing_to_run_the_exit_code_is_3(self):
        os.makedirs(self.path("empty"))
        run("run", self.path("empty"), self.out(), *FAST, expect=3)
        self.assertEqual(self.read("out/status"), "3\n")

    def test_a_failing_job_costs_only_itself(self):
        bids = self.phantom(2)
        result = run("run", bids, self.out(), *FAST, expect=1, QSMPI_INJECT="segfault@field@sub-01")
        self.assertTrue(os.path.exists(self.path("out/sub-02/anat/sub-02_Chimap.nii.gz")))
        with open(self.path("out/jobs.csv"), encoding="utf-8") as file:
            states = {row["key"]: row["state"] for row in csv.DictReader(file)}
        self.assertEqual(states, {"sub-01": "failed", "sub-02": "done"})
        self.assertIn("sub-01", run("status", self.out()).stdout)
        run("run", bids, self.out(), *FAST)
        run("run", bids, self.path("clean"), *FAST)
        assert_same_tree(self, self.out(), self.path("clean"))
        del result

    def test_shards_together_do_what_one_run_does(self):
        bids = self.phantom(4)
        for i in range(3):
            run("run", bids, self.out(), *FAST, "--shard", f"{i}/3")
        run("run", bids, self.out(), "group")
        run("run", bids, self.path("whole"), *FAST)
        self.assertEqual(json.loads(run("status", self.out(), "--json").stdout)["done"], 4)
        self.assertEqual(self.read("out/maps.csv").count("\n"), 5)
        os.remove(self.path("out/maps.csv"))
        assert_same_tree(self, self.out(), self.path("whole"))

    def test_a_deadline_that_has_passed_ends_with_75(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST, "--deadline-s", "0.01", expect=75)
        self.assertEqual(self.read("out/status"), "75\n")
        run("run", bids, self.out(), *FAST)
        self.assertEqual(self.read("out/status"), "0\n")


    def test_ctrl_c_ends_with_75_and_the_next_run_does_the_rest(self):
        bids = self.phantom(3)
        process = subprocess.Popen([QSMPI, "run", bids, self.out(), *FAST, "--max-jobs", "1"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        wait_for(lambda: os.path.exists(self.path("out/logs/sub-01.log")) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 75)
        self.assertEqual(self.read("out/status"), "75\n")
        self.assertEqual([n for n in tree(self.out()) if ".tmp" in n], [])
        run("run", bids, self.out(), *FAST)
        self.assertEqual(self.read("out/status"), "0\n")

    def test_an_output_folder_that_cannot_be_one_ends_with_4(self):
        bids = self.phantom(1)
        with open(self.path("out"), "w", encoding="utf-8") as file:
            file.write("in the way")
        for out in ("out", "out/below", "out/further/below"):
            self.assertIn(self.path("out") + " is a file, not a folder", run("run", bids, self.path(out), *FAST, expect=4).stderr)
        self.assertEqual(self.read("out"), "in the way")

    def test_an_output_folder_that_cannot_be_written_ends_with_4_and_a_remedy(self):
        bids = self.phantom(1)
        text = run("run", bids, "/proc/qsmpi/out", *FAST, expect=4).stderr  # not even root can
        self.assertIn("cannot write into the output folder /proc/qsmpi/out: ", text)
        self.assertIn("name another output folder", text)

    def test_an_output_folder_of_another_data_set_is_refused_unless_it_has_moved(self):
        first, second = self.phantom(1, "first"), self.phantom(2, "second")
        run("run", first, self.out(), *FAST)
        for command in (None, mpirun(2)):
            text = run("run", second, self.out(), *FAST, "--participant-label", "02", command=command, expect=2).stderr
            self.assertIn(f"holds the results of another data set, {first}", text)
        self.assertIn(first, self.read("out/dataset_description.json"))
        self.assertFalse(os.path.exists(self.path("out/sub-02")))
        os.symlink(first, self.path("link"))
        self.assertNotIn("WARN", run("run", self.path("link"), self.out(), *FAST).stderr)
        os.remove(self.path("link"))
        os.rename(first, self.path("moved"))
        self.assertIn("which is not there any more", run("run", self.path("moved"), self.out(), *FAST).stderr)
        self.assertIn(self.path("moved"), self.read("out/dataset_description.json"))

    def test_images_that_options_name_are_checked_before_anything_runs(self):
        bids = self.phantom(2)
        truth = os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_mask.nii.gz")
        os.makedirs(self.path("masks"))
        shutil.copy(truth, self.path("masks/01.nii.gz"))
        mask = ["--mask", self.path("masks/{sub}.nii.gz")]
        for more in ([], ["--dry-run"]):
            text = run("run", bids, self.out(), *FAST, *mask, *more, expect=1).stderr
            self.assertIn("ERROR sub-02: --mask: cannot read " + self.path("masks/02.nii.gz"), text)
        self.assertTrue(os.path.exists(self.path("out/sub-01/anat/sub-01_Chimap.nii.gz")))
        self.assertFalse(os.path.exists(self.path("out/sub-02")))
        shape, values = read_nifti(truth)
        with open(self.path("moved.nii"), "wb") as file:
            file.write(nifti_bytes(shape, values, (4.2, 4.2, 4.2), first_x_mm=1000.0))
        for option in ("--mask", "--reference"):
            text = run("run", bids, self.out("other"), *FAST, option, self.path("moved.nii"), expect=3).stderr
            self.assertIn(f"ERROR sub-01: {option}: {self.path('moved.nii')}: affine differs by", text)
            self.assertFalse(os.path.exists(self.path("other/sub-01")))

    def test_a_limit_of_file_sizes_ends_with_4_and_names_the_file(self):
        bids = self.phantom(1)
        text = run(command=["sh", "-c", f"ulimit -f 100; exec '{QSMPI}' run '{bids}' '{self.out()}' {' '.join(FAST)}"], expect=4).stderr
        self.assertIn(self.out() + "/", text)
        self.assertIn("File too large", text)
        maps = [name for name in tree(self.out()) if name.endswith(".nii.gz")]
        self.assertEqual(maps, [])
        run("run", bids, self.out(), *FAST)

    def test_per_echo_gives_a_map_of_each_echo_and_of_all(self):
        bids = self.phantom(1)
        run("run", bids, self.out(), *FAST, "--per-echo")
        maps = sorted(f for f in os.listdir(self.path("out/sub-01/anat")) if f.endswith("Chimap.nii.gz"))
        self.assertEqual(maps, ["sub-01_Chimap.nii.gz"] + [f"sub-01_echo-{e}_Chimap.nii.gz" for e in (1, 2, 3)])


    def test_no_local_field_is_published_where_none_is_made(self):
        bids = self.phantom(1)
        local = self.path("out/sub-01/anat/sub-01_desc-local_fieldmap")
        for background, there in (("vsharp", True), ("none", False)):
            run("run", bids, self.out(), "--no-progress", "--inversion", "tkd", "--background", background)
            for ending in (".nii.gz", ".json"):
                self.assertEqual(os.path.exists(local + ending), there, background + ending)
        self.assertTrue(os.path.exists(self.path("out/sub-01/anat/sub-01_fieldmap.nii.gz")))

    def test_an_erosion_that_takes_nothing_is_told_and_not_claimed(self):
        bids = self.phantom(1)
        for mm, taken in ((2, False), (5, True)):
            run("run", bids, self.out(), *FAST, "--mask-erosion-mm", mm)
            self.assertEqual(f"The mask was eroded by {mm} mm" in self.read("out/methods.txt"), taken)
            said = json.loads(self.read("out/sub-01/anat/sub-01_Chimap.json"))
            self.assertEqual("less than a voxel" in " ".join(said["Warnings"]), not taken)
            self.assertEqual(said["Findings"]["mask"]["eroded_voxels"] > 0, taken)


class Identical(Case):
    """The same results, bit for bit, whatever the number of processes and threads, and after being killed."""

    def test_from_one_two_and_four_threads(self):
        bids = self.phantom(1)
        for n in (1, 2, 4):
            run("run", bids, self.path(f"t{n}"), "--no-progress", "--threads-per-job", n)
        assert_same_tree(self, self.path("t1"), self.path("t2"))
        assert_same_tree(self, self.path("t1"), self.path("t4"))

    def test_from_one_two_and_four_ranks(self):
        bids = self.phantom(3)
        run("run", bids, self.path("r1"), *FAST)
        for n in (2, 4):
            run("run", bids, self.path(f"r{n}"), *FAST, command=mpirun(n))
            assert_same_tree(self, self.path("r1"), self.path(f"r{n}"))

    def test_with_three_ranks_that_survive_each_other(self):
        bids = self.phantom(3)
        run("run", bids, self.path("out"), *FAST, command=mpirun(3, "--enable-recovery"))
        self.assertEqual(self.read("out/status"), "0\n")
        run("run", bids, self.path("one"), *FAST)
        assert_same_tree(self, self.path("out"), self.path("one"))

    def killed_and_resumed(self, command):
        """kill -9 of everything after the first results, three times, then an undisturbed end."""
        bids = self.phantom(4)
        run("run", bids, self.path("calm"), *FAST)
        out = self.path("out")
        for more in (1, 2, 3):
            process = subprocess.Popen([*command, "run", bids, out, *FAST, "--max-jobs", "1"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True)
            journal = os.path.join(out, "journal.jsonl")

            def done():
                if not os.path.exists(journal):
                    return False
                with open(journal, encoding="utf-8") as file:
                    return file.read().count('"done"') >= more

            wait_for(lambda: done() or process.poll() is not None)
            time.sleep(0.05 * more)
            self.kill_all(process, out)
        run("run", bids, out, *FAST)
        assert_same_tree(self, out, self.path("calm"))

    def kill_all(self, process, out):
        """Every process whose arguments name this output folder, their children, and the launcher; until none is left."""
        def victims():
            found = set()
            for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
                try:
                    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                        state, parent = file.read().rsplit(")", 1)[1].split()[:2]
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        named = out.encode() in file.read()
                except OSError:
                    continue
                if state != "Z" and pid != os.getpid() and (named or pid == process.pid or int(parent) in found):
                    found.add(pid)
            return found

        killed = set()

        def gone():
            for pid in (alive := victims()):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                except ProcessLookupError:
                    pass
            return not alive

        wait_for(gone)
        process.wait()
        # Orphans stay as zombies until init has reaped them.
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in killed))

    def test_after_kill_9_of_everything_and_a_resume(self):
        self.killed_and_resumed([QSMPI])

    def test_after_kill_9_of_three_ranks_and_a_resume(self):
        self.killed_and_resumed(mpirun(3))

    def test_from_a_copy_of_the_data_elsewhere(self):
        bids = self.phantom(1)
        shutil.copytree(bids, self.path("copy"))
        run("run", bids, self.path("a"), *FAST)
        run("run", self.path("copy"), self.path("b"), *FAST)
        chi = "sub-01/anat/sub-01_Chimap.nii.gz"
        self.assertEqual(tree(self.path("a"))[chi], tree(self.path("b"))[chi])


if __name__ == "__main__":
    main()
