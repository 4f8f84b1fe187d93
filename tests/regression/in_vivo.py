"""In-vivo scans laid out as BIDS: a 3-echo crop, a whole brain at 3 mm, and a cohort with copies broken in every way.

No truth exists for these, so the checks are what any correct map shows: finite, inside the mask only, of physiological
spread, flat where nothing is, veins and deep grey above the rest.
"""
import csv
import gzip
import json
import os
import shutil

import nibabel as nib
import numpy as np
from scipy import ndimage as ndi

from common import Checks, Workplace, arguments, mpirun, run

ECHO_TIMES_S = {"crop": [0.004, 0.008, 0.012], "brain": [0.0023, 0.0046]}


def write_sidecar(path, **fields):
    with open(path, "w") as file:
        json.dump(fields, file, indent=1)


def lay_out_crop(shared, bids, subject):
    """4-D source to one file an echo; stored phase +-0.0036744 is +-pi (the source's documentation)."""
    anat = os.path.join(bids, f"sub-{subject}", "anat")
    os.makedirs(anat)
    source = os.path.join(shared, "data", "gre-3echo-brain-crop")
    for part, name in (("mag", "Mag.nii"), ("phase", "Phase.nii")):
        image = nib.load(os.path.join(source, name))
        data = np.asarray(image.dataobj)
        if part == "phase":
            data = (data / np.abs(data).max() * np.pi).astype(np.float32)
        for i, echo_time_s in enumerate(ECHO_TIMES_S["crop"], 1):
            base = os.path.join(anat, f"sub-{subject}_echo-{i}_part-{part}_MEGRE")
            nib.Nifti1Image(data[..., i - 1], image.affine).to_filename(base + ".nii.gz")
            write_sidecar(base + ".json", EchoTime=echo_time_s, MagneticFieldStrength=7,
                          **({"Units": "rad"} if part == "phase" else {}))


def lay_out_brain(shared, bids, subject):
    anat = os.path.join(bids, f"sub-{subject}", "anat")
    os.makedirs(anat)
    source = os.path.join(shared, "data", "dicom-philips-classic-brain-2echo", "Ref", "2001_WIP_fcMRI_Field_Mapping_cl_e")
    for i in (1, 2):
        for part, suffix in (("mag", ""), ("phase", "_ph")):
            base = os.path.join(anat, f"sub-{subject}_echo-{i}_part-{part}_MEGRE")
            shutil.copyfile(f"{source}{i}{suffix}.nii.gz", base + ".nii.gz")
            shutil.copyfile(f"{source}{i}{suffix}.json", base + ".json")


def start_dataset(bids):
    os.makedirs(bids)
    write_sidecar(os.path.join(bids, "dataset_description.json"), Name="in vivo", BIDSVersion="1.9.0")


def edit_json(path, **fields):
    with open(path) as file:
        content = json.load(file)
    content.update(fields)
    write_sidecar(path, **{k: v for k, v in content.items() if v is not None})


def edit_image(path, change):
    image = nib.load(path)
    data = np.array(image.dataobj, dtype=np.float32)
    nib.Nifti1Image(change(data), image.affine, image.header).to_filename(path)


def edit_header_bytes(path, offset, value):
    with gzip.open(path) as file:
        content = bytearray(file.read())
    content[offset:offset + len(value)] = value
    with gzip.open(path, "wb") as file:
        file.write(content)


