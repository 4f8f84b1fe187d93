#include "posix.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{

void throw_io_error(const char* purpose, const std::filesystem::path& file, int cause)
{
    const char* remedy = "";
    if (cause == ENOSPC) remedy = "; free some space or choose another output folder";
    if (cause == EDQUOT) remedy = "; your quota is used up: free some space or choose another output folder";
    if (cause == EFBIG) remedy = "; files may grow no larger here: raise the limit (ulimit -f) or choose another output folder";
    if (cause == EACCES || cause == EPERM || cause == EROFS) remedy = "; check the permissions";
    throw IoError(str("cannot ", purpose, " ", file.string(), ": ", std::strerror(cause), remedy));
}

Descriptor::Descriptor(const std::filesystem::path& file, int flags, const char* purpose, unsigned mode)
    : file_(file)
{
    do {
        number_ = ::open(file.c_str(), flags | O_CLOEXEC, mode);
    } while (number_ < 0 && errno == EINTR);
    if (number_ < 0) fail(purpose, errno);
}

Descriptor::~Descriptor()
{
    if (number_ >= 0) ::close(number_);
}

void Descriptor::fail(const char* purpose, int cause) const
{
    throw_io_error(purpose, file_, cause);
}

std::size_t Descriptor::size() const
{
    struct stat status {
    };
    if (::fstat(number_, &status) != 0) fail("examine", errno);
    if (S_ISDIR(status.st_mode)) fail("read", EISDIR);
    return static_cast<std::size_t>(status.st_size);
}

std::size_t Descriptor::read_at(std::size_t offset, std::span<std::byte> out) const
{
    std::size_t done = 0;
    while (done < out.size()) {
        const ssize_t n =
            ::pread(number_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("read", errno);
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return done;
}

void Descriptor::write(std::span<const std::byte> content)
{
    while (!content.empty()) {
        const ssize_t n = ::write(number_, content.data(), content.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("write", errno);
        content = content.subspan(static_cast<std::size_t>(n));
    }
}

void Descriptor::flush_to_disk()
{
    if (::fsync(number_) == 0) return;
    // Some network and pseudo file systems cannot flush folders or special files: nothing is lost by going
    // on.
    if (errno != EINVAL && errno != ENOTSUP && errno != EROFS) fail("flush", errno);
}

void Descriptor::close()
{
    const int number = number_;
    number_ = -1;
    if (::close(number) != 0 && errno != EINTR) fail("close", errno);
}

}  // namespace qsmpi::io
