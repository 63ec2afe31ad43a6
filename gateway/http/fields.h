// What the fields of a head say about framing and the connection, gathered while they are read, and
// the rules on single values. Private to the room.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "gateway/http/head.h"

namespace trib::http {

struct FieldNotes {
  bool host = false;
  std::string_view host_value;
  bool length = false;
  std::uint64_t length_value = 0;
  bool chunked = false;
  bool expect = false;
  std::string_view expect_value;
  std::uint32_t once = 0;  // names met that may stand only once, a bit each
  std::array<std::string_view, 4> connection{};
  std::size_t connections = 0;
};

enum class FieldUse : std::uint8_t {
  keep,  // end to end
  drop,  // hop by hop: taken note of, never handed on
  refused,
};

// Takes note of one field. On refused, `why` says it and its status is left as it was.
FieldUse note_field(const Field& field, FieldNotes& seen, HeadRefusal& why);

// A field that Connection must not name: framing, routing, or meant for the far end.
bool must_not_be_nominated(std::string_view name);

// host [":" port]: letters, digits, '-', '.', '_', or an IPv6 address in brackets; port up to
// 65535.
bool valid_host(std::string_view host);

}  // namespace trib::http
