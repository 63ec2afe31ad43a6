#include "gateway/routing/affinity.h"

#include <algorithm>
#include <cstring>

#include "gateway/routing/index.h"

namespace trib::routing {
namespace {

constexpr std::size_t head_bytes_max = 16u << 10;
constexpr std::size_t head_bytes_plain = 1024;

// The end of the object that `at` lies in, or npos. Strings are skipped, with their escapes.
std::size_t object_end(std::string_view text, std::size_t at) {
  int depth = 1;
  bool inside = false;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (inside) {
      if (c == '\\') ++i;
      if (c == '"') inside = false;
      continue;
    }
    if (c == '"') inside = true;
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

}  // namespace

std::uint64_t text_hash(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = mix(seed ^ text.size() * 0x9e3779b97f4a7c15ULL);
  while (!text.empty()) {
    std::uint64_t word = 0;
    const auto n = std::min<std::size_t>(text.size(), 8);
    std::memcpy(&word, text.data(), n);
    hash = mix(hash ^ word);
    text.remove_prefix(n);
  }
  return hash;
}

std::uint64_t conversation_head(std::string_view body, std::string_view tenant) {
  const auto from = body.find("\"messages\"");
  auto part = body.substr(0, head_bytes_plain);
  if (from != std::string_view::npos) {
    const auto messages = body.substr(from, head_bytes_max);
    part = messages.substr(0, head_bytes_plain);
    // As a value, not as a word in somebody's text: there the quotes are escaped.
    if (const auto user = messages.find("\"user\""); user != std::string_view::npos) {
      const auto end = object_end(messages, user);
      if (end != std::string_view::npos) part = messages.substr(0, end);
    }
  }
  const auto hash = text_hash(part, text_hash(tenant));
  return hash == 0 ? 1 : hash;
}

}  // namespace trib::routing
