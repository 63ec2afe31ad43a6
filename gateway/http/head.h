// Request and response heads of HTTP/1.1, read strictly: what RFC 9112 calls an error or leaves to
// guess is refused, never repaired. Views point into the caller's bytes. Heads are never spliced
// onwards: writers make new ones. tests/corpus/http states the rules case by case.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace trib::http {

struct Field {
  std::string_view name;   // as sent; compare with iequals
  std::string_view value;  // without surrounding blanks
};

bool iequals(std::string_view a, std::string_view b);  // ASCII case-insensitive

struct HeadLimits {
  std::size_t bytes = 16u << 10;  // the whole head, from the first byte to the blank line
  std::size_t fields = 100;
};

enum class Framing : std::uint8_t { none, length, chunked, until_close };

struct RequestHead {
  std::string_view method;  // a token; methods are case-sensitive
  std::string_view
      target;  // origin form, or "*" for OPTIONS; an absolute form that names Host is cut
  std::string_view path;   // target up to '?'
  std::string_view query;  // after '?', or empty
  std::string_view host;   // exactly one Host; empty only in HTTP/1.0, where it may be absent
  int minor = 1;           // HTTP/1.minor
  bool keep_alive = true;
  bool expect_continue = false;
  Framing framing = Framing::none;  // none, length or chunked
  std::uint64_t length = 0;
  std::span<const Field>
      fields;  // end to end: hop-by-hop ones and those Connection names are left out
  std::string_view find(std::string_view name) const;  // first value, or empty
};

struct ResponseHead {
  int status = 0;
  bool keep_alive = true;
  Framing framing = Framing::none;
  std::uint64_t length = 0;
  std::span<const Field> fields;
  std::string_view find(std::string_view name) const;
};

// Why a head was refused: one of the corpus's named rules, with the status to answer (400, 431,
// 414, 501, 505...). `why` is static text.
struct HeadRefusal {
  int status = 400;
  const char* why = "";
};

struct FieldNotes;  // inside the room: what the fields of one head said about framing and
                    // connection

enum class HeadStatus : std::uint8_t { need_more, ok, refused };

// Reads one head from the front of a growing buffer. Reuse it for the next head with reset(). The
// fields of the last head live here until then.
class HeadReader {
 public:
  explicit HeadReader(HeadLimits limits = {}) : limits_(limits) {}
  // `buffered` holds all bytes of this head so far, from its first byte. On ok, `used` is the
  // head's size with its blank line; body bytes follow.
  HeadStatus request(std::string_view buffered, RequestHead& out, std::size_t& used,
                     HeadRefusal& why);
  // `to_head`: the request was HEAD, so no body follows whatever the fields say. 1xx heads are read
  // like others (framing none); the caller skips them.
  HeadStatus response(std::string_view buffered, bool to_head, ResponseHead& out, std::size_t& used,
                      HeadRefusal& why);
  void reset() { line_ = scanned_ = 0; }

 private:
  HeadStatus find_end(std::string_view buffered, std::size_t start, std::size_t& used,
                      HeadRefusal& why);
  bool read_fields(std::string_view block, FieldNotes& seen, HeadRefusal& why);
  bool connection(const FieldNotes& seen, bool& close, bool& keep, HeadRefusal& why);

  HeadLimits limits_;
  std::size_t line_ = 0;     // start of the first line whose end was not found yet
  std::size_t scanned_ = 0;  // bytes looked at for it
  std::vector<Field> fields_;
};

inline constexpr std::size_t target_bytes_max = 8u << 10;

// Writers append to `out`. Names and values that came from outside must pass `valid_field`.
bool valid_field(std::string_view name, std::string_view value);  // no CR, LF, NUL; a token name
void write_status_line(std::string& out, int status);
void write_field(std::string& out, std::string_view name, std::string_view value);
void write_field(std::string& out, std::string_view name, std::uint64_t value);
std::string_view reason(int status);

}  // namespace trib::http
