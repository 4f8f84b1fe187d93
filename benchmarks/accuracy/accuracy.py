#!/usr/bin/python3
"""How right is a whole run, from raw phase to map, on heads that this project did not make?

Usage: accuracy.py QSMPI SIMULATE_HEAD FOLDER [--cases 7t,3t] [--options="--inversion tv ..."]
Simulates the cases that FOLDER lacks, runs the chain, prints a Markdown table and writes FOLDER/accuracy.json.
The score is taken over the whole truth mask, a voxel that was not reconstructed counting as 0.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import time

CASES = {
    "7t": ["--b0", "7", "--tes", "4,12,20,28"],
    "3t": [],
    "7t-tilt-2mm": ["--b0", "7", "--tes", "4,12,20,28", "--voxel", "2", "--tilt", "25", "--snr", "50", "--seed", "5"],
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("qsmpi")
parser.add_argument("simulate_head")
parser.add_argument("folder")
parser.add_argument("--cases", default="7t,3t")
parser.add_argument("--options", default="", help="options of qsmpi run")
args = parser.parse_args()

columns = ["coverage_percent", "nrmse_percent", "xsim", "deep_grey_slope", "calcification_moment_ratio", "nrmse_deep_grey_percent", "hfen_percent"]
print("| case | seconds | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 2))
results = {}
for case in args.cases.split(","):
    bids, out = os.path.join(args.folder, case, "bids"), os.path.join(args.folder, case, "out")
    if not os.path.exists(os.path.join(bids, "participants.tsv")):
        subprocess.run([args.simulate_head, bids, *CASES[case]], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(out, ignore_errors=True)
    start = time.time()
    subprocess.run([args.qsmpi, "run", bids, out, "--no-progress", *shlex.split(args.options)], check=True, stderr=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)
    seconds = time.time() - start
    truth = os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_")
    score_file = os.path.join(args.folder, case, "score.json")
    subprocess.run([args.qsmpi, "score", truth + "Chimap.nii.gz", os.path.join(out, "sub-01/anat/sub-01_Chimap.nii.gz"), "--mask",
                    truth + "mask.nii.gz", "--dseg", truth + "dseg.nii.gz", "--json", score_file], check=True, stdout=subprocess.DEVNULL)
    with open(score_file) as file:
        score = json.load(file)
    results[case] = {**score, "seconds": seconds, "options": args.options}
    print(f"| {case} | {seconds:.1f} | " + " | ".join(f"{score[c]:.3f}" for c in columns) + " |", flush=True)
with open(os.path.join(args.folder, "accuracy.json"), "w") as file:
    json.dump(results, file, indent=1)
