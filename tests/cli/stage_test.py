"""One step of the chain on a folder of images, as the QSM-CI benchmark calls it; and presets."""
import json
import math
import os
import re
import shutil
import gzip

from support import Case, main, nifti_bytes, read_nifti, run, write_nifti

ECHO_TIMES_S = [0.004, 0.010, 0.016]


class StageCase(Case):
    def folder_of(self, *artifacts, name="in", **params):
        """An input folder made from the phantom's truth and echoes; artifacts without ending."""
        bids = self.path("bids")
        if not os.path.exists(bids):
            self.phantom(1)
        truth = os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_")
        folder = self.path(name)
        os.makedirs(folder)
        sources = {"mask": "mask", "totalfield": "fieldppm", "localfield": "localppm"}
        for artifact in artifacts:
            target = os.path.join(folder, artifact + ".nii.gz")
            if artifact in sources:
                shutil.copy(truth + sources[artifact] + ".nii.gz", target)
                continue
            part = {"phase": "phase", "magnitude": "mag"}[artifact]
            values = []
            for echo in (1, 2, 3):
                shape, one = read_nifti(os.path.join(bids, f"sub-01/anat/sub-01_echo-{echo}_part-{part}_MEGRE.nii.gz"))
                values += one
            with gzip.open(target, "wb", compresslevel=1) as file:
                file.write(nifti_bytes((*shape, 3), values, (4.2, 4.2, 4.2)))
        self.write_params(name, **params)
        return folder

    def write_params(self, name="in", **changes):
        params = {"TE": ECHO_TIMES_S, "B0": 3.0, "B0_dir": [0, 0, 1], "voxel_size": [4.2, 4.2, 4.2], **changes}
        with open(self.path(name, "params.json"), "w", encoding="utf-8") as file:
            json.dump({k: v for k, v in params.items() if v is not None}, file)

    def truth(self, name):
        return self.path("bids/derivatives/truth/sub-01/anat", f"sub-01_{name}.nii.gz")

    def score(self, result):
        return json.loads(run("score", self.truth("Chimap"), result, "--mask", self.truth("mask")).stdout)

    def relative_error(self, result, truth):
        """Norm of the difference over the norm of the truth, both demeaned, where the result is not 0."""
        got, want = read_nifti(result)[1], read_nifti(truth)[1]
        pairs = [(g, w) for g, w in zip(got, want) if g != 0.0]
        self.assertGreater(len(pairs), 2000)
        mean = lambda values: sum(values) / len(values)
        g0, w0 = mean([g for g, _ in pairs]), mean([w for _, w in pairs])
        return math.sqrt(sum((g - g0 - w + w0) ** 2 for g, w in pairs) / sum((w - w0) ** 2 for _, w in pairs))

    def refused(self, task, *options, name="in", expect=3):
        text = run("stage", task, self.path(name), self.path("out"), *options, expect=expect).stderr
        self.assertFalse(os.path.exists(self.path("out")), "nothing is written")
        return text


