#pragma once
#include <cstddef>
#include <memory>

#include "qsmpi/comm/communicator.hpp"

namespace qsmpi::comm {

/// MPI_COMM_WORLD as a Communicator. @throws CommError if MPI_Init fails
[[nodiscard]] std::unique_ptr<Communicator> make_mpi_communicator(int& argc, char**& argv);

/// @throws CommError unless the destination exists and the message is not too long
void check_message(int destination, int size, std::size_t bytes);

}  // namespace qsmpi::comm
