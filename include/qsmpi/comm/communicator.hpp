#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace qsmpi::comm {

/// Largest message; beyond about 4 KiB it is no longer eager and needs a living receiver to be delivered.
inline constexpr std::size_t max_message_bytes = std::size_t{16} << 20;

struct Message {
    int source = 0;
    std::string bytes;
};

/// Point-to-point messages between the processes of a run. No collectives after start-up, so a dead rank hangs nobody.
/// Messages of one pair of ranks arrive in order. For the thread that made it only.
class Communicator {
public:
    virtual ~Communicator() = default;
    [[nodiscard]] virtual int rank() const = 0;
    [[nodiscard]] virtual int size() const = 0;
    /// Queues a message (at most max_message_bytes); never blocks. Undeliverable messages to a dead rank are dropped
    /// in time: when more than 64 MiB wait for one rank, further ones are dropped. To the own rank is allowed.
    /// @throws CommError for a rank that does not exist or a message too long
    virtual void send(int destination, std::string bytes) = 0;
    /// The next message, if one has arrived.
    [[nodiscard]] virtual std::optional<Message> receive() = 0;
    /// Ends communication; a second call does nothing. `everyone_left` true: every rank calls finish(true) now, and
    /// MPI is finalized. False: some rank is lost, so no collective shutdown; end by runtime::leave() then.
    virtual void finish(bool everyone_left) = 0;
};

/// MPI when this process was started by mpirun or srun, otherwise a communicator of one. MPI_Init happens here only.
/// @throws CommError if the launcher's MPI cannot be initialised
[[nodiscard]] std::unique_ptr<Communicator> make_communicator(int& argc, char**& argv);
/// A communicator of one: messages to oneself come back in order.
[[nodiscard]] std::unique_ptr<Communicator> make_single_communicator();
/// True if the environment says that a launcher started this process (so that plain runs never call MPI_Init).
/// A Slurm batch script without srun is a plain run.
[[nodiscard]] bool started_by_mpi();

}  // namespace qsmpi::comm
