"""The commands on single images, against truths that need no program: closed forms, and what was put in."""
import json
import math
import os

from support import Case, main, read_nifti, run, write_nifti

SHAPE = (24, 20, 22)


class Unwrap(Case):
    def ramp(self):
        """A plane of 16 rad across x, and the same wrapped."""
        plane = lambda x, y, z: 0.7 * (x - 11.5) + 0.2 * y
        wrap = lambda p: math.remainder(p, 2 * math.pi)
        write_nifti(self.path("phase.nii"), SHAPE, lambda x, y, z: wrap(plane(x, y, z)))
        return [plane(x, y, z) for z in range(SHAPE[2]) for y in range(SHAPE[1]) for x in range(SHAPE[0])]

    def test_romeo_restores_a_plane_up_to_whole_turns(self):
        plane = self.ramp()
        run("unwrap", self.path("phase.nii"), self.path("out.nii.gz"))
        shape, got = read_nifti(self.path("out.nii.gz"))
        self.assertEqual(shape, SHAPE)
        turns = {round((g - p) / (2 * math.pi), 4) for g, p in zip(got, plane)}
        self.assertEqual(len(turns), 1, turns)
        self.assertEqual(turns.pop() % 1, 0)

    def test_laplacian_restores_a_plane_up_to_a_constant(self):
        plane = self.ramp()
        run("unwrap", self.path("phase.nii"), self.path("out.nii"), "--method", "laplacian")
        difference = [g - p for g, p in zip(read_nifti(self.path("out.nii"))[1], plane)]
        self.assertLess(max(difference) - min(difference), 0.05)

    def test_phase_in_another_unit_is_refused_until_it_is_given(self):
        write_nifti(self.path("phase.nii"), SHAPE, lambda x, y, z: 1000.0 * math.sin(x))
        write_nifti(self.path("mag.nii"), SHAPE, lambda x, y, z: 1.0 + x)
        for command in (["unwrap", self.path("phase.nii"), self.path("out.nii")],
                        ["mask", self.path("mag.nii"), self.path("out.nii"), "--phase", self.path("phase.nii"), "--mask", "quality 0.1"]):
            text = run(*command, expect=3).stderr
            self.assertIn("phase in an unknown unit", text)
            self.assertIn("--phase-units", text)
            self.assertFalse(os.path.exists(self.path("out.nii")))
            self.assertIn("not one of auto, rad", run(*command, "--phase-units", "turns", expect=2).stderr)
            run(*command, "--phase-units", "minmax")
            os.remove(self.path("out.nii"))

    def test_phase_from_0_and_in_integers_is_the_same_phase(self):
        self.ramp()
        results = {}
        for name, value in (("phase", lambda p: p), ("turn", lambda p: p % (2 * math.pi)),
                            ("siemens", lambda p: round((p + math.pi) / (2 * math.pi) * 4096) % 4096)):
            _, wrapped = read_nifti(self.path("phase.nii"))
            values = iter(wrapped)
            write_nifti(self.path(name + ".nii"), SHAPE, lambda x, y, z: value(next(values)))
            units = {"phase": "rad", "turn": "rad", "siemens": "siemens-unsigned"}[name]
            run("unwrap", self.path(name + ".nii"), self.path("out.nii"), "--phase-units", units)
            results[name] = read_nifti(self.path("out.nii"))[1]
        for name in ("turn", "siemens"):
            apart = [r - p for r, p in zip(results[name], results["phase"])]
            self.assertLess(max(apart) - min(apart), 0.01, name)

    def test_units_of_the_sidecar_are_taken(self):
        self.ramp()
        _, wrapped = read_nifti(self.path("phase.nii"))
        values = iter(wrapped)
        write_nifti(self.path("degree.nii"), SHAPE, lambda x, y, z: math.degrees(next(values)))
        with open(self.path("degree.json"), "w", encoding="utf-8") as file:
            json.dump({"Units": "deg"}, file)
        run("unwrap", self.path("degree.nii"), self.path("out.nii"))
        run("unwrap", self.path("phase.nii"), self.path("same.nii"))
        one, other = read_nifti(self.path("out.nii"))[1], read_nifti(self.path("same.nii"))[1]
        self.assertLess(max(abs(a - b) for a, b in zip(one, other)), 1e-3)

    def test_a_mask_of_another_shape_is_refused(self):
        self.ramp()
        write_nifti(self.path("mask.nii"), (3, 4, 5), lambda x, y, z: 1)
        text = run("unwrap", self.path("phase.nii"), self.path("out.nii"), "--mask", self.path("mask.nii"), expect=3).stderr
        self.assertIn("3x4x5", text)