class Stage(StageCase):
    def test_maps_the_field_inside_the_given_mask(self):
        folder = self.folder_of("phase", "magnitude", "mask")
        run("stage", "field-mapping", folder, self.path("out"))
        self.assertLess(self.relative_error(self.path("out/totalfield.nii.gz"), self.truth("fieldppm")), 0.1)
        field, mask = read_nifti(self.path("out/totalfield.nii.gz"))[1], read_nifti(self.truth("mask"))[1]
        self.assertTrue(all(f == 0 for f, m in zip(field, mask) if not m))

    def test_removes_the_background(self):
        folder = self.folder_of("totalfield", "mask")
        run("stage", "bfr", folder, self.path("out"), "--background", "vsharp")
        # Voxels of 4.2 mm mix air and tissue at the rim: 0.61 measured, where 1 would be no better than nothing.
        self.assertLess(self.relative_error(self.path("out/localfield.nii.gz"), self.truth("localppm")), 0.7)

    def test_inverts_a_local_field(self):
        folder = self.folder_of("localfield", "mask")
        run("stage", "dipole", folder, self.path("out"))
        self.assertGreater(self.score(self.path("out/chimap.nii.gz"))["xsim"], 0.5)

    def test_goes_from_field_and_from_phase_to_susceptibility(self):
        self.folder_of("totalfield", "mask", "magnitude", name="field")
        self.folder_of("phase", "magnitude", "mask", name="echoes")
        run("stage", "bfr+dipole", self.path("field"), self.path("out1"))
        run("stage", "end-to-end", self.path("echoes"), self.path("out2"))
        run("stage", "unwrap+bfr", self.path("echoes"), self.path("out3"))
        self.assertGreater(self.score(self.path("out1/chimap.nii.gz"))["xsim"], 0.3)
        self.assertGreater(self.score(self.path("out2/chimap.nii.gz"))["xsim"], 0.3)
        self.assertEqual(sorted(os.listdir(self.path("out3"))), ["localfield.json", "localfield.nii.gz"])

    def test_steps_one_after_the_other_are_the_whole(self):
        self.folder_of("totalfield", "mask", name="in")
        run("stage", "bfr", self.path("in"), self.path("a"), "--background", "pdf")
        shutil.copy(self.path("in/params.json"), self.path("a"))
        shutil.copy(self.path("in/mask.nii.gz"), self.path("a"))
        run("stage", "dipole", self.path("a"), self.path("b"), "--inversion", "tkd")
        run("stage", "bfr+dipole", self.path("in"), self.path("c"), "--background", "pdf", "--inversion", "tkd")
        one, other = read_nifti(self.path("b/chimap.nii.gz"))[1], read_nifti(self.path("c/chimap.nii.gz"))[1]
        self.assertLess(max(abs(p - q) for p, q in zip(one, other)), 1e-5)

    def test_removes_the_background_as_the_command_of_that_name_does(self):
        # A ball of 1 ppm inside the mask, another below it; magnitude of two echoes.
        shape, centre = (24, 22, 26), (11.5, 10.5, 12.5)

        def field(x, y, z):
            sum_ppm = 0.0
            for at, radius in ((centre, 3), ((11.5, 10.5, -6.0), 5)):
                d = (x - at[0], y - at[1], z - at[2])
                r = math.hypot(*d)
                sum_ppm += 0.0 if r < radius else (radius / r) ** 3 / 3 * (3 * (d[2] / r) ** 2 - 1)
            return sum_ppm

        inside = lambda x, y, z: math.dist((x, y, z), centre) < 10
        os.makedirs(self.path("in"))
        grid = [(x, y, z) for z in range(shape[2]) for y in range(shape[1]) for x in range(shape[0])]
        noise = lambda x, y, z: 0.01 * ((7 * x + 13 * y + 29 * z) % 17)
        images = {"totalfield": (shape, [field(*v) for v in grid]), "mask": (shape, [float(inside(*v)) for v in grid]),
                  "magnitude": ((*shape, 2), [m * float(inside(*v)) + noise(*v) for m in (2.0, 1.5) for v in grid])}
        for name, (size, values) in images.items():
            with gzip.open(self.path("in", name + ".nii.gz"), "wb", compresslevel=1) as file:
                file.write(nifti_bytes(size, values))
        self.write_params(TE=[0.01, 0.02], voxel_size=[1, 1, 1])
        for options in ([], ["--magnitude", self.path("in/magnitude.nii.gz"), "--echo-times-s", "0.01,0.02"]):
            if not options:
                os.rename(self.path("in/magnitude.nii.gz"), self.path("magnitude.nii.gz"))
            run("stage", "bfr", self.path("in"), self.path("out"))
            if not options:
                os.rename(self.path("magnitude.nii.gz"), self.path("in/magnitude.nii.gz"))
            run("background", self.path("in/totalfield.nii.gz"), self.path("in/mask.nii.gz"), self.path("local.nii.gz"),
                "--b0-tesla", 3, *options)
            self.assertEqual(read_nifti(self.path("local.nii.gz")), read_nifti(self.path("out/localfield.nii.gz")))
        text = run("background", self.path("in/totalfield.nii.gz"), self.path("in/mask.nii.gz"), self.path("x.nii.gz"),
                   "--magnitude", self.path("in/magnitude.nii.gz"), expect=2).stderr
        self.assertIn("--echo-times-s: 0 echo times, but --magnitude has 2 volumes", text)

    def test_says_what_it_uses_where_two_things_are_said(self):
        folder = self.folder_of("localfield", "mask")
        tkd = ["--inversion", "tkd"]
        warned = lambda: json.loads(self.read("out/chimap.json"))["Warnings"]
        self.assertIn("mask.nii.gz is the mask, not 'quality' of preset gre",
                      run("stage", "dipole", folder, self.path("out"), *tkd, "--preset", "gre").stderr)
        self.assertEqual(warned(), [])
        shape, mask = read_nifti(self.truth("mask"))
        for values, words in (([0.5 * m for m in mask], "between 0 and 1"),
                              ([math.nan if i % 1000 == 0 else float(m) for i, m in enumerate(mask)], "101 voxels are NaN")):
            with gzip.open(os.path.join(folder, "mask.nii.gz"), "wb", compresslevel=1) as file:
                file.write(nifti_bytes(shape, values, (4.2, 4.2, 4.2)))
            run("stage", "dipole", folder, self.path("out"), *tkd)
            self.assertIn(words, " ".join(warned()))
        shutil.copy(self.truth("mask"), os.path.join(folder, "mask.nii.gz"))
        for direction, words in (([1, 0, 0], "B0_dir is 90 degrees from the [0, 0, 1]"), ([0, 0, -1], ""), ([0, 0.1564, 0.9877], "")):
            self.write_params(B0_dir=direction)
            run("stage", "dipole", folder, self.path("out"), *tkd)
            self.assertIn(words, " ".join(warned()))
            self.assertEqual(len(warned()), 1 if words else 0)

    def test_does_without_a_magnitude_that_tells_nothing(self):
        folder = self.folder_of("localfield", "mask")
        run("stage", "dipole", folder, self.path("without"))
        shutil.copy(self.truth("mask"), os.path.join(folder, "magnitude.nii.gz"))
        self.write_params(TE=[0.02])
        self.assertIn("tells nothing", run("stage", "dipole", folder, self.path("with")).stderr)
        self.assertEqual(read_nifti(self.path("with/chimap.nii.gz")), read_nifti(self.path("without/chimap.nii.gz")))

    def test_takes_the_direction_of_b0_from_params(self):
        # The field of a ball turns with B0: inverted with the wrong axis, the ball is lost.
        shape, centre = (32, 32, 32), 15.5

        def field(x, y, z):
            d = (x - centre, y - centre, z - centre)
            r = math.hypot(*d)
            return 0.0 if r < 5 else (5 / r) ** 3 / 3 * (3 * (d[0] / r) ** 2 - 1)

        os.makedirs(self.path("in"))
        for name, value in (("localfield", field), ("mask", lambda x, y, z: float(math.dist((x, y, z), [centre] * 3) < 14))):
            write_nifti(self.path("v.nii"), shape, value)
            with open(self.path("v.nii"), "rb") as source, gzip.open(self.path("in", name + ".nii.gz"), "wb") as file:
                file.write(source.read())
        contrast = {}
        for axis, direction in (("x", [1, 0, 0]), ("z", [0, 0, 1])):
            self.write_params(TE=0.02, B0_dir=direction, voxel_size=[1, 1, 1])
            run("stage", "dipole", self.path("in"), self.path(axis), "--inversion", "tkd")
            values = read_nifti(self.path(axis, "chimap.nii.gz"))[1]
            inside = [v for i, v in enumerate(values) if math.dist((i % 32, i // 32 % 32, i // 1024), [centre] * 3) < 3]
            contrast[axis] = sum(inside) / len(inside)
        self.assertGreater(contrast["x"], 0.7)
        self.assertLess(contrast["z"], 0.5 * contrast["x"])

    def test_reads_its_options_from_config_json_under_those_of_the_command_line(self):
        folder = self.folder_of("localfield", "mask")
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump({"preset": "fast", "inversion": "rts", "inversion-lambda": 0.2, "reference": "none"}, file)
        run("stage", "dipole", folder, self.path("out"), "--reference", "mean")
        said = json.loads(self.read("out/chimap.json"))
        self.assertEqual((said["Preset"], said["Stage"]), ("fast", "dipole"))
        chosen = {k: said["Parameters"][k] for k in ("inversion", "inversion_lambda", "reference")}
        self.assertEqual(chosen, {"inversion": "rts", "inversion_lambda": 0.2, "reference": "mean"})

    def test_says_what_was_done_not_what_was_asked_for(self):
        folder = self.folder_of("phase", "magnitude", "totalfield", "localfield", "mask")
        run("stage", "end-to-end", folder, self.path("whole"))
        said = json.loads(self.read("whole/chimap.json"))
        self.assertEqual(said["Method"]["local_field"], ["separation"])
        self.assertEqual(said["Method"]["mask"], ["given mask"])
        self.assertIn("tv", said["Method"]["chi"])
        self.assertEqual(said["Method"]["phase"], ["MCPC-3D-S"])
        chosen = said["Parameters"]
        self.assertEqual((chosen["background"], chosen["inversion"], chosen["null_space"]), ("separation", "tv", "on"))
        self.assertEqual((chosen["bipolar"], chosen["offset_method"], chosen["r2star"]), ("off", "mcpc3ds", "nlls"))
        self.assertEqual(chosen["background_rounds"], 5)
        self.assertGreater(chosen["inversion_lambda"], 0)
        self.assertNotIn("used", said["Findings"]["chi"])
        # The same words as the sidecar of a run of the same data, but for the mask.
        run("run", self.path("bids"), self.path("run"), "--no-progress")
        of_run = json.loads(self.read("run/sub-01/anat/sub-01_Chimap.json"))
        same = ("background", "background_rounds", "background_cleanup", "inversion", "inversion_lambda", "null_space", "unwrapping")
        self.assertEqual({k: chosen[k] for k in same}, {k: of_run["Parameters"][k] for k in same})
        self.assertEqual(said["Method"]["local_field"], of_run["Method"]["local_field"])

        # A part of the chain lists its own steps only.
        run("stage", "dipole", folder, self.path("dipole"))
        said = json.loads(self.read("dipole/chimap.json"))
        self.assertEqual(sorted(said["Method"]), ["chi", "mask"])
        self.assertNotIn("background", said["Parameters"])
        self.assertEqual(said["Parameters"]["null_space"], "off")
        run("stage", "bfr", folder, self.path("bfr"), "--background", "vsharp")
        said = json.loads(self.read("bfr/localfield.json"))
        self.assertEqual(said["Parameters"]["background_radius_mm"], 12)
        self.assertEqual(sorted(said["Method"]), ["local_field", "mask"])

    def test_of_one_echo_takes_a_3d_phase_and_one_number_for_te(self):
        self.folder_of("mask")
        for part in ("phase", "mag"):
            shutil.copy(self.path(f"bids/sub-01/anat/sub-01_echo-2_part-{part}_MEGRE.nii.gz"),
                        self.path("in", {"phase": "phase", "mag": "magnitude"}[part] + ".nii.gz"))
        self.write_params(TE=0.010)
        run("stage", "end-to-end", self.path("in"), self.path("out"))
        self.assertGreater(self.score(self.path("out/chimap.nii.gz"))["xsim"], 0.1)


class BadStageInput(StageCase):
    def test_missing_files_are_named_all_at_once(self):
        os.makedirs(self.path("in"))
        text = self.refused("end-to-end")
        for name in ("mask.nii.gz", "params.json", "phase.nii.gz", "magnitude.nii.gz"):
            self.assertIn(name, text)

    def test_a_folder_that_is_none(self):
        self.assertIn("not a folder", self.refused("bfr", name="nowhere"))

    def test_an_unknown_task_is_answered_with_the_nearest(self):
        self.assertIn("'dipole'", self.refused("dipol", expect=2))

    def test_params_are_checked_key_by_key(self):
        self.folder_of("localfield", "mask")
        for change, words in (({"TE": [4, 12, 20]}, ("TE", "milliseconds", "1000")),
                              ({"TE": []}, ("TE", "seconds")),
                              ({"TE": [0.01, 0.005]}, ("TE", "rise")),
                              ({"TE": [0.0, 0.005]}, ("TE", "positive")),
                              ({"TE": "0.01"}, ("TE", "seconds")),
                              ({"TE": [5e-6, 10e-6]}, ("TE", "earlier than any gradient echo", "seconds")),
                              ({"B0": 1e-9}, ("B0", "expected tesla, 0.01 to 25")),
                              ({"B0": 3000}, ("B0", "expected tesla, 0.01 to 25")),
                              ({"B0": None}, ("B0", "missing", "tesla")),
                              ({"B0": None, "b0": 3}, ("B0", "though there is b0")),
                              ({"B0": 3e8}, ("B0", "tesla")),
                              ({"B0_dir": [0, 0, 2]}, ("B0_dir", "length 2")),
                              ({"B0_dir": [0, 1]}, ("B0_dir", "three numbers")),
                              ({"voxel_size": [1, 1, 1]}, ("voxel_size", "4.2"))):
            with self.subTest(change=change):
                self.write_params(**change)
                text = self.refused("dipole")
                for word in ("params.json", *words):
                    self.assertIn(word, text)
                self.assertEqual(text.count("\n"), 1, text)

    def test_params_that_are_not_json(self):
        self.folder_of("localfield", "mask")
        with open(self.path("in/params.json"), "w", encoding="utf-8") as file:
            file.write("TE = 1")
        self.assertIn("params.json: is not JSON at line 1, column 1", self.refused("dipole"))
        with open(self.path("in/params.json"), "w", encoding="utf-8") as file:
            file.write('{"TE": [0.01],\n "B0": NaN}')
        self.assertIn("params.json: is not JSON at line 2, column 8", self.refused("dipole"))
        with open(self.path("in/params.json"), "w", encoding="utf-8") as file:
            file.write('{"TE": [1e999], "B0": 3}')
        self.assertIn("params.json: holds a number that is too large", self.refused("dipole"))

    def test_shapes_echoes_and_values_are_checked(self):
        folder = self.folder_of("localfield", "mask", "phase", "magnitude")
        shape, values = read_nifti(self.truth("localppm"))

        def replaced(name, shape, values, task):
            with open(os.path.join(folder, name), "rb") as file:
                keep = file.read()
            with gzip.open(os.path.join(folder, name), "wb", compresslevel=1) as file:
                file.write(nifti_bytes(shape, values, (4.2, 4.2, 4.2)))
            text = self.refused(task)
            self.assertIn(name, text)
            with open(os.path.join(folder, name), "wb") as file:
                file.write(keep)
            return text

        centre = shape[0] // 2 + shape[0] * (shape[1] // 2 + shape[1] * (shape[2] // 2))
        broken = list(values)
        broken[centre] = math.nan
        self.assertIn("1 voxels inside the mask are NaN", replaced("localfield.nii.gz", shape, broken, "dipole"))
        self.assertIn("40 x 40 x 40", replaced("localfield.nii.gz", (40, 40, 40), [0.1] * 64000, "dipole"))
        self.assertIn("all voxels are zero", replaced("mask.nii.gz", shape, [0.0] * len(values), "dipole"))
        self.assertIn("radians", replaced("phase.nii.gz", (*shape, 3), [4095.0 * v for v in values] * 3, "field-mapping"))
        self.assertIn("no voxel is above zero", replaced("magnitude.nii.gz", (*shape, 3), [-1.0 - v for v in values] * 3, "dipole"))
        self.assertIn("3 echo times", replaced("phase.nii.gz", (*shape, 2), list(values) * 2, "field-mapping"))

    def test_a_damaged_image_is_named(self):
        folder = self.folder_of("localfield", "mask")
        with open(os.path.join(folder, "localfield.nii.gz"), "r+b") as file:
            file.truncate(20000)
        self.assertIn("localfield.nii.gz", self.refused("dipole"))

    def test_config_json_is_checked(self):
        folder = self.folder_of("localfield", "mask")
        for content, word in (({"inversionn": "tkd"}, "did you mean 'inversion'"), ({"inversion": "magic"}, "'magic'"),
                              ({"inversion_lambda": "much"}, "not a number"), ([1], "not a JSON object"),
                              ({"inversion_lambda": 1, "inversion-lambda": 2}, "given twice")):
            with self.subTest(content=content):
                with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                    json.dump(content, file)
                text = self.refused("dipole")
                self.assertIn("config.json", text)
                self.assertIn(word, text)

    def test_another_mask_and_a_map_of_each_echo_are_refused(self):
        self.folder_of("localfield", "mask")
        self.assertIn("mask.nii.gz", self.refused("dipole", "--mask", "quality", expect=2))
        self.assertIn("per_echo", self.refused("dipole", "--per-echo"))

    def test_a_background_that_an_inversion_of_the_total_field_would_not_remove_is_refused(self):
        self.folder_of("totalfield", "mask")
        self.assertIn("has no effect with inversion 'tgv'", self.refused("bfr+dipole", "--inversion", "tgv", "--background", "pdf", expect=2))
        self.assertIn("inversion tgv starts from the total field", self.refused("bfr", "--inversion", "tgv"))

    def test_a_field_that_no_scanner_measures_is_refused(self):
        folder = self.folder_of("localfield", "mask")
        shape, values = read_nifti(self.truth("localppm"))
        with gzip.open(os.path.join(folder, "localfield.nii.gz"), "wb", compresslevel=1) as file:
            file.write(nifti_bytes(shape, [1e30, *values[1:]], (4.2, 4.2, 4.2)))
        text = self.refused("dipole")
        self.assertIn("localfield.nii.gz: 1e+30: no scanner measures", text)
        self.assertIn("ppm", text)


class Presets(Case):
    def written(self, *options):
        """Options in force, from a written configuration file; those at their default or preset are comments."""
        run("run", "a", "b", *options, "--write-config", self.path("out.ini"))
        return dict(re.findall(r"^([a-z0-9-]+) = (.*)$", self.read("out.ini"), re.M))

    def test_are_listed_with_what_they_say(self):
        text = run("presets").stdout
        names = re.findall(r"^(\S+)$", text, re.M)
        self.assertEqual(names, ["default", "accurate", "robust", "gre", "epi", "bet", "fast", "body"])
        self.assertRegex(text, r"fast\n.*\n(      --.*\n)*      --inversion rts\n")

    def test_every_one_is_accepted_by_run(self):
        self.phantom(1)
        for name in re.findall(r"^(\S+)$", run("presets").stdout, re.M):
            run("run", self.path("bids"), self.path("out"), "--dry-run", "--preset", name)

    def test_give_way_to_options_on_the_line_and_in_files(self):
        with open(self.path("a.ini"), "w", encoding="utf-8") as file:
            file.write("background = pdf\n")
        self.phantom(1)
        run("run", self.path("bids"), self.path("out"), "--preset", "fast", "--config", self.path("a.ini"), "--reference", "none",
            "--no-progress")
        said = json.loads(self.read("out/sub-01/anat/sub-01_Chimap.json"))
        self.assertEqual(said["Preset"], "fast")
        chosen = {k: said["Parameters"][k] for k in ("inversion", "background", "reference")}
        self.assertEqual(chosen, {"inversion": "rts", "background": "pdf", "reference": "none"})

    def test_stay_a_preset_in_a_written_file(self):
        given = self.written("--preset", "fast", "--background", "pdf")
        self.assertEqual((given["preset"], given["background"]), ("fast", "pdf"))
        self.assertNotIn("inversion", given)
        self.assertIn("# inversion = default\n", self.read("out.ini"))

    def test_an_unknown_one_is_answered_with_the_nearest(self):
        self.assertIn("'robust'", run("run", "a", "b", "--preset", "robst", expect=2).stderr)


if __name__ == "__main__":
    main()
