#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace qsmpi::comm {

struct Message {
    int source = 0;
    std::string bytes;
};

/// Point-to-point messages between the processes of a run. No collectives after start-up, so a dead rank hangs nobody.
class Communicator {
public:
    virtual ~Communicator() = default;
    [[nodiscard]] virtual int rank() const = 0;
    [[nodiscard]] virtual int size() const = 0;
    /// Queues a message (at most 64 KiB); never blocks. Undeliverable messages to a dead rank are dropped in time.
    virtual void send(int destination, std::string bytes) = 0;
    /// The next message, if one has arrived.
    [[nodiscard]] virtual std::optional<Message> receive() = 0;
    /// Ends communication. `everyone_left` false: some rank is lost, so no collective shutdown.
    virtual void finish(bool everyone_left) = 0;
};

/// MPI when this process was started by mpirun or srun, otherwise a communicator of one.
[[nodiscard]] std::unique_ptr<Communicator> make_communicator(int& argc, char**& argv);
/// True if the environment says that a launcher started this process (so that plain runs never call MPI_Init).
[[nodiscard]] bool started_by_mpi();

}  // namespace qsmpi::comm
