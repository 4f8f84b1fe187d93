"""Scans and echoes that `qsmpi run` does not use, and where it says so."""
import csv
import json
import os
import shutil
import struct

from support import FAST, Case, main, mpirun, nifti_bytes, run


def png_height(path):
    with open(path, "rb") as file:
        return struct.unpack(">I", file.read(24)[20:])[0]


class Refused(Case):
    def out(self):
        return self.path("out")

    def without_echo_times(self, bids, sub):
        """Takes EchoTime out of every sidecar of a subject; returns what puts it back."""
        folder = os.path.join(bids, sub, "anat")
        shutil.copytree(folder, self.path("kept-" + sub))
        for name in os.listdir(folder):
            if not name.endswith(".json"):
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                content = json.load(file)
            content.pop("EchoTime", None)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump(content, file)
        return lambda: shutil.copytree(self.path("kept-" + sub), folder, dirs_exist_ok=True)

    def rows(self, out="out"):
        with open(self.path(out, "jobs.csv"), encoding="utf-8") as file:
            return {row["key"]: row for row in csv.DictReader(file)}

    def test_a_refused_scan_is_in_plan_table_status_and_contact_sheet_with_its_reason(self):
        bids = self.phantom(2)
        run("run", bids, self.path("alone"), *FAST, "--participant-label", "02")
        repair = self.without_echo_times(bids, "sub-01")
        plan = run("run", bids, self.out(), *FAST, "--dry-run", "--report-json", self.path("plan.json"), expect=1).stdout
        self.assertIn("1 job, 1 refused", plan)
        self.assertRegex(plan, r"refused sub-01: .*EchoTime = missing")
        refused = json.loads(self.read("plan.json"))["jobs"][0]
        self.assertEqual((refused["key"], refused["refused"]), ("sub-01", True))
        self.assertIn("EchoTime", refused["reason"])
        for more in range(2):  # the second time nothing runs, and nothing is forgotten
            run("run", bids, self.out(), *FAST, expect=1)
            self.assertEqual({key: row["state"] for key, row in self.rows().items()}, {"sub-01": "refused", "sub-02": "done"})
            self.assertIn("EchoTime = missing", self.rows()["sub-01"]["message"])
            text = run("status", self.out()).stdout
            self.assertIn("1 of 2 jobs done, 0 failed, 1 refused", text)
            self.assertRegex(text, r"sub-01: refused: .*EchoTime = missing")
            self.assertEqual(json.loads(run("status", self.out(), "--json").stdout)["refused"], 1)
        self.assertGreater(png_height(self.path("out/contact_sheet.png")), png_height(self.path("alone/contact_sheet.png")) + 100)
        self.assertEqual(self.read("out/journal.jsonl").count('"refused"'), 1)
        repair()
        run("run", bids, self.out(), *FAST)
        self.assertEqual([row["state"] for row in self.rows().values()], ["done", "done"])

    def test_if_all_scans_are_refused_status_tells_why(self):
        bids = self.phantom(1)
        repair = self.without_echo_times(bids, "sub-01")
        run("run", bids, self.out(), *FAST, expect=3)
        self.assertEqual(self.read("out/status"), "3\n")
        self.assertEqual(self.rows()["sub-01"]["state"], "refused")
        text = run("status", self.out()).stdout
        self.assertIn("ended with status 3", text)
        self.assertRegex(text, r"sub-01: refused: .*EchoTime = missing")
        self.assertTrue(os.path.exists(self.path("out/contact_sheet.png")))
        run("run", bids, self.out(), *FAST, command=mpirun(2), expect=3)
        repair()
        run("run", bids, self.out(), *FAST)
        self.assertIn("1 of 1 jobs done", run("status", self.out()).stdout)

    def test_an_echo_that_lacks_an_image_is_left_out_and_said_everywhere(self):
        bids = self.phantom(1)
        echo = "sub-01/anat/sub-01_echo-2_part-"
        os.remove(os.path.join(bids, echo + "phase_MEGRE.nii.gz"))
        problem = f"echo 2 is left out: {echo}phase_MEGRE.nii.gz is missing"
        plan = run("run", bids, self.out(), *FAST, "--dry-run").stdout
        self.assertIn(f"ignored {echo}mag_MEGRE.nii.gz: {problem}", plan)
        self.assertIn("1 job, 0 refused", plan)
        self.assertIn(f"WARN  sub-01: {problem}; add what is missing", run("run", bids, self.out(), *FAST).stderr)
        self.assertEqual(self.rows()["sub-01"]["state"], "done")
        self.assertIn(problem, self.rows()["sub-01"]["warnings"])
        self.assertIn(f"sub-01: warning: {problem}", run("status", self.out()).stdout)
        sidecar = json.loads(self.read("out/sub-01/anat/sub-01_Chimap.json"))
        self.assertEqual(sidecar["EchoTime"], [0.004, 0.016])
        self.assertIn(problem, sidecar["Warnings"])

    def test_a_scan_whose_label_is_no_label_is_refused_with_the_reason(self):
        bids = self.phantom(1)
        os.rename(os.path.join(bids, "sub-01"), os.path.join(bids, "sub-x_y"))
        folder = os.path.join(bids, "sub-x_y", "anat")
        for name in os.listdir(folder):
            os.rename(os.path.join(folder, name), os.path.join(folder, name.replace("sub-01", "sub-x_y")))
        text = run("run", bids, self.out(), *FAST, expect=3).stderr
        self.assertIn("sub = x_y: a label that BIDS does not allow; rename files and folders: letters and digits only", text)
        self.assertEqual(self.rows()["sub-x_y"]["state"], "refused")
        self.assertIn("1 refused", run("run", bids, self.out(), "--dry-run", expect=3).stdout)

    def test_a_map_of_an_earlier_input_is_no_result_once_the_scan_is_refused_or_fails(self):
        bids = self.phantom(2)
        run("run", bids, self.out(), *FAST)
        os.truncate(os.path.join(bids, "sub-01/anat/sub-01_echo-2_part-phase_MEGRE.nii.gz"), 5000)
        run("run", bids, self.out(), *FAST, expect=1)
        self.assertTrue(os.path.exists(self.path("out/sub-01/anat/sub-01_Chimap.nii.gz")), "nothing is deleted")
        run("run", bids, self.out(), "group")
        self.assertEqual(self.read("out/maps.csv"), "scan,map\nsub-02,sub-02/anat/sub-02_Chimap.nii.gz\n")
        self.assertNotIn("sub-01", self.read("out/methods.txt"))
        shutil.rmtree(self.path("out/sub-01"))
        run("sheet", self.out(), "--output", self.path("without.png"))
        with open(self.path("out/contact_sheet.png"), "rb") as file, open(self.path("without.png"), "rb") as without:
            self.assertEqual(file.read(), without.read())
        run("run", bids, self.out(), *FAST, "--participant-label", "02", "--background-radius-mm", "9", expect=1, QSMPI_INJECT="segfault@chi@sub-02")
        self.assertIn("no maps to gather", run("run", bids, self.out(), "group", expect=3).stderr)

    def test_the_dry_run_counts_the_volumes_of_a_stack_as_the_run_does(self):
        bids = self.path("bids")
        os.makedirs(os.path.join(bids, "sub-01/anat"))
        for part in ("mag", "phase"):
            with open(os.path.join(bids, f"sub-01/anat/sub-01_part-{part}_MEGRE.nii"), "wb") as file:
                file.write(nifti_bytes((8, 8, 8, 3), [0.01 * (i % 600 - 300) for i in range(3 * 512)]))
        self.assertIn("EchoTime = missing: no number of seconds for each of 3 echoes",
                      run("run", bids, self.out(), "--dry-run", expect=3).stderr)
        with open(os.path.join(bids, "sub-01/anat/sub-01_part-phase_MEGRE.json"), "w", encoding="utf-8") as file:
            json.dump({"EchoTime": [0.004, 0.010, 0.016], "MagneticFieldStrength": 3, "Units": "rad"}, file)
        self.assertIn("job     sub-01: 3 echoes", run("run", bids, self.out(), "--dry-run").stdout)

    def test_each_shard_records_the_refused_scans_that_are_its_own(self):
        bids = self.phantom(3)
        self.without_echo_times(bids, "sub-01")
        codes = [run("run", bids, self.out(), *FAST, "--shard", f"{i}/2", expect=None).returncode for i in range(2)]
        self.assertEqual(codes.count(0), 1, codes)
        tables = [self.read("out", f"jobs.{i}-of-2.csv") if os.path.exists(self.path("out", f"jobs.{i}-of-2.csv")) else "" for i in range(2)]
        self.assertEqual(sum(t.count("sub-01,refused") for t in tables), 1)
        self.assertIn("2 of 3 jobs done, 0 failed, 1 refused", run("status", self.out()).stdout)


if __name__ == "__main__":
    main()
