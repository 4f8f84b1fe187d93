#!/usr/bin/python3
"""How long does the scan of a large cohort take?

Usage: scan.py QSMPI FOLDER [SUBJECTS=10000]
Makes a BIDS tree of empty image files (4 echoes, magnitude and phase, one sidecar an echo) and times `qsmpi run --dry-run`.
"""
import json
import os
import subprocess
import sys
import time

qsmpi, folder = sys.argv[1:3]
subjects = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
bids = os.path.join(folder, f"bids-{subjects}")
if not os.path.exists(os.path.join(bids, "dataset_description.json")):
    for s in range(subjects):
        anat = os.path.join(bids, f"sub-{s:05d}", "anat")
        os.makedirs(anat)
        for echo in range(1, 5):
            for part in ("mag", "phase"):
                base = os.path.join(anat, f"sub-{s:05d}_echo-{echo}_part-{part}_MEGRE")
                open(base + ".nii.gz", "w").close()
                with open(base + ".json", "w") as file:
                    json.dump({"EchoTime": 0.006 * echo, "MagneticFieldStrength": 3}, file)
    with open(os.path.join(bids, "dataset_description.json"), "w") as file:
        json.dump({"Name": "large", "BIDSVersion": "1.9.0"}, file)
start = time.time()
result = subprocess.run([qsmpi, "run", bids, os.path.join(folder, "out"), "--dry-run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(json.dumps({"benchmark": "scan", "subjects": subjects, "exit": result.returncode, "seconds": round(time.time() - start, 2)}))
