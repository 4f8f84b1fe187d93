#!/usr/bin/python3
"""How wrong is every method at every stage of the chain, on a head whose truth is known, and what does it cost?

Usage: stages.py QSMPI FOLDER [--head BIDS | --voxel-mm 2] [--groups dipole,bfr,...] [--methods a,b] [--out PREFIX]
The head is simulated into FOLDER unless a BIDS folder with its truth is given. Each row runs `qsmpi stage` on the true
input of that stage. Writes PREFIX.md, PREFIX.csv and PREFIX-<group>.png (maps beside their errors). Rows are kept in
FOLDER/rows.json and not run again for the same program, head and options; --again runs them anyway.

Groups: field (field mapping from phase), bfr (background removal from the true total field), dipole (every inversion of
the true local field), bfr+dipole (every background method with the default inversion, and inversions of the total field,
from the true total field), end-to-end (each preset, from phase, in the true mask).
NRMSE: both demeaned over the truth mask, where voxels without a result count as 0. F: seconds over those of one pair of
real FFTs of the grid, measured by benchmark_fft (--fft).
"""
import argparse
import csv
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import nibabel as nib
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from head import Head, simulated
from picture import write_sheet

COLUMNS = ["nrmse_percent", "xsim", "xsim_demeaned", "deep_grey_slope", "coverage_percent", "seconds", "F", "mb"]
TITLES = {
    "field": "Field mapping, from phase",
    "bfr": "Background removal, from the true total field: error of the local field",
    "dipole": "Inversion of the true local field",
    "bfr+dipole": "Background removal and inversion, from the true total field",
    "end-to-end": "Presets, from phase to susceptibility, in the true mask (presets that differ by their mask alone are left out)",
}
TRUTH = {"field": "fieldppm", "bfr": "localppm", "dipole": "Chimap", "bfr+dipole": "Chimap", "end-to-end": "Chimap"}
WINDOW_PPM = {"field": 1.0, "bfr": 0.05, "dipole": 0.1, "bfr+dipole": 0.1, "end-to-end": 0.1}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qsmpi")
    parser.add_argument("folder")
    parser.add_argument("--head", help="BIDS folder with derivatives/truth, of 'qsmpi phantom' or simulate-head")
    parser.add_argument("--simulate-head", help="simulator to use in place of 'qsmpi phantom'")
    parser.add_argument("--voxel-mm", type=float, default=2.0, help="voxel size of the simulated head, mm")
    parser.add_argument("--groups", default=",".join(TITLES))
    parser.add_argument("--methods", help="only rows of which a name is one of these")
    parser.add_argument("--options", default="", help="options of the chain for all rows")
    parser.add_argument("--out", help="where table and pictures go; default: FOLDER/stages")
    parser.add_argument("--fft", help="benchmark_fft, for the column F")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    unknown = set(args.groups.split(",")) - set(TITLES)
    if unknown:
        parser.error(f"--groups: {', '.join(sorted(unknown))}; known are {', '.join(TITLES)}")
    return args


