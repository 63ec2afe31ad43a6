#include "gateway/http/fields.h"

#include <arpa/inet.h>

#include <limits>

#include "gateway/http/grammar.h"

namespace trib::http {
namespace {

enum class Known : std::uint8_t {
  other,
  host,
  content_length,
  transfer_encoding,
  connection,
  expect,
  hop,        // hop by hop: dropped
  disguised,  // a framing name spelt with '_'
  // May stand only once; order and number are those of the bits in FieldNotes::once.
  authorization,
  content_type,
  content_encoding,
  idempotency_key,
  api_key,
  privacy,
  max_price,
};

// `lower` has lower-case letters, digits and '-' only, and `name` is a token: then setting the case
// bit makes equal what is equal but for case, and nothing else.
bool named(std::string_view name, std::string_view lower) {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (static_cast<char>(name[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

// As named(), with '_' taken for '-'. ('_' with the case bit set is DEL.)
bool disguised(std::string_view name, std::string_view lower) {
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i] == '_' ? '-' : static_cast<char>(name[i] | 0x20);
    if (c != lower[i]) return false;
  }
  return true;
}

Known classify(std::string_view name) {
  switch (name.size()) {
    case 2:
      return named(name, "te") ? Known::hop : Known::other;
    case 4:
      return named(name, "host") ? Known::host : Known::other;
    case 6:
      return named(name, "expect") ? Known::expect : Known::other;
    case 7:
      return named(name, "upgrade") || named(name, "trailer") ? Known::hop : Known::other;
    case 9:
      return named(name, "x-api-key") ? Known::api_key : Known::other;
    case 10:
      if (named(name, "connection")) return Known::connection;
      return named(name, "keep-alive") ? Known::hop : Known::other;
    case 12:
      return named(name, "content-type") ? Known::content_type : Known::other;
    case 13:
      return named(name, "authorization") ? Known::authorization : Known::other;
    case 14:
      if (named(name, "content-length")) return Known::content_length;
      if (named(name, "http2-settings")) return Known::hop;
      return disguised(name, "content-length") ? Known::disguised : Known::other;
    case 15:
      return named(name, "idempotency-key") ? Known::idempotency_key : Known::other;
    case 16:
      if (named(name, "content-encoding")) return Known::content_encoding;
      return named(name, "proxy-connection") ? Known::hop : Known::other;
    case 17:
      if (named(name, "transfer-encoding")) return Known::transfer_encoding;
      return disguised(name, "transfer-encoding") ? Known::disguised : Known::other;
    case 18:
      return named(name, "proxy-authenticate") ? Known::hop : Known::other;
    case 19:
      if (named(name, "x-tributary-privacy")) return Known::privacy;
      return named(name, "proxy-authorization") ? Known::hop : Known::other;
    case 21:
      return named(name, "x-tributary-max-price") ? Known::max_price : Known::other;
    default:
      return Known::other;
  }
}

FieldUse refuse(HeadRefusal& why, const char* text) {
  why.why = text;
  return FieldUse::refused;
}

// Digits alone; leading zeros are legal. Fits in 63 bits.
bool parse_length(std::string_view value, std::uint64_t& out) {
  constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.empty()) return false;
  out = 0;
  for (const char c : value) {
    if (!grammar::digit(c)) return false;
    const auto d = static_cast<std::uint64_t>(c - '0');
    if (out > (max - d) / 10) return false;
    out = out * 10 + d;
  }
  return true;
}

FieldUse note_length(std::string_view value, FieldNotes& seen, HeadRefusal& why) {
  if (seen.length) return refuse(why, "Content-Length stands twice");
  seen.length = true;
  if (!parse_length(value, seen.length_value))
    return refuse(why, "Content-Length is not one number");
  return FieldUse::keep;
}

FieldUse note_coding(std::string_view value, FieldNotes& seen, HeadRefusal& why) {
  if (seen.chunked) return refuse(why, "Transfer-Encoding stands twice");
  if (!iequals(value, "chunked")) return refuse(why, "Transfer-Encoding is not exactly chunked");
  seen.chunked = true;
  return FieldUse::drop;
}

FieldUse note_host(std::string_view value, FieldNotes& seen, HeadRefusal& why) {
  if (seen.host) return refuse(why, "Host stands twice");
  if (!valid_host(value)) return refuse(why, "Host is not a host and port");
  seen.host = true;
  seen.host_value = value;
  return FieldUse::keep;
}

bool valid_ipv6(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.size() >= copy.size()) return false;
  text.copy(copy.data(), text.size());
  in6_addr address;
  return ::inet_pton(AF_INET6, copy.data(), &address) == 1;
}

bool valid_port(std::string_view port) {
  unsigned value = 0;
  if (port.size() > 5) return false;
  for (const char c : port) {
    if (!grammar::digit(c)) return false;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  return value <= 65535;  // none at all is legal: "host:"
}

}  // namespace

bool valid_host(std::string_view host) {
  if (host.size() > 255 + 6) return false;
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos || !valid_ipv6(host.substr(1, close - 1))) return false;
    port = host.substr(close + 1);
    if (port.empty()) return true;
    if (port.front() != ':') return false;
    return valid_port(port.substr(1));
  }
  const std::size_t colon = host.find(':');
  if (colon != std::string_view::npos) port = host.substr(colon + 1);
  const std::string_view name = host.substr(0, colon);
  return !name.empty() && name.size() <= 255 && grammar::all(name, grammar::host_bit) &&
         valid_port(port);
}

FieldUse note_field(const Field& field, FieldNotes& seen, HeadRefusal& why) {
  const Known known = classify(field.name);
  switch (known) {
    case Known::other:
      return FieldUse::keep;
    case Known::host:
      return note_host(field.value, seen, why);
    case Known::content_length:
      return note_length(field.value, seen, why);
    case Known::transfer_encoding:
      return note_coding(field.value, seen, why);
    case Known::connection:
      if (seen.connections == seen.connection.size())
        return refuse(why, "too many Connection fields");
      seen.connection[seen.connections++] = field.value;
      return FieldUse::drop;
    case Known::expect:
      if (seen.expect) return refuse(why, "Expect stands twice");
      seen.expect = true;
      seen.expect_value = field.value;
      return FieldUse::drop;
    case Known::hop:
      return FieldUse::drop;
    case Known::disguised:
      return refuse(why, "a framing field spelt with an underscore");
    default:
      break;
  }
  const auto bit = std::uint32_t{1} << static_cast<unsigned>(known);
  if ((seen.once & bit) != 0) return refuse(why, "a field that may stand once stands twice");
  seen.once |= bit;
  return FieldUse::keep;
}

bool must_not_be_nominated(std::string_view name) {
  static constexpr std::array<std::string_view, 14> end_to_end = {
      "accept",      "age",        "cache-control", "content-range", "cookie",
      "date",        "etag",       "range",         "server",        "set-cookie",
      "retry-after", "user-agent", "x-request-id",  "location"};
  const Known known = classify(name);
  if (known == Known::hop) return false;
  if (known != Known::other) return true;
  for (const std::string_view other : end_to_end) {
    if (named(name, other)) return true;
  }
  return false;
}

}  // namespace trib::http
