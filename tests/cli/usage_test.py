"""Mistakes on the command line: exit code 2, what was wrong, and the nearest right word."""
import os

from support import Case, main, mpirun, run


class Usage(Case):
    def refused(self, *arguments, code=2):
        result = run(*arguments, expect=code)
        self.assertEqual(result.stdout, "")
        return result.stderr

    def test_a_mistyped_command_is_answered_with_the_nearest(self):
        self.assertIn("did you mean 'phantom'?", self.refused("phantm"))
        self.assertIn("did you mean 'run'?", self.refused("runn"))

    def test_a_mistyped_option_is_answered_with_the_nearest(self):
        text = self.refused("run", "in", "out", "--inversoin", "tkd")
        self.assertIn("no option --inversoin; did you mean --inversion?", text)
        self.assertIn("Try 'qsmpi run --help'", text)

    def test_an_abbreviated_option_is_an_error(self):
        self.assertIn("did you mean --b0-tesla?", self.refused("run", "in", "out", "--b0-tesl", "3"))

    def test_a_single_dash_is_an_error(self):
        self.assertIn("there is no option -x", self.refused("run", "in", "out", "-x"))

    def test_a_missing_argument_is_named(self):
        self.assertIn("OUT_DIR is missing", self.refused("run", "in"))

    def test_a_surplus_argument_is_named(self):
        self.assertIn("'more' is one argument too many", self.refused("status", "out", "more"))

    def test_a_missing_value_is_named(self):
        self.assertIn("--n-echoes needs a value", self.refused("run", "in", "out", "--n-echoes"))

    def test_text_instead_of_a_number_is_shown(self):
        self.assertIn("--b0-tesla: 'three' is not a number", self.refused("run", "in", "out", "--b0-tesla", "three"))
        self.assertIn("--n-echoes: '2.5' is not a whole number", self.refused("run", "in", "out", "--n-echoes", "2.5"))
        self.assertIn("'nan' is not a finite number", self.refused("run", "in", "out", "--b0-tesla", "nan"))

    def test_a_wrong_word_is_answered_with_those_allowed(self):
        self.assertIn("did you mean 'romeo'?", self.refused("run", "in", "out", "--unwrapping", "romea"))
        self.assertIn("--check: 'all' is not one of full, headers", self.refused("run", "in", "out", "--check", "all"))
        self.assertIn("analysis level: 'grup' is not one of participant, group", self.refused("run", "in", "out", "grup"))
        self.assertIn("--per-echo: 'maybe' is neither on nor off", self.refused("run", "in", "out", "--per-echo=maybe"))

    def test_an_option_without_effect_is_refused(self):
        tgv = ["run", "in", "out", "--inversion", "tgv"]
        for name, value in (("background", "vsharp"), ("background-cleanup", "on"), ("background-rounds", "4"), ("background-radius-mm", "5")):
            text = self.refused(*tgv, "--" + name, value)
            self.assertIn(name.replace("-", "_") + ": ", text)
            self.assertIn("has no effect with inversion 'tgv'", text)
        self.assertIn("with background 'separation'", self.refused("run", "in", "out", "--background-radius-mm", "5"))
        self.assertIn("with background 'pdf'", self.refused("run", "in", "out", "--background", "pdf", "--background-rounds", "5"))

    def test_a_value_out_of_range_is_refused(self):
        self.assertIn("mask_quality_threshold", self.refused("run", "in", "out", "--mask-quality-threshold", "3"))
        self.assertIn("--shard: '4/4' is not I/N", self.refused("run", "in", "out", "--shard", "4/4"))
        self.assertIn("--max-attempts", self.refused("run", "in", "out", "--max-attempts", "0"))

    def test_a_number_out_of_range_names_its_option(self):
        for option in ("--threads-per-job", "--max-jobs", "--n-echoes", "--deadline-s", "--job-timeout-s", "--memory-limit-gib"):
            self.assertIn(f"{option}: -1 is negative", self.refused("run", "in", "out", option, "-1"))
        for b0 in ("-3", "3000", "1e-9"):
            self.assertIn(f"--b0-tesla: {b0.replace('1e-9', '1e-09')}: expected tesla, 0.01 to 25",
                          self.refused("run", "in", "out", "--b0-tesla", b0))
        self.assertIn("offset_sigma_mm: 0 is outside", self.refused("run", "in", "out", "--offset-sigma-mm", "0"))

    def test_an_option_given_twice_is_an_error(self):
        self.assertIn("--b0-tesla is given 2 times", self.refused("run", "in", "out", "--b0-tesla", "3", "--b0-tesla", "7"))

    def test_a_folder_that_is_not_there_is_an_input_error(self):
        self.assertIn("is not a folder", self.refused("run", self.path("nothing"), self.path("out"), code=3))
        self.assertIn("is not a folder", self.refused("status", self.path("nothing"), code=3))

    def test_a_file_that_is_not_there_is_an_error_that_names_it(self):
        result = run("score", self.path("truth.nii"), self.path("map.nii"), expect=None)
        self.assertIn(result.returncode, (3, 4))
        self.assertIn("truth.nii", result.stderr)

    def test_a_usage_error_is_said_once_by_three_ranks(self):
        result = run("run", "in", command=mpirun(3), expect=2)
        self.assertEqual(result.stderr.count("OUT_DIR is missing"), 1)


class ConfigFile(Case):
    def test_written_and_read_back_gives_the_same(self):
        run("phantom", "x", "--snr", "33", "--bipolar", "--write-config", self.path("a.ini"))
        run("phantom", "x", "--config", self.path("a.ini"), "--write-config", self.path("b.ini"))
        self.assertEqual(self.read("a.ini"), self.read("b.ini"))
        self.assertIn("snr = 33\n", self.read("a.ini"))
        self.assertIn("bipolar = on\n", self.read("a.ini"))
        self.assertFalse(os.path.exists("x"))

    def test_lists_survive(self):
        run("run", "a", "b", "--participant-label", "01", "02", "--write-config", self.path("a.ini"))
        self.assertIn("participant-label = 01\nparticipant-label = 02\n", self.read("a.ini"))
        run("run", "--config", self.path("a.ini"), "--write-config", self.path("b.ini"))
        self.assertEqual(self.read("a.ini"), self.read("b.ini"))

    def test_gives_way_to_the_command_line(self):
        with open(self.path("a.ini"), "w", encoding="utf-8") as file:
            file.write("# a comment\nsnr = 33\nseed = 5\n")
        run("phantom", "x", "--config", self.path("a.ini"), "--snr", "44", "--write-config", self.path("b.ini"))
        self.assertIn("snr = 44\n", self.read("b.ini"))
        self.assertIn("seed = 5\n", self.read("b.ini"))

    def test_with_an_unknown_name_is_an_error_that_suggests(self):
        with open(self.path("a.ini"), "w", encoding="utf-8") as file:
            file.write("sed = 5\n")
        text = run("phantom", "x", "--config", self.path("a.ini"), expect=2).stderr
        self.assertIn("no option", text)
        self.assertIn("seed?", text)

    def test_that_is_not_there_is_an_error(self):
        self.assertIn("cannot read", run("phantom", "x", "--config", self.path("no.ini"), expect=2).stderr)


if __name__ == "__main__":
    main()