def methods(qsmpi):
    """Names of background methods, of inversions of the local field and of inversions of the total field."""
    text = subprocess.run([qsmpi, "methods"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {"background": [], "local": [], "total": []}
    section = None
    for line in text.splitlines():
        if line.startswith("Background"):
            section = "background"
        elif line.startswith("Dipole"):
            section = "inversion"
        elif line and not line.startswith(" "):
            section = None
        name = re.match(r"  (\S+)(.*)$", line)
        if not name or section is None or line.startswith("   "):
            continue
        key = section if section == "background" else "total" if "total field" in name[2] else "local"
        found[key].append(name[1])
    return found


def presets(qsmpi):
    """Their names, less those that differ from the default by the mask alone: it is given here."""
    text = subprocess.run([qsmpi, "presets"], check=True, stdout=subprocess.PIPE, text=True).stdout
    blocks = re.findall(r"^(\S+)\n((?: .*\n?)*)", text, re.M)
    return [name for name, rest in blocks if name == "default" or re.search(r"^ +--(?!mask)", rest, re.M)]


def rows_of(group, qsmpi):
    """(label, task, options) of each row."""
    known = methods(qsmpi)
    if group == "field":
        return [(f"{unwrapping}, {fit}", "field-mapping", ["--unwrapping", unwrapping, "--field-map", fit])
                for unwrapping, fit in (("romeo", "nonlinear"), ("romeo", "average"), ("romeo", "linear"), ("laplacian", "average"))]
    if group == "bfr":
        return [(name, "bfr", ["--background", name]) for name in known["background"] if name != "none"]
    if group == "dipole":
        return [(name, "dipole", ["--inversion", name]) for name in known["local"]]
    if group == "bfr+dipole":
        pairs = [(f"{b}, {known['local'][0]}", "bfr+dipole", ["--background", b]) for b in known["background"] if b != "none"]
        return pairs + [(name, "bfr+dipole", ["--inversion", name]) for name in known["total"]]
    return [(name, "end-to-end", ["--preset", name]) for name in presets(qsmpi)]


def peak_mb(pid):
    """High-water mark of a process image. Not rusage: a child inherits that of its parent through exec."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return max((float(line.split()[1]) * 1024 / 1e6 for line in file if line.startswith("VmHWM")), default=0.0)
    except OSError:
        return 0.0


def run_measured(command):
    """Seconds and peak resident MB of a command, its exit code and what it said."""
    with tempfile.TemporaryFile("w+") as said:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        mb = 0.0
        while process.poll() is None:
            mb = max(mb, peak_mb(process.pid))
            time.sleep(0.01)
        seconds = time.monotonic() - start
        said.seek(0)
        return seconds, mb, process.returncode, said.read()


def seconds_of_fft(args, head):
    if not args.fft:
        return None
    command = [args.fft, *(str(n) for n in head.mask.shape), "--estimate"] + (["--threads", str(args.threads)] if args.threads else [])
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return said["one_F"]["median_s"]


def run_row(args, head, group, label, task, options, f_seconds):
    folder = head.input(task)
    out = os.path.join(args.folder, "out-" + head.name, group, re.sub(r"\W+", "-", label))
    shutil.rmtree(out, ignore_errors=True)
    threads = ["--threads", str(args.threads)] if args.threads else []
    seconds, mb, code, said = run_measured([args.qsmpi, "stage", task, folder, out, *options, *threads])
    row = {"group": group, "row": label, "options": " ".join(options), "seconds": seconds, "mb": mb}
    if code != 0:
        return {**row, "failed": said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"}
    image = next(os.path.join(out, n) for n in os.listdir(out) if n.endswith(".nii.gz"))
    command = [args.qsmpi, "score", head.truth + TRUTH[group] + ".nii.gz", image, "--mask", head.truth + "mask.nii.gz"]
    if TRUTH[group] == "Chimap":
        command += ["--dseg", head.truth + "dseg.nii.gz"]
    score = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    if TRUTH[group] != "Chimap":
        score["deep_grey_slope"] = None
    if f_seconds:
        row["F"] = seconds / f_seconds
    return {**score, **row, "image": image}


def cell(row, column):
    value = row.get(column)
    if value is None or value != value:
        return ""
    return f"{value:.{ {'xsim': 3, 'xsim_demeaned': 3, 'deep_grey_slope': 2, 'F': 0, 'mb': 0}.get(column, 1)}f}"


def markdown(results, args, head):
    said = subprocess.run([args.qsmpi, "version"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    zooms = " x ".join(f"{z:g}" for z in nib.load(head.truth + "mask.nii.gz").header.get_zooms()[:3])
    text = (f"# Every method at every stage\n\n{said}; simulated head, {' x '.join(map(str, head.mask.shape))} voxels of {zooms} mm. "
            "Made by `benchmarks/accuracy/stages.py`.\n\nNRMSE [%]: both demeaned over the true mask; a voxel without a result counts "
            "as 0. Coverage: part of the mask with a result. Seconds and MB: of the whole `qsmpi stage` process, files included. "
            "Tasks that start from a field have no magnitude, as the benchmark's contract has it; field mapping includes background "
            "removal, which mends gross errors of the field.\n")
    for group in args.groups.split(","):
        rows = sorted((r for r in results if r["group"] == group), key=lambda r: r.get("nrmse_percent", 1e9))
        if not rows:
            continue
        columns = [c for c in COLUMNS if any(cell(r, c) for r in rows)]
        heads = {"nrmse_percent": "NRMSE %", "xsim": "XSIM", "xsim_demeaned": "XSIM demeaned", "deep_grey_slope": "deep grey slope",
                 "coverage_percent": "coverage %", "seconds": "s", "mb": "MB"}
        text += f"\n## {TITLES[group]}\n\n| row | " + " | ".join(heads.get(c, c) for c in columns) + " |\n|" + " --- |" * (len(columns) + 1) + "\n"
        for row in rows:
            said = row.get("failed")
            text += f"| {row['row']} | " + (f"failed: {said}" + " |" * len(columns) if said else " | ".join(cell(row, c) for c in columns) + " |") + "\n"
    return text


def picture(results, group, prefix, head):
    done = sorted((r for r in results if r["group"] == group and "image" in r and os.path.exists(r["image"])), key=lambda r: r["nrmse_percent"])
    if not done:
        return
    truth = np.asarray(nib.load(head.truth + TRUTH[group] + ".nii.gz").dataobj, dtype=np.float32)
    k = int(np.argmax(head.mask.sum(axis=(0, 1))))
    box = tuple(slice(max(0, i.min() - 2), i.max() + 3) for i in np.nonzero(head.mask)[:2])

    def of(volume):
        return np.where(head.mask, volume - volume[head.mask].mean(), 0)[:, :, k][box]

    cells = [(["truth"], [of(truth)])]
    for row in done:
        result = np.asarray(nib.load(row["image"]).dataobj, dtype=np.float32)
        label = [row["row"], f"{row['nrmse_percent']:.1f} %  XSIM {row['xsim_demeaned']:.2f}  {row['seconds']:.0f} s"]
        cells.append((label, [of(result), of(result - truth)]))
    limit = WINDOW_PPM[group]
    write_sheet(f"{prefix}-{group.replace('+', '-')}.png", cells, limit, f"{TITLES[group]}; map | error, {-limit:g} to {limit:g} ppm")


def main():
    args = arguments()
    os.makedirs(args.folder, exist_ok=True)
    bids = args.head or simulated(args.qsmpi, os.path.join(args.folder, f"head-{args.voxel_mm:g}mm"), args.voxel_mm, args.simulate_head)
    head = Head(bids, args.folder)
    store = os.path.join(args.folder, "rows.json")
    kept = {}
    if os.path.exists(store):
        with open(store) as file:
            kept = json.load(file)
    with open(args.qsmpi, "rb") as file:
        program = hashlib.sha1(file.read()).hexdigest()[:12]
    f_seconds = seconds_of_fft(args, head)
    wanted = set(args.methods.split(",")) if args.methods else None
    results = []
    for group in args.groups.split(","):
        for label, task, options in rows_of(group, args.qsmpi):
            if wanted and not wanted & set(re.split(r", ", label)):
                continue
            options = options + shlex.split(args.options)
            key = " ".join([program, head.name, group, *options, str(args.threads)])
            if args.again or key not in kept:
                kept[key] = run_row(args, head, group, label, task, options, f_seconds)
                with open(store, "w") as file:
                    json.dump(kept, file, indent=1)
            row = kept[key]
            results.append(row)
            print(f"{group:10} {label:28}", row.get("failed") or "  ".join(f"{c} {cell(row, c)}" for c in COLUMNS if cell(row, c)), flush=True)
    prefix = args.out or os.path.join(args.folder, "stages")
    os.makedirs(os.path.dirname(os.path.abspath(prefix)), exist_ok=True)
    with open(prefix + ".md", "w") as file:
        file.write(markdown(results, args, head))
    with open(prefix + ".csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["group", "row", "options", *COLUMNS, "failed"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(results)
    for group in args.groups.split(","):
        picture(results, group, prefix, head)


main()
