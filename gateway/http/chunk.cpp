#include "gateway/http/chunk.h"

#include <algorithm>

#include "gateway/http/grammar.h"

namespace trib::http {
namespace {
constexpr unsigned size_digits_max = 15;  // with leading zeros; a value below 2^60
constexpr unsigned line_bytes_max = 256;
constexpr unsigned extension_bytes_max = 8u << 10;
constexpr unsigned trailer_bytes_max = 4u << 10;
}  // namespace

ChunkReader::Status ChunkReader::next(std::string_view& in, std::string_view& data) {
  data = {};
  while (at_ != At::done && at_ != At::bad) {
    if (in.empty()) return Status::need_more;
    if (at_ == At::data) {
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
      data = in.substr(0, size);
      in.remove_prefix(size);
      left_ -= size;
      if (left_ == 0) at_ = At::data_cr;
      return Status::data;
    }
    if (!step(in.front())) return Status::bad;
    in.remove_prefix(1);
  }
  return at_ == At::done ? Status::done : Status::bad;
}

bool ChunkReader::refuse(const char* why) {
  at_ = At::bad;
  why_ = why;
  return false;
}

// One byte of anything but data.
bool ChunkReader::step(char c) {
  switch (at_) {
    case At::size:
      return size_byte(c);
    case At::size_lf:
      if (c != '\n') return refuse("a bare CR after a chunk size");
      at_ = left_ > 0 ? At::data : At::trailer_start;
      digits_ = 0;
      line_bytes_ = 0;
      return true;
    case At::data_cr:
      if (c != '\r') return refuse("a chunk longer than its size");
      at_ = At::data_lf;
      return true;
    case At::data_lf:
      if (c != '\n') return refuse("a bare CR after chunk data");
      at_ = At::size;
      return true;
    case At::trailer_start:
    case At::trailer_name:
    case At::trailer_value:
    case At::trailer_lf:
    case At::end_lf:
      return trailer_byte(c);
    default:
      return extension_byte(c);
  }
}

bool ChunkReader::size_byte(char c) {
  const int value = grammar::hex_value(c);
  if (value >= 0) {
    if (++digits_ > size_digits_max) return refuse("a chunk size with too many digits");
    left_ = left_ * 16 + static_cast<unsigned>(value);
    return true;
  }
  if (digits_ == 0) return refuse("a chunk size is due");
  if (c == '\r') {
    at_ = At::size_lf;
  } else if (c == ';') {
    at_ = At::extension_name;
    name_begun_ = false;
  } else {
    return refuse("a byte that a chunk size may not hold");
  }
  return true;
}

// ";" name [ "=" ( token | quoted-string ) ], without blanks.
bool ChunkReader::extension_byte(char c) {
  if (++line_bytes_ > line_bytes_max || ++extension_bytes_ > extension_bytes_max) {
    return refuse("chunk extensions are too long");
  }
  const bool may_end = (at_ == At::extension_name && name_begun_) || at_ == At::extension_token ||
                       at_ == At::extension_end;
  if (may_end && (c == '\r' || c == ';')) {
    at_ = c == '\r' ? At::size_lf : At::extension_name;
    name_begun_ = false;
    return true;
  }
  const bool token = grammar::is(c, grammar::token_bit);
  if (at_ == At::extension_name) {
    if (token) {
      name_begun_ = true;
      return true;
    }
    if (c != '=' || !name_begun_) return refuse("a chunk extension without a name");
    at_ = At::extension_value;
    return true;
  }
  if (at_ == At::extension_value || at_ == At::extension_token) {
    if (at_ == At::extension_value && c == '"') {
      at_ = At::extension_quoted;
      return true;
    }
    at_ = At::extension_token;
    return token || refuse("a byte that a chunk extension may not hold");
  }
  if (at_ == At::extension_end || !grammar::field_byte(c)) {
    return refuse("a byte that a chunk extension may not hold");
  }
  if (at_ == At::extension_escape) {
    at_ = At::extension_quoted;
  } else if (c == '\\') {
    at_ = At::extension_escape;
  } else if (c == '"') {
    at_ = At::extension_end;
  }
  return true;
}

bool ChunkReader::trailer_byte(char c) {
  if (++trailer_bytes_ > trailer_bytes_max) return refuse("trailers are too long");
  switch (at_) {
    case At::trailer_start:
      if (c == '\r') {
        at_ = At::end_lf;
        return true;
      }
      if (!grammar::is(c, grammar::token_bit))
        return refuse("a folded trailer or one without a name");
      at_ = At::trailer_name;
      return true;
    case At::trailer_name:
      if (c == ':') {
        at_ = At::trailer_value;
        return true;
      }
      return grammar::is(c, grammar::token_bit) ||
             refuse("a byte that a trailer name may not hold");
    case At::trailer_value:
      if (c == '\r') {
        at_ = At::trailer_lf;
        return true;
      }
      return grammar::field_byte(c) || refuse("a byte that a trailer may not hold");
    case At::trailer_lf:
      if (c != '\n') return refuse("a bare CR in a trailer");
      at_ = At::trailer_start;
      return true;
    default:  // end_lf
      if (c != '\n') return refuse("a bare CR after the last chunk");
      at_ = At::done;
      return true;
  }
}

std::size_t write_chunk_size(char* out, std::uint64_t bytes) {
  static constexpr char hex[] = "0123456789abcdef";
  std::size_t digits = 1;
  for (std::uint64_t rest = bytes >> 4; rest != 0; rest >>= 4) ++digits;
  for (std::size_t i = digits; i-- > 0; bytes >>= 4) out[i] = hex[bytes & 15];
  out[digits] = '\r';
  out[digits + 1] = '\n';
  return digits + 2;
}

}  // namespace trib::http