class Sphere(Case):
    """A ball of 1 ppm, 5 mm radius, and its field."""
    shape, radius_mm = (40, 40, 40), 5.0

    def position(self, x, y, z):
        return x - 19.5, y - 19.5, z - 19.5

    def distance(self, x, y, z):
        return math.dist(self.position(x, y, z), (0, 0, 0))

    def field(self, x, y, z):
        r = self.distance(x, y, z)
        if r < self.radius_mm:
            return 0.0
        cos = self.position(x, y, z)[2] / r
        return (self.radius_mm / r) ** 3 / 3 * (3 * cos * cos - 1)

    def write_mask(self):
        write_nifti(self.path("mask.nii"), self.shape, lambda x, y, z: float(self.distance(x, y, z) < 17))

    def mean_inside(self, name):
        values = read_nifti(self.path(name))[1]
        at = lambda x, y, z: values[x + 40 * (y + 40 * z)]
        core = [at(x, y, z) for z in range(15, 25) for y in range(15, 25) for x in range(15, 25) if self.distance(x, y, z) < 3]
        rim = [at(x, y, z) for z in range(5, 35) for y in range(5, 35) for x in range(5, 35) if 9 < self.distance(x, y, z) < 14]
        return sum(core) / len(core) - sum(rim) / len(rim)

    def test_inversion_finds_the_contrast_of_a_ball_in_ppm_and_in_hz(self):
        self.write_mask()
        write_nifti(self.path("field.nii"), self.shape, self.field)
        write_nifti(self.path("hz.nii"), self.shape, lambda x, y, z: 3 * 42.577478518 * self.field(x, y, z))
        run("invert", self.path("field.nii"), self.path("mask.nii"), self.path("chi.nii"), "--method", "tkd")
        run("invert", self.path("hz.nii"), self.path("mask.nii"), self.path("chi_hz.nii"), "--method", "tkd", "--unit", "hz", "--b0-tesla", 3)
        # TKD underestimates a ball by a tenth or so, partial volume at its rim takes some more.
        contrast = self.mean_inside("chi.nii")
        self.assertGreater(contrast, 0.7)
        self.assertLess(contrast, 1.1)
        self.assertAlmostEqual(self.mean_inside("chi_hz.nii"), contrast, places=4)

    def test_hz_without_field_strength_is_a_usage_error(self):
        self.assertIn("needs --b0-tesla", run("invert", "a.nii", "b.nii", "c.nii", "--unit", "hz", expect=2).stderr)

    def test_an_unknown_method_is_answered_with_the_nearest(self):
        self.assertIn("'tkd'", run("invert", "a.nii", "b.nii", "c.nii", "--method", "tkdd", expect=2).stderr)

    def test_background_removal_takes_off_the_field_of_a_far_source(self):
        # A source 40 voxels off the centre is outside: harmonic inside the mask.
        self.write_mask()
        outside = lambda x, y, z: 200.0 * (3 * (z + 20.5) ** 2 / math.dist((x, y, z), (19.5, 19.5, -20.5)) ** 2 - 1) / math.dist((x, y, z), (19.5, 19.5, -20.5)) ** 3
        write_nifti(self.path("field.nii"), self.shape, outside)
        run("background", self.path("field.nii"), self.path("mask.nii"), self.path("local.nii"), "--out-mask", self.path("valid.nii"))
        before, after = read_nifti(self.path("field.nii"))[1], read_nifti(self.path("local.nii"))[1]
        valid = read_nifti(self.path("valid.nii"))[1]
        self.assertGreater(sum(valid), 5000)
        spread = lambda values: math.sqrt(sum(v * v for v, m in zip(values, valid) if m) / sum(valid))
        self.assertLess(spread(after), 0.1 * spread(before))

    def test_score_of_the_truth_against_itself_is_perfect(self):
        self.write_mask()
        write_nifti(self.path("chi.nii"), self.shape, lambda x, y, z: 0.1 * math.sin(x) * math.cos(y + z))
        text = run("score", self.path("chi.nii"), self.path("chi.nii"), "--mask", self.path("mask.nii"), "--json", self.path("s.json")).stdout
        score = json.loads(text)
        self.assertEqual(score, json.loads(self.read("s.json")))
        self.assertAlmostEqual(score["nrmse_percent"], 0, places=4)
        self.assertAlmostEqual(score["xsim"], 1, places=5)


