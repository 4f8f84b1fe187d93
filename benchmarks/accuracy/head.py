"""A simulated head, BIDS with its truth, as the input folders of `qsmpi stage`."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import nibabel as nib
import numpy as np

# What each task starts from; the others start from phase.
START = {"bfr": "totalfield", "bfr+dipole": "totalfield", "dipole": "localfield"}


def simulated(qsmpi, bids, voxel_mm, simulate_head=None):
    """The folder of a 7 T head of four echoes; made unless it is there."""
    if os.path.exists(os.path.join(bids, "participants.tsv")):
        return bids
    if simulate_head:
        command = [simulate_head, bids, "--b0", "7", "--tes", "4,12,20,28", "--voxel", f"{voxel_mm:g}"]
    else:
        command = [qsmpi, "phantom", bids, "--dims", str(2 * round(205 / voxel_mm / 2)), "--voxel-mm", f"{voxel_mm:g}",
                   "--b0-tesla", "7", "--echo-times-s", "0.004,0.012,0.020,0.028", "--no-progress"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return bids


class Head:
    def __init__(self, bids, folder):
        self.bids = bids
        self.truth = os.path.join(bids, "derivatives/truth/sub-01/anat/sub-01_")
        self.name = hashlib.sha1(os.path.abspath(bids).encode()).hexdigest()[:8]
        self.mask = np.asarray(nib.load(self.truth + "mask.nii.gz").dataobj) > 0
        self.folder = os.path.join(folder, "inputs-" + self.name)

    def input(self, task):
        """The folder with what the task starts from."""
        start = START.get(task, "phase")
        folder = os.path.join(self.folder, start)
        if os.path.exists(os.path.join(folder, "params.json")):
            return folder
        os.makedirs(folder, exist_ok=True)
        shutil.copy(self.truth + "mask.nii.gz", os.path.join(folder, "mask.nii.gz"))
        magnitude, phase, echo_times_s, b0_tesla = self.echoes()
        if start == "phase":
            stack(phase, os.path.join(folder, "phase.nii.gz"))
            stack(magnitude, os.path.join(folder, "magnitude.nii.gz"))
        else:
            source = {"totalfield": "fieldppm", "localfield": "localppm"}[start]
            shutil.copy(self.truth + source + ".nii.gz", os.path.join(folder, start + ".nii.gz"))
        image = nib.load(self.truth + "mask.nii.gz")
        axes = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
        params = {"TE": echo_times_s, "B0": b0_tesla, "B0_dir": [float(x) for x in axes[2]],
                  "voxel_size": [float(x) for x in image.header.get_zooms()[:3]]}
        with open(os.path.join(folder, "params.json"), "w") as file:
            json.dump(params, file)
        return folder

    def echoes(self):
        anat = os.path.join(self.bids, "sub-01/anat")
        names = sorted(n for n in os.listdir(anat) if re.search(r"part-phase.*\.nii", n))
        sidecars = []
        for name in names:
            with open(os.path.join(anat, re.sub(r"\.nii(\.gz)?$", ".json", name))) as file:
                sidecars.append(json.load(file))
        phase = [os.path.join(anat, n) for n in names]
        magnitude = [p.replace("part-phase", "part-mag") for p in phase]
        magnitude = [m if os.path.exists(m) else m + ".gz" for m in magnitude]
        return magnitude, phase, [s["EchoTime"] for s in sidecars], sidecars[0]["MagneticFieldStrength"]


def stack(files, target):
    """3-D images of the echoes as one 4-D image; phase stored as integers becomes radians."""
    images = [nib.load(f) for f in files]
    volumes = np.stack([np.asarray(i.dataobj, dtype=np.float32) for i in images], axis=3)
    if "phase" in os.path.basename(target) and np.abs(volumes).max() > 7:
        volumes *= np.float32(np.pi / 4096)
    image = nib.Nifti1Image(volumes, images[0].affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(target)
