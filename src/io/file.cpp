#include "qsmpi/io/file.hpp"

#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "posix.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{

namespace fs = std::filesystem;

namespace
{

/// Process number at the end of "name.tmp.<pid>", or 0.
pid_t owner_of(const std::string& name)
{
    const auto dot = name.rfind('.');
    if (dot == std::string::npos || dot < 4 || name.compare(dot - 4, 4, ".tmp") != 0) return 0;
    pid_t pid = 0;
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + dot + 1, end, pid);
    return error == std::errc() && stop == end && pid > 0 ? pid : 0;
}

bool is_alive(pid_t pid)
{
    return ::kill(pid, 0) == 0 || errno != ESRCH;
}

void make_parent_folders(const fs::path& file)
{
    if (!file.has_parent_path()) return;
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error) throw_io_error("create the folder", file.parent_path(), error.value());
}

/// The file that a name stands for: links are followed, also one to a file that is not there yet.
fs::path without_links(fs::path file)
{
    constexpr int most_links = 40;  // as many as the kernel follows
    std::error_code error;
    for (int i = 0; fs::is_symlink(file, error); ++i) {
        if (i == most_links) throw_io_error("write", file, ELOOP);
        file = file.parent_path() / fs::read_symlink(file);
    }
    return file;
}

/// A pipe, a terminal, /dev/null: what may be written to, but must not be replaced by a file.
bool is_special(const fs::path& file)
{
    std::error_code error;
    return fs::is_other(fs::status(file, error));
}

void write_into(const fs::path& special, std::span<const std::span<const std::byte>> parts)
{
    Descriptor out(special, O_WRONLY, "write");
    for (const auto& part : parts) out.write(part);
    out.close();
}

/// Gives a complete file on the same file system its final name.
void rename_on_disk(const fs::path& temporary, const fs::path& file)
{
    if (::rename(temporary.c_str(), file.c_str()) != 0) throw_io_error("rename to", file, errno);
    const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
    Descriptor(folder, O_RDONLY | O_DIRECTORY, "flush the folder").flush_to_disk();
}

}  // namespace

fs::path temporary_name(const fs::path& file)
{
    return file.string() + ".tmp." + std::to_string(::getpid());
}

void write_parts_atomic(const fs::path& name, std::span<const std::span<const std::byte>> parts)
{
    const fs::path file = without_links(name);
    if (is_special(file)) return write_into(file, parts);
    make_parent_folders(file);
    const fs::path temporary = temporary_name(file);
    try {
        Descriptor out(temporary, O_WRONLY | O_CREAT | O_TRUNC, "write");
        for (const auto& part : parts) out.write(part);
        out.flush_to_disk();
        out.close();
        rename_on_disk(temporary, file);
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
}

void write_file_atomic(const fs::path& file, std::span<const std::byte> content)
{
    write_parts_atomic(file, std::span(&content, 1));
}

void write_file_atomic(const fs::path& file, std::string_view content)
{
    write_file_atomic(file, std::as_bytes(std::span(content.data(), content.size())));
}

void publish(const fs::path& temporary, const fs::path& final_name)
{
    make_parent_folders(final_name);
    Descriptor(temporary, O_RDONLY, "publish").flush_to_disk();
    rename_on_disk(temporary, final_name);
}

std::string read_file(const fs::path& file)
{
    const Descriptor in(file, O_RDONLY, "read");
    // The size is a hint only: files in /proc say 0.
    std::string content(in.size() + 1, '\0');
    std::size_t done = 0;
    for (;;) {
        const auto room = std::as_writable_bytes(std::span(content.data() + done, content.size() - done));
        const std::size_t n = in.read_at(done, room);
        done += n;
        if (n < room.size()) break;
        content.resize(content.size() * 2);
    }
    content.resize(done);
    return content;
}

std::size_t remove_stale_temporaries(const fs::path& folder)
{
    std::size_t removed = 0;
    std::error_code error;
    fs::recursive_directory_iterator i(folder, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && i != end; i.increment(error)) {
        const pid_t pid = owner_of(i->path().filename().string());
        std::error_code ignored;
        if (pid == 0 || is_alive(pid) || i->is_symlink(ignored)) continue;
        if (i->is_directory(ignored)) i.disable_recursion_pending();
        if (fs::remove_all(i->path(), ignored) > 0) ++removed;
    }
    return removed;
}

}  // namespace qsmpi::io