def with_nan(data):
    data[:, :, : data.shape[2] // 2] = np.nan
    return data


# Each way of being wrong: what to do to a good crop, and the words its one line of complaint must hold.
def breakages():
    f32 = lambda *values: np.array(values, "<f4").tobytes()
    phase, mag = "echo-2_part-phase_MEGRE", "echo-2_part-mag_MEGRE"
    all_parts = [f"echo-{e}_part-{p}_MEGRE.json" for e in (1, 2, 3) for p in ("mag", "phase")]
    return {
        "missingecho": (lambda b: [os.remove(b + f"echo-2_part-{p}_MEGRE{x}") for p in ("mag", "phase") for x in (".nii.gz", ".json")], "echo"),
        "missingpartner": (lambda b: [os.remove(b + phase + x) for x in (".nii.gz", ".json")], "phase"),
        "notimes": (lambda b: [edit_json(b + p, EchoTime=None) for p in all_parts], "EchoTime"),
        "equaltimes": (lambda b: [edit_json(b + f"echo-2_part-{p}_MEGRE.json", EchoTime=0.004) for p in ("mag", "phase")], "EchoTime"),
        "milliseconds": (lambda b: [edit_json(b + f"echo-{e}_part-{p}_MEGRE.json", EchoTime=4.0 * e) for e in (1, 2, 3) for p in ("mag", "phase")], "milliseconds"),
        "nofield": (lambda b: [edit_json(b + p, MagneticFieldStrength=None) for p in all_parts], "MagneticFieldStrength"),
        "shape": (lambda b: [edit_image(b + x + ".nii.gz", lambda d: d[:-1]) for x in (phase, mag)], "shape"),
        "affine": (lambda b: edit_header_bytes(b + phase + ".nii.gz", 280 + 12, f32(999.0)), "affine"),
        "truncated": (lambda b: os.truncate(b + phase + ".nii.gz", 20000), "truncated"),
        "nan": (lambda b: edit_image(b + phase + ".nii.gz", lambda d: np.full_like(d, np.nan)), "NaN"),
        "zerovoxel": (lambda b: edit_header_bytes(b + phase + ".nii.gz", 80, f32(0.0)), "pixdim"),
        "zerophase": (lambda b: edit_image(b + phase + ".nii.gz", np.zeros_like), "zero"),
        "units": (lambda b: [edit_json(b + f"echo-{e}_part-phase_MEGRE.json", Units="degC") for e in (1, 2, 3)], "Units"),
    }


def check_map(check, name, out, subject, args, window_ppm):
    base = os.path.join(out, f"sub-{subject}", "anat", f"sub-{subject}_")
    chi = np.asarray(nib.load(base + "Chimap.nii.gz").dataobj)
    mask = np.asarray(nib.load(base + "mask.nii.gz").dataobj) > 0
    check.that(np.isfinite(chi).all(), f"{name}: finite")
    check.that(not chi[~mask].any(), f"{name}: zero outside the mask")
    check.that(0.2 < mask.mean() if name == "crop" else 0.05 < mask.mean() < 0.5, f"{name}: mask covers {100 * mask.mean():.0f} %")
    inside = chi[mask]
    check.that(abs(inside.mean()) < 1e-3, f"{name}: referenced to the mean")
    low, high = np.percentile(inside, [1, 99])
    check.that(-window_ppm < low < 0 < high < window_ppm, f"{name}: 1 to 99 % from {low:.3f} to {high:.3f} ppm")
    # Paramagnetic veins and nuclei are few and bright: deep in the brain, away from face, neck and bone, the upper tail is longer.
    is_head = name == "brain"
    deep = chi[ndi.distance_transform_edt(mask, sampling=3.0) >= 12] if is_head else inside
    tails = np.percentile(deep, 99.5) - np.median(deep), np.median(deep) - np.percentile(deep, 0.5)
    check.that(tails[0] > (1.0 if is_head else 0.9) * tails[1], f"{name}: tails {tails[0]:.3f} above, {tails[1]:.3f} below the median")
    check.that(os.path.getsize(base + "Chimap.png") > 10_000, f"{name}: picture")
    return chi, mask


def one_scan(args, check, folder, lay_out, name, window_ppm):
    bids, out = os.path.join(folder, "bids"), os.path.join(folder, "out")
    start_dataset(bids)
    lay_out(args.shared, bids, "01")
    run([args.qsmpi, "run", bids, out])
    check_map(check, name, out, "01", args, window_ppm)


def broken_cohort(args, check, folder):
    bids, out = os.path.join(folder, "bids"), os.path.join(folder, "out")
    start_dataset(bids)
    good = [f"good{i:02d}" for i in range(1, 13)]
    for i, subject in enumerate(good):
        (lay_out_crop if i % 2 else lay_out_brain)(args.shared, bids, subject)
    bad = breakages()
    without_an_echo = ("missingecho", "missingpartner", "zerophase")
    for subject, (damage, _) in bad.items():
        lay_out_crop(args.shared, bids, subject)
        damage(os.path.join(bids, f"sub-{subject}", "anat", f"sub-{subject}_"))
    status = os.path.join(out, "status")
    output = run(mpirun(args.mpiexec, 3) + [args.qsmpi, "run", bids, out], expect=(0, 1))
    with open(status) as file:
        check.that(file.read().strip() == "1", "exit status 1: some scans were refused")
    for subject, (_, word) in bad.items():
        lines = [line for line in output.splitlines() if f"sub-{subject}" in line and word.lower() in line.lower()]
        check.that(lines, f"{subject}: one line names the scan and '{word}'" + (f": {lines[0][:220]}" if lines else ""))
        has_map = os.path.exists(os.path.join(out, f"sub-{subject}", "anat", f"sub-{subject}_Chimap.nii.gz"))
        # An echo that is missing, or of zeros, gets no weight: the others make the map, with a warning.
        check.that(has_map == (subject in without_an_echo), f"{subject}: {'a map from the other echoes' if has_map else 'no map'}")
    check.that(all(output.find(f"sub-{s}") != -1 for s in bad), "all findings are reported in one run")
    with open(os.path.join(out, "jobs.csv")) as file:
        rows = {row["key"]: row for row in csv.DictReader(file)}
    check.that(all(rows[key]["state"] == "done" for key in rows if "good" in key) and sum("good" in k for k in rows) == 12,
               "the 12 good scans are done")
    check.that(all(rows[f"sub-{s}"]["state"] == ("done" if s in without_an_echo else "refused") for s in bad),
               "the others are refused in jobs.csv")
    maps = [check_map(check, "crop" if i % 2 else "brain", out, s, args, 0.6)[0] for i, s in enumerate(good[:2])]
    for i, subject in enumerate(good[2:]):
        copy = np.asarray(nib.load(os.path.join(out, f"sub-{subject}/anat/sub-{subject}_Chimap.nii.gz")).dataobj)
        check.that(np.array_equal(copy, maps[i % 2]), f"{subject}: the same bits as its twin")
    leftovers = [f for _, _, files in os.walk(out) for f in files if ".tmp" in f]
    check.that(not leftovers, "no temporary files are left")


CASES = {
    "crop": lambda a, c, f: one_scan(a, c, f, lay_out_crop, "crop", 0.4),
    "philips_brain": lambda a, c, f: one_scan(a, c, f, lay_out_brain, "brain", 0.6),
    "broken_cohort": broken_cohort,
}


def main():
    args = arguments(CASES)
    check = Checks()
    with Workplace(args.keep) as folder:
        CASES[args.case](args, check, folder)
    check.finish()


main()
