// JSON text with members and elements in the order in which they are added, so that it is canonical where
// the caller's order is. Lists and objects nest; the caller closes what it opens. Texts must be valid UTF-8.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/base/json.h"

namespace trib::json {

class Writer {
 public:
  Writer& key(std::string_view name) {
    comma();
    quote(name, out_);
    out_ += ':';
    first_ = true;  // its value takes no comma
    return *this;
  }
  Writer& open(char bracket) {
    comma();
    out_ += bracket;
    first_ = true;
    return *this;
  }
  Writer& close(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  Writer& text(std::string_view value) {
    comma();
    quote(value, out_);
    return *this;
  }
  Writer& boolean(bool value) {
    comma();
    out_ += value ? "true" : "false";
    return *this;
  }
  Writer& integer(std::int64_t value) {
    comma();
    out_ += std::to_string(value);
    return *this;
  }
  Writer& raw(std::string_view json) {  // a value that is JSON already
    comma();
    out_ += json;
    return *this;
  }
  // Members with their values.
  Writer& text(std::string_view name, std::string_view value) { return key(name).text(value); }
  Writer& integer(std::string_view name, std::int64_t value) { return key(name).integer(value); }
  Writer& maybe(std::string_view name, std::optional<std::int64_t> value) { return value ? integer(name, *value) : *this; }
  Writer& boolean(std::string_view name, bool value) { return key(name).boolean(value); }
  Writer& raw(std::string_view name, std::string_view json) { return key(name).raw(json); }
  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  std::string out_;
  bool first_ = true;
};

// Begins an object.
inline Writer object() {
  Writer out;
  out.open('{');
  return out;
}

}  // namespace trib::json
