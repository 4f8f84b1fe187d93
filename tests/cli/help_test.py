"""The help of every command is what was looked at and kept under help/.

After a change on purpose: QSMPI=build/bin/qsmpi python3 tests/cli/help_test.py --update, and read the difference.
"""
import os
import sys

from support import HERE, Case, main, run

COMMANDS = ["run", "status", "sheet", "methods", "presets", "stage", "unwrap", "mask", "background", "invert", "phantom", "score"]


def kept(name):
    return os.path.join(HERE, "help", name + ".txt")


def help_of(name):
    return run("--help").stdout if name == "qsmpi" else run(name, "--help").stdout


class Help(Case):
    def test_is_the_one_kept(self):
        for name in ["qsmpi", *COMMANDS]:
            with self.subTest(command=name), open(kept(name), encoding="utf-8") as file:
                self.assertEqual(help_of(name), file.read())

    def test_names_every_command_in_the_overview(self):
        overview = run("--help").stdout
        for name in COMMANDS:
            self.assertRegex(overview, rf"\n  {name} +\S")

    def test_fits_a_screen_in_width(self):
        for name in COMMANDS:
            for line in help_of(name).splitlines():
                self.assertLessEqual(len(line), 125, line)

    def test_answers_the_short_form_too(self):
        self.assertEqual(run("run", "-h").stdout, run("run", "--help").stdout)

    def test_goes_to_standard_error_with_an_exit_code_without_arguments(self):
        result = run(expect=2)
        self.assertIn("Usage:", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_version_is_one_line(self):
        self.assertRegex(run("--version").stdout, r"^qsmpi \d+\.\d+\.\d+ \(\w+\)\n$")
        self.assertEqual(run("version").stdout, run("--version").stdout)


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        os.makedirs(os.path.dirname(kept("")), exist_ok=True)
        for command in ["qsmpi", *COMMANDS]:
            with open(kept(command), "w", encoding="utf-8") as out:
                out.write(help_of(command))
    else:
        main()
