"""Do includes go down only, and each outside library through its door? (src/README.md)

Usage: includes.py ROOT     checks the tree; a line for each violation; exit code 1 if there are any
       includes.py --self-test   plants every kind of violation in a small tree and sees that each is found
"""
import os
import re
import sys
import tempfile

ALGORITHMS = {"phase", "field", "mask", "background", "inversion", "swi", "relaxometry", "registration", "evaluation", "simulation"}
MAY_INCLUDE = {
    "core": set(),
    "numerics": {"core"},
    "comm": {"core"},
    **{name: {"core", "numerics"} for name in ALGORITHMS},
    "io": {"core"},
    "dist": {"core", "numerics", "comm"},
    "pipeline": {"core", "numerics", "io", *ALGORITHMS},
    "runtime": {"core", "comm", "dist", "io", "pipeline"},
}
# Outside library: what its headers are called, and the only files that may include them.
DOORS = {
    "MPI": (r"mpi\.h", r"src/(comm|dist)/"),
    "FFTW": (r"fftw3.*\.h", r"src/(numerics/fft|dist/)"),
    "HDF5": (r"(hdf5.*|H5[A-Za-z]*)\.h", r"src/io/hdf5"),
    "ITK": (r"itk.*\.h", r"src/(io|registration)/"),
    "Boost.Program_options": (r"boost/program_options.*", r"src/apps/"),
}
LONGEST_FILE = 400
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def source_files(root, *folders):
    for folder in folders:
        for path, directories, files in os.walk(os.path.join(root, folder)):
            directories.sort()
            for file in sorted(files):
                if file.endswith((".cpp", ".hpp", ".h", ".py", ".sh")):
                    yield os.path.relpath(os.path.join(path, file), root).replace(os.sep, "/")


def module_of(file):
    match = re.match(r"(?:include/qsmpi|src)/([a-z0-9_]+)/", file)
    return match.group(1) if match else None


def violations(root):
    found = []
    for file in source_files(root, "include", "src", "tests", "benchmarks"):
        with open(os.path.join(root, file), encoding="utf-8") as stream:
            lines = stream.read().split("\n")
        if len(lines) - 1 > LONGEST_FILE:
            found.append(f"{file}: {len(lines) - 1} lines, more than {LONGEST_FILE}")
        module = module_of(file)
        if module is None or not file.endswith((".cpp", ".hpp", ".h")):
            continue
        if module not in MAY_INCLUDE and module != "apps":
            found.append(f"{file}: module '{module}' is not in the layers")
            continue
        if re.search(r"_mpi\.", file) and module not in ("comm", "dist"):
            found.append(f"{file}: a twin for MPI")
        for number, line in enumerate(lines, 1):
            where = f"{file}:{number}"
            if module not in ("comm", "dist") and re.search(r"\bMPI_[A-Z]\w*\s*[(;,)]", line.split("//")[0]):
                found.append(f"{where}: speaks MPI")
            match = INCLUDE.match(line)
            if not match:
                continue
            name = match.group(2)
            for library, (headers, allowed) in DOORS.items():
                if re.fullmatch(headers, os.path.basename(name) if "/" not in headers else name) and not re.match(allowed, file):
                    found.append(f"{where}: {library} is not included here")
            if match.group(1) == "<":
                if name.startswith("qsmpi/"):
                    found.append(f"{where}: own headers are included with quotes")
                continue
            if name.startswith("qsmpi/"):
                target = name.split("/")[1]
                if target == "apps":
                    found.append(f"{where}: apps is the top")
                elif target != module and module != "apps" and target not in MAY_INCLUDE[module]:
                    found.append(f"{where}: {module} does not include {target}")
                if not os.path.exists(os.path.join(root, "include", name)):
                    found.append(f"{where}: there is no {name}")
            elif file.startswith("include/"):
                found.append(f"{where}: a public header includes the private {name}")
            elif "/" in name or not os.path.exists(os.path.join(root, os.path.dirname(file), name)):
                found.append(f"{where}: {name} is not a header of this folder")
    return found


def self_test():
    planted = {  # file: (content, words that its violation holds; None: it is clean)
        "include/qsmpi/core/a.hpp": ("#pragma once\n#include <vector>\n", None),
        "include/qsmpi/numerics/fft.hpp": ('#include "qsmpi/core/a.hpp"\n', None),
        "include/qsmpi/phase/p.hpp": ('#include "qsmpi/numerics/fft.hpp"\n', None),
        "src/numerics/fft_plans.cpp": ("#include <fftw3.h>\n", None),
        "src/comm/mpi_world.cpp": ("#include <mpi.h>\nMPI_Init(0, 0);\n", None),
        "src/io/hdf5_record.cpp": ("#include <hdf5.h>\n", None),
        "src/apps/cmd.cpp": ('#include <boost/program_options.hpp>\n#include "qsmpi/phase/p.hpp"\n', None),
        "src/phase/up.cpp": ('#include "qsmpi/pipeline/job.hpp"\n', "phase does not include pipeline"),
        "src/mask/aside.cpp": ('#include "qsmpi/phase/p.hpp"\n', "mask does not include phase"),
        "src/core/up.cpp": ('#  include "qsmpi/numerics/fft.hpp"\n', "core does not include numerics"),
        "src/field/fft.cpp": ("#include <fftw3.h>\n", "FFTW is not included here"),
        "src/numerics/filter.cpp": ("#include <fftw3.h>\n", "FFTW is not included here"),
        "src/runtime/mpi.cpp": ("#include <mpi.h>\n", "MPI is not included here"),
        "src/runtime/call.cpp": ("MPI_Barrier(world);\n", "speaks MPI"),
        "src/io/other.cpp": ("#include <hdf5.h>\n", "HDF5 is not included here"),
        "src/pipeline/options.cpp": ("#include <boost/program_options.hpp>\n", "Boost.Program_options is not"),
        "src/inversion/itk.cpp": ("#include <itkImage.h>\n", "ITK is not included here"),
        "src/inversion/tkd_mpi.cpp": ("\n", "a twin for MPI"),
        "src/inversion/secret.cpp": ('#include "../phase/private.hpp"\n', "is not a header of this folder"),
        "src/inversion/gone.cpp": ('#include "gone.hpp"\n', "is not a header of this folder"),
        "include/qsmpi/io/leak.hpp": ('#include "secret.hpp"\n', "a public header includes the private"),
        "include/qsmpi/io/angle.hpp": ("#include <qsmpi/core/a.hpp>\n", "with quotes"),
        "include/qsmpi/io/none.hpp": ('#include "qsmpi/core/none.hpp"\n', "there is no qsmpi/core/none.hpp"),
        "src/magic/m.cpp": ("\n", "is not in the layers"),
        "tests/unit/core/long_test.cpp": ("\n" * 401, "401 lines"),
    }
    with tempfile.TemporaryDirectory() as root:
        for file, (content, _) in planted.items():
            os.makedirs(os.path.dirname(os.path.join(root, file)), exist_ok=True)
            with open(os.path.join(root, file), "w", encoding="utf-8") as stream:
                stream.write(content)
        found = violations(root)
    failed = 0
    for file, (_, words) in planted.items():
        mine = [v for v in found if v.startswith(file)]
        good = not mine if words is None else any(words in v for v in mine)
        failed += not good
        print("ok  " if good else "FAIL", file, mine)
    return failed


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if sys.argv[1] == "--self-test":
        sys.exit(1 if self_test() else 0)
    found = violations(sys.argv[1])
    print("\n".join(found) if found else "no violations")
    sys.exit(1 if found else 0)


main()
