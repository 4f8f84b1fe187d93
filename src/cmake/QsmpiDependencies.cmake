# Outside libraries, each found once; src/README.md says which folder may include which.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PNG REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(MPI REQUIRED COMPONENTS CXX)
pkg_check_modules(FFTWF REQUIRED IMPORTED_TARGET fftw3f)
pkg_check_modules(DEFLATE REQUIRED IMPORTED_TARGET libdeflate)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
# Not find_package(HDF5): an ITK elsewhere in the process would reset it to the serial library.
pkg_check_modules(PHDF5 REQUIRED IMPORTED_TARGET hdf5-openmpi)
