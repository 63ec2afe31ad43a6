// Frames between the host and tributary-probe: a length (u32, little-endian) and one JSON object whose
// members are strings; "items" is the one list, of such objects. What is unknown has no member.
// The child is not trusted: every size is bounded and rubbish is a named end, never a crash.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trib::devices {

inline constexpr std::size_t frame_bytes_max = 1u << 20;
inline constexpr std::size_t items_max = 256;

using Fields = std::map<std::string, std::string>;
struct Message {
  Fields fields;
  std::vector<Fields> items;
};

std::string encode(const Message& message);  // texts that are not UTF-8 have their odd bytes replaced by '?'
std::optional<Message> decode(std::string_view json);

std::string_view text(const Fields& fields, const char* key);  // empty when absent
std::optional<std::uint64_t> number(const Fields& fields, const char* key);
std::optional<std::int64_t> signed_number(const Fields& fields, const char* key);

enum class ReadEnd { frame, closed, deadline, rubbish, failed };
// `deadline_ns` on CLOCK_MONOTONIC; 0: none. The descriptor may be blocking.
ReadEnd read_frame(int fd, std::string& out, std::int64_t deadline_ns);
bool write_frame(int fd, std::string_view json);  // false: the other side is gone
std::int64_t monotonic_ns();

}  // namespace trib::devices