class BadImages(Case):
    """Inputs that no result can be made of are refused by name, and nothing is written."""
    shape = (16, 15, 14)

    def setUp(self):
        super().setUp()
        self.write("field", lambda x, y, z: 0.1 * math.sin(x) * math.cos(y + z))
        self.write("mask", self.inside)
        self.write("zero", lambda x, y, z: 0.0)
        self.write("nan", lambda x, y, z: math.nan)
        self.write("hole", lambda x, y, z: math.nan if (x, y, z) == (8, 7, 7) else 0.1 * math.sin(x) * math.cos(y + z))
        self.write("moved", self.inside, first_x_mm=40.0)
        self.write("larger", self.inside, voxel_mm=(2, 2, 2))

    def inside(self, x, y, z):
        return float(math.dist((x, y, z), (8, 7, 7)) < 6)

    def write(self, name, value, **place):
        write_nifti(self.path(name + ".nii"), self.shape, value, **place)

    def call(self, command, *names, expect=3):
        """Names without a dash are files; the last one is made."""
        text = run(command, *(n if n.startswith("-") else self.path(n + ".nii") for n in names), expect=expect).stderr
        if expect:
            self.assertFalse(os.path.exists(self.path("out.nii")))
        else:
            os.remove(self.path("out.nii"))
        return text

    def test_empty_masks_and_images_of_nothing_are_refused(self):
        for command in ("invert", "background"):
            self.assertIn("zero.nii: all voxels are zero; mark", self.call(command, "field", "zero", "out"))
            self.assertIn("zero.nii: all voxels of the mask are zero", self.call(command, "zero", "mask", "out"))
            self.assertIn("nan.nii: all voxels of the mask are NaN", self.call(command, "nan", "mask", "out"))
        self.assertIn("zero.nii: phase = 0: all voxels are zero", self.call("unwrap", "zero", "out"))
        self.assertIn("100 % of the voxels are NaN", self.call("unwrap", "nan", "out"))
        self.assertIn("zero.nii: all voxels are zero; mark",
                      self.call("unwrap", "field", "out", "--phase-units=rad", "--mask=" + self.path("zero.nii")))
        self.assertIn("zero.nii: all voxels are zero", self.call("mask", "zero", "out"))
        self.assertIn("nan.nii: all voxels are NaN", self.call("mask", "nan", "out"))
        self.assertIn("the mask is empty", self.call("mask", "mask", "out", "--erosion-mm=20"))
        self.assertIn("erode less", self.call("mask", "mask", "out", "--erosion-mm=20"))
        self.assertIn("all: 3360 voxels; !all: 0 voxels); loosen the part", self.call("mask", "mask", "out", "--mask=!all"))

    def test_an_erosion_that_takes_nothing_is_told(self):
        self.assertIn("nothing was peeled off", self.call("mask", "mask", "out", "--erosion-mm=0.5", expect=0))
        self.assertNotIn("nothing was peeled off", self.call("mask", "mask", "out", "--erosion-mm=1", expect=0))

    def test_a_field_that_no_scanner_measures_is_refused(self):
        self.write("spike", lambda x, y, z: 1e30 if (x, y, z) == (8, 7, 7) else 0.1 * math.sin(x))
        for command in ("invert", "background"):
            text = self.call(command, "spike", "mask", "out")
            self.assertIn("spike.nii: reaches 1e+30 ppm", text)
            self.assertIn("--unit", text)

    def test_a_result_of_nothing_is_refused(self):
        # A sheet that is one voxel thin holds no ball.
        self.write("sheet", lambda x, y, z: float(z == 7))
        self.assertIn("mask", self.call("background", "field", "sheet", "out", "--method=sharp", expect=1))

    def test_values_in_the_mask_that_are_not_finite_are_counted(self):
        for command in ("invert", "background"):
            self.assertIn("hole.nii: 1 of 895 voxels of the mask are NaN", self.call(command, "hole", "mask", "out", expect=0))
        self.assertIn("hole.nii: phase: 0 % of the voxels are NaN",
                      self.call("unwrap", "hole", "out", "--method=laplacian", "--phase-units=rad", expect=0))

    def test_masks_and_maps_of_another_place_are_refused(self):
        differs = "affine differs by 40 mm at a corner"
        for command in ("invert", "background"):
            self.assertIn(differs, self.call(command, "field", "moved", "out"))
            self.assertIn("affine differs by", self.call(command, "field", "larger", "out"))
            self.assertIn(differs, self.call(command, "field", "mask", "out", "--magnitude=" + self.path("moved.nii")))
        self.assertIn(differs, self.call("unwrap", "field", "out", "--phase-units=rad", "--mask=" + self.path("moved.nii")))
        self.assertIn(differs, self.call("score", "field", "moved"))
        self.assertIn(differs, self.call("score", "field", "field", "--mask=" + self.path("moved.nii")))
        self.assertIn(differs, self.call("mask", "mask", "out", "--mask=otsu & " + self.path("moved.nii")))

    def test_score_counts_values_that_are_not_finite_as_missing_and_says_so(self):
        result = run("score", self.path("field.nii"), self.path("hole.nii"), "--mask", self.path("mask.nii"))
        self.assertIn("hole.nii: 1 of 895 voxels to compare are NaN or infinite", result.stderr)
        self.assertGreater(json.loads(result.stdout)["nrmse_percent"], 0.0)
        self.assertIn("hole.nii: 1 voxels to compare are NaN", self.call("score", "hole", "field", "--mask=" + self.path("mask.nii")))
        self.assertIn("zero.nii", self.call("score", "zero", "field"))

    def test_settings_out_of_range_are_usage_errors(self):
        for command, option in (("background", "--radius-mm=1e9"), ("background", "--radius-mm=-1"), ("invert", "--lambda=-1"),
                                ("invert", "--lambda=1e30"), ("mask", "--closing-mm=1e9")):
            names = ("field", "mask", "out") if command != "mask" else ("field", "out")
            self.assertIn(option.split("=")[0] + ": ", self.call(command, *names, option, expect=2))
        for b0 in ("3000", "1e-9", "-3"):
            self.assertIn("expected tesla, 0.01 to 25",
                          self.call("invert", "field", "mask", "out", "--unit=hz", "--b0-tesla=" + b0, expect=2))

    def test_a_pipe_and_a_link_are_written_into(self):
        os.mkfifo(self.path("pipe"))
        os.symlink("real.json", self.path("link"))
        with os.fdopen(os.open(self.path("pipe"), os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
            run("score", self.path("field.nii"), self.path("field.nii"), "--json", self.path("pipe"))
            self.assertIn("xsim", json.loads(pipe.read()))
        run("score", self.path("field.nii"), self.path("field.nii"), "--json", self.path("link"))
        self.assertTrue(os.path.islink(self.path("link")))
        self.assertIn("xsim", json.loads(self.read("real.json")))


class Phantom(Case):
    def test_writes_a_cohort_with_its_truth(self):
        bids = self.phantom(2)
        for sub in ("sub-01", "sub-02"):
            for echo in (1, 2, 3):
                for part in ("mag", "phase"):
                    base = os.path.join(bids, sub, "anat", f"{sub}_echo-{echo}_part-{part}_MEGRE")
                    self.assertEqual(read_nifti(base + ".nii.gz")[0], (44, 52, 44))
                    with open(base + ".json", encoding="utf-8") as file:
                        self.assertEqual(json.load(file)["EchoTime"], [0.004, 0.010, 0.016][echo - 1])
            for name in ("Chimap", "fieldppm", "localppm", "mask", "dseg", "R2starmap"):
                self.assertTrue(os.path.exists(os.path.join(bids, "derivatives/truth", sub, "anat", f"{sub}_{name}.nii.gz")), name)
        self.assertEqual(self.read("bids/participants.tsv"), "participant_id\nsub-01\nsub-02\n")

    def test_stores_siemens_phase_as_integers_of_the_same_phase(self):
        self.phantom(1, "float")
        self.phantom(1, "int", "--phase-int16", "siemens")
        base = "sub-01/anat/sub-01_echo-2_part-phase_MEGRE"
        phase, stored = read_nifti(self.path("float", base + ".nii.gz"))[1], read_nifti(self.path("int", base + ".nii"))[1]
        self.assertTrue(all(-4096 <= s <= 4095 for s in stored))
        # Half a level of rounding; +pi is stored as -pi.
        self.assertLess(max(abs(math.remainder(p - s * math.pi / 4096, 2 * math.pi)) for p, s in zip(phase, stored)), 0.51 * math.pi / 4096)

    def test_a_tilted_slab_has_an_oblique_affine_whose_third_row_is_b0(self):
        bids = self.phantom(1, "bids", "--tilt-deg", "30")
        import gzip
        import struct
        with gzip.open(os.path.join(bids, "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz")) as file:
            header = file.read(352)
        row = struct.unpack_from("<4f", header, 280 + 32)
        for got, want in zip(row[:3], (0, 4.2 * 0.5, 4.2 * math.sqrt(0.75))):
            self.assertAlmostEqual(got, want, places=4)
        with open(os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_truth.json"), encoding="utf-8") as file:
            self.assertAlmostEqual(json.load(file)["b0_direction_ijk"][1], 0.5, places=6)

    def test_refuses_what_makes_no_sense(self):
        self.assertIn("seconds", run("phantom", self.path("x"), "--echo-times-s", "4,8", expect=3).stderr)
        self.assertIn("--dims", run("phantom", self.path("x"), "--dims", "10,20", expect=2).stderr)
        self.assertIn("siemens", run("phantom", self.path("x"), "--phase-int16", "acme", expect=2).stderr)

    def test_mask_command_covers_most_of_the_simulated_brain(self):
        bids = self.phantom(1)
        base = os.path.join(bids, "sub-01/anat/sub-01_echo-1_part-")
        run("mask", base + "mag_MEGRE.nii.gz", self.path("mask.nii.gz"), "--phase", base + "phase_MEGRE.nii.gz")
        truth = read_nifti(os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_mask.nii.gz"))[1]
        mask = read_nifti(self.path("mask.nii.gz"))[1]
        covered = sum(1 for t, m in zip(truth, mask) if t and m) / sum(truth)
        self.assertGreater(covered, 0.9)


class MaskExpression(Case):
    """Two balls of magnitude, one of them hollow, and a mask file of one of them."""

    def setUp(self):
        super().setUp()
        inside = lambda c, r: lambda x, y, z: math.dist((x, y, z), c) <= r
        large, hole, small = inside((8, 10, 11), 6), inside((8, 10, 11), 2), inside((19, 10, 11), 3)
        write_nifti(self.path("mag.nii"), SHAPE,
                    lambda x, y, z: 100.0 if (large(x, y, z) and not hole(x, y, z)) or small(x, y, z) else 1.0)
        write_nifti(self.path("small.nii"), SHAPE, lambda x, y, z: float(small(x, y, z)))
        self.voxels = lambda f: sum(1 for z in range(SHAPE[2]) for y in range(SHAPE[1]) for x in range(SHAPE[0]) if f(x, y, z))
        self.large, self.hole, self.small = self.voxels(large), self.voxels(hole), self.voxels(small)

    def count(self, expression, *more):
        run("mask", self.path("mag.nii"), self.path("out.nii"), "--mask", expression, *more)
        return sum(1 for v in read_nifti(self.path("out.nii"))[1] if v)

    def test_sources_operators_and_steps_do_what_they_say(self):
        self.assertEqual(self.count("otsu"), self.large - self.hole + self.small)
        self.assertEqual(self.count("otsu, fill"), self.large + self.small)
        self.assertEqual(self.count("otsu, largest"), self.large - self.hole)
        self.assertEqual(self.count(f"(robust, fill) - {self.path('small.nii')}"), self.large)
        self.assertLess(self.count("otsu, fill", "--erosion-mm", 1), self.large)

    def test_slips_are_usage_errors_that_say_where(self):
        refused = lambda *a, code: run("mask", self.path("mag.nii"), self.path("out.nii"), "--mask", *a, expect=code).stderr
        text = refused("otsu & robst", code=2)
        self.assertIn("column 8", text)
        self.assertIn("'robust'", text)
        self.assertIn("--phase", refused("quality", code=3))
        self.assertIn("erode 20 mm: 0 voxels", refused("otsu, fill, erode 20", code=3))
        self.assertFalse(os.path.exists(self.path("out.nii")))


if __name__ == "__main__":
    main()
