#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace qsmpi::io
{

/// An open file descriptor that closes itself.
class Descriptor
{
public:
    /// Opens with ::open(file, flags | O_CLOEXEC, mode).
    /// @throws IoError naming the file, what was tried ("read", "write") and the cause
    Descriptor(const std::filesystem::path& file, int flags, const char* purpose, unsigned mode = 0666);
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] std::size_t size() const;
    /// Reads up to out.size() bytes from `offset`; fewer only at the end of the file.
    std::size_t read_at(std::size_t offset, std::span<std::byte> out) const;
    void write(std::span<const std::byte> content);
    void flush_to_disk();
    /// Closes now, so that a late error (quota, network) is seen.
    void close();

private:
    [[noreturn]] void fail(const char* purpose, int cause) const;
    std::filesystem::path file_;
    int number_ = -1;
};

/// Throws IoError "cannot <purpose> <file>: <cause>" with a remedy where there is one.
[[noreturn]] void throw_io_error(const char* purpose, const std::filesystem::path& file, int cause);

}  // namespace qsmpi::io
