// How docs/configuration.md shows one key.
#pragma once
#include <algorithm>
#include <string>

#include "gateway/config/keys.h"

namespace trib::config {

inline std::string bounds_text(const Key& key) {
  if (key.type != Type::choice)
    return key.least.empty() ? "" : std::string(key.least) + " to " + std::string(key.most);
  std::string words(key.least);
  for (std::size_t at = 0; (at = words.find('|', at)) != std::string::npos; at += 2)
    words.replace(at, 1, ", ");
  return words;
}

inline std::string doc_row(const Key& key) {
  const std::string fallback = key.fallback.empty() || key.fallback == required
                                   ? std::string(key.fallback)
                                   : "`" + std::string(key.fallback) + "`";
  return "| `" + std::string(key.path) + "` | " + std::string(name(key.type)) + " | " + fallback +
         " | " + bounds_text(key) + " | " + std::string(key.meaning) + " |";
}

}  // namespace trib::config
