// A tar archive (POSIX ustar) of a few small files, for exports over HTTP.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trib::api {

using Files = std::vector<std::pair<std::string, std::string>>;  // name (at most 99 bytes), content

std::string write_tar(const Files& files);
std::optional<Files> read_tar(std::string_view archive);  // regular files only; null: not such an archive

}  // namespace trib::api
