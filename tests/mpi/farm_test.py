#!/usr/bin/env python3
"""Farm tests: real runs of fake jobs, with and without mpirun, disturbed in every way that clusters know.

usage: farm_test.py BIN_DIR MPIEXEC [unittest arguments]
"""
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

from farm_support import BIN, RECOVERY, FAST, ENVIRONMENT, job, alive, children_of, Farm


class OneProcess(Farm):
    def test_every_way_to_fail_costs_that_job_alone(self):
        want = {"fine": "none", "segfault": "signal", "exit": "exit", "silent": "exit", "terminate": "oom", "killed": "signal",
                "fail": "reported", "hang": "timeout", "grandchild": "none", "crash-once": "none"}
        jobs = [job(k, "nothing" if k == "fine" else k, file=self.file("out-" + k)) for k in want]
        self.assertEqual(self.run_farm(jobs, "job_timeout_s=1", "max_attempts=2"), 1)
        causes = {r["key"]: r.get("cause", "none") for r in self.events("done", "failed")}
        self.assertEqual(causes, want)
        self.assertEqual(self.status(), 1)
        for k, cause in want.items():
            self.assertEqual(os.path.exists(self.file("out-" + k)), cause == "none", k)
            self.assertTrue(os.path.exists(f"{self.out}/logs/{k}.log"))
        starts = [r["key"] for r in self.events("started")]
        self.assertEqual(starts.count("fail"), 1, "what the job reports itself is final")
        self.assertEqual(starts.count("segfault"), 2)

    def test_memory_limit_of_the_kernel_ends_only_the_job(self):
        jobs = [job("eat", "eat"), job("fine")]
        with open(self.file("jobs.json"), "w") as f:
            json.dump(jobs, f)
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        p = subprocess.run([f"{BIN}/farm", f"{BIN}/fake_job", self.out, self.file("jobs.json")], preexec_fn=limit, env=ENVIRONMENT,
                           capture_output=True, text=True, timeout=30)
        self.assertEqual(p.returncode, 1, p.stderr)
        self.assertEqual({r["key"]: r.get("cause") for r in self.events("failed", "done")}, {"eat": "oom", "fine": None})

    def test_second_run_does_nothing_and_a_changed_hash_or_a_lost_file_runs_again(self):
        jobs = [job(f"j{i}", file=self.file(f"o{i}"), text=str(i)) for i in range(100)]
        self.assertEqual(self.run_farm(jobs), 0)
        self.check_all_done(100)
        lines = len(self.journal())
        os.remove(f"{self.out}/status")
        begin = time.monotonic()
        self.assertEqual(self.run_farm(jobs), 0)
        self.assertLess(time.monotonic() - begin, 1.0)
        self.assertIn("nothing to do: 100 of 100 jobs are up to date", self.text)
        self.assertEqual(len(self.journal()), lines)
        self.assertEqual(self.status(), 0)
        jobs[3]["hash"] = "other"
        os.remove(self.file("o5"))
        self.assertEqual(self.run_farm(jobs), 0)
        self.assertEqual([r["key"] for r in self.events("started")][100:], ["j3", "j5"])
        self.assertEqual(self.run_farm(jobs[:2], "force=1"), 0)
        self.assertEqual(len(self.events("started")), 104)

    def test_term_puts_running_jobs_back_at_once_and_the_next_run_finishes(self):
        jobs = [job(f"j{i}", "sleep", seconds=1.0, file=self.file(f"o{i}")) for i in range(4)]
        for stop in (signal.SIGTERM, signal.SIGINT):
            before = len(self.events("started")) if os.path.exists(self.out) else 0
            p = self.start(jobs, "max_attempts=1", "threads_per_job=1")
            self.until(self.started(before + 1))
            children = children_of(p.pid)
            begin = time.monotonic()
            p.send_signal(stop)
            self.assertEqual(self.finish(p), 75)
            self.assertLess(time.monotonic() - begin, 2.0)
            self.assertFalse(any(alive(c) for c in children))
            self.assertEqual(self.status(), 75)
            self.assertFalse(self.events("failed"))
        self.assertTrue(self.events("interrupted"))
        self.assertEqual(self.run_farm(jobs, "max_attempts=1"), 0)
        self.check_all_done(4)

    def test_usr1_lets_running_jobs_end_and_a_second_signal_does_not(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.5) for i in range(6)]
        p = self.start(jobs, "threads_per_job=1")
        self.until(self.started(1))
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(self.finish(p), 75)
        self.assertEqual(len(self.events("done")), len(self.events("started")))
        self.assertLess(len(self.events("done")), 6)
        jobs = [job("long", "sleep", seconds=60)]
        p = self.start(jobs)
        self.until(lambda: any(r["key"] == "long" for r in self.events("started")))
        p.send_signal(signal.SIGUSR1)
        time.sleep(0.1)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(p), 75)

    def test_deadline_starts_nothing_more(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.3) for i in range(40)]
        begin = time.monotonic()
        self.assertEqual(self.run_farm(jobs, "deadline_s=1"), 75)
        self.assertLess(time.monotonic() - begin, 3.0)
        self.assertFalse(self.events("failed", "interrupted"))

    def test_kill_9_of_everything_loses_no_finished_job(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.05, file=self.file(f"o{i}")) for i in range(60)]
        p = self.start(jobs)
        self.until(lambda: len(self.events("done")) >= 10)
        children = children_of(p.pid)
        p.kill()
        p.wait()
        self.until(lambda: not any(alive(c) for c in children), 10)
        done = {r["key"] for r in self.events("done")}
        self.assertIsNone(self.status())
        with open(f"{self.out}/journal.jsonl", "a") as f:
            f.write('{"seq":9999,"time":"2026')  # as a crash in the middle of a write leaves it
        self.assertEqual(self.run_farm(jobs), 0)
        self.check_all_done(60)
        again = {r["key"] for r in self.journal()[[r["event"] for r in self.journal()].index("run", 1):] if r["event"] == "started"}
        self.assertFalse(done & again)

    def test_child_killed_from_outside_runs_again(self):
        p = self.start([job("j", "sleep", seconds=1.0)])
        self.until(lambda: self.started(1)() and children_of(p.pid))
        os.kill(children_of(p.pid)[0], signal.SIGKILL)
        self.assertEqual(self.finish(p), 0)
        self.assertEqual([r["event"] for r in self.journal()], ["run", "started", "retry", "started", "done", "end"])

    def test_job_too_big_for_the_node_fails_with_both_sizes_and_the_others_run(self):
        self.assertEqual(self.run_farm([job("big", memory_mb=3000), job("small")], "memory_limit_mb=1000"), 1)
        failed = self.events("failed")[0]
        self.assertEqual(failed["cause"], "memory")
        self.assertIn("2.93 GiB", failed["message"])
        self.assertIn("0.88 GiB", failed["message"])
        self.assertEqual(self.states(), {"big": "failed", "small": "done"})

    def test_full_disk_stops_the_run_without_failing_jobs(self):
        jobs = [job("full", "full", cost=2), job("other", "sleep", seconds=0.2), job("third")]
        self.assertEqual(self.run_farm(jobs, "max_jobs=1"), 4)
        self.assertFalse(self.events("failed"))
        self.assertIn("No space left", self.events("interrupted", "retry")[0]["message"])

    def test_second_run_on_the_same_output_is_refused(self):
        p = self.start([job("j", "sleep", seconds=1.5)])
        self.until(self.started(1))
        self.assertEqual(self.run_farm([job("j")]), 3)
        self.assertIn(f"process {p.pid} on", self.text)
        self.assertEqual(self.finish(p), 0)
        self.assertEqual(self.run_farm([job("k")]), 0)

    def test_threads_follow_the_number_of_jobs_and_children_are_pinned(self):
        cpus = len(os.sched_getaffinity(0))
        self.assertEqual(self.run_farm([job("alone")]), 0)
        alone = self.events("done")[0]["result"]
        self.assertEqual((alone["threads"], alone["cpus"]), (cpus, cpus))
        self.assertEqual(self.run_farm([job(f"j{i}", "sleep", seconds=0.02) for i in range(20 * cpus)]), 0)
        many = [r["result"] for r in self.events("done")[1:]]
        self.assertTrue(all(r["threads"] == r["cpus"] for r in many))
        self.assertEqual(many[0]["threads"], 1)

    def test_shards_do_each_job_once_on_one_output(self):
        jobs = [job(f"j{i}", file=self.file(f"o{i}")) for i in range(40)]
        running = [self.start(jobs, f"shard_index={i}", "shard_count=3") for i in range(3)]
        self.assertEqual([self.finish(p) for p in running], [0, 0, 0], self.text)
        keys = []
        for i in range(3):
            with open(f"{self.out}/journal.{i}-of-3.jsonl") as f:
                keys += [r["key"] for r in map(json.loads, f) if r["event"] == "done"]
        self.assertEqual(sorted(keys), sorted(j["key"] for j in jobs))
        self.assertEqual(self.run_farm(jobs), 0)
        self.assertIn("nothing to do", self.text)
        self.assertIn("40 of 40 jobs done", self.text)

    def test_thousand_trivial_jobs_at_sixty_a_second(self):
        busy = os.getloadavg()[0] > len(os.sched_getaffinity(0)) + 1
        begin, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertEqual(self.run_farm([job(f"j{i}") for i in range(1000)], "progress=0", timeout=200), 0)
        seconds, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_ms = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        print(f"\n  {1000 / seconds:.0f} jobs/s, {cpu_ms:.2f} ms of processor time a job", file=sys.stderr)
        self.assertLess(cpu_ms, 1000 * 2 / 60, "two cores could not do sixty a second")
        if not busy:  # other programs on these cores say nothing about this one
            self.assertGreater(1000 / seconds, 60)
        self.check_all_done(1000)


