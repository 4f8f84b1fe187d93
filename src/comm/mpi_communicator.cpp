#include "mpi_communicator.hpp"

#include <algorithm>
#include <deque>
#include <list>
#include <utility>
#include <vector>

#include <mpi.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::comm {
namespace {

constexpr int tag = 7;
constexpr std::size_t max_waiting_bytes = 4 * max_message_bytes;

void check_mpi(int code, const char* what)
{
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw CommError(str(what, ": ", text));
}

class MpiCommunicator final : public Communicator {
public:
    MpiCommunicator(int& argc, char**& argv)
    {
        int provided = 0;
        check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
        if (provided < MPI_THREAD_FUNNELED) {
            throw CommError("MPI_Init_thread: this MPI allows no threads beside the one that calls it");
        }
        check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
        check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
        check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
        waiting_bytes_.assign(static_cast<std::size_t>(size_), 0);
    }

    // Sends to dead ranks never complete, and MPI may still read their buffers: they live until the process ends.
    ~MpiCommunicator() override
    {
        static auto* const graveyard = new std::list<Send>;
        graveyard->splice(graveyard->end(), sends_);
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }

    void send(int destination, std::string bytes) override
    {
        check_message(destination, size_, bytes.size());
        if (finished_) return;
        if (destination == rank_) {
            own_.push_back({rank_, std::move(bytes)});
            return;
        }
        drop_completed();
        auto& waiting = waiting_bytes_[static_cast<std::size_t>(destination)];
        if (waiting + bytes.size() > max_waiting_bytes) return;
        waiting += bytes.size();
        Send& s = sends_.emplace_back();
        s.destination = destination;
        s.bytes = std::move(bytes);
        check_mpi(MPI_Isend(s.bytes.data(), static_cast<int>(s.bytes.size()), MPI_BYTE, destination, tag,
                            MPI_COMM_WORLD, &s.request),
                  "MPI_Isend");
    }

    std::optional<Message> receive() override
    {
        if (!own_.empty()) {
            Message message = std::move(own_.front());
            own_.pop_front();
            return message;
        }
        if (finished_) return std::nullopt;
        drop_completed();
        if (auto message = receive_begun()) return message;
        // A receive of a long message is only posted: its sender may die half-way, and waiting would hang.
        for (int arrived = 1; arrived != 0;) {
            MPI_Status status;
            MPI_Message handle = MPI_MESSAGE_NULL;
            check_mpi(MPI_Improbe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &arrived, &handle, &status), "MPI_Improbe");
            if (arrived == 0) break;
            int n_bytes = 0;
            check_mpi(MPI_Get_count(&status, MPI_BYTE, &n_bytes), "MPI_Get_count");
            Receive& r = receives_.emplace_back();
            r.message.source = status.MPI_SOURCE;
            r.message.bytes.resize(static_cast<std::size_t>(n_bytes));
            check_mpi(MPI_Imrecv(r.message.bytes.data(), n_bytes, MPI_BYTE, &handle, &r.request), "MPI_Imrecv");
            if (auto message = receive_begun()) return message;
        }
        return std::nullopt;
    }

    void finish(bool everyone_left) override
    {
        if (finished_) return;
        if (everyone_left) {
            // Every receiver is alive and polls or has left, so these complete or never will; finalize sorts it out.
            for (int i = 0; i < 1000 && !sends_.empty(); ++i) drop_completed();
            MPI_Finalize();
        }
        finished_ = true;
    }

private:
    struct Send {
        int destination = 0;
        std::string bytes;
        MPI_Request request = MPI_REQUEST_NULL;
    };
    struct Receive {
        Message message;
        MPI_Request request = MPI_REQUEST_NULL;
    };

    static bool completed(MPI_Request& request)
    {
        int flag = 0;
        check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Test");
        return flag != 0;
    }

    void drop_completed()
    {
        for (auto s = sends_.begin(); s != sends_.end();) {
            if (completed(s->request)) {
                waiting_bytes_[static_cast<std::size_t>(s->destination)] -= s->bytes.size();
                s = sends_.erase(s);
            } else {
                ++s;
            }
        }
    }

    /// The first message that is all here, of each sender in the order of sending.
    std::optional<Message> receive_begun()
    {
        std::vector<int> held_up;
        for (auto r = receives_.begin(); r != receives_.end(); ++r) {
            const int source = r->message.source;
            if (std::find(held_up.begin(), held_up.end(), source) != held_up.end()) continue;
            if (completed(r->request)) {
                Message message = std::move(r->message);
                receives_.erase(r);
                return message;
            }
            held_up.push_back(source);
        }
        return std::nullopt;
    }

    int rank_ = 0;
    int size_ = 1;
    bool finished_ = false;
    std::deque<Message> own_;
    std::list<Send> sends_;
    std::list<Receive> receives_;
    std::vector<std::size_t> waiting_bytes_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(int& argc, char**& argv)
{
    return std::make_unique<MpiCommunicator>(argc, argv);
}

}  // namespace qsmpi::comm
