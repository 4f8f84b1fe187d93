#include "qsmpi/comm/communicator.hpp"

#include <cstdlib>
#include <deque>
#include <utility>

#include "mpi_communicator.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::comm {
namespace {

class SingleCommunicator final : public Communicator {
public:
    int rank() const override { return 0; }
    int size() const override { return 1; }

    void send(int destination, std::string bytes) override
    {
        check_message(destination, 1, bytes.size());
        queue_.push_back({0, std::move(bytes)});
    }

    std::optional<Message> receive() override
    {
        if (queue_.empty()) return std::nullopt;
        Message message = std::move(queue_.front());
        queue_.pop_front();
        return message;
    }

    void finish(bool) override { queue_.clear(); }

private:
    std::deque<Message> queue_;
};

}  // namespace

void check_message(int destination, int size, std::size_t bytes)
{
    if (destination < 0 || destination >= size) {
        throw CommError(str("send: rank ", destination, " does not exist, there are ", size));
    }
    if (bytes > max_message_bytes) {
        throw CommError(str("send: a message of ", bytes, " bytes is longer than ", max_message_bytes));
    }
}

bool started_by_mpi()
{
    // Set for each rank by mpirun (Open MPI), srun --mpi=pmix, and the launchers of MPICH and its kin. Slurm's own
    // variables (SLURM_PROCID, SLURM_NTASKS) do not count: a batch script has them too, without any MPI around it.
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
        if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return true;
    }
    return false;
}

std::unique_ptr<Communicator> make_single_communicator() { return std::make_unique<SingleCommunicator>(); }

std::unique_ptr<Communicator> make_communicator(int& argc, char**& argv)
{
    if (started_by_mpi()) return make_mpi_communicator(argc, argv);
    return make_single_communicator();
}

}  // namespace qsmpi::comm
