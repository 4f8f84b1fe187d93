#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "qsmpi/io/bids.hpp"
#include "qsmpi/pipeline/options.hpp"

/// What is checked before a run begins, besides the data set itself.
namespace qsmpi::apps {

/// What is wrong with the images that options name, for this acquisition.
[[nodiscard]] std::vector<io::Finding> check_option_files(const io::Acquisition& acquisition, const pipeline::ChainOptions& options);
/// Results written over or between raw data would spoil both. @throws InputError
void refuse_output_among_the_data(const std::filesystem::path& output_dir, const std::string& bids);
/// The output folder or the nearest above it that is there must be one. @throws IoError
void refuse_output_in_a_file(const std::filesystem::path& output_dir);
/// Makes the output folder if need be. @throws IoError if nothing can be written into it
void make_writable(const std::filesystem::path& output_dir);
/// Results of two data sets in one folder would be taken for those of one. A data set that has moved is said to have.
/// @throws UsageError if the folder was made from another data set that is still there
void refuse_output_of_other_data(const std::filesystem::path& output_dir, const std::string& bids);
/// Whether all images that are not ignored are files of 0 bytes: a plan by names. Of scans that are refused, too: their names alone may
/// have led to that.
[[nodiscard]] bool all_empty(const std::filesystem::path& bids, const std::vector<io::ImageDecision>& images);

}  // namespace qsmpi::apps
