"""Each stage of the chain by itself, fed with the truth of the stage before it, on a scan of the independent simulator.

The figures in FIGURES are errors of `qsmpi stage` measured with these options; one that rises by more than 2 % (absolute)
fails. Improve a default: lower the figure here and say so in CHANGELOG.md under "Results change".
"""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "benchmarks", "accuracy"))
sys.dont_write_bytecode = True

from common import Checks, Workplace, arguments, run  # noqa: E402
from head import Head  # noqa: E402

# (task, preset): truth, NRMSE %
FIGURES = {
    ("field-mapping", "default"): ("fieldppm", 13.6),
    ("bfr", "default"): ("localppm", 28.6),
    ("bfr", "accurate"): ("localppm", 28.2),
    ("dipole", "default"): ("Chimap", 19.3),
    ("dipole", "fast"): ("Chimap", 38.9),
}


def main():
    args = arguments(["stages"])
    check = Checks()
    with Workplace(args.keep) as folder:
        bids = os.path.join(folder, "bids")
        run([os.path.join(args.shared, "tools", "simulate-head"), bids, "--fine", "0.8", "--voxel", "2", "--b0", "7",
             "--tes", "4,12,20,28"])
        head = Head(bids, folder)
        for (task, preset), (truth, nrmse) in FIGURES.items():
            out = os.path.join(folder, f"{task}-{preset}")
            run([args.qsmpi, "stage", task, head.input(task), out, "--preset", preset])
            image = next(name for name in os.listdir(out) if name.endswith(".nii.gz"))
            said = run([args.qsmpi, "score", head.truth + truth + ".nii.gz", os.path.join(out, image), "--mask",
                        head.truth + "mask.nii.gz"])
            measured = json.loads(said)["nrmse_percent"]
            check.that(measured <= nrmse + 2, f"{task}, {preset}: NRMSE {measured:.1f} % <= {nrmse} + 2 %")
    check.finish()


main()