class Ranks(Farm):
    def test_any_number_of_ranks_does_every_job_once(self):
        big = "x" * 100_000  # a description beyond what one eager message holds
        for ranks, launcher in ((1, []), (2, []), (3, RECOVERY), (4, [])):
            with self.subTest(ranks=ranks):
                shutil.rmtree(self.out, ignore_errors=True)
                jobs = [job(f"j{i}", file=self.file(f"{ranks}-{i}"), text=f"{i} {big if i % 10 == 0 else ''}") for i in range(30)]
                self.assertEqual(self.run_farm(jobs, ranks=ranks, launcher=launcher), 0, "see the output")
                self.check_all_done(30)
                supervisors = {r["rank"] for r in self.events("done")}
                self.assertTrue(supervisors <= (set(range(1, ranks)) or {0}), supervisors)

    def test_failed_jobs_do_not_disturb_the_ranks(self):
        jobs = [job("segfault", "segfault"), job("exit", "exit"), job("hang", "hang")] + [job(f"j{i}") for i in range(5)]
        self.assertEqual(self.run_farm(jobs, "job_timeout_s=1", "max_attempts=1", ranks=3), 1)
        self.assertEqual(self.status(), 1)
        self.assertEqual(len(self.events("done")), 5)

    def test_bad_input_on_rank_0_releases_the_others(self):
        self.assertEqual(self.run_farm([job("twice"), job("twice")], ranks=3), 3)
        self.assertIn("occurs twice", self.text)
        self.assertEqual(self.run_farm([], ranks=3), 3, "nothing to run: dismissed without a run")

    def test_killed_rank_under_recovery_costs_no_job(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.3) for i in range(12)]
        p = self.start(jobs, *FAST, "max_attempts=1", ranks=3, launcher=RECOVERY)
        pids = self.pids(p, 3)
        self.until(self.started(2))
        children = children_of(pids[1])
        os.kill(pids[1], signal.SIGKILL)
        self.until(lambda: not any(alive(c) for c in children), 10)
        self.finish(p)
        self.assertEqual(self.status(), 0, self.text)
        self.check_all_done(12)
        self.assertEqual(self.events("end")[0]["lost_ranks"], 1)
        self.assertIn("degraded", self.text)

    def test_frozen_rank_under_recovery_is_ended_and_costs_no_job(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.3) for i in range(12)]
        p = self.start(jobs, *FAST, "max_attempts=1", ranks=3, launcher=RECOVERY)
        pids = self.pids(p, 3)
        self.until(self.started(2))
        os.kill(pids[2], signal.SIGSTOP)
        self.finish(p)
        self.assertEqual(self.status(), 0, self.text)
        self.check_all_done(12)
        self.assertFalse(alive(pids[2]))

    def test_all_supervisors_killed_under_recovery_and_rank_0_does_the_rest(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.3) for i in range(6)]
        p = self.start(jobs, *FAST, ranks=2, launcher=RECOVERY)
        pids = self.pids(p, 2)
        self.until(self.started(1))
        os.kill(pids[1], signal.SIGKILL)
        self.finish(p)
        self.assertEqual(self.status(), 0, self.text)
        self.check_all_done(6)

    def test_killed_coordinator_under_recovery_ends_workers_and_children(self):
        jobs = [job(f"j{i}", "sleep", seconds=60) for i in range(4)]
        p = self.start(jobs, *FAST, ranks=3, launcher=RECOVERY)
        pids = self.pids(p, 3)
        self.until(self.started(2))
        self.until(lambda: children_of(pids[1]) and children_of(pids[2]))
        children = children_of(pids[1]) + children_of(pids[2])
        os.kill(pids[0], signal.SIGKILL)
        self.finish(p)
        self.assertFalse(any(alive(c) for c in children + list(pids.values())))
        self.assertIsNone(self.status(), "no status: the script knows that the run died")

    def test_killed_rank_without_recovery_ends_the_run_and_the_next_does_the_rest(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.2) for i in range(10)]
        p = self.start(jobs, ranks=3)
        pids = self.pids(p, 3)
        self.until(lambda: len(self.events("done")) >= 3)
        children = children_of(pids[1]) + children_of(pids[2])
        os.kill(pids[1], signal.SIGKILL)
        self.assertNotEqual(self.finish(p), 0)
        self.until(lambda: not any(alive(c) for c in children), 10)
        self.assertEqual(self.run_farm(jobs, ranks=2), 0)
        self.check_all_done(10)

    def test_term_to_mpirun_puts_jobs_back_and_writes_75_within_its_grace(self):
        jobs = [job(f"j{i}", "sleep", seconds=30) for i in range(4)]
        for launcher in ([], RECOVERY):
            with self.subTest(launcher=launcher):
                shutil.rmtree(self.out, ignore_errors=True)
                p = self.start(jobs, ranks=3, launcher=launcher)
                pids = self.pids(p, 3)
                self.until(lambda: self.started(2)() and children_of(pids[1]) and children_of(pids[2]))
                children = children_of(pids[1]) + children_of(pids[2])
                p.terminate()
                self.finish(p)
                self.assertEqual(self.status(), 75, self.text)
                self.assertFalse(any(alive(c) for c in children))
                self.assertFalse(self.events("failed"))

    def test_usr1_through_mpirun_drains_the_run(self):
        jobs = [job(f"j{i}", "sleep", seconds=0.5) for i in range(8)]
        p = self.start(jobs, ranks=3)
        self.pids(p, 3)
        self.until(self.started(2))
        p.send_signal(signal.SIGUSR1)
        self.assertEqual(self.finish(p), 75)
        self.assertEqual(len(self.events("done")), len(self.events("started")))
        self.assertLess(len(self.events("done")), 8)

    def test_idle_ranks_use_no_processor(self):
        p = self.start([job("j", "sleep", seconds=3)], ranks=3)
        pids = self.pids(p, 3)
        self.until(self.started(1))

        def ticks():
            out = 0
            for pid in pids.values():
                with open(f"/proc/{pid}/stat") as f:
                    out += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
            return out / os.sysconf("SC_CLK_TCK")

        before = ticks()
        time.sleep(2)
        used = ticks() - before
        print(f"\n  {used / 2 * 100:.1f} % of a core for 3 idle ranks", file=sys.stderr)
        self.assertLess(used, 0.2)  # spinning would be 6 s
        self.assertEqual(self.finish(p), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
