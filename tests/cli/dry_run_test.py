"""`qsmpi run --dry-run`: what would be done, and nothing done."""
import json
import os

from support import Case, main, run


class DryRun(Case):
    def test_says_what_becomes_of_every_image_and_writes_nothing(self):
        bids = self.phantom(1)
        text = run("run", bids, self.path("out"), "--dry-run", "--report-json", self.path("plan.json")).stdout
        for echo in (1, 2, 3):
            self.assertIn(f"used    sub-01/anat/sub-01_echo-{echo}_part-phase_MEGRE.nii.gz", text)
        self.assertIn("1 job, 0 refused", text)
        self.assertIn("44x52x44 voxels", text)
        self.assertFalse(os.path.exists(self.path("out")))
        plan = json.loads(self.read("plan.json"))
        self.assertEqual([j["key"] for j in plan["jobs"]], ["sub-01"])
        self.assertGreater(plan["jobs"][0]["memory_mb"], 1)

    def test_plans_empty_files_by_name(self):
        bids = self.phantom(2)
        for path, _, files in os.walk(bids):
            for file in files:
                if file.endswith(".nii.gz"):
                    os.truncate(os.path.join(path, file), 0)
        text = run("run", bids, self.path("out"), "--dry-run").stdout
        self.assertIn("2 jobs, 0 refused", text)


if __name__ == "__main__":
    main()
