// JSON text with members and elements in the order in which they are added. Lists and objects nest; the
// caller closes what it opens. Texts must be valid UTF-8.
#pragma once
#include <cstdint>
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
  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!first_) out_ += ',';
    first_ = false;
  }
  std::string out_;
  bool first_ = true;
};

}  // namespace trib::json
