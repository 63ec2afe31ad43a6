// Writing canonical JSON: objects whose keys stand in the order in which they are added.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/base/json.h"

namespace trib::ledger {

class ObjectWriter {
 public:
  ObjectWriter& text(std::string_view key, std::string_view value) {
    add_key(key);
    json::quote(value, out_);
    return *this;
  }
  ObjectWriter& integer(std::string_view key, std::int64_t value) { return raw(key, std::to_string(value)); }
  ObjectWriter& maybe(std::string_view key, std::optional<std::int64_t> value) { return value ? integer(key, *value) : *this; }
  ObjectWriter& flag(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  ObjectWriter& raw(std::string_view key, std::string_view json) {
    add_key(key);
    out_ += json;
    return *this;
  }
  std::string take() { return std::move(out_) + '}'; }

 private:
  void add_key(std::string_view key) {
    out_ += out_.size() > 1 ? "," : "";
    json::quote(key, out_);
    out_ += ':';
  }
  std::string out_ = "{";
};

}  // namespace trib::ledger
